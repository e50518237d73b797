// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The socket on which a process says that it is ready, what it does, and that it is alive: sd_notify(3).
///
/// Knows:         its name, and the variables that tell a process of it.
/// Does not know: what follows from a message; `watch_readiness` and `watch_liveness` take it.
/// Thread-safety: distinct objects: safe. Copies are the same socket.
/// Errors:        system_error from `open`. Messages count only from members of the tree, by the credentials that the
///                kernel attaches (unix(7), SCM_CREDENTIALS); others are refused, and reported.

#include <warden/fwd.hpp>
#include <warden/spawn_options.hpp>
#include <warden/timeout.hpp>

#include <memory>
#include <string>
#include <utility>

namespace warden {
namespace detail {
class NotifySource;
}

/// `auto notify = NotifySocket::open(manager); notify.prepare(options);` before the start. For one process: a socket
/// serves the last watch that it was given to. What a process says before that is kept.
class NotifySocket {
public:
    /// Holds nothing.
    NotifySocket() noexcept = default;

    /// Linux. @throws system_error operation_not_supported elsewhere; what the system says.
    [[nodiscard]] static NotifySocket open(ProcessManager& manager);

    /// Sets NOTIFY_SOCKET in the environment of a start, and WATCHDOG_USEC if `watchdog` is not zero: the process is
    /// asked to say WATCHDOG=1 that often; give `Probe::notify().every(watchdog)` for liveness.
    void prepare(SpawnOptions& options, Nanoseconds watchdog = {}) const;

    explicit operator bool() const noexcept { return static_cast<bool>(source_); }
    /// The value of NOTIFY_SOCKET.
    [[nodiscard]] const std::string& address() const noexcept { return address_; }
    [[nodiscard]] const std::shared_ptr<detail::NotifySource>& source() const noexcept { return source_; }

private:
    NotifySocket(std::shared_ptr<detail::NotifySource> source, std::string address)
        : source_(std::move(source)), address_(std::move(address)) {}

    std::shared_ptr<detail::NotifySource> source_;
    std::string address_;
};

}  // namespace warden

// -- implementation ----------------------------------------------------------
#if WARDEN_HAS_BODIES
#include <warden/detail/supervision/handle_access.hpp>
#include <warden/detail/supervision/notify_listener.hpp>

namespace warden {

WARDEN_INLINE NotifySocket NotifySocket::open(ProcessManager& manager) {
    std::string address;
    error_code ec;
    auto source = detail::open_notify_listener(detail::HandleAccess::engine(manager), address, ec);
    detail::throw_if(ec, "open a notification socket");
    return {std::move(source), std::move(address)};
}

WARDEN_INLINE void NotifySocket::prepare(SpawnOptions& options, Nanoseconds watchdog) const {
    detail::set_notify_variables(options.environment, address_, watchdog);
}

}  // namespace warden
#endif
