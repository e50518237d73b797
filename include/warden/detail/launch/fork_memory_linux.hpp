// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Forks without a copy of the large maps: the fork gets them empty, and the program's next writes are not copied.
///
/// A fork of a large program copies its page tables and makes each page copy-on-write. For the moment of the fork the
/// large maps are marked by madvise(MADV_WIPEONFORK), which the kernel allows for private memory of no file alone.
/// Not marked are: shared maps, files and their private copies (code, data segments), the main stack, the maps of the
/// kernel, reserved huge pages, small maps (the dynamic linker's own are among them), and the pages around the stack
/// frame and the thread block of the caller. Locked maps and transparent huge pages are memory like any other.
///
/// Knows:         /proc/self/maps; fork(2) by other threads, which waits meanwhile (pthread_atfork(3)); maps that other
///                threads move or extend meanwhile (mremap(2)), whose mark is taken away too.
/// Does not know: what a child needs that another thread makes meanwhile by the bare system call clone(2), without
///                CLONE_VM: it gets the large maps empty.
/// Thread-safety: one at a time; a second one, or one during a long fork(2), waits for at most a second, then marks
///                nothing. Nothing is marked under a sanitizer, whose shadow is such memory, under an emulator like
///                valgrind, whose own memory lies among the program's, and nothing without /proc.
/// Errors:        none: what cannot be marked is copied.

#include <warden/detail/launch/clone_launcher_linux.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>

#include <pthread.h>
#include <sys/mman.h>

namespace warden::detail {

/// A line of maps: "start-end perms offset device inode          name".
struct MemoryMap {
    std::uintptr_t start = 0;
    std::uintptr_t end = 0;
    bool is_data = false;  ///< Private, writable, of no file; the heap, or without a name of the kernel's.
};

/// Calls `visit` with each map of this process, in ascending order. Whether they can be read.
template <class Visit>
WARDEN_IN_CHILD inline bool visit_maps_in_child(Visit visit) noexcept;

/// Calls the functions of the C library that a helper calls: the dynamic linker looks a function up at its first call,
/// and what it needs for that may be in memory that the helper does not have. The compiler may call the functions on
/// memory by itself.
inline void bind_functions_of_helpers() noexcept;

/// While this lives, a fork of this process gets the large maps empty. Construct it with all signals blocked.
class MapsEmptyInFork {
public:
    MapsEmptyInFork() noexcept;
    MapsEmptyInFork(const MapsEmptyInFork&) = delete;
    MapsEmptyInFork& operator=(const MapsEmptyInFork&) = delete;
    ~MapsEmptyInFork();

private:
    struct Range {
        std::uintptr_t start;
        std::uintptr_t end;
    };
    [[nodiscard]] bool is_known(const MemoryMap& map, std::size_t& at) const noexcept;
    void add(const MemoryMap& map) noexcept;
    void advise(const Range& range, int advice) const noexcept;
    void unmark_moved() noexcept;

    static constexpr std::size_t max_ranges = std::size_t{1} << 16;  // the kernel's default for a process's maps
    static constexpr std::uintptr_t large = std::uintptr_t{1} << 20;
    static constexpr std::uintptr_t smallest_moved = std::uintptr_t{64} << 10;  // smaller marks are the program's own

