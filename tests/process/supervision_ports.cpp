// SPDX-License-Identifier: MIT
// Who listens, ports that are kept, and ports that are freed.
#include "supervision.hpp"
#include <support/start.hpp>
#include <warden/supervision/ports.hpp>
#include <warden/supervision/preflight.hpp>
#include <warden/supervision/preflight_programs.hpp>

#include <chrono>
#include <future>
#include <set>
#include <vector>

using namespace support;
using namespace std::chrono_literals;
using warden::free_port;
using warden::port_holders;
using warden::PortHolder;
using warden::PortReservation;
using warden::Strangers;

namespace {

const auto in_use = boost::system::errc::make_error_code(boost::system::errc::address_in_use);

}  // namespace

TEMPLATE_TEST_CASE("ports: who listens is named, with the process that it is of", "[supervision]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Server server = serve(manager, "serve", "listen");
    const auto holders = port_holders(*manager, server.port);
    REQUIRE(holders.size() == 1);
    CHECK(holders[0].pid == server.process.pid());
    CHECK(holders[0].address == "127.0.0.1:" + std::to_string(server.port));
    CHECK(holders[0].process == server.process.uuid());
    CHECK(contains(holders[0].to_string(), "pid " + std::to_string(server.process.pid()) + " ("));
    CHECK(contains(holders[0].to_string(), "victim"));
    const OwnListener own;
    const auto strangers = port_holders(*manager, own.port());
    REQUIRE(strangers.size() == 1);
    CHECK(strangers[0].pid == ::getpid());
    CHECK_FALSE(strangers[0].process);
}

TEST_CASE("ports: nobody listens at a port that is only reserved, nor at a Unix socket that is none", "[supervision]") {
    TestManager manager;
    const auto kept = PortReservation::reserve();
    CHECK(port_holders(*manager, kept.port()).empty());
    CHECK(socket_holders(*manager, "/no/such").empty());
    const std::string path = manager.directory / "socket";
    Handshake handshake(manager.directory / "handshake");
    auto server = manager->spawn(victim(handshake, "serve", "listen", path));
    REQUIRE(handshake.line());
    const auto holders = socket_holders(*manager, path);
    REQUIRE(holders.size() == 1);
    CHECK(holders[0].process == server.uuid());
}

TEST_CASE("ports: a reserved port is given to nobody else, and to the child by PORT", "[supervision]") {
    TestManager manager;
    std::vector<PortReservation> kept;
    std::set<std::uint16_t> ports;
    for (int i = 0; i < 200; ++i) {
        kept.push_back(PortReservation::reserve(i % 2 == 0 ? "127.0.0.1" : "::1"));
        if (i % 2 == 0) ports.insert(kept.back().port());
    }
    CHECK(ports.size() == 100);
    PortReservation& port = kept[0];
    warden::SpawnOptions options;
    port.pass_to(options);
    Handshake handshake(manager.directory / "handshake");
    options.environment.set("HANDSHAKE", handshake.path());
    // The server sets SO_REUSEADDR, and listens while the port is kept.
    auto server = manager->spawn(
        {"sh", "-c", "exec \"$0\" --ready \"$HANDSHAKE\" serve listen \"$PORT\"", WARDEN_TEST_VICTIM}, options);
    CHECK(handshake.line() == "port " + std::to_string(port.port()));
    CHECK(watch_readiness(server, warden::Probe::tcp(port.port()).within(20s)).wait().is_ready());
    PortReservation moved = std::move(port);
    CHECK_FALSE(port.is_held());
    moved.release();
    moved.release();
    CHECK_FALSE(moved.is_held());
    CHECK(thrown_by([] { static_cast<void>(PortReservation::reserve("example.org")); }).first ==
          boost::system::errc::invalid_argument);
}

TEMPLATE_TEST_CASE("ports: a port is freed of what is ours, by its plan and with its tree", "[supervision]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Server server = serve(manager, "serve", "listen");
    const auto ended = free_port(*manager, server.port);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].process == server.process.uuid());
    CHECK(server.process.cause() == warden::ExitCause::stopped);
    CHECK(port_holders(*manager, server.port).empty());
    CHECK(free_port(*manager, server.port).empty());
}

TEST_CASE("ports: a stranger is spared and named, unless it is to be ended, and this program never ends itself",
          "[supervision]") {
    TestManager manager;
    TestManager other;
    Server server = serve(other, "serve", "listen");
    const auto [code, words] = thrown_by([&] { free_port(*manager, server.port); });
    CHECK(code == in_use);
    CHECK(contains(words, "port " + std::to_string(server.port) + " is in use by pid " +
                              std::to_string(server.process.pid()) + " ("));
    CHECK(server.process.running());
    const auto ended = free_port(*manager, server.port, Strangers::end, 10s);
    REQUIRE(ended.size() == 1);
    CHECK(server.process.wait() == warden::ExitStatus::from_signal(SIGTERM, false));
    const OwnListener own;
    CHECK(thrown_by([&] { free_port(*manager, own.port(), Strangers::end); }).first == in_use);
}

TEST_CASE("ports: a port is waited for until somebody listens, and until nobody does", "[supervision]") {
    TestManager manager;
    Server server = serve(manager, "serve", "listen");
    CHECK(warden::wait_port_listening(server.port, 20s));
    CHECK_FALSE(warden::wait_port_free(server.port, 30ms));
    auto freed = std::async(std::launch::async, [&] { return warden::wait_port_free(server.port, 20s); });
    static_cast<void>(server.process.stop());
    CHECK(freed.get());
    CHECK_FALSE(warden::wait_port_listening(server.port, 30ms));
    CHECK(thrown_by([] { static_cast<void>(warden::wait_port_free(1, 0s)); }).first == warden::errc::invalid_timeout);
}

TEST_CASE("preflight: a version is compared by its numbers", "[preflight]") {
    TestManager manager;
    const auto check = [&](const std::string& text, const std::string& minimum) {
        return warden::preflight::program_version(*manager, {"printf", "%s", text}, minimum).run().value_or("");
    };
    CHECK(check("Tool 3.10.2 (built 2024)", "3.9") == "");
    CHECK(check("tool version 12\nlibtool 3.10", "3.10") == "");
    CHECK(check("17", "16") == "");
    CHECK(check("v3.9.18rc1", "3.10") == "printf is version 3.9.18, 3.10 or later is needed; install a newer one");
    CHECK(contains(check("none 7 here", "1.0"), "writes no version"));
    CHECK(contains(check("1.0", "new"), "'new' is no version"));
    const auto missing = warden::preflight::program_version(*manager, {"/no/such", "-V"}, "1").run();
    CHECK(contains(missing.value_or(""), no_such_file.message()));
}

TEST_CASE("preflight: a Python module is asked of its interpreter", "[preflight]") {
    TestManager manager;
    const bool has_python = !warden::preflight::executable("python3").run();
    SKIP_UNLESS(has_python, "there is no python3");
    const auto check = [&](const std::string& module) {
        return warden::preflight::python_module(*manager, module).run().value_or("");
    };
    CHECK(check("json.decoder") == "");
    CHECK(check("no_such_module.part") ==
          "python3 has no module no_such_module.part; install it: python3 -m pip install no_such_module");
}
