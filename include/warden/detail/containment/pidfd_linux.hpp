// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a pidfd can do: signal exactly the process that it stands for, and tell how that ended.
///
/// Knows:         pidfd_send_signal(2), waitid(2) with P_PIDFD, ioctl PIDFD_GET_INFO of Linux 6.15.
/// Does not know: who else waits; nothing here takes a status that is not ours.
/// Thread-safety: safe.

#include <warden/detail/containment/leader_exit.hpp>
#include <warden/detail/launch/child_linux.hpp>
#include <warden/exit_status.hpp>
#include <warden/process_info.hpp>

#if WARDEN_OS_LINUX
#include <optional>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

namespace warden::detail {

/// Sends `signal` to the process behind `pidfd`. ESRCH once that has been reaped.
[[nodiscard]] inline error_code signal_pidfd(int pidfd, int signal) noexcept;

/// Whether the process behind `pidfd` has ended, with all its threads.
[[nodiscard]] inline bool has_ended_pidfd(int pidfd) noexcept;

/// Reaps the child behind `pidfd`; nothing if it has not ended. If somebody else took the status, the kernel is asked
/// for its copy; the status is unknown if it has none. With `keep` it stays a zombie, so that its pid stays its own.
[[nodiscard]] inline std::optional<LeaderExit> reap_pidfd(int pidfd, bool keep = false) noexcept;

/// The status as wait(2) encodes it, decoded once and for all.
[[nodiscard]] inline bool has_ended_pidfd(int pidfd) noexcept {
    pollfd ended{pidfd, POLLIN, 0};
    return ::poll(&ended, 1, 0) > 0;
}

inline ExitStatus decode_wait_status(int status) noexcept;

[[nodiscard]] inline ResourceUsage decode_usage(const struct rusage& usage) noexcept;

// -- implementation ----------------------------------------------------------

inline error_code signal_pidfd(int pidfd, int signal) noexcept {
    const long result = raw(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
    return result < 0 ? system_code(static_cast<int>(-result)) : error_code{};
}

inline ExitStatus decode_wait_status(int status) noexcept {
    if (WIFEXITED(status)) return ExitStatus::from_code(WEXITSTATUS(status));
    if (WIFSIGNALED(status)) return ExitStatus::from_signal(WTERMSIG(status), WCOREDUMP(status));
    return {};
}

inline ResourceUsage decode_usage(const struct rusage& usage) noexcept {
    const auto time = [](const timeval& t) {
        return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
    };
    ResourceUsage result;
    result.user_time = time(usage.ru_utime);
    result.system_time = time(usage.ru_stime);
    result.max_resident_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    result.major_faults = static_cast<std::uint64_t>(usage.ru_majflt);
    return result;
}

inline constexpr int pidfd_id_type = 3;  // P_PIDFD, which older C libraries lack

/// struct pidfd_info of <linux/pidfd.h>, as far as it is needed; older headers lack it.
struct PidfdInfo {
    std::uint64_t mask;
    std::uint64_t cgroup_id;
    std::uint32_t ids[11];
    std::int32_t exit_code;
    std::uint64_t more[4];
};
static_assert(offsetof(PidfdInfo, exit_code) == 60);

/// The status of a process that somebody else has reaped.
[[nodiscard]] inline ExitStatus stolen_status(int pidfd) noexcept {
    constexpr std::uint64_t exit_wanted = 1u << 3;  // PIDFD_INFO_EXIT
    PidfdInfo info{};
    info.mask = exit_wanted;
    const long failed = raw(SYS_ioctl, pidfd, _IOC(_IOC_READ | _IOC_WRITE, 0xFF, 11, 64), &info);
    return failed == 0 && (info.mask & exit_wanted) != 0 ? decode_wait_status(info.exit_code) : ExitStatus{};
}

inline std::optional<LeaderExit> reap_pidfd(int pidfd, bool keep) noexcept {
    siginfo_t info{};
    struct rusage usage {};
    long failed = -EINTR;
    const int options = WEXITED | WNOHANG | __WALL | (keep ? WNOWAIT : 0);
    while (failed == -EINTR) failed = raw(SYS_waitid, pidfd_id_type, pidfd, &info, options, &usage);
    if (failed == -ECHILD) return LeaderExit{stolen_status(pidfd), {}};
    if (failed < 0 || info.si_pid == 0) return std::nullopt;
    const ExitStatus status = info.si_code == CLD_EXITED
                                  ? ExitStatus::from_code(info.si_status)
                                  : ExitStatus::from_signal(info.si_status, info.si_code == CLD_DUMPED);
    return LeaderExit{status, decode_usage(usage)};
}

}  // namespace warden::detail
#endif
