// SPDX-License-Identifier: MIT
// No dead rows: each figure, each kind of event and each code that warden names occurs in a run of a few processes.
#include "detached.hpp"
#include <support/fixture.hpp>
#include <support/lives.hpp>
#include <support/start.hpp>
#include <warden/detail/containment/guardian_linux.hpp>
#include <warden/logs/log_search.hpp>
#include <warden/logs/log_sink.hpp>
#include <warden/supervision/readiness.hpp>
#include <warden/supervision/service_group.hpp>
#include <warden/telemetry/prometheus.hpp>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::error_code;
using warden::EventKind;
using warden::ExitCause;
using warden::Mechanism;
using warden::Output;
using warden::SpawnOptions;
using warden::StopPlan;

namespace {

constexpr bool has_guardian = WARDEN_OS_LINUX;

/// A manager whose thresholds are met at once.
void be_watchful(warden::ManagerConfig& config) {
    config.health_interval = 20ms;
    config.alerts.active_processes = 1;
    config.stop_plan = StopPlan::prompt();
}

/// A service that fails again and again until it is given up.
void fail_for_good(TestManager& manager) {
    warden::ServiceGroup group(*manager);
    warden::RestartPolicy policy = warden::RestartPolicy::on_failure();
    policy.initial_delay = 1ms;
    policy.max_restarts = 1;
    group.add({.name = "bad", .command = play("exit", "3"), .restart = policy});
    error_code ec;
    group.start(30s, ec);
    group.wait();
}

/// Ends of every cause that processes of this system have.
void end_in_every_way(TestManager& manager) {
    manager->run(play("exit", "3"));
    manager->run(play("crash"));
    manager->run(victim("kill-self", std::to_string(SIGXCPU)));
    SpawnOptions timed;
    timed.timeout = 20ms;
    manager->run(play("stay"), timed);
    SpawnOptions bounded;
    bounded.max_output_bytes = 10;
    manager->run(play("bytes", "1000", "stay"), bounded);
    ready(manager, {"out", "ready\n", "stay"}).stop(StopPlan::prompt());
    ready(manager, {"ignore", "out", "ready\n", "stay"}).stop(StopPlan{}.terminate(20ms).kill(30s));
    auto lost = ready(manager, {"out", "ready\n", "stay"});
    if constexpr (has_guardian) REQUIRE(::kill(lost.tree().front().parent, SIGKILL) == 0);  // its keeper
    else lost.kill();
    lost.wait();
}

/// The log cannot be written while a file stands where its directory was, and can be written again afterwards.
void lose_a_log(TestManager& manager, const Listener& listener) {
    SpawnOptions options;
    options.log.directory = manager.directory / "lost";
    options.stdin_ = warden::Input::pipe;
    auto process = ready(manager, {"out", "ready\n", "echo"}, options);
    std::filesystem::rename(manager.directory / "lost", manager.directory / "away");
    write_file(manager.directory / "lost", "");
    const auto written_until = [&](EventKind kind) {
        return eventually([&] {
            process.write("x\n");
            return listener.count(kind) > 0;
        });
    };
    CHECK(written_until(EventKind::log_degraded));
    std::filesystem::remove(manager.directory / "lost");
    CHECK(written_until(EventKind::log_recovered));
}

void misbehave(TestManager& manager, const Listener& listener) {
    static_cast<void>(failed_start(*manager, {nowhere + "program"}));
    SpawnOptions thrower;
    thrower.on_line = [](const warden::OutputLine&) { throw std::runtime_error("a callback of the program"); };
    thrower.capture_bytes = 10;
    manager->run(play("bytes", "1000", "out", "\n"), thrower);
    SpawnOptions announced;
    announced.name = "again";
    announced.alerts = {warden::AlertRule::literal("ready", warden::AlertAction::ready)};
    auto first = ready(manager, {"out", "ready\n", "stay"}, announced);
    const auto second = manager->restart("again");
    ready(manager, {"leave", "close", "stay"}).wait();
    CHECK(eventually([&] {  // one that can still be named the moment after it was killed
        ready(manager, {"out", "ready\n", "stay"}).stop(StopPlan{}.kill(1ns));
        return manager->metrics().cleanup_failures_total > 0;
    }));
    auto holder = manager->spawn(play("leave", "stay"), {.name = "holder"});  // output stays open
    holder.wait();
    lose_a_log(manager, listener);
    if constexpr (has_guardian) {
        REQUIRE(::kill(static_cast<pid_t>(manager->guardian_pid()), SIGKILL) == 0);
        CHECK(eventually([&] { return listener.count(EventKind::guardian_lost) > 0; }));
    }
}

/// More events than a subscriber that does not return may keep waiting.
void outrun_a_subscriber(TestManager& manager) {
    std::promise<void> release;
    std::shared_future<void> released = release.get_future().share();
    const auto slow = manager->subscribe([released](const warden::Event&) { released.wait(); });
    const bool dropped = eventually([&] {
        for (int i = 0; i < 500; ++i) {
            error_code ec;
            static_cast<void>(manager->spawn(warden::CommandLine("", {}), {}, ec));
        }
        return manager->metrics().dropped_events_total > 0;
    });
    release.set_value();
    CHECK(dropped);
}

std::string whole_event_log(const std::filesystem::path& data) {
    std::string text;
    for (const auto& entry : std::filesystem::directory_iterator(data / "events")) text += read_file(entry.path());
    return text;
}

/// A manager that runs what others need of it, for calls that are to be refused.
error_code refusal(const warden::CommandLine& command, const SpawnOptions& options,
                   const TestManager::Adjust& adjust = {}) {
    TestManager manager(adjust);
    error_code ec;
    static_cast<void>(manager->spawn(command, options, ec));
    return ec;
}

error_code in_a_fork(const std::function<error_code()>& call) {
    int value = 0;
    const std::string failures = in_subprocess([&](Checks& check) { check.failure(std::to_string(call().value())); });
    value = std::atoi(failures.c_str());
    return {value, warden::error_category()};
}

SpawnOptions with(const std::function<void(SpawnOptions&)>& change) {
    SpawnOptions options;
    change(options);
    return options;
}

#if WARDEN_OS_LINUX
error_code keeper_without_guardian() {
    warden::detail::IoLoop loop;
    error_code ec;
    static_cast<void>(std::make_shared<warden::detail::Guardian>(loop, warden::detail::GuardianDuty{})
                          ->take_keeper(warden::SteadyTime::clock::now(), ec));
    return ec;
}
#else
error_code keeper_without_guardian() { return {}; }
#endif

/// Whether files here can say whose logs they are.
bool keeps_marks() {
    const TestDirectory place;
    error_code ec;
    const auto sink = warden::LogSink::open(place / "log", {}, {}, ec);
    return static_cast<bool>(
        warden::detail::read_mark(warden::detail::open_log_to_read(place / "log", ec).handle.get()));
}

/// How each code is come by. A code without a row here is one that no program can ever see.
const std::map<errc, std::function<error_code()>> ways{
    {errc::invalid_command, [] { return refusal(warden::CommandLine("", {}), {}); }},
    {errc::invalid_environment,
     [] { return refusal(play(), with_environment(warden::Environment::inherit().set("a=b", "c"))); }},
    {errc::invalid_options, [] { return refusal(play(), with([](auto& o) { o.identity.nice = 99; })); }},
    {errc::invalid_timeout, [] { return refusal(play(), with([](auto& o) { o.timeout = 0ms; })); }},
    {errc::invalid_signal,
     [] {
         TestManager manager;
         auto process = manager->spawn(play("stay"));
         error_code ec;
         process.signal(12345, ec);
         return ec;
     }},
    {errc::invalid_configuration,
     [] { return thrown_by([] { TestManager manager([](auto& config) { config.max_processes = 0; }); }).first; }},
    {errc::already_configured,
     [] {
         return in_a_fork([] {
             warden::ProcessManager::configure({});
             return thrown_by([] { warden::ProcessManager::configure({}); }).first;
         });
     }},
    {errc::too_many_processes,
     [] {
         TestManager manager([](auto& config) { config.max_processes = 1; });
         const auto first = manager->spawn(play("stay"));
         error_code ec;
         static_cast<void>(manager->spawn(play("stay"), {}, ec));
         return ec;
     }},
    {errc::preflight_failed,
     [] {
         return refusal(play(), with([](auto& o) {
                            o.preflight = {{"no", [] { return std::optional<std::string>("no"); }}};
                        }));
     }},
    {errc::containment_unavailable,
     [] {
         return refusal(play(), with([](auto& o) { o.containment.covers_setsid = true; }),
                        [](auto& config) { config.mechanism = Mechanism::process_group; });
     }},
    {errc::containment_lost, keeper_without_guardian},
    {errc::launch_incomplete,
     [] {
         return in_a_fork([] {
             if (!deny_system_calls({SYS_setgroups}, kill_instead)) return error_code();
             return refusal(play(), with([](auto& o) { o.identity.group = std::to_string(::getegid()); }),
                            [](auto& config) { config.mechanism = Mechanism::process_group; });
         });
     }},
    {errc::not_found,
     [] {
         TestManager manager;
         return thrown_by([&] { manager->stop("nobody"); }).first;
     }},
    {errc::ambiguous,
     [] {
         const TestDirectory logs;
         for (const std::string last : {"1", "2"}) {
             error_code ec;
             auto sink = warden::LogSink::open(logs / last, {}, {}, ec);
             sink.set_owner(to_text(warden::detail::LogOwner{"0123abcd-0000-4000-8000-00000000000" + last, false,
                                                             std::chrono::system_clock::now(), "job"}));
         }
         error_code ec;
         static_cast<void>(warden::find_log(logs.path(), "0123abcd", ec));
         return ec;
     }},
    {errc::no_process,
     [] {
         error_code ec;
         warden::ManagedProcess().signal(SIGTERM, ec);
         return ec;
     }},
    {errc::already_ended,
     [] {
         TestManager manager;
         auto process = manager->spawn(play());
         process.wait();
         error_code ec;
         process.signal(SIGTERM, ec);
         return ec;
     }},
    {errc::input_closed,
     [] {
         TestManager manager;
         auto process = manager->spawn(play("stay"));
         error_code ec;
         process.write("x", ec);
         return ec;
     }},
    {errc::timed_out,
     [] {
         TestManager manager;
         auto process = manager->spawn(play("stay"), with_three_pipes());
         error_code ec;
         static_cast<void>(process.communicate({}, 20ms, ec));
         return ec;
     }},
    {errc::shut_down,
     [] {
         std::promise<error_code> answer;
         std::optional<TestManager> manager(std::in_place);
         const auto process = (*manager)->spawn(play("stay"));
         const auto late = (*manager)->subscribe([&, &open = **manager](const warden::Event& event) {
             error_code ec;
             if (event.kind != EventKind::stop) return;
             static_cast<void>(open.spawn(play(), {}, ec));
             answer.set_value(ec);
         });
         manager.reset();
         return answer.get_future().get();
     }},
    {errc::forked,
     [] {
         TestManager manager;
         return in_a_fork([&] { return thrown_by([&] { static_cast<void>(manager->list()); }).first; });
     }},
    {errc::service_failed,
     [] {
         TestManager manager;
         warden::ServiceGroup group(*manager);
         group.add({.name = "bad", .command = play("exit", "3"), .restart = {.mode = warden::RestartMode::never}});
         group.add({.name = "after",
                    .command = play(),
                    .depends_on = {{"bad", warden::DependencyCondition::completed_well}}});
         error_code ec;
         group.start(30s, ec);
         return ec;
     }},
    {errc::detached,
     [] {
         const DetachedRun run(Mechanism::automatic);
         warden::ProcessManager manager(run.config());
         error_code ec;
         manager.spawn({"sleep", "60"}, with([](auto& o) { o.detached = true; })).kill(ec);
         return ec;
     }},
    {errc::already_running,
     [] {
         const DetachedRun run(Mechanism::automatic);
         const warden::SpawnOptions options{.if_running = warden::IfRunning::refuse};
         static_cast<void>(run.processes().spawn({"sleep", "60"}, options));
         return thrown_by([&] { static_cast<void>(run.processes().spawn({"sleep", "60"}, options)); }).first;
     }},
    {errc::probe_failed,
     [] {
         TestManager manager;
         auto process = manager->spawn(play("out", "panic\n", "stay"));
         return warden::watch_liveness(process, warden::Probe::fails_on_line("panic")).wait().code;
     }},
};

}  // namespace

