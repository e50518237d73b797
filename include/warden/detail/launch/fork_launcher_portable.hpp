// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Makes a child by fork(2) and follows a `ChildPlan` in it, with nothing but what POSIX has.
///
/// Knows:         the order of the preparations, and how a child that executed is told from one that ended before.
/// Does not know: who waits for the child; control groups and limits taken over from elsewhere
///                (`ChildPlan::join_group`, `inherited`), which other mechanisms make use of.
/// Thread-safety: safe. The calling thread waits until the child executes or ends; the others go on.
/// Errors:        the step and errno, in the answer; the child has then been reaped.
///
/// Between fork and exec only async-signal-safe calls are made, in functions named `..._in_child`. What
/// pthread_atfork(3) handlers of the host do is theirs. The child has a copy of the memory: fork(2) takes longer in a
/// large host.

#include <warden/detail/launch/child_plan_posix.hpp>
#include <warden/detail/system/pipe_posix.hpp>
#include <warden/detail/system/signal_mask_posix.hpp>
#include <warden/fwd.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace warden::detail {

/// Launches `plan` as a child of this process, as the head of a session and group of its own, and waits until its
/// program executes. Its pid; 0 on failure: then the answer says why, and nothing is left of the child. ECANCELED if it
/// ended, for a signal, before it could execute.
[[nodiscard]] inline Pid fork_child(const ChildPlan& plan, ChildAnswer& answer) noexcept;

/// All open descriptors have numbers below this one: the limit of open files, or more where the program lowered that
/// limit later and /dev/fd lists all that are open. At most `max_descriptors`, also where there is no limit.
[[nodiscard]] inline int descriptor_bound() noexcept;
inline constexpr int max_descriptors = 1 << 20;

/// What a child needs besides its plan.
struct ForkedChild {
    const ChildPlan* plan;
    int answer;  ///< Where a `ChildAnswer` is written to; close-on-exec, 3 or above.
    int descriptor_bound;
};

/// Follows the plan; returns only by executing. Call with all signals blocked.
[[noreturn]] WARDEN_IN_CHILD inline void execute_in_child(const ForkedChild& child) noexcept;

// -- implementation ----------------------------------------------------------

/// No system has a signal of a higher number; those that it does not have are refused, which does no harm.
inline constexpr int max_signals = 128;

WARDEN_IN_CHILD inline void default_signals_in_child() noexcept {
    struct sigaction usual;
    usual.sa_handler = SIG_DFL;
    usual.sa_flags = 0;
    sigemptyset(&usual.sa_mask);
    for (int number = 1; number <= max_signals; ++number) ::sigaction(number, &usual, nullptr);
}

/// Closes all descriptors from 3 up to the bound, save the answer's and those kept.
WARDEN_IN_CHILD inline void close_descriptors_in_child(const ForkedChild& child) noexcept {
    const int* kept = child.plan->kept;
    const int* const end = kept + child.plan->kept_count;
    for (int fd = 3; fd < child.descriptor_bound; ++fd) {
        while (kept != end && *kept < fd) ++kept;
        if (fd != child.answer && (kept == end || *kept != fd)) ::close(fd);
    }
}

/// Puts the three standard descriptors in place. An errno, or 0.
WARDEN_IN_CHILD inline int place_stdio_in_child(const ChildPlan& plan) noexcept {
    for (int target = 0; target < 3; ++target) {
        const int source = plan.stdio[static_cast<std::size_t>(target)];
        int done = -1;
        do done = source == target ? ::fcntl(source, F_SETFD, 0) : ::dup2(source, target);
        while (done < 0 && errno == EINTR);
        if (done < 0) return errno;
    }
    return plan.take_terminal && ::ioctl(0, TIOCSCTTY, 0) != 0 ? errno : 0;
}

WARDEN_IN_CHILD inline int take_limits_in_child(const ChildPlan& plan) noexcept {
    for (std::uint32_t i = 0; i < plan.limit_count; ++i) {
        const ChildLimit& wanted = plan.limits[i];
        struct rlimit limit;
        if (::getrlimit(wanted.resource, &limit) != 0) return errno;
        limit.rlim_max = wanted.value < limit.rlim_max ? wanted.value : limit.rlim_max;
        limit.rlim_cur = limit.rlim_max;
        if (::setrlimit(wanted.resource, &limit) != 0) return errno;
    }
    return 0;
}

/// setgroups(2), which counts in `int` on macOS and the BSDs.
template <class Count>
WARDEN_IN_CHILD int set_groups_in_child(int (*set)(Count, const gid_t*), const ChildPlan& plan) noexcept {
    return set(static_cast<Count>(plan.group_count), plan.groups);
}

/// Umask and priority, then groups and ids: they may take away the right to the former.
WARDEN_IN_CHILD inline int take_identity_in_child(const ChildPlan& plan) noexcept {
    if (plan.umask >= 0) ::umask(static_cast<mode_t>(plan.umask));
    if (plan.change_nice && ::setpriority(PRIO_PROCESS, 0, plan.nice) != 0) return errno;
    if (!plan.change_ids) return 0;
    // Who may not change groups keeps its own: with the user and group that it has, nothing changes.
    const bool may_keep_groups = ::geteuid() == plan.user && ::getegid() == plan.group;
    const bool has_groups = set_groups_in_child(&::setgroups, plan) == 0 || (errno == EPERM && may_keep_groups);
    if (!has_groups || ::setgid(plan.group) != 0 || ::setuid(plan.user) != 0) {
        return errno;
    }
    // Without rights they change the effective ids alone.
    const bool all_changed =
        ::getuid() == plan.user && ::geteuid() == plan.user && ::getgid() == plan.group && ::getegid() == plan.group;
    return all_changed ? 0 : EPERM;
}

