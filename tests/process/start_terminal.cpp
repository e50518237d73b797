// SPDX-License-Identifier: MIT
// Processes on a terminal of their own.
#include <support/fixture.hpp>

#include <csignal>

using namespace support;
using namespace std::chrono_literals;
using warden::CommandLine;
using warden::Input;
using warden::Output;
using warden::SpawnOptions;
using warden::StopPlan;

namespace {

SpawnOptions on_terminal() {
    SpawnOptions options;
    options.terminal = warden::Terminal{.columns = 132, .rows = 43};
    options.stdout_ = Output::capture;
    return options;
}

}  // namespace

TEMPLATE_TEST_CASE("terminal: a process has one of its own, of the size asked for, for all that it reads and writes",
                   "[start][terminal]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto result = manager->run(
        {"sh", {"-c", "stty size; test -t 0 && test -t 1 && test -t 2 && echo all; echo here >/dev/tty; echo err >&2"}},
        on_terminal());
    CHECK(result.status.success());
    CHECK(result.out == "43 132\r\nall\r\nhere\r\nerr\r\n");
    CHECK(result.err.empty());
    CHECK_FALSE(result.incomplete);
}

TEMPLATE_TEST_CASE("terminal: what is typed is echoed and read, and Ctrl-D ends it", "[start][terminal]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options = on_terminal();
    options.stdin_ = Input::pipe;
    Handshake handshake(manager.directory / "fifo");
    for (const std::string typed : {"hello\n", "", "no end of line"}) {
        INFO(typed);
        for (const bool echoes : {true, false}) {
            auto process = manager->spawn({"sh",
                                           {"-c", std::string("stty ") + (echoes ? "echo" : "-echo") +
                                                      "; echo ready $$ >" + handshake.path() + "; exec cat"}},
                                          options);
            REQUIRE(handshake.pid() > 0);
            const auto result = process.communicate(typed, 10s);
            CHECK(result.status.success());
            const std::string line = typed == "hello\n" ? "hello\r\n" : typed;
            CHECK(result.out == (echoes ? line + line : line));
        }
    }
}

TEMPLATE_TEST_CASE("terminal: a line that is longer than a terminal holds arrives whole", "[start][terminal]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options = on_terminal();
    options.stdin_ = warden::Input::pipe;
    options.stdout_ = warden::Output::capture;
    auto process = manager->spawn(
        warden::CommandLine::shell("stty -echo; echo ready; IFS= read -r line; echo ${#line}; wc -c"), options);
    REQUIRE(next_line(process) == "ready");
    process.write(std::string(20'000, 'x') + '\n' + std::string(8'000, 'y'));
    process.close_stdin();
    CHECK(next_line(process) == "20000");
    CHECK(next_line(process) == "8000");
    CHECK(process.wait().success());
}

TEMPLATE_TEST_CASE("terminal: its end is the end of the stream, and nothing written before is lost",
                   "[start][terminal]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto result = manager->run(victim("lines", "50000"), on_terminal());
    CHECK(result.status.success());
    CHECK_FALSE(result.incomplete);
    std::string expected;
    for (int i = 1; i <= 50000; ++i) expected += "line " + std::to_string(i) + "\r\n";
    CHECK((result.out == expected));
    SpawnOptions unread = on_terminal();
    unread.stdout_ = Output::null;
    CHECK(manager->run(victim("lines", "50000"), unread).status.success());
}

TEMPLATE_TEST_CASE("terminal: a process on one is stopped like any other, with all that it started", "[stop][terminal]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(
        {"sh", {"-c", "trap '' TERM HUP INT; set -m; sleep 60 & echo ready $! >" + handshake.path() + "; wait; wait"}},
        on_terminal());
    const pid_t job = handshake.pid();
    REQUIRE(job > 0);
    CHECK(process.stop(StopPlan::within(100ms)).clean());
    CHECK_FALSE(is_alive(job));
}

TEMPLATE_TEST_CASE("terminal: another size is told to the process", "[start][terminal]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(
        {"sh", {"-c", "trap 'stty size; exit 0' WINCH; echo ready $$ >" + handshake.path() + "; sleep 60 & wait"}},
        on_terminal());
    REQUIRE(handshake.pid() > 0);
    process.resize_terminal({.columns = 100, .rows = 30});
    const auto result = process.communicate({}, 10s);
    CHECK(result.out == "30 100\r\n");
    warden::error_code ec;
    process.resize_terminal({.columns = 80, .rows = 24}, ec);
    CHECK(ec == warden::errc::already_ended);
    auto without = manager->spawn(victim("stay"));
    without.resize_terminal({.columns = 80, .rows = 24}, ec);
    CHECK(ec == warden::errc::invalid_options);
}

TEST_CASE("terminal: what does not go with one is refused", "[start][terminal]") {
    TestManager manager{warden::Mechanism::process_group};
    const auto refused = [&](auto change) {
        SpawnOptions options = on_terminal();
        change(options);
        const auto error = failed_start(*manager, {"true"}, options);
        return error.code() == warden::errc::invalid_options && error.step() == warden::SpawnStep::validation;
    };
    CHECK(refused([](auto& options) { options.terminal->rows = 0; }));
    CHECK(refused([](auto& options) { options.terminal->columns = 0; }));
    CHECK(refused([](auto& options) { options.stdin_ = Input::inherit; }));
    CHECK(refused([](auto& options) { options.stdout_ = Output::inherit; }));
    CHECK(refused([](auto& options) { options.stdout_ = Output::to_file("/dev/null"); }));
    CHECK(refused([](auto& options) { options.stderr_ = Output::capture; }));
}