TEST_CASE("figures: each figure that is exported and each kind of event occurs in a run of a few processes",
          "[events]") {
    TestManager manager(has_guardian ? Mechanism::keeper : Mechanism::automatic, be_watchful);
    const Listener listener(*manager);
    end_in_every_way(manager);
    misbehave(manager, listener);
    fail_for_good(manager);
    auto last = ready(manager, {"out", "ready\n", "stay"});
    const std::uint64_t active = manager->metrics().active;
    outrun_a_subscriber(manager);
    manager->cleanup_all();
    REQUIRE(eventually([&] { return listener.count(EventKind::health) > 0 && manager->metrics().active == 0; }));
    CHECK(eventually(no_keepers_left_to_us));
    auto metrics = manager->metrics();
    metrics.active = active;
    std::istringstream figures(to_prometheus(metrics));
    for (std::string line; std::getline(figures, line);) {
        if (line.starts_with('#') || contains(line, "{")) continue;
        INFO(line);
        CHECK_FALSE(line.ends_with(" 0"));
    }
    for (std::size_t i = 0; i < warden::exit_cause_count; ++i) {
        const auto cause = static_cast<ExitCause>(i);
        if (cause == ExitCause::memory_limit) continue;  // of job objects: the tests of Windows see it
        if (cause == ExitCause::unknown && !has_guardian) continue;
        INFO(to_string(cause));
        CHECK(metrics.exits_by(cause) > 0);
    }
    CHECK(metrics.spawn_latency.count() > 0);
    CHECK(metrics.stop_latency.count() > 0);
    std::string written;
    CHECK(eventually([&] {
        written = whole_event_log(manager.directory / "data");
        return contains(written, "warden.manager.cleanup\"");
    }));
    for (const auto& row : warden::detail::event_kind_rows) {
        if (row.kind == EventKind::guardian_lost && !has_guardian) continue;
        INFO(row.event_name);
        CHECK(contains(written, "\"event.name\":\"" + std::string(row.event_name) + '"'));
    }
}

