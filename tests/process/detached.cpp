// SPDX-License-Identifier: MIT
// Processes that outlive the program that started them, each held by a shim.
#include "detached.hpp"

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

using namespace support;
using namespace std::chrono_literals;
using warden::DetachedState;
using warden::errc;
using warden::ExitCause;

namespace {

warden::CommandLine shell(const std::string& text) { return warden::CommandLine::shell(text); }

warden::SpawnOptions named(const char* name) {
    warden::SpawnOptions options;
    options.name = name;
    return options;
}

/// A PATH with nothing in it, for a while.
class NoPath {
public:
    NoPath() : former_(std::getenv("PATH")) { ::setenv("PATH", "/nonexistent", 1); }
    ~NoPath() { ::setenv("PATH", former_.c_str(), 1); }
    NoPath(const NoPath&) = delete;

private:
    std::string former_;
};

}  // namespace

TEMPLATE_TEST_CASE("detached: a process outlives its manager, and its exit code is known to a later one", "[detached]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    DetachedRun run(TestType::mechanism);
    Gate gate;
    warden::Uuid uuid;
    {
        warden::ProcessManager manager(run.config());
        warden::SpawnOptions options = named("counter");
        options.detached = true;
        options.metadata = {{"job", "7"}};
        const auto handle =
            manager.spawn(play("out", "one\n", "await", gate.name(), "out", "two\n", "exit", "3"), options);
        uuid = handle.uuid();
        CHECK(handle.pid() > 0);
        CHECK(handle.name() == "counter");
    }
    const auto process = run.processes().find("counter");
    CHECK(process.uuid() == uuid);
    CHECK(process.state() == DetachedState::running);
    CHECK_FALSE(process.wait_for(50ms));
    gate.open();
    CHECK(process.wait() == warden::ExitStatus::from_code(3));
    const auto info = process.info();
    CHECK(info.state == DetachedState::exited);
    REQUIRE(info.record.exit);
    CHECK(info.record.exit->status.code() == 3);
    CHECK(info.record.exit->cause == ExitCause::exited);
    CHECK(info.record.metadata.at("job") == "7");
    CHECK(info.record.mechanism == TestType::mechanism);
    CHECK(process.tail(10) == std::vector<std::string>{"one", "two"});
    CHECK(run.shims_are_gone());
    CHECK(run.files().size() == 2);  // the record, and what a restart needs
}

TEMPLATE_TEST_CASE("detached: the end of the program, of its group and of its control group leaves the process alone",
                   "[detached]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    DetachedRun run(TestType::mechanism);
    for (const char* ending : {"return", "stay"}) {
        DetachingHost host(run, ending, {"sleep", "60"});
        const auto process = run.processes().find(host.uuid());
        if (ending == std::string_view("stay")) host.kill_group();  // its guardian kills what its groups hold
        else CHECK(host.status() == 0);
        CHECK_FALSE(process.wait_for(100ms));
        CHECK(process.state() == DetachedState::running);
        const auto report = process.stop(warden::StopPlan::prompt().because("enough"));
        CHECK(report.clean());
        CHECK(report.reason == "enough");
        CHECK(process.wait() == warden::ExitStatus::from_signal(SIGTERM, false));
        const auto info = process.info();
        CHECK(info.record.exit.value().cause == ExitCause::stopped);
        CHECK(info.record.exit.value().reason == "enough");
        CHECK(process.stop().steps.size() <= 1);  // it is over
    }
}

TEMPLATE_TEST_CASE("detached: a stop from another program ends members in sessions of their own", "[detached]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    DetachedRun run(TestType::mechanism);
    Handshake handshake(run.directory() / "fifo");
    const auto process = run.processes().spawn(victim(handshake, "setsid-daemon", "stay"));
    const pid_t member = handshake.pid();
    REQUIRE(is_alive(member));
    CHECK(process.stop().clean());
    CHECK_FALSE(is_alive(member));
}

