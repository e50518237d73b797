// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Forks a guardian: what it inherits, how it learns of the host's end, the socket to it.
///
/// Knows:         the duty of the guardian, the host's pidfd, the pipe that stands in where there is no pidfd.
/// Does not know: what becomes of the guardian.
/// Thread-safety: safe; the guardian is confined as the calling thread is.
/// Errors:        the system's codes; nothing is left then.

#include <warden/detail/containment/guardian_process_linux.hpp>
#include <warden/detail/containment/lifeline_linux.hpp>
#include <warden/detail/containment/spare_keeper_linux.hpp>
#include <warden/detail/launch/fork_helper_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <cstring>
#include <memory>
#include <utility>

namespace warden::detail {

/// A guardian that was just forked.
struct ForkedGuardian {
    Pid pid = 0;
    UniqueFd pidfd;
    UniqueFd control;  ///< The host's end of the socket; it never blocks.
    std::shared_ptr<const InheritedAttributes> inherited;
};

/// It watches a pidfd of the host, or, where there is none, the other end of what `lifeline` holds then.
[[nodiscard]] inline ForkedGuardian fork_guardian(const GuardianDuty& duty, Lifeline& lifeline, error_code& ec);

/// Kills a guardian that has no keepers yet, and waits until it has ended.
inline void end_guardian(Pid pid) noexcept;

/// Receives a keeper that nobody needs any more, which ends then. False if there is none.
[[nodiscard]] inline bool drop_keeper(int control) noexcept;

// -- implementation ----------------------------------------------------------

inline ForkedGuardian fork_guardian(const GuardianDuty& duty, Lifeline& lifeline, error_code& ec) {
    ec.clear();
    ForkedGuardian forked;
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        ec = system_code(errno);
        return forked;
    }
    forked.control.reset(ends[0]);
    const UniqueFd theirs(ends[1]);
    UniqueFd host(static_cast<int>(raw(SYS_pidfd_open, ::getpid(), 0)));
    if (!host) {
        int pipe_ends[2] = {-1, -1};
        if (::pipe2(pipe_ends, O_CLOEXEC) != 0) {
            ec = system_code(errno);
            return forked;
        }
        host.reset(pipe_ends[0]);
        lifeline.hold(UniqueFd(pipe_ends[1]));
    }
    forked.inherited = std::make_shared<const InheritedAttributes>(duty.reader->read());
    ec = forked.inherited->unreadable;
    if (ec) return forked;
    GuardianPorts ports{theirs.get(), host.get(), duty.group, duty.leaders, {}};
    std::strncpy(ports.group_name, duty.group_name.c_str(), sizeof ports.group_name - 1);
    const Cloned guardian = fork_apart([&ports]() WARDEN_IN_CHILD { run_guardian(ports); });
    if (guardian.error != 0) {
        ec = system_code(guardian.error);
        return forked;
    }
    forked.pid = guardian.pid;
    forked.pidfd.reset(guardian.pidfd);
    ::fcntl(forked.control.get(), F_SETFL, O_NONBLOCK);
    return forked;
}

inline void end_guardian(Pid pid) noexcept {
    raw(SYS_kill, pid, SIGKILL);  // not reaped yet, so the pid is its own
    while (raw(SYS_wait4, pid, nullptr, __WALL, nullptr) == -EINTR) {}
}

inline bool drop_keeper(int control) noexcept {
    KeeperReady ready{};
    int fds[descriptors_beside];
    std::size_t count = 0;
    const long size = receive_record(control, &ready, sizeof ready, nullptr, 0, fds, count);
    for (std::size_t i = 0; i < count; ++i) const KeeperSocket unused(fds[i]);
    return size > 0;
}

}  // namespace warden::detail
#endif
