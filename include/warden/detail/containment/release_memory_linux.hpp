// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Lets a forked copy of a large program give back the memory that it will never use.
///
/// Knows:         /proc/self/maps; what must stay: code, data segments, the stack and thread block in use.
/// Does not know: the heap, which is gone afterwards. Async-signal-safe.

#include <warden/detail/containment/tree_walk_linux.hpp>

#if WARDEN_OS_LINUX
#include <cerrno>
#include <cstddef>
#include <cstring>

#include <sys/mman.h>

namespace warden::detail {

/// Unmaps the private anonymous memory of this process, the heap included, save the mappings that hold the caller's
/// stack frame and the thread pointer. Afterwards only code that neither allocates nor uses other threads' memory may
/// run, and that calls no function of a library for the first time. Does nothing under a sanitizer, whose bookkeeping
/// is such memory, and nothing without /proc.
WARDEN_IN_CHILD inline void release_memory_in_child() noexcept;

// -- implementation ----------------------------------------------------------

WARDEN_IN_CHILD inline std::uintptr_t hex_in_child(const char*& text) noexcept {
    std::uintptr_t value = 0;
    for (;; ++text) {
        if (*text >= '0' && *text <= '9') value = value * 16 + static_cast<std::uintptr_t>(*text - '0');
        else if (*text >= 'a' && *text <= 'f') value = value * 16 + static_cast<std::uintptr_t>(*text - 'a' + 10);
        else return value;
    }
}

/// One line of maps: "start-end perms offset device inode          name".
struct MapLine {
    std::uintptr_t start = 0;
    std::uintptr_t end = 0;
    bool is_ours_to_give = false;  // private, writable, anonymous
};

WARDEN_IN_CHILD inline MapLine parse_map_line(const char* text) noexcept {
    MapLine line;
    line.start = hex_in_child(text);
    line.end = hex_in_child(++text);
    const bool writable_private = text[2] == 'w' && text[4] == 'p';
    for (int fields = 0; fields < 4 && *text; ++text) fields += *text == ' ' && text[1] != ' ';
    const bool has_inode = *text != '0';
    while (*text && *text != ' ') ++text;
    while (*text == ' ') ++text;
    const bool is_heap = text[0] == '[' && text[1] == 'h';
    const bool is_named_anonymous = text[0] == '[' && text[1] == 'a';  // prctl(PR_SET_VMA_ANON_NAME)
    line.is_ours_to_give = writable_private && !has_inode && (*text == '\0' || is_heap || is_named_anonymous);
    return line;
}

/// Calls what is called afterwards: the dynamic linker looks a function up at its first call, and what it needs for
/// that may be in memory that goes. The compiler may call the functions on memory by itself.
WARDEN_IN_CHILD inline void bind_functions_in_child() noexcept {
    const volatile std::size_t none = 0;
    const volatile int error = errno;
    char a = 0;
    char b = static_cast<char>(error);
    std::memset(&a, 0, none);
    std::memcpy(&a, &b, none);
    std::memmove(&a, &b, none);
    const volatile int order = std::memcmp(&a, &b, none);
    static_cast<void>(order);
    void* const page = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) ::munmap(page, 4096);
}

WARDEN_IN_CHILD inline void release_memory_in_child() noexcept {
    if (WARDEN_HAS_ASAN || WARDEN_HAS_TSAN) return;
    const long file = raw(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return;
    bind_functions_in_child();
    const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const auto thread = reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
    // The C++ runtime keeps data beside its data segments in anonymous mappings that follow a file's; those are small.
    constexpr std::uintptr_t worth_it = std::uintptr_t{256} * 1024;
    char text[4096];
    char line[256];
    int length = 0;
    for (long size = 0; (size = raw(SYS_read, file, text, sizeof text)) > 0;) {
        for (long i = 0; i < size; ++i) {
            if (text[i] != '\n') {
                if (length < static_cast<int>(sizeof line) - 1) line[length++] = text[i];
                continue;
            }
            line[length] = '\0';
            length = 0;
            const MapLine map = parse_map_line(line);
            const bool holds_us = (frame >= map.start && frame < map.end) || (thread >= map.start && thread < map.end);
            if (!map.is_ours_to_give || holds_us || map.end - map.start < worth_it) continue;
            raw(SYS_munmap, map.start, map.end - map.start);
        }
    }
    raw(SYS_close, file);
}

}  // namespace warden::detail
#endif
