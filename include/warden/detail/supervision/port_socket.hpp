// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The socket that keeps a port; the end of who listens at one; the wait for one.
///
/// Knows:         which system this is.
/// Errors:        an `error_code`; `operation_not_supported` where there is no such thing.

#include <warden/error.hpp>
#include <warden/fwd.hpp>
#include <warden/platform.hpp>
#include <warden/timeout.hpp>

#include <cstdint>
#include <string>

namespace warden::detail {

/// A socket that is bound to a free TCP port of `host` and does not listen; `port` becomes that port.
[[nodiscard]] inline std::intptr_t open_reservation(const std::string& host, std::uint16_t& port, error_code& ec);
inline void close_reservation(std::intptr_t socket) noexcept;

/// Asks the process to end, and after `grace` ends it by force, if it still listens at the TCP port then. Waits for
/// its end, at most two seconds longer.
[[nodiscard]] inline error_code end_holder(Pid pid, std::uint16_t port, Nanoseconds grace);

/// Waits until somebody listens at the TCP port, or nobody. False if the deadline came first, or if `ec` says why that
/// cannot be seen.
[[nodiscard]] inline bool wait_for_port(std::uint16_t port, bool listening, SteadyTime deadline, error_code& ec);

}  // namespace warden::detail

// -- implementation ----------------------------------------------------------
#if WARDEN_OS_LINUX
#include <warden/detail/supervision/port_control_linux.hpp>
#else
namespace warden::detail {
inline error_code end_holder(Pid, std::uint16_t, Nanoseconds) {
    return boost::system::errc::make_error_code(boost::system::errc::operation_not_supported);
}
inline bool wait_for_port(std::uint16_t, bool, SteadyTime, error_code& ec) {
    ec = boost::system::errc::make_error_code(boost::system::errc::operation_not_supported);
    return false;
}
}  // namespace warden::detail
#endif

#if WARDEN_OS_POSIX
#include <warden/detail/supervision/port_socket_posix.hpp>
#else
namespace warden::detail {
inline std::intptr_t open_reservation(const std::string&, std::uint16_t&, error_code& ec) {
    ec = boost::system::errc::make_error_code(boost::system::errc::operation_not_supported);
    return -1;
}
inline void close_reservation(std::intptr_t) noexcept {}
}  // namespace warden::detail
#endif
