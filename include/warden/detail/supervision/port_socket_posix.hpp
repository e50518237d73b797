// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The socket that keeps a port; see port_socket.hpp, which includes this.
///
/// Knows:         bind(2), and that SO_REUSEADDR lets another socket share a port of one that does not listen.
/// Thread-safety: safe.

#include <warden/detail/supervision/connect_check_posix.hpp>
#include <warden/detail/supervision/port_socket.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_POSIX
#include <cerrno>
#include <cstdint>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace warden::detail {

// -- implementation ----------------------------------------------------------

inline std::intptr_t open_reservation(const std::string& host, std::uint16_t& port, error_code& ec) {
    SocketPlace place;
    ec.clear();
    if (!to_place(0, host, place)) {
        ec = boost::system::errc::make_error_code(boost::system::errc::invalid_argument);
        return -1;
    }
    UniqueFd socket = open_stream_socket(place.address.ss_family);
    auto* const address = reinterpret_cast<sockaddr*>(&place.address);
    const int on = 1;
    // After bind: before it, the system might choose a port that another reservation holds.
    if (!socket || ::bind(socket.get(), address, place.size) != 0 ||
        ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::getsockname(socket.get(), address, &place.size) != 0) {
        ec = system_code(errno);
        return -1;
    }
    const bool is_v6 = place.address.ss_family == AF_INET6;
    port = ntohs(is_v6 ? reinterpret_cast<const sockaddr_in6&>(place.address).sin6_port
                       : reinterpret_cast<const sockaddr_in&>(place.address).sin_port);
    return socket.release();
}

inline void close_reservation(std::intptr_t socket) noexcept { ::close(static_cast<int>(socket)); }

}  // namespace warden::detail
#endif
