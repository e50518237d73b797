// SPDX-License-Identifier: MIT
// Limits of time and of the number of processes; how a manager is set up, or refuses to be; options that Windows has
// nothing for.
#include <cmath>
#include <cstdlib>
#include <limits>

#include <windows/scenario_start.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::ExitCause;
using warden::ManagerConfig;
using warden::Output;
using warden::ProcessManager;
using warden::SpawnOptions;
using warden::SpawnStep;
using warden::Timeout;

namespace {

SpawnOptions with_timeout(Timeout timeout) {
    SpawnOptions options;
    options.timeout = timeout;
    options.stop_plan = warden::StopPlan::now();
    return options;
}

/// The error that `f` throws; success if it throws none.
template <class F>
std::pair<warden::error_code, std::string> thrown_by(F f) {
    try {
        f();
    } catch (const warden::system_error& error) {
        return {error.code(), error.what()};
    }
    return {};
}

/// Runs the current case again, alone in a process of its own with `changes` to the environment, and `body` there: what
/// is once in a program needs a program for it. The title of the case may hold no comma.
template <class Body>
void in_own_process(warden::Environment changes, Body body) {
    if (std::getenv("WARDEN_TEST_INSIDE")) return body();
    TestManager manager;
    const std::string name = Catch::getResultCapture().getCurrentTestName();
    changes.set("WARDEN_TEST_INSIDE", "1").set("WARDEN_DATA_DIRECTORY", (manager.directory / "inner").string());
    const auto inside = manager->run(warden::CommandLine(beside("windows_tests.exe"), {name, "--warn", "NoTests"}),
                                     {.environment = std::move(changes)});
    INFO(inside.out << inside.err);
    CHECK(inside.success());
}

}  // namespace

// -- time -------------------------------------------------------------------------------------------------------------

TEST_CASE("scenario: a timeout of zero, less or no number is refused, and one beyond all clocks is for ever",
          "[scenario]") {
    TestManager manager;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    for (const Timeout bad :
         {Timeout(0s), Timeout(-1s), Timeout(-1ns), Timeout(std::chrono::hours::min()),
          Timeout(std::chrono::duration<double>(nan)), Timeout(std::chrono::duration<double>(-infinity))}) {
        const auto error = failed_start(*manager, victim("exit", "0"), with_timeout(bad));
        CHECK(error.code() == errc::invalid_timeout);
        CHECK(error.step() == SpawnStep::validation);
    }
    for (const Timeout endless :
         {warden::no_timeout, Timeout(std::chrono::hours::max()), Timeout(warden::Nanoseconds::max() - 1ns),
          Timeout(std::chrono::duration<double>(infinity))}) {
        const auto result = manager->run(victim("exit", "8"), with_timeout(endless));
        CHECK(result.status.code() == 8);
        CHECK(result.cause == ExitCause::normal);
    }
}

TEST_CASE("scenario: a timeout of a millisecond stops the process and is its cause", "[scenario]") {
    TestManager manager;
    const auto result = manager->run(victim("sleep-forever"), with_timeout(1ms));
    CHECK(result.cause == ExitCause::timed_out);
    CHECK_FALSE(result.success());
    CHECK(manager->metrics().timeouts_total == 1);
}

TEST_CASE("scenario: every wait saturates, and one that is over looks and returns", "[scenario]") {
    TestManager manager;
    auto process = manager->spawn(victim("sleep-forever"));
    CHECK_FALSE(process.wait_for(0s));
    CHECK_FALSE(process.wait_for(-1h));
    CHECK_FALSE(process.wait_for(1ms));
    CHECK_FALSE(process.wait_for(std::chrono::hours::min()));
    CHECK_FALSE(process.wait_for(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())));
    CHECK_FALSE(process.wait_until(std::chrono::steady_clock::now() - 1s));
    CHECK_FALSE(process.wait_until(std::chrono::system_clock::now() - 1h));
    process.kill();
    CHECK(process.wait_for(std::chrono::hours::max()).has_value());
    CHECK(process.wait_for(0s).has_value());
    CHECK(process.wait_until(std::chrono::steady_clock::time_point::max()).has_value());
}

TEST_CASE("scenario: a process that asks for no timeout of its own gets the default, and its stop plan", "[scenario]") {
    CHECK(ManagerConfig{}.default_timeout == Timeout(300s));
    TestManager manager([](ManagerConfig& config) { config.default_timeout = 100ms; });
    SpawnOptions options;
    options.stop_plan = warden::StopPlan{}.terminate(50ms).kill(20s);
    auto stubborn = manager->spawn(victim("ignore-break"), options);
    CHECK(stubborn.wait().signaled());
    CHECK(stubborn.cause() == ExitCause::timed_out);
    CHECK(stubborn.runtime() >= 100ms);

    auto longer = manager->spawn(victim("sleep-forever"), with_timeout(warden::no_timeout));
    CHECK_FALSE(longer.wait_for(200ms));
    CHECK(longer.stop().clean());
    CHECK(longer.cause() == ExitCause::forced);
}

