// SPDX-License-Identifier: MIT
// Limits of time and of the number of processes; how a manager is set up, or refuses to be.
#include <support/start.hpp>

#include <chrono>
#include <limits>
#include <optional>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::ExitCause;
using warden::ManagerConfig;
using warden::Mechanism;
using warden::Output;
using warden::ProcessManager;
using warden::SpawnOptions;
using warden::SpawnStep;
using warden::StopPlan;
using warden::Timeout;

namespace {

#if WARDEN_OS_WINDOWS  // where a process without a console cannot be asked
const std::optional<StopPlan> patient = StopPlan::now();
constexpr int end_signal = kill_signal;
constexpr ExitCause end_cause = ExitCause::forced;
constexpr auto shortest_life = 100ms;
const std::vector<Mechanism> of_others{Mechanism::cgroup, Mechanism::keeper, Mechanism::process_group};
#else
const std::optional<StopPlan> patient;  // the default
constexpr int end_signal = 15;
constexpr ExitCause end_cause = ExitCause::stopped;
constexpr auto shortest_life = 150ms;
const std::vector<Mechanism> of_others{Mechanism::job_object};
#endif

SpawnOptions with_timeout(Timeout timeout) {
    SpawnOptions options;
    options.timeout = timeout;
    options.stop_plan = patient;
    return options;
}

}  // namespace

// -- N01, LIM-2: time -------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("limits: a timeout of zero, less or no number is refused, and one beyond all clocks is for ever",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    for (const Timeout bad :
         {Timeout(0s), Timeout(-1s), Timeout(-1ns), Timeout(std::chrono::hours::min()),
          Timeout(std::chrono::duration<double>(nan)), Timeout(std::chrono::duration<double>(-infinity))}) {
        const auto error = failed_start(*manager, play("exit", "0"), with_timeout(bad));
        CHECK(error.code() == errc::invalid_timeout);
        CHECK(error.step() == SpawnStep::validation);
    }
    for (const Timeout endless :
         {warden::no_timeout, Timeout(std::chrono::hours::max()), Timeout(warden::Nanoseconds::max() - 1ns),
          Timeout(std::chrono::duration<double>(1e300)), Timeout(std::chrono::duration<double>(infinity))}) {
        const auto result = manager->run(play("exit", "8"), with_timeout(endless));
        CHECK(result.status.code() == 8);
        CHECK(result.cause == ExitCause::exited);
    }
}

TEMPLATE_TEST_CASE("limits: a timeout of a millisecond stops the process and is its cause", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto result = manager->run(play("stay"), with_timeout(1ms));
    CHECK(result.cause == ExitCause::timed_out);
    CHECK(result.status.signal() == end_signal);
    CHECK_FALSE(result.success());
    CHECK(manager->metrics().timeouts_total == 1);
}

TEMPLATE_TEST_CASE("limits: every wait saturates, and one that is over looks and returns", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(play("stay"));
    CHECK_FALSE(process.wait_for(0s));
    CHECK_FALSE(process.wait_for(-1h));
    CHECK_FALSE(process.wait_for(std::chrono::hours::min()));
    CHECK_FALSE(process.wait_for(1ms));
    CHECK_FALSE(process.wait_for(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())));
    CHECK_FALSE(process.wait_until(std::chrono::steady_clock::now() - 1s));
    CHECK_FALSE(process.wait_until(std::chrono::system_clock::now() - 1h));
    process.kill();
    CHECK(process.wait_for(std::chrono::hours::max()).has_value());
    CHECK(process.wait_for(0s).has_value());
    CHECK(process.wait_until(std::chrono::steady_clock::time_point::max()).has_value());
}

TEMPLATE_TEST_CASE("limits: a process that asks for no timeout of its own gets the default, and its stop plan",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    CHECK(ManagerConfig{}.default_timeout == Timeout(300s));
    TestManager manager{TestType::mechanism, [](ManagerConfig& config) { config.default_timeout = 100ms; }};
    SpawnOptions options;
    options.stop_plan = StopPlan{}.terminate(50ms).kill(20s).last_resort(1s);
    auto stubborn = manager->spawn(play("ignore", "stay"), options);
    CHECK(stubborn.wait().signal() == kill_signal);
    CHECK(stubborn.cause() == ExitCause::timed_out);
    CHECK(stubborn.runtime() >= shortest_life);

    auto longer = manager->spawn(play("stay"), with_timeout(warden::no_timeout));
    CHECK_FALSE(longer.wait_for(200ms));
    CHECK(longer.stop().clean());
    CHECK(longer.cause() == end_cause);
}

