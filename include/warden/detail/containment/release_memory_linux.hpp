// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Lets a forked copy of a large program give back the memory that it will never use.
///
/// Knows:         what must stay: code, data segments, the stack and thread block in use.
/// Does not know: the heap, which is gone afterwards. Async-signal-safe.

#include <warden/detail/containment/tree_walk_linux.hpp>
#include <warden/detail/launch/fork_memory_linux.hpp>

#if WARDEN_OS_LINUX
namespace warden::detail {

/// Unmaps the private anonymous memory of this process, the heap included, save the mappings that hold the caller's
/// stack frame and the thread pointer. Afterwards only code that neither allocates nor uses other threads' memory may
/// run, and that calls no function of a library for the first time. Does nothing under a sanitizer or an emulator like
/// valgrind, whose bookkeeping is such memory, and nothing without /proc.
WARDEN_IN_CHILD inline void release_memory_in_child() noexcept;

// -- implementation ----------------------------------------------------------

WARDEN_IN_CHILD inline void release_memory_in_child() noexcept {
    if (WARDEN_HAS_ASAN || WARDEN_HAS_TSAN || !shares_memory_with_child()) return;
    const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const auto thread = reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
    visit_maps_in_child([frame, thread](const MemoryMap& map) WARDEN_IN_CHILD {
        // The C++ runtime keeps data beside its data segments in anonymous mappings that follow a file's; those are
        // small.
        constexpr std::uintptr_t worth_it = std::uintptr_t{256} * 1024;
        const bool holds_us = (frame >= map.start && frame < map.end) || (thread >= map.start && thread < map.end);
        if (map.is_data && !holds_us && map.end - map.start >= worth_it) {
            raw(SYS_munmap, map.start, map.end - map.start);
        }
    });
}

}  // namespace warden::detail
#endif
