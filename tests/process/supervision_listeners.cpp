// SPDX-License-Identifier: MIT
// A port counts only if its listener is of the tree: strangers, and what cannot be known.
#include "supervision.hpp"
#include <support/start.hpp>
#include <warden/detail/system/listeners.hpp>

#include <chrono>
#include <csignal>

#include <sys/wait.h>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::Probe;
using warden::watch_liveness;
using warden::watch_readiness;

TEMPLATE_TEST_CASE("listeners: a stranger on the port does not make a process ready, and is named", "[supervision]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(victim("stay"));
    const OwnListener stranger;
    const std::string says =
        "port " + std::to_string(stranger.port()) + " is held by pid " + std::to_string(::getpid()) + " (";
    CHECK(explains(process, Probe::tcp(stranger.port()), says));
    CHECK(explains(process, Probe::tcp(stranger.port()), "_tests"));
    CHECK(explains(process, Probe::tcp(stranger.port()), "), which is not of this process"));
    CHECK(process.state() == warden::State::running);

    Server other = serve(manager, "serve", "listen");  // of the same manager, and a stranger all the same
    CHECK(explains(process, Probe::tcp(other.port), "is held by pid " + std::to_string(other.process.pid()) + " ("));
}

TEST_CASE("listeners: a stranger that takes the port of a dead server makes liveness fail", "[supervision]") {
    TestManager manager;
    auto process = manager->spawn(victim("stay"));
    const OwnListener stranger;
    const auto live = watch_liveness(process, Probe::tcp(stranger.port()).every(5ms).thresholds(1, 2)).wait();
    CHECK(live.code == errc::probe_failed);
    CHECK(live.attempts == 2);
    CHECK(contains(live.reason, "which is not of this process"));
}

TEST_CASE("listeners: a socket that the process has inherited is its own too", "[supervision]") {
    TestManager manager;
    const OwnListener given;
    auto process =
        manager->spawn(victim("serve", "listen", "fd:0"), {.stdin_ = warden::Input::from_native(given.descriptor())});
    const auto outcome = watch_readiness(process, Probe::tcp(given.port()).within(20s)).wait();
    CHECK(outcome.is_ready());
    CHECK(outcome.unproven == "");
}

TEST_CASE("listeners: a server that never accepts is ready as far as a connection says", "[supervision]") {
    TestManager manager;
    Server server = serve(manager, "serve", "listen");
    CHECK(watch_readiness(server.process, Probe::tcp(server.port, "localhost").within(20s)).wait().is_ready());
}

TEST_CASE("listeners: a Unix socket is proven by who listens, and a stranger is named", "[supervision]") {
    TestManager manager;
    const std::string path = manager.directory / "a socket";
    Handshake handshake(manager.directory / "handshake");
    auto server = manager->spawn(victim(handshake, "serve-apart", "listen", path));
    REQUIRE(handshake.line());
    const auto own = watch_readiness(server, Probe::unix_socket(path).within(20s)).wait();
    CHECK(own.is_ready());
    CHECK(own.unproven == "");
    auto other = manager->spawn(victim("stay"));
    CHECK(explains(other, Probe::unix_socket(path), "socket '" + path + "' is held by pid "));
    CHECK(explains(other, Probe::unix_socket(path), "serve-apart"));
    CHECK(explains(other, Probe::unix_socket("/no/such"), no_such_file.message()));
    CHECK(explains(other, Probe::unix_socket(std::string(200, 'x')), system_code(EINVAL).message()));
}

TEST_CASE("listeners: a descendant that has left what holds the tree is of the process all the same", "[supervision]") {
    TestManager manager{warden::Mechanism::process_group};
    Server server = serve(manager, "serve-apart", "listen");
    const auto outcome = watch_readiness(server.process, Probe::tcp(server.port).within(20s)).wait();
    CHECK(outcome.is_ready());
    CHECK(outcome.unproven == "");
    warden::error_code ec;
    const auto holders = warden::detail::holders_of(warden::detail::tcp_listeners(server.port, {}, ec), ec);
    REQUIRE(holders.size() == 1);
    ::kill(holders[0].pid, SIGKILL);
    server.process = {};  // its parent; then it is a child of this program, or of init
    CHECK(eventually([&] { return ::waitpid(holders[0].pid, nullptr, WNOHANG) != 0; }));
}
