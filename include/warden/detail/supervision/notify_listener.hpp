// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Opens a notification socket, where there is such a thing.
///
/// Knows:         which system this is.
/// Errors:        an `error_code`.

#include <warden/detail/supervision/notify_source.hpp>
#include <warden/error.hpp>
#include <warden/fwd.hpp>
#include <warden/platform.hpp>

#include <memory>
#include <string>

#if WARDEN_OS_LINUX
#include <warden/detail/supervision/notify_listener_linux.hpp>
#else
namespace warden::detail {

[[nodiscard]] inline std::shared_ptr<NotifySource> open_notify_listener(ProcessManager&, std::string&, error_code& ec) {
    ec = boost::system::errc::make_error_code(boost::system::errc::operation_not_supported);
    return nullptr;
}

}  // namespace warden::detail
#endif
