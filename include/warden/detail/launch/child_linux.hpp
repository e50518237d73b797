// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What runs in a child before the program does: it follows a `ChildPlan` and executes.
///
/// Knows:         system calls; the memory may be shared with a parent that waits, as after vfork(2).
/// Does not know: the heap, locks, the C library's state. Async-signal-safe throughout.
/// Errors:        the step and errno, in the answer; the child then ends with status 127.

#include <warden/detail/launch/child_plan_posix.hpp>

#if WARDEN_OS_LINUX
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace warden::detail {

/// A system call without the C library's wrapper; a negative errno on failure. It leaves the variable errno alone where
/// it can: a child that shares the memory shares that too.
template <class... Args>
WARDEN_IN_CHILD inline long raw(long number, Args... args) noexcept;

/// fstat(2). 0, or a negative errno. A sanitizer that follows the C library's fstat would take a descriptor that `raw`
/// has closed since, and another thread has opened anew, for one that both use.
WARDEN_IN_CHILD inline long stat_descriptor(int fd, struct stat& status) noexcept;

/// Ends this process; nothing of the C library runs.
[[noreturn]] WARDEN_IN_CHILD inline void exit_in_child(int code) noexcept {
    for (;;) ::syscall(SYS_exit_group, code);
}

/// Sets every signal to its default disposition.
WARDEN_IN_CHILD inline void default_signals_in_child() noexcept;

/// Gives the calling thread the mask `bits` (bit n-1 for signal n) and returns the former one.
WARDEN_IN_CHILD inline std::uint64_t set_signal_mask(std::uint64_t bits) noexcept {
    std::uint64_t former = 0;
    raw(SYS_rt_sigprocmask, SIG_SETMASK, &bits, &former, sizeof bits);
    return former;
}
inline constexpr std::uint64_t every_signal = ~std::uint64_t{0};

/// Closes all descriptors from 3 up, save `kept` (ascending). An errno, or 0.
WARDEN_IN_CHILD inline int close_descriptors_in_child(const int* kept, std::uint32_t count) noexcept;

/// Follows the plan; returns only by executing. Call with all signals blocked.
[[noreturn]] WARDEN_IN_CHILD inline void execute_in_child(const ChildPlan& plan, volatile ChildAnswer& answer) noexcept;

// -- implementation ----------------------------------------------------------

#if WARDEN_ARCH_X86_64
WARDEN_IN_CHILD inline long call_system(long number, long first = 0, long second = 0, long third = 0, long fourth = 0,
                                        long fifth = 0, long sixth = 0) noexcept {
    register long d __asm__("r10") = fourth;
    register long e __asm__("r8") = fifth;
    register long f __asm__("r9") = sixth;
    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(first), "S"(second), "d"(third), "r"(d), "r"(e), "r"(f)
                     : "rcx", "r11", "memory", "cc");
    return number;
}
#elif WARDEN_ARCH_AARCH64
WARDEN_IN_CHILD inline long call_system(long number, long first = 0, long second = 0, long third = 0, long fourth = 0,
                                        long fifth = 0, long sixth = 0) noexcept {
    register long call __asm__("x8") = number;
    register long a __asm__("x0") = first;
    register long b __asm__("x1") = second;
    register long c __asm__("x2") = third;
    register long d __asm__("x3") = fourth;
    register long e __asm__("x4") = fifth;
    register long f __asm__("x5") = sixth;
    __asm__ volatile("svc #0" : "+r"(a) : "r"(call), "r"(b), "r"(c), "r"(d), "r"(e), "r"(f) : "memory", "cc");
    return a;
}
#else
template <class... Args>
WARDEN_IN_CHILD inline long call_system(long number, Args... args) noexcept {
    const long result = ::syscall(number, args...);
    return result == -1 ? -static_cast<long>(errno) : result;
}
#endif

template <class T>
WARDEN_IN_CHILD inline long to_register_value(T value) noexcept {
    return static_cast<long>(value);
}
template <class T>
WARDEN_IN_CHILD inline long to_register_value(T* value) noexcept {
    return reinterpret_cast<long>(value);
}
WARDEN_IN_CHILD inline long to_register_value(std::nullptr_t) noexcept { return 0; }

template <class... Args>
WARDEN_IN_CHILD inline long raw(long number, Args... args) noexcept {
    return call_system(number, to_register_value(args)...);
}