TEMPLATE_TEST_CASE("detached: a killed shim takes its tree with it, and the record says that it is lost", "[detached]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    DetachedRun run(TestType::mechanism);
    Handshake handshake(run.directory() / "fifo");
    const auto process = run.processes().spawn(victim(handshake, "setsid-daemon", "stay"));
    const pid_t member = handshake.pid();
    REQUIRE(is_alive(member));
    const auto shim = static_cast<pid_t>(process.info().record.shim.pid);
    std::optional<warden::ExitStatus> status;
    std::thread waiter([&] { status = process.wait(); });
    REQUIRE(::kill(shim, SIGKILL) == 0);
    waiter.join();
    REQUIRE(status);
    CHECK_FALSE(status->known());
    CHECK(eventually([&] { return !is_alive(member); }, 5s));
    CHECK(process.state() == DetachedState::lost);
    CHECK(process.stop().clean());
    CHECK_THROWS_AS(process.write("x"), warden::system_error);
    process.remove();
    warden::error_code ec;
    static_cast<void>(process.info(ec));
    CHECK(ec == errc::not_found);
    CHECK(run.shims_are_gone());
    CHECK(run.files().empty());
}

TEMPLATE_TEST_CASE("detached: its timeout is in force while no manager runs", "[detached]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    DetachedRun run(TestType::mechanism);
    warden::SpawnOptions options;
    options.timeout = 200ms;
    options.stop_plan = warden::StopPlan::now();
    const auto process = run.processes().spawn({"sleep", "60"}, options);
    CHECK(process.wait() == warden::ExitStatus::from_signal(SIGKILL, false));
    CHECK(process.info().record.exit.value().cause == ExitCause::timed_out);
}

TEST_CASE("detached: a signal that ended it is no exit code", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    const auto process = run.processes().spawn(shell("kill -SEGV $$"));
    const auto status = process.wait();
    CHECK(status.signal() == SIGSEGV);
    CHECK_FALSE(status.exited());
    CHECK(process.info().record.exit.value().cause == ExitCause::crashed);
}

TEST_CASE("detached: its log stays within its bound", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    warden::SpawnOptions options;
    options.log.limits = {10, 1000};
    const auto process = run.processes().spawn(shell("seq 1 100000"), options);
    CHECK(process.wait().success());
    const auto path = process.log_path();
    CHECK(path.is_absolute());
    CHECK(std::filesystem::file_size(path) <= 1000);
    CHECK(process.tail(1) == std::vector<std::string>{"100000"});
}

TEST_CASE("detached: what it reads is written by any program, and ends when its input is closed", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    warden::SpawnOptions options = named("reader");
    options.stdin_ = warden::Input::pipe;
    static_cast<void>(run.processes().spawn({"cat"}, options));
    const auto process = run.processes().find("reader");
    process.write("first\n");
    process.write("second\n");
    process.close_stdin();
    CHECK(process.wait().success());
    CHECK(process.tail(5) == std::vector<std::string>{"first", "second"});
    warden::error_code ec;
    process.write("third\n", ec);
    CHECK(ec == errc::already_ended);
}

TEST_CASE("detached: a signal is sent to the process, and a number that is none is refused", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    Handshake handshake(run.directory() / "fifo");
    const auto process = run.processes().spawn(
        shell("trap 'exit 9' USR1; echo ready $$ >" + handshake.path() + "; while :; do sleep 0.01; done"));
    REQUIRE(handshake.pid() > 0);
    warden::error_code ec;
    process.signal(0, ec);
    CHECK(ec == errc::invalid_signal);
    process.signal(SIGUSR1, ec);
    CHECK_FALSE(ec);
    CHECK(process.wait().code() == 9);
}

