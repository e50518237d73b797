// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Walks the descendants of the calling process and signals each, as the guardian and its keepers do.
///
/// Knows:         /proc/<pid>/task/<tid>/children; pids of processes that this one did not reap yet stay theirs.
/// Does not know: the heap, locks. Async-signal-safe throughout.
/// Thread-safety: for processes of one thread.

#include <warden/detail/launch/child_linux.hpp>

#if WARDEN_OS_LINUX
#include <sys/mman.h>
#include <sys/stat.h>

namespace warden::detail {

/// A set of pids, one bit each, in memory that is touched only where needed.
class PidSet {
public:
    static constexpr std::size_t capacity = std::size_t{1} << 22;  // the kernel's PID_MAX_LIMIT

    WARDEN_IN_CHILD bool map() noexcept {
        void* const memory =
            ::mmap(nullptr, capacity / 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        bits_ = memory == MAP_FAILED ? nullptr : static_cast<unsigned char*>(memory);
        return bits_ != nullptr;
    }
    WARDEN_IN_CHILD void unmap() noexcept {
        if (bits_) ::munmap(bits_, capacity / 8);
        bits_ = nullptr;
    }
    [[nodiscard]] WARDEN_IN_CHILD bool is_mapped() const noexcept { return bits_ != nullptr; }
    [[nodiscard]] WARDEN_IN_CHILD bool has(int pid) const noexcept {
        return bits_ && is_pid(pid) && (bits_[pid / 8] & (1u << (pid % 8))) != 0;
    }
    WARDEN_IN_CHILD void add(int pid) noexcept {
        if (bits_ && is_pid(pid)) bits_[pid / 8] = static_cast<unsigned char>(bits_[pid / 8] | (1u << (pid % 8)));
    }
    WARDEN_IN_CHILD void remove(int pid) noexcept {
        if (bits_ && is_pid(pid)) bits_[pid / 8] = static_cast<unsigned char>(bits_[pid / 8] & ~(1u << (pid % 8)));
    }

private:
    [[nodiscard]] WARDEN_IN_CHILD static bool is_pid(int pid) noexcept {
        return pid > 0 && static_cast<std::size_t>(pid) < capacity;
    }
    unsigned char* bits_ = nullptr;
};

/// What a walk did.
struct WalkResult {
    int reached = 0;  ///< Processes that took the signal.
    int fresh = 0;    ///< Of these, not yet in the set.
    int refused = 0;  ///< Processes that may not be signalled: they run as another user.
};

/// Signals every descendant of this process that is not in `seen` yet, and adds it there; SIGKILL goes to those in
/// `seen` once more. Children of ours in `spared` are passed over with all below them. Parents come before their
/// children, so that a killed parent cannot start another child unseen.
WARDEN_IN_CHILD inline WalkResult signal_descendants(int signal, PidSet& seen, const PidSet* spared) noexcept;

// -- implementation ----------------------------------------------------------

/// Decimal digits of `value` at `to`; where they end.
WARDEN_IN_CHILD inline char* put_number_in_child(char* to, int value) noexcept {
    char digits[12];
    int count = 0;
    do digits[count++] = static_cast<char>('0' + value % 10);
    while ((value /= 10) != 0);
    while (count > 0) *to++ = digits[--count];
    return to;
}
WARDEN_IN_CHILD inline char* put_text_in_child(char* to, const char* text) noexcept {
    while (*text) *to++ = *text++;
    return to;
}

/// Pids still to be visited. Bounded; what does not fit is found by the next walk.
struct WalkQueue {
    static constexpr int capacity = 32768;
    int count = 0;
    int pids[capacity];
    int parents[capacity];
};

/// Appends the children that one thread of `pid` has.
WARDEN_IN_CHILD inline void queue_children_of_thread(int pid, int thread, WalkQueue& queue) noexcept {
    char path[64];
    char* end = put_number_in_child(put_text_in_child(path, "/proc/"), pid);
    end = put_number_in_child(put_text_in_child(end, "/task/"), thread);
    *put_text_in_child(end, "/children") = '\0';
    const long file = raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return;
    char text[4096];
    int value = -1;
    for (long size = 0; (size = raw(SYS_read, file, text, sizeof text)) > 0;) {
        for (long i = 0; i < size; ++i) {
            if (text[i] >= '0' && text[i] <= '9') {
                value = (value < 0 ? 0 : value) * 10 + (text[i] - '0');
            } else if (value >= 0) {
                if (queue.count < WalkQueue::capacity) {
                    queue.pids[queue.count] = value;
                    queue.parents[queue.count++] = pid;
                }
                value = -1;
            }
        }
    }
    raw(SYS_close, file);
}

/// Appends the children of every thread of `pid`.
WARDEN_IN_CHILD inline void queue_children(int pid, WalkQueue& queue) noexcept {
    char path[64];
    *put_text_in_child(put_number_in_child(put_text_in_child(path, "/proc/"), pid), "/task") = '\0';
    struct stat status {};
    if (::stat(path, &status) == 0 && status.st_nlink == 3)  // one thread, the usual case
        return queue_children_of_thread(pid, pid, queue);
    const long listing = raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (listing < 0) return;
    alignas(8) char entries[1024];
    for (long size = 0; (size = raw(SYS_getdents64, listing, entries, sizeof entries)) > 0;) {
        for (long at = 0; at < size;) {
            const char* entry = entries + at;
            const int thread = number_in_child(entry + 19);
            if (thread > 0) queue_children_of_thread(pid, thread, queue);
            at += static_cast<unsigned char>(entry[16]) | static_cast<unsigned char>(entry[17]) << 8;
        }
    }
    raw(SYS_close, listing);
}

/// The parent that /proc names for `pid`, or -1. The name of a process can hold anything: parse from the last ')'.
WARDEN_IN_CHILD inline int parent_in_child(int pid) noexcept {
    char path[64];
    *put_text_in_child(put_number_in_child(put_text_in_child(path, "/proc/"), pid), "/stat") = '\0';
    const long file = raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return -1;
    char text[256];
    const long size = raw(SYS_read, file, text, sizeof text - 1);
    raw(SYS_close, file);
    for (long i = size - 4; i > 0; --i) {
        if (text[i] != ')') continue;
        text[size] = '\0';
        return number_in_child(text + i + 4);
    }
    return -1;
}

/// Whether `pid` is among the children of `parent` now. The queue stays as it is.
WARDEN_IN_CHILD inline bool is_listed_in_child(int pid, int parent, WalkQueue& queue) noexcept {
    const int count = queue.count;
    queue_children(parent, queue);
    bool is_listed = false;
    for (int i = count; i < queue.count; ++i) is_listed = is_listed || queue.pids[i] == pid;
    queue.count = count;
    return is_listed;
}

/// Signals `pid`, found as a child of `parent`. A child of our own keeps its pid until we reap it; any other may be
/// somebody else by now, so it is held by a pidfd while its parent is looked at again, or, where /proc hides it
/// (hidepid), the children of that parent. 1, 0 or -1 (refused).
WARDEN_IN_CHILD inline int signal_found(int self, int pid, int parent, int signal, WalkQueue& queue) noexcept {
    long result = 0;
    const long held = parent == self ? -ENOSYS : raw(SYS_pidfd_open, pid, 0);
    if (parent != self) {
        const int now = parent_in_child(pid);
        const bool is_found = now < 0 ? is_listed_in_child(pid, parent, queue) : now == parent || now == self;
        if (!is_found) result = -ESRCH;
    }
    if (result == 0) {
        result = held >= 0 ? raw(SYS_pidfd_send_signal, held, signal, nullptr, 0) : -ENOSYS;
        if (result == -ENOSYS || result == -EPERM)
            result = raw(SYS_kill, pid, signal);  // a filter may refuse the former
    }
    if (held >= 0) raw(SYS_close, held);
    return result >= 0 ? 1 : result == -EPERM ? -1 : 0;
}

WARDEN_IN_CHILD inline WalkResult signal_descendants(int signal, PidSet& seen, const PidSet* spared) noexcept {
    WalkResult result;
    void* const memory =
        ::mmap(nullptr, sizeof(WalkQueue), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return result;
    auto& queue = *static_cast<WalkQueue*>(memory);
    const int self = static_cast<int>(raw(SYS_getpid));
    queue_children(self, queue);
    for (int i = 0; i < queue.count; ++i) {
        const int pid = queue.pids[i];
        if (spared && queue.parents[i] == self && spared->has(pid)) continue;
        queue_children(pid, queue);
        if (signal != SIGKILL && seen.has(pid)) continue;
        const int reached = signal_found(self, pid, queue.parents[i], signal, queue);
        if (reached < 0) ++result.refused;
        if (reached > 0) {
            ++result.reached;
            if (!seen.has(pid)) ++result.fresh;
            seen.add(pid);
        }
    }
    ::munmap(memory, sizeof(WalkQueue));
    return result;
}

}  // namespace warden::detail
#endif
