// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Ports of this machine: who listens, a free one for a process to come, and how one is freed.
///
/// Knows:         TCP over IPv4 and IPv6, and Unix sockets, in the network of this program; who holds them, on Linux.
/// Does not know: what a server says.
/// Thread-safety: safe; distinct reservations: safe.
/// Errors:        `error_code& ec`, or system_error. `operation_not_supported` where the system does not say who
///                listens.

#include <warden/error.hpp>
#include <warden/fwd.hpp>
#include <warden/process_info.hpp>
#include <warden/spawn_options.hpp>
#include <warden/supervision/port_holder.hpp>
#include <warden/timeout.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace warden {

/// Who listens at the TCP port, at any address of IPv4 and IPv6; empty if nobody does. `ec` says why one is not known,
/// which has pid 0 then: that of another user.
[[nodiscard]] std::vector<PortHolder> port_holders(const ProcessManager& manager, std::uint16_t port, error_code& ec);
/// @throws system_error
[[nodiscard]] std::vector<PortHolder> port_holders(const ProcessManager& manager, std::uint16_t port);

/// Who listens at a Unix socket; a path that begins with `@` is an abstract name.
[[nodiscard]] std::vector<PortHolder> socket_holders(const ProcessManager& manager, const std::filesystem::path& path,
                                                     error_code& ec);
/// @throws system_error
[[nodiscard]] std::vector<PortHolder> socket_holders(const ProcessManager& manager, const std::filesystem::path& path);

/// Waits until somebody listens at the TCP port, at any address, or until nobody does. False if `timeout` was over
/// first. For a process of a manager `watch_readiness` is better: it knows whose listener it is. Linux.
/// @throws system_error
[[nodiscard]] bool wait_port_listening(std::uint16_t port, Timeout timeout);
[[nodiscard]] bool wait_port_free(std::uint16_t port, Timeout timeout);

/// What `free_port` does about a process that is not of the manager.
enum class Strangers : std::uint8_t {
    spare,  ///< Nothing: it is named in an error.
    end,    ///< It is asked to end, and after the grace it is ended by force.
};

/// Ends who listens at the TCP port: processes of the manager by their own plans, with their trees. What it ended.
/// @throws system_error address_in_use, naming the stranger that was spared, with nothing ended; why a stranger could
/// not be ended; why it is not known who listens.
std::vector<PortHolder> free_port(ProcessManager& manager, std::uint16_t port, Strangers strangers = Strangers::spare,
                                  Nanoseconds grace = std::chrono::seconds(3));

/// A free TCP port that is kept from others until this object goes or `release` is called: by a socket that is bound to
/// it and does not listen. A server that sets SO_REUSEADDR, as nearly all do, can listen there meanwhile, so keep it
/// until the server is ready. Move-only.
class PortReservation {
public:
    /// `host`: a numeric address of this machine. @throws system_error what the system says.
    [[nodiscard]] static PortReservation reserve(const std::string& host = "127.0.0.1");

    PortReservation(PortReservation&& other) noexcept
        : socket_(std::exchange(other.socket_, no_socket)), port_(other.port_) {}
    PortReservation& operator=(PortReservation&& other) noexcept;
    ~PortReservation() { release(); }

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    /// Sets PORT, or the variable of that name, in the environment of a start.
    void pass_to(SpawnOptions& options, const std::string& variable = "PORT") const {
        options.environment.set(variable, std::to_string(port_));
    }
    /// For a server that does not set SO_REUSEADDR: at its start. Twice is once.
    void release() noexcept;
    [[nodiscard]] bool is_held() const noexcept { return socket_ != no_socket; }

private:
    static constexpr std::intptr_t no_socket = -1;
    PortReservation(std::intptr_t socket, std::uint16_t port) noexcept : socket_(socket), port_(port) {}

    std::intptr_t socket_;
    std::uint16_t port_;
};

}  // namespace warden

// -- implementation ----------------------------------------------------------
#if WARDEN_HAS_BODIES
#include <warden/detail/supervision/port_holders.hpp>
#include <warden/detail/supervision/port_socket.hpp>

namespace warden {

WARDEN_INLINE std::vector<PortHolder> port_holders(const ProcessManager& manager, std::uint16_t port, error_code& ec) {
    const auto listeners = detail::tcp_listeners(port, {}, ec);
    return ec ? std::vector<PortHolder>{} : detail::holders_in(manager, listeners, ec);
}
WARDEN_INLINE std::vector<PortHolder> port_holders(const ProcessManager& manager, std::uint16_t port) {
    return detail::or_throw("port_holders", [&](error_code& ec) { return port_holders(manager, port, ec); });
}
WARDEN_INLINE std::vector<PortHolder> socket_holders(const ProcessManager& manager, const std::filesystem::path& path,
                                                     error_code& ec) {
    const auto listeners = detail::unix_listeners(path.string(), ec);
    return ec ? std::vector<PortHolder>{} : detail::holders_in(manager, listeners, ec);
}
WARDEN_INLINE std::vector<PortHolder> socket_holders(const ProcessManager& manager, const std::filesystem::path& path) {
    return detail::or_throw("socket_holders", [&](error_code& ec) { return socket_holders(manager, path, ec); });
}

namespace detail {
[[nodiscard]] inline bool wait_port(std::uint16_t port, bool listening, Timeout timeout) {
    if (!timeout.is_valid()) throw system_error(errc::invalid_timeout, "wait for a port");
    const SteadyTime deadline = deadline_after(SteadyTime::clock::now(), timeout.length());
    return or_throw("wait for a port", [&](error_code& ec) { return wait_for_port(port, listening, deadline, ec); });
}
}  // namespace detail

WARDEN_INLINE bool wait_port_listening(std::uint16_t port, Timeout timeout) {
    return detail::wait_port(port, true, timeout);
}
WARDEN_INLINE bool wait_port_free(std::uint16_t port, Timeout timeout) {
    return detail::wait_port(port, false, timeout);
}

WARDEN_INLINE std::vector<PortHolder> free_port(ProcessManager& manager, std::uint16_t port, Strangers strangers,
                                                Nanoseconds grace) {
    const auto holders = port_holders(manager, port);
    for (const PortHolder& holder : holders) {
        if (!holder.process && (strangers == Strangers::spare || holder.pid == detail::current_pid()))
            throw system_error(boost::system::errc::make_error_code(boost::system::errc::address_in_use),
                               "port " + std::to_string(port) + " is in use by " + holder.to_string() +
                                   ", which is not of this manager");
    }
    for (const PortHolder& holder : holders) {
        if (holder.process) static_cast<void>(manager.stop(*holder.process));
        else detail::throw_if(detail::end_holder(holder.pid, port, grace), holder.to_string().c_str());
    }
    return holders;
}

WARDEN_INLINE PortReservation PortReservation::reserve(const std::string& host) {
    std::uint16_t port = 0;
    error_code ec;
    const std::intptr_t socket = detail::open_reservation(host, port, ec);
    detail::throw_if(ec, "reserve a port");
    return {socket, port};
}

WARDEN_INLINE PortReservation& PortReservation::operator=(PortReservation&& other) noexcept {
    if (this == &other) return *this;
    release();
    socket_ = std::exchange(other.socket_, no_socket);
    port_ = other.port_;
    return *this;
}

WARDEN_INLINE void PortReservation::release() noexcept {
    if (is_held()) detail::close_reservation(std::exchange(socket_, no_socket));
}

}  // namespace warden
#endif
