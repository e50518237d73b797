// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The Unix socket on which a shim takes requests, beside its record.
///
/// Knows:         how a socket in an open directory is named, and who is at its other end.
/// Does not know: what is said on it.
/// Thread-safety: safe.
/// Errors:        the system's code; `permission_denied` for a peer that is somebody else.

#include <warden/detail/system/pipe_posix.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace warden::detail {

/// The directory that sockets are in, open and trusted.
struct SocketDirectory {
    int descriptor = -1;
    std::filesystem::path path{};
};

/// A socket that listens as `name` there, for this user alone.
[[nodiscard]] inline UniqueFd listen_at(const SocketDirectory& directory, const std::string& name, error_code& ec);

/// A connection to it; never waits. `try_again` if as many as it takes are waiting already.
[[nodiscard]] inline UniqueFd connect_at(const SocketDirectory& directory, const std::string& name, error_code& ec);

/// The next of those who wait; empty if there is none, or if it is neither this user nor root.
[[nodiscard]] inline UniqueFd accept_peer(int listener) noexcept;

// -- implementation ----------------------------------------------------------

/// A socket that no child inherits.
[[nodiscard]] inline UniqueFd make_local_socket() noexcept {
    UniqueFd made(::socket(AF_UNIX, SOCK_STREAM, 0));
    if (!made) return made;
    ::fcntl(made.get(), F_SETFD, FD_CLOEXEC);
    make_nonblocking(made.get());
    return made;
}

#if WARDEN_OS_LINUX
/// By the descriptor: the path itself may be longer than an address holds.
[[nodiscard]] inline std::string address_text(const SocketDirectory& directory, const std::string& name) {
    return "/proc/self/fd/" + std::to_string(directory.descriptor) + '/' + name;
}

/// The kernel says who is at the other end.
[[nodiscard]] inline bool is_trusted_peer(int socket) noexcept {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    return peer.uid == ::geteuid() || peer.uid == 0;
}
#else
[[nodiscard]] inline std::string address_text(const SocketDirectory& directory, const std::string& name) {
    return (directory.path / name).string();
}

/// Who can reach the socket is this user or root: nobody else may search its directory.
[[nodiscard]] inline bool is_trusted_peer(int) noexcept { return true; }
#endif

[[nodiscard]] inline sockaddr_un address_of(const SocketDirectory& directory, const std::string& name, error_code& ec) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = address_text(directory, name);
    ec = text.size() < sizeof address.sun_path ? error_code() : system_code(ENAMETOOLONG);
    if (!ec) std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
    return address;
}

inline UniqueFd listen_at(const SocketDirectory& directory, const std::string& name, error_code& ec) {
    constexpr int max_waiting = 64;
    const sockaddr_un address = address_of(directory, name, ec);
    if (ec) return {};
    UniqueFd listener = make_local_socket();
    if (listener && ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
        ::fchmodat(directory.descriptor, name.c_str(), S_IRUSR | S_IWUSR, 0) == 0 &&
        ::listen(listener.get(), max_waiting) == 0) {
        return listener;
    }
    ec = system_code(errno);
    return {};
}

inline UniqueFd connect_at(const SocketDirectory& directory, const std::string& name, error_code& ec) {
    const sockaddr_un address = address_of(directory, name, ec);
    if (ec) return {};
    UniqueFd connection = make_local_socket();
    if (!connection || ::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        ec = system_code(errno);
    else if (!is_trusted_peer(connection.get())) ec = make_error_code(boost::system::errc::permission_denied);
    return ec ? UniqueFd() : std::move(connection);
}

inline UniqueFd accept_peer(int listener) noexcept {
    UniqueFd peer(::accept(listener, nullptr, nullptr));
    if (!peer) return peer;
    ::fcntl(peer.get(), F_SETFD, FD_CLOEXEC);
    make_nonblocking(peer.get());
    return is_trusted_peer(peer.get()) ? std::move(peer) : UniqueFd();
}

}  // namespace warden::detail
#endif