TEST_CASE("figures: each code that an error may have is the answer to some call", "[events]") {
    for (std::size_t i = 1; i < warden::detail::errc_messages.size(); ++i) {
        const auto code = static_cast<errc>(i);
        if (code == errc::containment_lost && !has_guardian) continue;
        if (code == errc::ambiguous && !keeps_marks()) continue;
        INFO(error_code(code).message());
        const auto way = ways.find(code);
        REQUIRE(way != ways.end());
        CHECK(way->second() == code);
    }
}

TEMPLATE_TEST_CASE("figures: a resource limit that ended a process is an event with its name and value", "[events]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Listener listener(*manager);
    SpawnOptions options;
    options.limits.file_bytes = 1000;
    options.stdout_ = Output::to_file(manager.directory / "file");
    const auto status = manager->spawn({"head", "-c", "100000", "/dev/zero"}, options).wait();
    CHECK(status.signal() == SIGXFSZ);
    REQUIRE(eventually([&] { return listener.count(EventKind::exit) == 1; }));
    std::map<std::string, warden::AttributeValue> attributes;
    for (const auto& event : listener.events()) {
        if (event.kind == EventKind::limit) attributes.insert(event.attributes.begin(), event.attributes.end());
    }
    CHECK(attributes["warden.limit.name"] == warden::AttributeValue(std::string("file_bytes")));
    CHECK(attributes["warden.limit.value"] == warden::AttributeValue(std::int64_t{1000}));
}

TEST_CASE("figures: what a process logs is counted as given to log files", "[events]") {
    TestManager manager;
    manager->spawn(play("bytes", "5000"), with([](auto& o) { o.stdout_ = Output::log; })).wait();
    CHECK(eventually([&] { return manager->metrics().log_bytes_total == 5000; }));
}