TEST_CASE("detached: a start that fails says which step, and leaves no record", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    std::optional<warden::ProcessManager> held(run.config());
    warden::ProcessManager& manager = *held;
    warden::SpawnOptions options;
    options.detached = true;
    const auto missing = failed_start(manager, {"/nonexistent/program"}, options);
    CHECK(missing.step() == warden::SpawnStep::executable);
    CHECK(missing.code() == boost::system::errc::no_such_file_or_directory);
    CHECK(missing.path() == "/nonexistent/program");
    options.working_directory = "/nonexistent";
    CHECK(failed_start(manager, {"true"}, options).step() == warden::SpawnStep::working_directory);
    options.working_directory.clear();
    options.preflight.push_back({"says no", [] { return std::optional<std::string>("no"); }});
    CHECK(failed_start(manager, {"true"}, options).code() == errc::preflight_failed);
    held.reset();  // and its guardian
    CHECK(run.processes().list().empty());
    CHECK(run.shims_are_gone());
    CHECK(run.files().empty());
}

TEST_CASE("detached: options that no other program can follow are refused by name", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    warden::ProcessManager manager(run.config());
    warden::SpawnOptions options;
    options.detached = true;
    options.on_line = [](std::string_view) {};
    options.on_exit = [](const warden::ProcessInfo&) {};
    options.stdout_ = warden::Output::capture;
    const auto error = failed_start(manager, {"true"}, options);
    CHECK(error.code() == errc::invalid_options);
    const std::string what = error.what();
    for (const char* name : {"on_line", "on_exit", "stdout_"}) CHECK(what.find(name) != what.npos);
    warden::SpawnOptions waited_for;
    waited_for.detached = true;
    CHECK_THROWS_AS(manager.run({"true"}, waited_for), warden::SpawnError);
}

TEST_CASE("detached: the handle of the start says who it is, ends nothing, and does nothing else", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    warden::ProcessManager manager(run.config());
    warden::SpawnOptions options = named("job");
    options.detached = true;
    auto handle = manager.spawn({"sleep", "60"}, options);
    CHECK(handle.name() == "job");
    warden::error_code ec;
    static_cast<void>(handle.wait(ec));
    CHECK(ec == errc::detached);
    handle.kill(ec);
    CHECK(ec == errc::detached);
    CHECK(manager.list().empty());
    const auto process = manager.detached().find(handle.uuid());
    handle = warden::ManagedProcess();
    CHECK_FALSE(process.wait_for(50ms));
    process.remove(ec);
    CHECK(ec == boost::system::errc::operation_in_progress);
    CHECK(process.force_stop().clean());
}

TEST_CASE("detached: where nothing can be a shim, the error names the three ways", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    warden::ManagerConfig config = run.config();
    config.shim_program.clear();
    const NoPath no_path;
    warden::ProcessManager manager(config);
    warden::SpawnOptions options;
    options.detached = true;
    const std::string what = failed_start(manager, {"/bin/true"}, options).what();
    for (const char* name : {"shim_program", "run_shim_if_asked", "wardenctl"}) CHECK(what.find(name) != what.npos);
    config.shim_program = "/bin/true";
    const std::string silent = [&] {
        warden::ProcessManager other(config);
        return std::string(failed_start(other, {"/bin/true"}, options).what());
    }();
    CHECK(silent.find("run_shim_if_asked") != silent.npos);
    config.shim_program = "/nonexistent/shim";
    warden::ProcessManager third(config);
    CHECK(failed_start(third, {"/bin/true"}, options).code() == boost::system::errc::no_such_file_or_directory);
}

TEST_CASE("detached: records of processes that have ended are pruned, those of others are not", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    const auto processes = run.processes();
    for (int i = 0; i < 3; ++i) static_cast<void>(processes.spawn({"true"}).wait());
    const auto running = processes.spawn({"sleep", "60"});
    CHECK(processes.prune(1, 1h) == 2);
    CHECK(processes.prune(1, 0ns) == 1);
    const auto left = processes.list();
    REQUIRE(left.size() == 1);
    CHECK(left.front().record.uuid == running.uuid());
}

TEST_CASE("detached: a shim that is asked to end ends its process by its plan, and says so", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    const auto process = run.processes().spawn({"sleep", "60"});
    REQUIRE(::kill(static_cast<pid_t>(process.info().record.shim.pid), SIGTERM) == 0);
    CHECK(process.wait() == warden::ExitStatus::from_signal(SIGTERM, false));
    CHECK(process.info().record.exit.value().cause == ExitCause::host_shutdown);
}
