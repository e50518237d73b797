// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Connects to a TCP port without waiting. Unix sockets are not asked for here.
///
/// Thread-safety: on the loop only.
/// Errors:        the reason of the attempt.

#include <warden/detail/supervision/probe_attempt.hpp>
#include <warden/detail/system/api_windows.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_WINDOWS
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

/// A TCP port of a numeric address or of "localhost".
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

struct Connect {
    Connect(ProbeTarget& of, AttemptDone f) : target(of.hold()), socket(of.loop()), done(std::move(f)) {}

    void finish(AttemptResult result) {
        if (done) std::exchange(done, nullptr)(std::move(result));
    }

    const std::shared_ptr<ProbeTarget> target;
    boost::asio::ip::tcp::socket socket;
    AttemptDone done;
};

class ConnectAttempt final : public ProbeAttempt {
public:
    explicit ConnectAttempt(std::shared_ptr<Connect> connect) noexcept : connect_(std::move(connect)) {}
    ~ConnectAttempt() override {
        error_code ignored;
        connect_->done = nullptr;
        connect_->socket.close(ignored);
    }

private:
    const std::shared_ptr<Connect> connect_;
};

inline std::unique_ptr<ProbeAttempt> ConnectCheck::begin(ProbeTarget& target, Nanoseconds, AttemptDone done) const {
    using boost::asio::ip::tcp;
    auto connect = std::make_shared<Connect>(target, std::move(done));
    std::vector<tcp::endpoint> places;
    const bool is_local = address_ == "localhost";
    for (const std::string& text :
         is_local ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector<std::string>{address_}) {
        error_code ec;
        const auto address = boost::asio::ip::make_address(text, ec);
        if (!ec) places.emplace_back(address, port_);
    }
    if (port_ == 0 || places.empty()) {
        const auto unsupported = boost::system::errc::make_error_code(boost::system::errc::operation_not_supported);
        connect->finish({false, unsupported.message(), {}});
        return std::make_unique<ConnectAttempt>(std::move(connect));
    }
    boost::asio::async_connect(
        connect->socket, places, [connect, port = port_](const error_code& ec, const tcp::endpoint& reached) {
            if (!connect->done) return;
            if (ec) return connect->finish({false, ec.message(), {}});
            error_code ignored;
            connect->socket.close(ignored);
            connect->target->prove({port, reached.address().to_string(), 0},
                                   [connect](AttemptResult result) { connect->finish(std::move(result)); });
        });
    return std::make_unique<ConnectAttempt>(std::move(connect));
}

}  // namespace warden::detail
#endif
