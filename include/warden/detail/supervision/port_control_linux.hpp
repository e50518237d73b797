// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Ends a process that listens at a port, and waits for a port; see port_socket.hpp, which includes this.
///
/// Knows:         that a pid may be somebody else's by now: a pidfd is opened first, and who it is of is looked at
/// then. Thread-safety: safe. Waits.

#include <warden/detail/containment/pidfd_linux.hpp>
#include <warden/detail/supervision/port_socket.hpp>
#include <warden/detail/system/listeners.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace warden::detail {

// -- implementation ----------------------------------------------------------

/// Whether the process behind `pidfd` ended before the deadline.
[[nodiscard]] inline bool ends_by(int pidfd, SteadyTime deadline) noexcept {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyTime::clock::now()).count();
        pollfd ended{pidfd, POLLIN, 0};
        const int result = ::poll(&ended, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1 << 30)));
        if (result > 0) return true;
        if (result == 0 && left <= 1 << 30) return false;
        if (result < 0 && errno != EINTR) return false;
    }
}

/// No system tells of a port that changes: it is looked at again after a pause, or when one of `holders` ends.
inline void pause_or_end(const std::vector<ListenerHolder>& holders, Nanoseconds length) {
    std::vector<UniqueFd> pidfds;
    std::vector<pollfd> watched;
    for (const ListenerHolder& holder : holders) {
        UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, holder.pid, 0)));
        if (!pidfd) continue;
        watched.push_back({pidfd.get(), POLLIN, 0});
        pidfds.push_back(std::move(pidfd));
    }
    const auto whole = std::chrono::ceil<std::chrono::milliseconds>(length).count();
    ::poll(watched.data(), watched.size(), static_cast<int>(whole));
}

inline bool wait_for_port(std::uint16_t port, bool listening, SteadyTime deadline, error_code& ec) {
    constexpr Nanoseconds longest = std::chrono::milliseconds(250);
    for (Nanoseconds pause = std::chrono::milliseconds(5);; pause = std::min(pause * 2, longest)) {
        const auto listeners = tcp_listeners(port, {}, ec);
        if (ec) return false;
        if (listeners.empty() != listening) return true;
        const SteadyTime now = SteadyTime::clock::now();
        if (now >= deadline) return false;
        error_code unread;
        const auto holders = listening ? std::vector<ListenerHolder>() : holders_of(listeners, unread);
        pause_or_end(holders, std::min<Nanoseconds>(pause, deadline - now));
    }
}

inline error_code end_holder(Pid pid, std::uint16_t port, Nanoseconds grace) {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) return errno == ESRCH ? error_code() : system_code(errno);
    error_code ec;
    const auto listeners = tcp_listeners(port, {}, ec);
    if (ec) return ec;
    if (holders_among({pid}, listeners, ec).empty()) return ec;  // it does not listen any more, or is another one
    for (const auto& [signal, patience] :
         {std::pair(SIGTERM, grace), std::pair(SIGKILL, Nanoseconds(std::chrono::seconds(2)))}) {
        ec = signal_pidfd(pidfd.get(), signal);
        if (ec == boost::system::errc::no_such_process) return {};
        if (ec) return ec;
        if (ends_by(pidfd.get(), deadline_after(SteadyTime::clock::now(), patience))) return {};
    }
    return errc::timed_out;
}

}  // namespace warden::detail
#endif
