// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Lines of bounded length over a socket, each sent and received by a deadline.
///
/// Knows:         send(2) and recv(2) that neither block nor raise SIGPIPE, poll(2).
/// Does not know: what the lines say.
/// Thread-safety: one thread at a time.
/// Errors:        errc::timed_out; `connection_reset` once the other side has closed; `message_size` for a line that is
///                too long; else the system's code.
/// Waits:         until the deadline.

#include <warden/detail/system/pipe_posix.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>
#include <warden/timeout.hpp>

#if WARDEN_OS_POSIX
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <poll.h>
#include <sys/socket.h>

namespace warden::detail {

/// The longest line of a request or an answer, its newline included.
inline constexpr std::size_t max_shim_line = std::size_t{1} << 22;

#if defined(MSG_NOSIGNAL)
inline constexpr int send_quietly = MSG_NOSIGNAL | MSG_DONTWAIT;
#else
inline constexpr int send_quietly = MSG_DONTWAIT;  // those who send ignore SIGPIPE, or set SO_NOSIGPIPE
#endif

/// Waits until `fd` is ready for `events`, or has failed. `errc::timed_out` after `deadline`.
[[nodiscard]] inline error_code await_ready(int fd, short events, SteadyTime deadline) noexcept;

class LineChannel {
public:
    LineChannel() = default;
    explicit LineChannel(UniqueFd socket) : socket_(std::move(socket)) {
        if (socket_) make_nonblocking(socket_.get());
    }

    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(socket_); }
    [[nodiscard]] int descriptor() const noexcept { return socket_.get(); }

    /// Sends `line` and a newline.
    [[nodiscard]] error_code send(std::string line, SteadyTime deadline);
    /// The next line, without its newline.
    [[nodiscard]] std::string receive(SteadyTime deadline, error_code& ec);
    void close() noexcept { socket_.reset(); }

private:
    UniqueFd socket_;
    std::string received_;
};

// -- implementation ----------------------------------------------------------

inline error_code await_ready(int fd, short events, SteadyTime deadline) noexcept {
    for (;;) {
        const auto left = deadline - SteadyTime::clock::now();
        if (left <= left.zero()) return errc::timed_out;
        constexpr auto longest = std::chrono::hours(24);  // in one call
        const auto milliseconds =
            std::chrono::ceil<std::chrono::milliseconds>(std::min<Nanoseconds>(left, longest)).count();
        pollfd ready{fd, events, 0};
        const int count = ::poll(&ready, 1, static_cast<int>(milliseconds));
        if (count > 0) return {};
        if (count < 0 && errno != EINTR) return system_code(errno);
    }
}

inline error_code LineChannel::send(std::string line, SteadyTime deadline) {
    line += '\n';
    if (line.size() > max_shim_line) return make_error_code(boost::system::errc::message_size);
    std::string_view left = line;
    while (!left.empty()) {
        const ssize_t size = ::send(socket_.get(), left.data(), left.size(), send_quietly);
        if (size >= 0) {
            left.remove_prefix(static_cast<std::size_t>(size));
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (const error_code ec = await_ready(socket_.get(), POLLOUT, deadline)) return ec;
        } else if (errno == EPIPE) {
            return make_error_code(boost::system::errc::connection_reset);
        } else if (errno != EINTR) {
            return system_code(errno);
        }
    }
    return {};
}

inline std::string LineChannel::receive(SteadyTime deadline, error_code& ec) {
    ec.clear();
    std::size_t looked_at = 0;
    for (;;) {
        const std::size_t end = received_.find('\n', looked_at);
        if (end != std::string::npos) {
            std::string line = received_.substr(0, end);
            received_.erase(0, end + 1);
            return line;
        }
        looked_at = received_.size();
        if (looked_at >= max_shim_line) {
            ec = make_error_code(boost::system::errc::message_size);
            return {};
        }
        char buffer[4096];
        const ssize_t size = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (size > 0) {
            received_.append(buffer, static_cast<std::size_t>(size));
        } else if (size == 0) {
            ec = make_error_code(boost::system::errc::connection_reset);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            ec = await_ready(socket_.get(), POLLIN, deadline);
        } else if (errno != EINTR) {
            ec = system_code(errno);
        }
        if (ec) return {};
    }
}

}  // namespace warden::detail
#endif
