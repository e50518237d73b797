// SPDX-License-Identifier: MIT
// What the tests of probes share.
#pragma once

#include <support/fixture.hpp>
#include <warden/supervision/readiness.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace support {

/// A server of the victim, that listens.
struct Server {
    warden::ManagedProcess process;
    std::uint16_t port = 0;
};

/// The port in "port N".
[[nodiscard]] inline std::uint16_t port_in(const std::string& line) {
    REQUIRE(line.starts_with("port "));
    return static_cast<std::uint16_t>(std::stoi(line.substr(5)));
}

/// `mode`: "serve" or "serve-apart"; `words`: what servers.cpp says, after the port.
template <class... Words>
[[nodiscard]] Server serve(TestManager& manager, const std::string& mode, const std::string& how, Words... words) {
    Handshake handshake(manager.directory / "handshake");
    Server server{manager->spawn(victim(handshake, mode, how, "0", std::move(words)...)), 0};
    const auto line = handshake.line();
    REQUIRE(line);
    server.port = port_in(*line);
    return server;
}

/// Whether the probe, made of the process, says so as long as it does not succeed.
[[nodiscard]] inline bool explains(const warden::ManagedProcess& process, warden::Probe probe, std::string_view text) {
    const auto watch = warden::watch_readiness(process, std::move(probe).within(std::chrono::minutes(5)));
    const bool says = eventually([&] { return watch.progress().find(text) != std::string::npos; });
    if (!says) UNSCOPED_INFO("it says: " + watch.progress());
    return says && !watch.outcome();
}

/// An HTTP answer as a server sends it.
[[nodiscard]] inline std::string http_answer(const std::string& status, const std::string& body) {
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// A loopback socket of this program: a stranger to what it starts.
class OwnListener {
public:
    OwnListener() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const place = reinterpret_cast<sockaddr*>(&address);
        REQUIRE(::fcntl(fd_, F_SETFD, FD_CLOEXEC) == 0);
        REQUIRE(::bind(fd_, place, size) == 0);
        REQUIRE(::listen(fd_, 16) == 0);
        REQUIRE(::getsockname(fd_, place, &size) == 0);
        port_ = ntohs(address.sin_port);
    }
    OwnListener(const OwnListener&) = delete;
    ~OwnListener() { close(); }

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] int descriptor() const noexcept { return fd_; }
    void close() noexcept {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }

private:
    int fd_;
    std::uint16_t port_ = 0;
};

}  // namespace support
