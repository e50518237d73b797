// SPDX-License-Identifier: MIT
// What makes no sense, or would be dropped without a word, is refused; what a step ran into is reported.
#include <support/lives.hpp>
#include <support/start.hpp>
#include <warden/output/alert_regex.hpp>

#include <stdexcept>

using namespace support;
using namespace std::chrono_literals;
using warden::CommandLine;
using warden::errc;
using warden::error_code;
using warden::Input;
using warden::ManagedProcess;
using warden::Output;
using warden::SpawnOptions;
using warden::SpawnStep;
using warden::StopPlan;

TEMPLATE_TEST_CASE("values: a start with many mistakes names all of them at once, and nothing is started", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.timeout = -1s;
    options.limits.cpu_time = -5s;
    options.identity.user = std::string("root\0x", 6);
    options.stdin_ = Input::from_file(std::string("a\0b", 3));
    options.stop_plan = StopPlan{}.terminate(-1s).kill(1s);
    options.alerts = {warden::AlertRule::regex("(")};
    const auto error = failed_start(*manager, CommandLine{}, options);
    CHECK(error.code() == errc::invalid_options);
    CHECK(error.step() == SpawnStep::validation);
    for (const auto* said : {"the command is empty", "timeout", "cpu_time", "identity.user", "the file for stdin",
                             "'terminate' is negative", "regular expression"}) {
        INFO(said << " is not in: " << error.what());
        CHECK(names(error, said));
    }
    CHECK(manager->metrics().spawned_total == 0);
    CHECK(manager->list().empty());
}

TEMPLATE_TEST_CASE("values: a stop plan that makes no sense is refused, and the process goes on", "[stop]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.name = "survivor";
    auto process = manager->spawn(play("stay"), options);
    for (const StopPlan& plan : {StopPlan{}, StopPlan{}.terminate(1s), StopPlan{}.kill(-1s)}) {
        CHECK(thrown_by([&] { process.stop(plan); }).first == errc::invalid_options);
        CHECK(thrown_by([&] { manager->stop("survivor", plan); }).first == errc::invalid_options);
    }
    CHECK(process.running());
    CHECK(process.state() == warden::State::running);
    CHECK(process.stop(StopPlan::now()).clean());
}

TEMPLATE_TEST_CASE("values: input for a process that reads from elsewhere is refused, never dropped", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto file = manager.directory.write("input", "from the file");
    for (const Input& elsewhere : {Input::from_file(file), Input(Input::inherit), Input(warden::ProcessPipe())}) {
        SpawnOptions options;
        options.stdin_ = elsewhere;
        error_code ec;
        static_cast<void>(manager->run(play("echo"), options, "lost", ec));
        CHECK(ec == errc::invalid_options);
        CHECK(thrown_by([&] { manager->run(play("echo"), options, "lost"); }).first == errc::invalid_options);
        CHECK(thrown_by([&] { manager->pipeline({play("echo")}, options, "lost"); }).first == errc::invalid_options);
    }
    SpawnOptions options;
    options.stdin_ = Input::from_file(file);
    CHECK(manager->run(play("echo"), options).out == "from the file");
    options.stdin_ = Input::null;
    CHECK(manager->run(play("echo"), options, "fed").out == "fed");
    CHECK(manager->metrics().spawned_total == 2);
}

TEMPLATE_TEST_CASE("values: communicate refuses input that no pipe would take", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = Output::capture;
    error_code ec;
    auto without_pipe = manager->spawn(play("exit", "0"), options);
    static_cast<void>(without_pipe.communicate("lost", 30s, ec));
    CHECK(ec == errc::input_closed);

    options.stdin_ = Input::pipe;
    auto closed = manager->spawn(play("echo"), options);
    closed.close_stdin();
    static_cast<void>(closed.communicate("lost", 30s, ec));
    CHECK(ec == errc::input_closed);

    auto twice = manager->spawn(play("echo"), options);
    CHECK(twice.communicate("first").out == "first");
    static_cast<void>(twice.communicate("second", 30s, ec));
    CHECK(ec == errc::input_closed);
    CHECK(twice.communicate().status.success());

    auto ended = manager->spawn(play("exit", "3"), options);  // that it does not read is its own matter
    CHECK(ended.wait().code() == 3);
    CHECK(ended.communicate("unread", 30s, ec).status.code() == 3);
    CHECK_FALSE(ec);
}

TEMPLATE_TEST_CASE("stop: what a step ran into is in the report", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Gate gate;  // until the thread that opens it has ended with the manager
    TestManager manager{TestType::mechanism};
    auto process = ready(manager, {"ignore", "out", "ready\n", "await", gate.name()});
    const auto throws = [](warden::Pid, auto) -> std::string { throw std::runtime_error("on fire"); };
    const auto complains = [](warden::Pid, auto) { return std::string("the answer was 500"); };
    const auto throws_else = [](warden::Pid, auto) -> std::string { throw 7; };
    const auto opens_at_last = [&](warden::Pid, auto) {
        const bool helpers_ended = eventually([&] {
            return manager->metrics().spawned_total == 3 && manager->metrics().spawn_failures_total == 1 &&
                   manager->list().size() == 1;
        });
        gate.open();
        return std::string(helpers_ended ? "" : "a command of the plan goes on");
    };
    const auto report = process.stop(StopPlan{}
                                         .call({"thrower", throws}, 10ms)
                                         .call({"POST", complains}, 10ms)
                                         .call({"other", throws_else}, 10ms)
                                         .run_command({"no-such-program-there"}, 10ms)
                                         .run_command(play("exit", "9"), 10ms)
                                         .run_command(play("exit", "0"), 10ms)
                                         .write_line("quit", 100ms)
                                         .call({"opener", opens_at_last}, 30s)
                                         .kill(30s));
    REQUIRE(report.steps.size() == 8);
    CHECK(report.steps[0].error == "thrower: it threw: on fire");
    CHECK(report.steps[1].error == "POST: the answer was 500");
    CHECK(report.steps[2].error == "other: it threw something that is no std::exception");
    CHECK(contains(report.steps[3].error, "cannot start 'no-such-program-there'"));
    CHECK(contains(report.steps[4].error, "exited with code 9"));
    CHECK(report.steps[5].error.empty());
    CHECK(contains(report.steps[6].error, "not a pipe"));
    CHECK(report.steps[7].error.empty());
    CHECK(report.steps[7].tree_exited);
    CHECK(process.info().last_stop->steps[4].error == report.steps[4].error);
}

#if WARDEN_OS_LINUX
TEMPLATE_TEST_CASE("handles: right after its start a process is listed with the command that was started", "[handles]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const CommandLine command = play("stay");
    for (int i = 0; i < 40; ++i) {
        auto process = manager->spawn(command);
        for (const auto& member : process.tree()) {
            if (member.pid == process.pid()) CHECK(member.command == command.program() + " stay");
        }
        process.kill();
    }
}
#endif