    std::unique_lock<std::timed_mutex> lock_;
    Range* ranges_ = nullptr;  // the data maps before the fork, those that touch each other as one
    std::size_t count_ = 0;
    Range kept_[2]{};  // ascending
};

// -- implementation ----------------------------------------------------------

WARDEN_IN_CHILD inline std::uintptr_t hex_in_child(const char*& text) noexcept {
    std::uintptr_t value = 0;
    for (;; ++text) {
        if (*text >= '0' && *text <= '9') value = value * 16 + static_cast<std::uintptr_t>(*text - '0');
        else if (*text >= 'a' && *text <= 'f') value = value * 16 + static_cast<std::uintptr_t>(*text - 'a' + 10);
        else return value;
    }
}

WARDEN_IN_CHILD inline MemoryMap parse_map_in_child(const char* text) noexcept {
    MemoryMap map;
    map.start = hex_in_child(text);
    map.end = hex_in_child(++text);
    const bool writable_private = text[2] == 'w' && text[4] == 'p';
    for (int fields = 0; fields < 4 && *text; ++text) fields += *text == ' ' && text[1] != ' ';
    const bool has_inode = *text != '0';
    while (*text && *text != ' ') ++text;
    while (*text == ' ') ++text;
    const bool is_heap = text[0] == '[' && text[1] == 'h';
    const bool is_named_anonymous = text[0] == '[' && text[1] == 'a';  // prctl(PR_SET_VMA_ANON_NAME)
    map.is_data = writable_private && !has_inode && (*text == '\0' || is_heap || is_named_anonymous);
    return map;
}

template <class Visit>
WARDEN_IN_CHILD inline bool visit_maps_in_child(Visit visit) noexcept {
    const long file = raw(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return false;
    char text[4096];
    char line[256];
    std::size_t length = 0;
    for (long size = 0; (size = raw(SYS_read, file, text, sizeof text)) > 0;) {
        for (long i = 0; i < size; ++i) {
            if (text[i] != '\n') {
                if (length < sizeof line - 1) line[length++] = text[i];
                continue;
            }
            line[length] = '\0';
            length = 0;
            visit(parse_map_in_child(line));
        }
    }
    raw(SYS_close, file);
    return true;
}

inline void bind_functions_of_helpers() noexcept {
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

/// Held by a thread that forks or that has marked maps.
WARDEN_ONE_PER_PROGRAM inline std::timed_mutex fork_gate;

/// From now on fork(2) passes the gate. Whether the C library could note that.
inline bool guard_forks() noexcept {
    static const bool guarded =
        ::pthread_atfork([] { fork_gate.lock(); }, [] { fork_gate.unlock(); }, [] { fork_gate.unlock(); }) == 0;
    return guarded;
}

inline MapsEmptyInFork::MapsEmptyInFork() noexcept : lock_(fork_gate, std::defer_lock) {
    if (WARDEN_HAS_ASAN || WARDEN_HAS_TSAN || !shares_memory_with_child() || !guard_forks()) return;
    // Bounded, since the thread that forks may wait in another handler for what the caller of this thread holds.
    if (!lock_.try_lock_for(std::chrono::seconds(1))) return;
    void* const memory = ::mmap(nullptr, max_ranges * sizeof(Range), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return;
    ranges_ = static_cast<Range*>(memory);
    constexpr std::uintptr_t page = 4096;
    constexpr std::uintptr_t stack = 64 * page;
    constexpr std::uintptr_t block = 16 * page;
    const auto around = [](std::uintptr_t low, std::uintptr_t high, std::uintptr_t margin) {
        constexpr std::uintptr_t largest_page = 64 * 1024;
        return Range{(low - margin) / largest_page * largest_page, (high + margin) / largest_page * largest_page};
    };
    const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const auto thread = reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
    const auto error = reinterpret_cast<std::uintptr_t>(&errno);
    kept_[0] = around(frame, frame, stack);
    kept_[1] = around(std::min(thread, error), std::max(thread, error), block);
    if (kept_[1].start < kept_[0].start) std::swap(kept_[0], kept_[1]);
    visit_maps_in_child([this](const MemoryMap& map) { add(map); });
    for (std::size_t i = 0; i < count_; ++i) advise(ranges_[i], MADV_WIPEONFORK);
}

inline MapsEmptyInFork::~MapsEmptyInFork() {
    if (!ranges_) return;
    for (std::size_t i = 0; i < count_; ++i) advise(ranges_[i], MADV_KEEPONFORK);
    unmark_moved();
    ::munmap(ranges_, max_ranges * sizeof(Range));
}

inline void MapsEmptyInFork::add(const MemoryMap& map) noexcept {
    if (!map.is_data) return;
    if (count_ > 0 && ranges_[count_ - 1].end == map.start) ranges_[count_ - 1].end = map.end;
    else if (count_ < max_ranges) ranges_[count_++] = {map.start, map.end};
}

/// Whether `map` is within a range; `at` goes on with the maps.
inline bool MapsEmptyInFork::is_known(const MemoryMap& map, std::size_t& at) const noexcept {
    while (at < count_ && ranges_[at].end <= map.start) ++at;
    return at < count_ && ranges_[at].start <= map.start && map.end <= ranges_[at].end;
}

/// Marks a large range, or takes the mark away, save what the child needs of it.
inline void MapsEmptyInFork::advise(const Range& range, int advice) const noexcept {
    if (range.end - range.start < large) return;
    const auto part = [advice](std::uintptr_t start, std::uintptr_t end) {
        if (start < end) ::madvise(reinterpret_cast<void*>(start), end - start, advice);
    };
    std::uintptr_t at = range.start;
    for (const Range& kept : kept_) {
        if (kept.end <= at || kept.start >= range.end) continue;
        part(at, kept.start);
        at = kept.end;
    }
    part(at, range.end);
}

/// A map that another thread moved or extended meanwhile has taken its mark along. It is one that was not there before.
inline void MapsEmptyInFork::unmark_moved() noexcept {
    constexpr int max_rounds = 3;
    bool found = true;
    for (int round = 0; found && round < max_rounds; ++round) {
        found = false;
        std::size_t at = 0;
        visit_maps_in_child([&](const MemoryMap& map) {
            if (!map.is_data || map.end - map.start < smallest_moved || is_known(map, at)) return;
            ::madvise(reinterpret_cast<void*>(map.start), map.end - map.start, MADV_KEEPONFORK);
            found = true;  // it may have been moved once more
        });
    }
}

}  // namespace warden::detail
#endif