// -- how many ---------------------------------------------------------------------------------------------------------

TEST_CASE("scenario: one process too many fails at once with its own error, and there is room again when one has ended",
          "[scenario]") {
    CHECK(ManagerConfig{}.max_processes == 100);
    TestManager manager([](ManagerConfig& config) { config.max_processes = 3; });
    std::vector<warden::ManagedProcess> running;
    for (int i = 0; i < 3; ++i) running.push_back(manager->spawn(victim("sleep-forever"), with_timeout(60s)));
    for (int i = 0; i < 5; ++i) {
        const auto error = failed_start(*manager, victim("sleep-forever"));
        CHECK(error.code() == errc::too_many_processes);
        CHECK(error.step() == SpawnStep::process_limit);
        CHECK(names(error, "at most 3"));
    }
    CHECK(manager->active_pids().size() == 3);
    running.front().kill();
    static_cast<void>(running.front().wait());
    running.push_back(manager->spawn(victim("sleep-forever"), with_timeout(60s)));
    for (int i = 0; i < 10; ++i) CHECK(failed_start(*manager, {"no-such"}).code() == errc::too_many_processes);
    running.back().kill();
    static_cast<void>(running.back().wait());
    for (int i = 0; i < 10; ++i)
        CHECK(failed_start(*manager, {"no-such"}).step() == SpawnStep::executable);  // no place is lost
    CHECK(manager->run(victim("exit", "0")).success());
}

// -- setting up -------------------------------------------------------------------------------------------------------

TEST_CASE("scenario: configure comes once and before the first use of instance", "[scenario]") {
    in_own_process(warden::Environment::inherit(), [] {
        ManagerConfig wanted = ManagerConfig::from_environment();
        wanted.handle_signals = false;
        wanted.max_processes = 7;
        ProcessManager::configure(wanted);
        CHECK(thrown_by([&] { ProcessManager::configure(wanted); }).first == errc::already_configured);
        CHECK(ProcessManager::instance().config().max_processes == 7);
        CHECK(&ProcessManager::instance() == &ProcessManager::instance());
        CHECK(thrown_by([&] { ProcessManager::configure(wanted); }).first == errc::already_configured);
        CHECK(ProcessManager::instance().run(victim("exit", "4")).status.code() == 4);
    });
}

TEST_CASE("scenario: without configure the environment counts and configure comes too late after that", "[scenario]") {
    in_own_process(warden::Environment::inherit().set("WARDEN_HANDLE_SIGNALS", "no").set("WARDEN_MAX_PROCESSES", "11"),
                   [] {
                       CHECK(ProcessManager::instance().config().max_processes == 11);
                       CHECK(thrown_by([] { ProcessManager::configure({}); }).first == errc::already_configured);
                       CHECK(ProcessManager::instance().run(victim("exit", "4")).status.code() == 4);
                   });
}

TEST_CASE("scenario: an invalid configuration is refused with every mistake in its message", "[scenario]") {
    ManagerConfig config;
    config.max_processes = 0;
    config.default_timeout = Timeout(-5s);
    config.graceful_timeout = -1s;
    config.cleanup_interval = 0s;
    config.stop_plan = warden::StopPlan{}.terminate(1s);
    config.max_line_bytes = 1;
    for (const auto& [code, message] :
         {thrown_by([&] { ProcessManager manager(config); }), thrown_by([&] { ProcessManager::configure(config); })}) {
        CHECK(code == errc::invalid_configuration);
        INFO(message);
        for (const char* name : {"max_processes", "default_timeout", "graceful_timeout", "cleanup_interval",
                                 "stop plan", "max_line_bytes"})
            CHECK(contains(message, name));
    }
}

TEST_CASE("scenario: an invalid environment is refused with every variable named and can be mended", "[scenario]") {
    static constexpr const char* names[] = {"WARDEN_MAX_PROCESSES", "WARDEN_DEFAULT_TIMEOUT", "PM_GRACEFUL_TIMEOUT",
                                            "WARDEN_MECHANISM"};
    auto environment = warden::Environment::inherit();
    environment.set(names[0], "many").set(names[1], "-3").set(names[2], "soon").set(names[3], "magic");
    in_own_process(environment, [] {
        const auto [code, message] = thrown_by([] { static_cast<void>(ProcessManager::instance()); });
        CHECK(code == errc::invalid_configuration);
        INFO(message);
        for (const char* name : names) CHECK(contains(message, name));
        for (const char* name : names) ::_putenv_s(name, "");
        CHECK_FALSE(thrown_by([] { static_cast<void>(ProcessManager::instance()); }).first);
    });
}

