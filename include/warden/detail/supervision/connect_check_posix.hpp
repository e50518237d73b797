// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Connects to a TCP port or a Unix socket without waiting, and asks whose listener accepted.
///
/// Knows:         connect(2), and that a socket can connect to itself when nobody listens.
/// Does not know: names of hosts, but "localhost".
/// Thread-safety: on the loop only.
/// Errors:        the reason of the attempt.

#include <warden/detail/supervision/probe_attempt.hpp>
#include <warden/detail/system/descriptor_watch.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_POSIX
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace warden::detail {

/// Where to connect: a TCP port of a numeric address or of "localhost"; a Unix socket if the port is 0.
class ConnectCheck final : public ProbeCheck {
public:
    ConnectCheck(std::uint16_t port, std::string address) : port_(port), address_(std::move(address)) {}

    [[nodiscard]] std::unique_ptr<ProbeAttempt> begin(ProbeTarget& target, Nanoseconds timeout,
                                                      AttemptDone done) const override;

private:
    std::uint16_t port_;
    std::string address_;
};

// -- implementation ----------------------------------------------------------

struct SocketPlace {
    sockaddr_storage address{};
    socklen_t size = 0;
};

[[nodiscard]] inline bool to_place(std::uint16_t port, const std::string& host, SocketPlace& place) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return false;
    std::memcpy(&place.address, found->ai_addr, found->ai_addrlen);
    place.size = found->ai_addrlen;
    ::freeaddrinfo(found);
    return true;
}

[[nodiscard]] inline bool to_place(const std::string& path, SocketPlace& place) {
    auto& address = reinterpret_cast<sockaddr_un&>(place.address);
    if (path.size() >= sizeof address.sun_path) return false;
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    const bool is_abstract = path.starts_with('@');
    if (is_abstract) address.sun_path[0] = '\0';
    place.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (is_abstract ? 0 : 1));
    return true;
}

[[nodiscard]] inline UniqueFd open_stream_socket(int family) {
    UniqueFd socket(::socket(family, SOCK_STREAM, 0));
    if (socket && (::fcntl(socket.get(), F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0))
        socket.reset();
    return socket;
}

/// One attempt: one place after the other.
class Connect : public std::enable_shared_from_this<Connect> {
public:
    Connect(ProbeTarget& target, std::uint16_t port, AttemptDone done)
        : target_(target.hold()), port_(port), done_(std::move(done)), watch_(target.loop()) {}

    void begin(std::vector<std::string> addresses) {
        addresses_ = std::move(addresses);
        try_next();
    }
    /// `done` is not called any more, and is destroyed.
    void cancel() noexcept {
        is_over_ = true;
        watch_.close();
        done_ = nullptr;
    }

private:
    void try_next();
    void connected(const error_code& ec);
    void finish(AttemptResult result) {
        watch_.close();
        if (!std::exchange(is_over_, true)) std::exchange(done_, nullptr)(std::move(result));
    }
    void refuse(const error_code& ec) {
        reason_ = ec.message();
        if (next_ < addresses_.size()) try_next();
        else finish({false, reason_, {}});
    }

    const std::shared_ptr<ProbeTarget> target_;
    const std::uint16_t port_;
    AttemptDone done_;
    DescriptorWatch watch_;
    std::vector<std::string> addresses_;
    std::size_t next_ = 0;
    bool is_over_ = false;
    std::string reason_;
};

inline void Connect::try_next() {
    const std::string& address = addresses_[next_++];
    SocketPlace place;
    const bool is_place = port_ != 0 ? to_place(port_, address, place) : to_place(address, place);
    if (!is_place) return refuse(boost::system::errc::make_error_code(boost::system::errc::invalid_argument));
    UniqueFd socket = open_stream_socket(place.address.ss_family);
    if (!socket) return refuse(system_code(errno));
    const int failed = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&place.address), place.size);
    const int error = failed == 0 ? 0 : errno;
    if (error != 0 && error != EINPROGRESS && error != EINTR) return refuse(system_code(error));
    if (const error_code ec = watch_.open(std::move(socket))) return refuse(ec);
    if (error == 0) return connected({});
    watch_.wait_writable([self = shared_from_this()](const error_code& ec) {
        if (self->is_over_) return;
        int result = 0;
        socklen_t size = sizeof result;
        if (::getsockopt(self->watch_.get(), SOL_SOCKET, SO_ERROR, &result, &size) != 0) result = errno;
        self->connected(ec ? ec : system_code(result));
    });
}

/// With the source port that the system chose a socket may have met itself.
[[nodiscard]] inline bool is_connected_to_itself(int socket) noexcept {
    sockaddr_storage own{};
    sockaddr_storage peer{};
    socklen_t own_size = sizeof own;
    socklen_t peer_size = sizeof peer;
    return ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
           ::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0 && own_size == peer_size &&
           own.ss_family != AF_UNIX && std::memcmp(&own, &peer, own_size) == 0;
}

#if defined(SO_PEERCRED) && WARDEN_OS_LINUX
[[nodiscard]] inline Pid listener_of(int socket) noexcept {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? static_cast<Pid>(peer.pid) : 0;
}
#else
[[nodiscard]] inline Pid listener_of(int) noexcept { return 0; }
#endif

inline void Connect::connected(const error_code& ec) {
    if (ec) return refuse(ec);
    if (is_connected_to_itself(watch_.get()))
        return refuse(boost::system::errc::make_error_code(boost::system::errc::connection_refused));
    const Pid peer = port_ == 0 ? listener_of(watch_.get()) : 0;
    watch_.close();
    target_->prove({port_, addresses_[next_ - 1], peer},
                   [self = shared_from_this()](AttemptResult result) { self->finish(std::move(result)); });
}

class ConnectAttempt final : public ProbeAttempt {
public:
    explicit ConnectAttempt(std::shared_ptr<Connect> connect) noexcept : connect_(std::move(connect)) {}
    ~ConnectAttempt() override { connect_->cancel(); }

private:
    const std::shared_ptr<Connect> connect_;
};

inline std::unique_ptr<ProbeAttempt> ConnectCheck::begin(ProbeTarget& target, Nanoseconds, AttemptDone done) const {
    auto connect = std::make_shared<Connect>(target, port_, std::move(done));
    const bool is_local = port_ != 0 && address_ == "localhost";
    connect->begin(is_local ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector<std::string>{address_});
    return std::make_unique<ConnectAttempt>(std::move(connect));
}

}  // namespace warden::detail
#endif
