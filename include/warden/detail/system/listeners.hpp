// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Which sockets listen at an address, and which processes have them open.
///
/// Knows:         which system this is, and that only Linux says.
/// Does not know: trees; whether a listener will answer.
/// Thread-safety: safe. Reads tables as large as the machine is busy: not for a loop.
/// Errors:        an `error_code` where what is absent must not be taken for what is not there;
///                `operation_not_supported` where the system does not say.

#include <warden/error.hpp>
#include <warden/fwd.hpp>
#include <warden/platform.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace warden::detail {

struct Listener {
    std::uint64_t id = 0;  ///< Of the socket.
    std::string address;   ///< "127.0.0.1:80", "[::]:80", "/run/socket", "@abstract"
};

/// A process that has one of several listeners open.
struct ListenerHolder {
    Pid pid = 0;
    std::uint64_t id = 0;  ///< Of the listener.
};

/// Those at this TCP port that answer who connects to `host`, a numeric address: of that address, else of all
/// addresses. With an empty host all at this port. `ec` says why there may be more.
[[nodiscard]] inline std::vector<Listener> tcp_listeners(std::uint16_t port, std::string_view host, error_code& ec);

/// Those at this path; one that begins with `@` is an abstract name.
[[nodiscard]] inline std::vector<Listener> unix_listeners(std::string_view path, error_code& ec);

/// Who of `pids` holds which of `listeners`; one that has ended holds none.
[[nodiscard]] inline std::vector<ListenerHolder> holders_among(const std::vector<Pid>& pids,
                                                               const std::vector<Listener>& listeners, error_code& ec);

/// The same among all processes of the machine that may be looked at.
[[nodiscard]] inline std::vector<ListenerHolder> holders_of(const std::vector<Listener>& listeners, error_code& ec);

/// Whether the process is in the network of this program, where the same number is the same port.
[[nodiscard]] inline bool shares_network(Pid pid, error_code& ec);

}  // namespace warden::detail

// -- implementation ----------------------------------------------------------
#if WARDEN_OS_LINUX
#include <warden/detail/system/listeners_linux.hpp>
#else
namespace warden::detail {

[[nodiscard]] inline error_code not_told() noexcept {
    return boost::system::errc::make_error_code(boost::system::errc::operation_not_supported);
}

inline std::vector<Listener> tcp_listeners(std::uint16_t, std::string_view, error_code& ec) {
    ec = not_told();
    return {};
}
inline std::vector<Listener> unix_listeners(std::string_view, error_code& ec) {
    ec = not_told();
    return {};
}
inline std::vector<ListenerHolder> holders_among(const std::vector<Pid>&, const std::vector<Listener>&,
                                                 error_code& ec) {
    ec = not_told();
    return {};
}
inline std::vector<ListenerHolder> holders_of(const std::vector<Listener>&, error_code& ec) {
    ec = not_told();
    return {};
}
inline bool shares_network(Pid, error_code& ec) {
    ec = not_told();
    return false;
}

}  // namespace warden::detail
#endif