WARDEN_IN_CHILD inline long stat_descriptor(int fd, struct stat& status) noexcept {
    if constexpr (sizeof(long) == 8) return raw(SYS_fstat, fd, &status);  // the kernel's struct is the C library's
    else return ::fstat(fd, &status) == 0 ? 0 : -static_cast<long>(errno);
}

WARDEN_IN_CHILD inline void default_signals_in_child() noexcept {
    const std::uint64_t defaults[4] = {};  // the kernel's struct sigaction: SIG_DFL, no flags, no mask
    for (int number = 1; number <= 64; ++number)
        raw(SYS_rt_sigaction, number, defaults, nullptr, sizeof(std::uint64_t));
}

/// The number in a decimal string, or -1.
WARDEN_IN_CHILD inline int number_in_child(const char* text) noexcept {
    if (*text < '0' || *text > '9') return -1;
    int value = 0;
    for (; *text >= '0' && *text <= '9'; ++text) value = value * 10 + (*text - '0');
    return value;
}

WARDEN_IN_CHILD inline bool is_kept_in_child(const int* kept, std::uint32_t count, int fd) noexcept {
    for (std::uint32_t i = 0; i < count; ++i) {
        if (kept[i] == fd) return true;
    }
    return false;
}

/// For kernels and filters without close_range(2): what /proc lists, else every number up to the limit.
WARDEN_IN_CHILD inline int close_one_by_one_in_child(const int* kept, std::uint32_t count) noexcept {
    const long listing = raw(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (listing < 0) {
        struct rlimit limit {};
        const bool is_known = raw(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit) >= 0;
        const int end = is_known && limit.rlim_max < (1u << 20) ? static_cast<int>(limit.rlim_max) : 1 << 20;
        for (int fd = 3; fd < end; ++fd) {
            if (!is_kept_in_child(kept, count, fd)) raw(SYS_close, fd);
        }
        return 0;
    }
    // Closing changes what is listed, so start over until a pass closes nothing.
    alignas(8) char entries[2048];
    for (bool closed = true; closed;) {
        closed = false;
        raw(SYS_lseek, listing, 0L, SEEK_SET);
        for (long size = 0; (size = raw(SYS_getdents64, listing, entries, sizeof entries)) > 0;) {
            for (long at = 0; at < size;) {
                const char* entry = entries + at;
                std::uint16_t length = 0;
                for (int i = 0; i < 2; ++i) reinterpret_cast<char*>(&length)[i] = entry[16 + i];
                const int fd = number_in_child(entry + 19);
                if (fd >= 3 && fd != listing && !is_kept_in_child(kept, count, fd)) closed |= raw(SYS_close, fd) == 0;
                at += length;
            }
        }
    }
    raw(SYS_close, listing);
    return 0;
}

WARDEN_IN_CHILD inline int close_descriptors_in_child(const int* kept, std::uint32_t count) noexcept {
    unsigned first = 3;
    for (std::uint32_t i = 0; i <= count; ++i) {
        const unsigned last = i < count ? static_cast<unsigned>(kept[i]) - 1 : ~0u;
        if (first <= last && raw(SYS_close_range, first, last, 0) < 0) return close_one_by_one_in_child(kept, count);
        if (i < count) first = static_cast<unsigned>(kept[i]) + 1;
    }
    return 0;
}

/// Puts the three standard descriptors in place. An errno, or 0.
WARDEN_IN_CHILD inline int place_stdio_in_child(const ChildPlan& plan) noexcept {
    for (int target = 0; target < 3; ++target) {
        const int source = plan.stdio[static_cast<std::size_t>(target)];
        const long done = source == target ? raw(SYS_fcntl, source, F_SETFD, 0) : raw(SYS_dup3, source, target, 0);
        if (done < 0) return static_cast<int>(-done);
    }
    const long taken = plan.take_terminal ? raw(SYS_ioctl, 0, TIOCSCTTY, 0) : 0;
    return static_cast<int>(-taken);
}

/// Resource limits, processors, priority, umask, then groups and ids: the last may take away the right to the former.
WARDEN_IN_CHILD inline int take_limits_in_child(const ChildPlan& plan) noexcept {
    for (int i = 0; i < RLIM_NLIMITS; ++i) {
        if ((plan.inherited_mask >> i & 1u) == 0) continue;
        const long refused = raw(SYS_prlimit64, 0, i, &plan.inherited[i], nullptr);
        if (refused < 0) return static_cast<int>(-refused);
    }
    if (plan.processors_bytes > 0) {
        const long refused =
            raw(SYS_sched_setaffinity, 0, static_cast<std::size_t>(plan.processors_bytes), plan.processors);
        if (refused < 0) return static_cast<int>(-refused);
    }
    for (std::uint32_t i = 0; i < plan.limit_count; ++i) {
        const ChildLimit& wanted = plan.limits[i];
        struct rlimit now {};
        long failed = raw(SYS_prlimit64, 0, wanted.resource, nullptr, &now);
        if (failed < 0) return static_cast<int>(-failed);
        const struct rlimit next {
            wanted.value < now.rlim_max ? wanted.value : now.rlim_max,
                wanted.value < now.rlim_max ? wanted.value : now.rlim_max
        };
        failed = raw(SYS_prlimit64, 0, wanted.resource, &next, nullptr);
        if (failed < 0) return static_cast<int>(-failed);
    }
    return 0;
}

WARDEN_IN_CHILD inline int take_identity_in_child(const ChildPlan& plan) noexcept {
    long failed = 0;
    if (plan.umask >= 0) raw(SYS_umask, plan.umask);
    if (plan.change_nice && (failed = raw(SYS_setpriority, PRIO_PROCESS, 0, plan.nice)) < 0) {
        return static_cast<int>(-failed);
    }
    if (!plan.change_ids) return 0;
    failed = raw(SYS_setgroups, static_cast<std::size_t>(plan.group_count), plan.groups);
    // Who may not change groups keeps its own: with the user and group that it has, nothing changes.
    if (failed == -EPERM && raw(SYS_geteuid) == static_cast<long>(plan.user) &&
        raw(SYS_getegid) == static_cast<long>(plan.group))
        failed = 0;
    if (failed < 0 || (failed = raw(SYS_setresgid, plan.group, plan.group, plan.group)) < 0 ||
        (failed = raw(SYS_setresuid, plan.user, plan.user, plan.user)) < 0) {
        return static_cast<int>(-failed);
    }
    return 0;
}

WARDEN_IN_CHILD inline int enter_directory_in_child(const ChildPlan& plan) noexcept {
    long failed = 0;
    if (plan.start_directory >= 0) failed = raw(SYS_fchdir, plan.start_directory);
    if (failed >= 0 && plan.directory) failed = raw(SYS_chdir, plan.directory);
    return static_cast<int>(-failed);
}

/// Tries the candidates in their order, as execvp(3) does, but never a shell. The errno that says most.
WARDEN_IN_CHILD inline int try_candidates_in_child(const ChildPlan& plan) noexcept {
    long reason = ENOENT;
    for (const char* const* path = plan.candidates; *path; ++path) {
        const long failed = -raw(SYS_execve, *path, plan.argv, plan.environment);
        if (failed == EACCES) reason = EACCES;
        else if (failed != ENOENT && failed != ENOTDIR) return static_cast<int>(failed);
        else if (!path[1] && path == plan.candidates) return static_cast<int>(failed);
    }
    return static_cast<int>(reason);
}

[[noreturn]] WARDEN_IN_CHILD inline void execute_in_child(const ChildPlan& plan,
                                                          volatile ChildAnswer& answer) noexcept {
    const auto fail_if = [&](int error, SpawnStep step) WARDEN_IN_CHILD {
        if (error == 0) return;
        answer.step = static_cast<std::int32_t>(step);
        answer.error = error;
        const ChildAnswer said = {error, answer.step, answer.reached_exec};
        if (plan.report >= 0) raw(SYS_write, plan.report, &said, sizeof said);
        exit_in_child(127);
    };
    default_signals_in_child();
    raw(SYS_setsid);
    if (plan.join_group >= 0) {
        const long joined = raw(SYS_write, plan.join_group, "0", 1L);
        fail_if(joined < 0 ? static_cast<int>(-joined) : 0, SpawnStep::containment);
    }
    fail_if(place_stdio_in_child(plan), SpawnStep::descriptors);
    fail_if(take_limits_in_child(plan), SpawnStep::resource_limits);
    fail_if(take_identity_in_child(plan), SpawnStep::identity);
    fail_if(enter_directory_in_child(plan), SpawnStep::working_directory);
    if (plan.hook) fail_if(plan.hook(plan.hook_argument), SpawnStep::launch);
    fail_if(close_descriptors_in_child(plan.kept, plan.kept_count), SpawnStep::descriptors);
    set_signal_mask(0);
    answer.reached_exec = 1;
    fail_if(try_candidates_in_child(plan), SpawnStep::executable);
    exit_in_child(127);
}

}  // namespace warden::detail
#endif