// -- LIM-1: how many --------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE(
    "limits: one process too many fails at once with its own error, and there is room again when one has ended",
    "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    CHECK(ManagerConfig{}.max_processes == 100);
    TestManager manager{TestType::mechanism, [](ManagerConfig& config) { config.max_processes = 3; }};
    std::vector<warden::ManagedProcess> running;
    for (int i = 0; i < 3; ++i) running.push_back(manager->spawn(play("stay"), with_timeout(60s)));
    for (int i = 0; i < 5; ++i) {
        const auto began = std::chrono::steady_clock::now();
        const auto error = failed_start(*manager, play("stay"));
        CHECK(std::chrono::steady_clock::now() - began < 1s);
        CHECK(error.code() == errc::too_many_processes);
        CHECK(error.step() == SpawnStep::process_limit);
        CHECK(names(error, "at most 3"));
    }
    CHECK(manager->active_pids().size() == 3);
    running.front().kill();
    static_cast<void>(running.front().wait());
    running.push_back(manager->spawn(play("stay"), with_timeout(60s)));
    CHECK(failed_start(*manager, play("stay")).code() == errc::too_many_processes);
    for (int i = 0; i < 10; ++i) CHECK(failed_start(*manager, {"no-such"}).code() == errc::too_many_processes);
    running.back().kill();
    static_cast<void>(running.back().wait());
    for (int i = 0; i < 10; ++i) {  // no place is lost
        const auto error = failed_start(*manager, {"no-such"});
        CHECK(error.code() == no_such_file);
        CHECK(error.step() == SpawnStep::executable);
    }
    CHECK(manager->run(play("exit", "0")).success());
}

// -- MGR-4, CFG-1: setting up -----------------------------------------------------------------------------------------

TEST_CASE("limits: an invalid configuration is refused with every mistake in its message", "[start]") {
    ManagerConfig config;
    config.max_processes = 0;
    config.default_timeout = Timeout(-5s);
    config.graceful_timeout = -1s;
    config.health_interval = 0s;
    config.stop_plan = StopPlan{}.terminate(1s);
    config.spare_keepers = 0;
    config.max_line_bytes = 1;
    for (const auto& [code, message] :
         {thrown_by([&] { ProcessManager manager(config); }), thrown_by([&] { ProcessManager::configure(config); })}) {
        CHECK(code == errc::invalid_configuration);
        for (const char* name : {"max_processes", "default_timeout", "graceful_timeout", "health_interval", "stop plan",
                                 "spare_keepers", "max_line_bytes"}) {
            INFO(name << " is in: " << message);
            CHECK(contains(message, name));
        }
    }
}

TEMPLATE_TEST_CASE("limits: a manager that could not be set up starts nothing and says why", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory place;
    const auto below_file = place.write("file", "") / "data";
    TestManager manager{TestType::mechanism, [&](ManagerConfig& config) { config.data_directory = below_file; }};
    const auto error = failed_start(*manager, play("exit", "0"));
    INFO(error.what());
    CHECK(error.step() == SpawnStep::setup);
    CHECK(names(error, below_file.string()));
    CHECK(names(error, "WARDEN_DATA_DIRECTORY"));
    CHECK(manager->health().status() == warden::HealthStatus::failing);
}

TEST_CASE("limits: a mechanism of another system is refused where it is asked for, and no other is taken", "[start]") {
    for (const auto mechanism : of_others) {
        TestManager other{mechanism};
        const auto error = failed_start(*other, play("exit", "0"));
        CHECK(error.step() == SpawnStep::setup);
        CHECK(error.code() == errc::containment_unavailable);

        TestManager manager;
        SpawnOptions options;
        options.containment.mechanism = mechanism;
        const auto refused = failed_start(*manager, play("exit", "0"), options);
        CHECK(refused.step() == SpawnStep::containment);
        CHECK(refused.code() == errc::containment_unavailable);
    }
}

TEMPLATE_TEST_CASE("limits: options that contradict each other are refused together", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = Output::merge;
    options.stderr_ = Output::null | Output::log;
    options.stop_plan = warden::StopPlan{}.terminate(-1s);
    options.identity.umask = 07777;
    const auto error = failed_start(*manager, play("exit", "0"), options);
    CHECK(error.code() == errc::invalid_options);
    for (const char* part : {"merge", "stand alone", "stop plan", "negative", "umask"}) {
        INFO(part << " is in: " << error.what());
        CHECK(names(error, part));
    }
}
