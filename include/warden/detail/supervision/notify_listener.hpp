// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Opens a notification socket, where there is such a thing.
///
/// Knows:         which system this is.
/// Errors:        an `error_code`.

#include <warden/detail/engine/engine.hpp>
#include <warden/detail/supervision/notify_source.hpp>
#include <warden/environment.hpp>
#include <warden/error.hpp>
#include <warden/platform.hpp>
#include <warden/timeout.hpp>

#include <chrono>
#include <memory>
#include <string>

#if WARDEN_OS_LINUX
#include <warden/detail/supervision/notify_listener_linux.hpp>
#else
namespace warden::detail {

[[nodiscard]] inline std::shared_ptr<NotifySource> open_notify_listener(const std::shared_ptr<Engine>&, std::string&,
                                                                        error_code& ec) {
    ec = boost::system::errc::make_error_code(boost::system::errc::operation_not_supported);
    return nullptr;
}

}  // namespace warden::detail
#endif

namespace warden::detail {

/// Tells a process that is to be started of its socket; and to say WATCHDOG=1 that often, if `watchdog` is not zero.
inline void set_notify_variables(Environment& environment, const std::string& address, Nanoseconds watchdog) {
    environment.set("NOTIFY_SOCKET", address);
    if (watchdog > Nanoseconds::zero())
        environment.set("WATCHDOG_USEC", std::to_string(watchdog / std::chrono::microseconds(1)));
}

}  // namespace warden::detail