TEST_CASE("scenario: a manager that could not be set up starts nothing and says why", "[scenario]") {
    const TestDirectory place;
    const auto below_file = write_file(place / "file", "") / "data";
    TestManager manager([&](ManagerConfig& config) { config.data_directory = below_file; });
    const auto error = failed_start(*manager, victim("exit", "0"));
    INFO(error.what());
    CHECK(error.step() == SpawnStep::setup);
    CHECK(names(error, below_file.string()));
    CHECK(names(error, "WARDEN_DATA_DIRECTORY"));
    CHECK(manager->health().status() == warden::HealthStatus::failing);
}

TEST_CASE("scenario: a mechanism of another system is refused where it is asked for, and no other is taken",
          "[scenario]") {
    for (const auto mechanism :
         {warden::Mechanism::cgroup, warden::Mechanism::keeper, warden::Mechanism::process_group}) {
        TestManager other([&](ManagerConfig& config) { config.mechanism = mechanism; });
        const auto error = failed_start(*other, victim("exit", "0"));
        CHECK(error.step() == SpawnStep::setup);
        CHECK(error.code() == errc::containment_unavailable);

        TestManager manager;
        SpawnOptions options;
        options.containment.mechanism = mechanism;
        const auto refused = failed_start(*manager, victim("exit", "0"), options);
        CHECK(refused.step() == SpawnStep::containment);
        CHECK(refused.code() == errc::containment_unavailable);
    }
    TestManager manager;
    SpawnOptions options;
    options.containment = {.covers_setsid = true, .covers_host_crash = true};
    CHECK(manager->run(victim("exit", "0"), options).success());
}

TEST_CASE("scenario: options that contradict each other are refused together", "[scenario]") {
    TestManager manager;
    SpawnOptions options;
    options.stdout_ = Output::merge;
    options.stderr_ = Output::null | Output::log;
    options.stop_plan = warden::StopPlan{}.terminate(-1s);
    options.identity.umask = 07777;
    const auto error = failed_start(*manager, victim("exit", "0"), options);
    CHECK(error.code() == errc::invalid_options);
    INFO(error.what());
    for (const char* part : {"merge", "stand alone", "stop plan", "negative", "umask"}) CHECK(names(error, part));
}

TEST_CASE("scenario: what Windows does not have is refused by its step and in words", "[scenario]") {
    TestManager manager;
    const auto refused = [&](SpawnStep step, const char* words, auto change) {
        SpawnOptions options;
        change(options);
        const auto error = failed_start(*manager, victim("exit", "0"), options);
        INFO(error.what());
        CHECK(error.code() == errc::invalid_options);
        CHECK(error.step() == step);
        CHECK(names(error, words));
    };
    refused(SpawnStep::identity, "no other user", [](auto& options) { options.identity.user = "somebody"; });
    refused(SpawnStep::identity, "group", [](auto& options) { options.identity.group = "somebody"; });
    refused(SpawnStep::identity, "umask", [](auto& options) { options.identity.umask = 022; });
    refused(SpawnStep::resource_limits, "open files", [](auto& options) { options.limits.open_files = 77; });
    refused(SpawnStep::resource_limits, "file sizes", [](auto& options) { options.limits.file_bytes = 1000; });
    refused(SpawnStep::resource_limits, "core files", [](auto& options) { options.limits.core_bytes = 0; });
    refused(SpawnStep::descriptors, "no terminals", [](auto& options) { options.terminal.emplace(); });
    const auto contradicts = [&](auto change) {
        refused(SpawnStep::validation, "terminal", [&](SpawnOptions& options) {
            options.terminal.emplace();
            change(options);
        });
    };
    contradicts([](SpawnOptions& options) { options.terminal->rows = 0; });
    contradicts([](SpawnOptions& options) { options.stdin_ = warden::Input::inherit; });
    contradicts([](SpawnOptions& options) { options.stdout_ = Output::inherit; });
    contradicts([](SpawnOptions& options) { options.stderr_ = Output::capture; });
    CHECK(manager->metrics().spawned_total == 0);

    auto without = manager->spawn(victim("sleep-forever"), with_timeout(warden::no_timeout));
    warden::error_code ec;
    without.resize_terminal({.columns = 80, .rows = 24}, ec);
    CHECK(ec == errc::invalid_options);
}
