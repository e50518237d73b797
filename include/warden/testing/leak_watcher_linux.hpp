// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The watcher: a small process beside a test program that outlives it just long enough to end what it left behind.
///
/// Knows:         the program's pidfd; the mark that its descendants bear: a variable of the environment, inherited by
///                what is executed, and a mapping with a name, inherited by what is only forked.
/// Does not know: the heap, locks. Async-signal-safe throughout.
/// Ends:          when it is killed, or when the program has ended and nothing with the mark is left.

#include <warden/detail/containment/release_memory_linux.hpp>

#if WARDEN_OS_LINUX
#include <ctime>

#include <poll.h>
#include <sys/prctl.h>

namespace warden::detail {

/// What the watcher is born with.
struct LeakWatch {
    int program;        ///< A pidfd.
    int pid;            ///< Of the program.
    char variable[64];  ///< "WARDEN_LEAK_GUARD=..."
    char mapping[64];   ///< "/memfd:warden-leak-guard-..."
};

/// Is the watcher, from its fork to its end. Says on descriptor 2 what it ends.
[[noreturn]] WARDEN_IN_CHILD inline void run_leak_watcher(const LeakWatch& inherited) noexcept;

// -- implementation ----------------------------------------------------------

/// Opens /proc/<pid>/<name> for reading; a negative errno on failure.
WARDEN_IN_CHILD inline long open_of_process(int pid, const char* name) noexcept {
    char path[64];
    char* end = put_number_in_child(put_text_in_child(path, "/proc/"), pid);
    *put_text_in_child(put_text_in_child(end, "/"), name) = '\0';
    return raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

/// Whether the file /proc/<pid>/<name> holds `text`, whose first character is nowhere else in it.
WARDEN_IN_CHILD inline bool holds_in_child(int pid, const char* name, const char* text) noexcept {
    const long file = open_of_process(pid, name);
    if (file < 0) return false;
    char buffer[4096];
    int matched = 0;
    for (long size = 0; text[matched] && (size = raw(SYS_read, file, buffer, sizeof buffer)) > 0;) {
        for (long i = 0; i < size && text[matched]; ++i) {
            if (buffer[i] == text[matched]) ++matched;
            else matched = buffer[i] == text[0] ? 1 : 0;
        }
    }
    raw(SYS_close, file);
    return text[matched] == '\0';
}

WARDEN_IN_CHILD inline bool same_text_in_child(const char* a, const char* b) noexcept {
    while (*a && *a == *b) ++a, ++b;
    return *a == *b;
}

/// Whether `pid` is a guardian, keeper or watcher: these see by themselves that their host has ended.
WARDEN_IN_CHILD inline bool is_helper_in_child(int pid) noexcept {
    const long file = open_of_process(pid, "comm");
    if (file < 0) return false;
    char name[32];
    const long size = raw(SYS_read, file, name, sizeof name);
    raw(SYS_close, file);
    if (size <= 1) return false;
    name[size - 1] = '\0';
    return same_text_in_child(name, "warden-guardian") || same_text_in_child(name, "warden-keeper") ||
           same_text_in_child(name, "warden-watcher");
}

WARDEN_IN_CHILD inline void say_in_child(const char* text) noexcept {
    long length = 0;
    while (text[length]) ++length;
    raw(SYS_write, 2, text, length);
}

/// "  - process 4711, parent 1: sleep 300", after a headline if it is the first.
WARDEN_IN_CHILD inline void say_leak_in_child(const LeakWatch& watch, int pid, bool is_first) noexcept {
    char line[512];
    char* end = line;
    if (is_first) {
        end = put_text_in_child(end, "\nwarden: test program ");
        end = put_number_in_child(end, watch.pid);
        *put_text_in_child(end, " was ended before its test was over; this was left behind and has been ended now:\n") =
            '\0';
        say_in_child(line);
    }
    end = put_number_in_child(put_text_in_child(line, "  - process "), pid);
    end = put_text_in_child(end, ", parent ");
    end = put_number_in_child(end, parent_in_child(pid));
    end = put_text_in_child(end, ": ");
    const long file = open_of_process(pid, "cmdline");
    long size = file < 0 ? 0 : raw(SYS_read, file, end, 256L);
    if (file >= 0) raw(SYS_close, file);
    while (size > 0 && end[size - 1] == '\0') --size;
    for (long i = 0; i < size; ++i) {
        if (end[i] == '\0' || end[i] == '\n') end[i] = ' ';
    }
    if (size > 0) end += size;
    *put_text_in_child(end, "\n") = '\0';
    say_in_child(line);
}

/// Ends `pid` if it bears the mark, and waits a little until it has ended. Whether it bore the mark.
/// The pidfd is opened before the mark is looked for, so that it stands for nobody who came later.
WARDEN_IN_CHILD inline bool end_marked_in_child(const LeakWatch& watch, int pid, PidSet& said,
                                                bool& is_first) noexcept {
    const long process = raw(SYS_pidfd_open, pid, 0);
    if (process < 0) return false;
    const bool is_marked =
        (holds_in_child(pid, "environ", watch.variable) || holds_in_child(pid, "maps", watch.mapping)) &&
        !is_helper_in_child(pid);
    if (is_marked) {
        if (!said.has(pid)) {
            say_leak_in_child(watch, pid, is_first);
            is_first = false;
        }
        said.add(pid);
        raw(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0);
        struct pollfd ended = {static_cast<int>(process), POLLIN, 0};
        const struct timespec patience = {1, 0};
        raw(SYS_ppoll, &ended, 1, &patience, nullptr, sizeof(std::uint64_t));
    }
    raw(SYS_close, process);
    return is_marked;
}

/// One walk over all processes. How many bore the mark.
WARDEN_IN_CHILD inline int end_all_marked_in_child(const LeakWatch& watch, PidSet& said, bool& is_first) noexcept {
    const long listing = raw(SYS_openat, AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (listing < 0) return 0;
    const int self = static_cast<int>(raw(SYS_getpid));
    int found = 0;
    alignas(8) char entries[4096];
    for (long size = 0; (size = raw(SYS_getdents64, listing, entries, sizeof entries)) > 0;) {
        for (long at = 0; at < size;) {
            const char* entry = entries + at;
            at += static_cast<unsigned char>(entry[16]) | static_cast<unsigned char>(entry[17]) << 8;
            const int pid = number_in_child(entry + 19);
            if (pid > 0 && pid != self && end_marked_in_child(watch, pid, said, is_first)) ++found;
        }
    }
    raw(SYS_close, listing);
    return found;
}

/// Keeps `program` and descriptor 2, closes everything else.
WARDEN_IN_CHILD inline int settle_watcher_descriptors(int program) noexcept {
    const long copy = raw(SYS_fcntl, program, F_DUPFD_CLOEXEC, 10);
    constexpr int kept = 3;
    raw(SYS_dup3, copy, kept, O_CLOEXEC);
    close_descriptors_in_child(&kept, 1);
    const long null = raw(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
    for (int fd = 0; fd < 2; ++fd) {
        if (null >= 0 && null != fd) raw(SYS_dup3, null, fd, O_CLOEXEC);
    }
    if (null > 2) raw(SYS_close, null);
    return kept;
}

[[noreturn]] WARDEN_IN_CHILD inline void run_leak_watcher(const LeakWatch& inherited) noexcept {
    LeakWatch watch = inherited;
    default_signals_in_child();
    raw(SYS_prctl, PR_SET_NAME, "warden-watcher", 0, 0, 0);
    raw(SYS_chdir, "/");
    watch.program = settle_watcher_descriptors(watch.program);
    release_memory_in_child();
    struct pollfd ended = {watch.program, POLLIN, 0};
    while (raw(SYS_ppoll, &ended, 1, nullptr, nullptr, sizeof(std::uint64_t)) < 0) {}
    PidSet said;
    if (!said.map()) exit_in_child(1);
    bool is_first = true;
    constexpr int max_walks = 1000;
    for (int walk = 0; walk < max_walks && end_all_marked_in_child(watch, said, is_first) > 0; ++walk) {}
    exit_in_child(0);
}

}  // namespace warden::detail
#endif
