// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A pipe, or a pair of sockets, whose ends no child inherits by accident.
///
/// Knows:         pipe2(2) and SOCK_CLOEXEC of Linux; elsewhere fcntl(2) a moment later, which a fork of another thread
/// can come before. Thread-safety: safe. Errors:        empty ends, and errno.

#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_POSIX
#include <cstddef>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace warden::detail {

/// The end to read from and the end to write to, both close-on-exec.
[[nodiscard]] inline std::pair<UniqueFd, UniqueFd> make_closed_pipe() noexcept;

/// Two sockets that are connected, both close-on-exec: a pipe of the library's own, which whoever looks for pipes that
/// were left open does not take for one of the program.
[[nodiscard]] inline std::pair<UniqueFd, UniqueFd> make_closed_sockets() noexcept;

/// Asks for a larger buffer, where the system lets one; never an error.
inline void enlarge_pipe(int fd, std::size_t bytes) noexcept;

inline void make_nonblocking(int fd) noexcept { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

// -- implementation ----------------------------------------------------------

#if WARDEN_OS_LINUX
inline std::pair<UniqueFd, UniqueFd> make_closed_pipe() noexcept {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return {};
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

inline std::pair<UniqueFd, UniqueFd> make_closed_sockets() noexcept {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return {};
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

inline void enlarge_pipe(int fd, std::size_t bytes) noexcept { ::fcntl(fd, F_SETPIPE_SZ, static_cast<int>(bytes)); }
#else
inline std::pair<UniqueFd, UniqueFd> make_closed_pipe() noexcept {
    int ends[2];
    if (::pipe(ends) != 0) return {};
    for (const int end : ends) ::fcntl(end, F_SETFD, FD_CLOEXEC);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

inline std::pair<UniqueFd, UniqueFd> make_closed_sockets() noexcept {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return {};
    for (const int end : ends) ::fcntl(end, F_SETFD, FD_CLOEXEC);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

inline void enlarge_pipe(int, std::size_t) noexcept {}
#endif

}  // namespace warden::detail
#endif