WARDEN_IN_CHILD inline int enter_directory_in_child(const ChildPlan& plan) noexcept {
    if (plan.start_directory >= 0 && ::fchdir(plan.start_directory) != 0) return errno;
    return plan.directory && ::chdir(plan.directory) != 0 ? errno : 0;
}

/// Tries the candidates in their order, as execvp(3) does, but never a shell. The errno that says most.
WARDEN_IN_CHILD inline int try_candidates_in_child(const ChildPlan& plan) noexcept {
    int reason = ENOENT;
    for (const char* const* path = plan.candidates; *path; ++path) {
        ::execve(*path, const_cast<char* const*>(plan.argv), const_cast<char* const*>(plan.environment));
        if (errno == EACCES) reason = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR) return errno;
        else if (!path[1] && path == plan.candidates) return errno;
    }
    return reason;
}

WARDEN_IN_CHILD inline void answer_in_child(const ForkedChild& child, const ChildAnswer& answer) noexcept {
    while (::write(child.answer, &answer, sizeof answer) < 0 && errno == EINTR) {}  // whole: less than PIPE_BUF
}

[[noreturn]] WARDEN_IN_CHILD inline void execute_in_child(const ForkedChild& child) noexcept {
    const ChildPlan& plan = *child.plan;
    ChildAnswer answer;
    const auto fail_if = [&](int error, SpawnStep step) WARDEN_IN_CHILD {
        if (error == 0) return;
        answer.step = static_cast<std::int32_t>(step);
        answer.error = error;
        answer_in_child(child, answer);
        ::_exit(127);
    };
    default_signals_in_child();
    ::setsid();
    fail_if(place_stdio_in_child(plan), SpawnStep::descriptors);
    fail_if(take_limits_in_child(plan), SpawnStep::resource_limits);
    fail_if(take_identity_in_child(plan), SpawnStep::identity);
    fail_if(enter_directory_in_child(plan), SpawnStep::working_directory);
    if (plan.hook) fail_if(plan.hook(plan.hook_argument), SpawnStep::launch);
    close_descriptors_in_child(child);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    answer.reached_exec = 1;
    answer_in_child(child, answer);
    fail_if(try_candidates_in_child(plan), SpawnStep::executable);
    ::_exit(127);
}

inline int descriptor_bound() noexcept {
    struct rlimit limit {};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    int bound = limit.rlim_cur < max_descriptors ? static_cast<int>(limit.rlim_cur) : max_descriptors;
    DIR* const listing = ::opendir("/dev/fd");
    if (!listing) return bound;
    while (const dirent* entry = ::readdir(listing)) {
        int fd = 0;
        const auto parsed = std::from_chars(entry->d_name, entry->d_name + std::strlen(entry->d_name), fd);
        if (parsed.ec == std::errc{} && fd < max_descriptors) bound = std::max(bound, fd + 1);
    }
    ::closedir(listing);
    return bound;
}

/// Replaces a descriptor below 3, where the child's standard ones go. 0, or an errno.
[[nodiscard]] inline int move_above_stdio(UniqueFd& fd) noexcept {
    if (fd.get() > 2) return 0;
    const int moved = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3);
    if (moved < 0) return errno;
    fd.reset(moved);
    return 0;
}

/// What the child says last, before its end of the pipe is closed by its exec or its end.
[[nodiscard]] inline ChildAnswer read_answer(int fd) noexcept {
    ChildAnswer last;
    for (ChildAnswer next;;) {
        const ssize_t size = ::read(fd, &next, sizeof next);
        if (size == static_cast<ssize_t>(sizeof next)) last = next;
        else if (size >= 0 || errno != EINTR) return last;
    }
}

/// Ends and reaps a child that did not get to its program.
inline void discard_child(Pid child) noexcept {
    siginfo_t info{};
    const auto id = static_cast<id_t>(child);
    // A hook may have closed the pipe of the answer.
    const bool is_ours = ::waitid(P_PID, id, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
    if (is_ours && info.si_pid == 0) ::kill(child, SIGKILL);
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {}
}

inline Pid fork_child(const ChildPlan& plan, ChildAnswer& answer) noexcept {
    auto [to_read, to_write] = make_closed_pipe();
    int error = to_read ? 0 : errno;
    for (UniqueFd* end : {&to_read, &to_write}) error = error == 0 ? move_above_stdio(*end) : error;
    if (error != 0) {
        answer = {error, static_cast<std::int32_t>(SpawnStep::descriptors), 0};
        return 0;
    }
    const ForkedChild child{&plan, to_write.get(), descriptor_bound()};
    pid_t pid = -1;
    {
        const AllSignalsBlocked blocked;  // handlers of the host must not run in the child
        pid = ::fork();
        if (pid == 0) execute_in_child(child);
        error = errno;
    }
    if (pid < 0) {
        answer = {error, static_cast<std::int32_t>(SpawnStep::launch), 0};
        return 0;
    }
    to_write.reset();
    answer = read_answer(to_read.get());
    if (answer.error == 0 && answer.reached_exec == 0) {  // it was killed on the way
        answer = {ECANCELED, static_cast<std::int32_t>(SpawnStep::launch), 0};
    }
    if (answer.error == 0) return pid;
    discard_child(pid);
    return 0;
}

}  // namespace warden::detail
#endif
