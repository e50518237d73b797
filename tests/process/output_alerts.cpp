// SPDX-License-Identifier: MIT
// Lines that somebody should know of, in the output of real processes.
#include <support/fixture.hpp>
#include <warden/telemetry/event.hpp>

#include <algorithm>
#include <mutex>
#include <variant>

using namespace support;
using namespace std::chrono_literals;
using warden::Alert;
using warden::AlertAction;
using warden::AlertRule;
using warden::Event;
using warden::EventKind;
using warden::ExitCause;
using warden::SpawnOptions;
using warden::State;

namespace {

/// The events of one kind, as they come.
class Events {
public:
    Events(warden::ProcessManager& manager, EventKind kind)
        : subscription_(manager.subscribe([this, kind](const Event& event) {
              if (event.kind != kind) return;
              const std::lock_guard lock(mutex_);
              events_.push_back(event);
          })) {}

    [[nodiscard]] std::vector<Event> all() const {
        const std::lock_guard lock(mutex_);
        return events_;
    }

private:
    mutable std::mutex mutex_;
    std::vector<Event> events_;
    warden::Subscription subscription_;
};

std::string attribute(const Event& event, std::string_view key) {
    for (const auto& [name, value] : event.attributes) {
        if (name != key) continue;
        if (const auto* text = std::get_if<std::string>(&value)) return *text;
        if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
    }
    return "none";
}

SpawnOptions with(std::vector<AlertRule> rules) {
    SpawnOptions options;
    options.alerts = std::move(rules);
    return options;
}

}  // namespace

TEMPLATE_TEST_CASE("alerts: a line that matches becomes an event, a count and a call", "[alerts]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Events events(*manager, EventKind::alert);
    std::vector<Alert> called;
    AlertRule error = AlertRule::literal("ERROR");
    error.name = "an error";
    error.callback = [&](const Alert& alert) { called.push_back(alert); };
    AlertRule cuda = AlertRule::regex("CUDA .* memory$");
    cuda.from_stdout = false;
    auto process = manager->spawn(
        {"sh", {"-c", "echo fine; echo an ERROR here; echo CUDA out of memory; echo CUDA out of memory >&2"}},
        with({error, cuda}));
    CHECK(process.wait().success());
    REQUIRE(called.size() == 1);  // before the exit is told
    CHECK(called[0].rule == "an error");
    CHECK(called[0].line == "an ERROR here");
    CHECK(called[0].stream == "stdout");
    REQUIRE(eventually([&] { return events.all().size() == 2; }));
    auto told = events.all();
    std::sort(told.begin(), told.end(),
              [](const auto& a, const auto& b) { return attribute(a, "log.iostream") > attribute(b, "log.iostream"); });
    CHECK(attribute(told[0], "warden.alert.line") == "an ERROR here");
    CHECK(attribute(told[0], "warden.alert.rule") == "an error");
    CHECK(attribute(told[1], "warden.alert.rule") == "CUDA .* memory$");
    CHECK(attribute(told[1], "log.iostream") == "stderr");
    CHECK(told[1].uuid == process.uuid());
    CHECK(manager->metrics().alerts_total == 2);
}

TEMPLATE_TEST_CASE("alerts: a flood of matches is told at the rate that was set, and what was not is counted",
                   "[alerts]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Events events(*manager, EventKind::alert);
    AlertRule rule = AlertRule::literal("bad");
    rule.most = 3;
    rule.per = 1h;
    AlertRule same = AlertRule::literal("bad");
    same.name = "the same line";
    same.dedupe = 1h;
    SpawnOptions options = with({rule, same});
    options.slow_consumer = warden::SlowConsumer::pause;
    auto process = manager->spawn(
        {"sh", {"-c", "i=0; while [ $i -lt 20000 ]; do echo bad; i=$((i+1)); done; echo another bad one"}}, options);
    CHECK(process.wait().success());
    REQUIRE(eventually([&] { return events.all().size() == 5; }));
    std::size_t of_first = 0;
    for (const Event& event : events.all()) {
        if (attribute(event, "warden.alert.rule") == "bad") ++of_first;
        else if (attribute(event, "warden.alert.line") == "another bad one")
            CHECK(attribute(event, "warden.alert.suppressed") == "19999");
    }
    CHECK(of_first == 3);
}

TEMPLATE_TEST_CASE("alerts: a rule stops the process, by its plan", "[alerts]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn({"sh", {"-c", "echo loading; echo Traceback >&2; sleep 300"}},
                                  with({AlertRule::literal("Traceback", AlertAction::fail)}));
    static_cast<void>(process.wait());
    CHECK(process.cause() == ExitCause::stopped);
    CHECK(process.state() == State::stopped);
    REQUIRE(eventually([&] { return !process.tree_alive(); }));
}

TEMPLATE_TEST_CASE("alerts: a rule says that the process is ready", "[alerts]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Events events(*manager, EventKind::ready);
    auto process =
        manager->spawn({"sh", {"-c", "echo loading; echo listening on 8080; echo listening again; sleep 300"}},
                       with({AlertRule::regex("^listening on [0-9]+$", AlertAction::ready)}));
    REQUIRE(eventually([&] { return process.state() == State::ready; }));
    REQUIRE(eventually([&] { return events.all().size() == 1; }));
}

TEMPLATE_TEST_CASE("alerts: rules of the manager see every process, and a last line without an end", "[alerts]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.alerts.rules = {AlertRule::literal("PANIC")}; }};
    const Events events(*manager, EventKind::alert);
    CHECK(manager->run({"printf", {"kernel PANIC"}}).out == "kernel PANIC");
    CHECK(manager->run({"sh", {"-c", "echo PANIC >&2"}}, with({AlertRule::literal("PANIC")})).success());
    REQUIRE(eventually([&] { return events.all().size() == 3; }));
}

TEMPLATE_TEST_CASE("alerts: a callback may be slow, throw, and end its own process", "[alerts]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    AlertRule rule = AlertRule::literal("y");
    rule.most = 1000;
    rule.per = 1s;
    std::atomic<int> calls{0};
    rule.callback = [&](const Alert&) {
        if (++calls == 100) static_cast<void>(manager->stop("yes", warden::StopPlan::now()));
        throw 1;
    };
    SpawnOptions options = with({rule});
    options.stdout_ = warden::Output::capture;
    options.capture_bytes = 1000;
    auto process = manager->spawn({"yes"}, options);
    static_cast<void>(process.wait());
    CHECK(process.state() == State::force_killed);
    CHECK(calls >= 100);
    CHECK(manager->metrics().callback_exceptions_total >= 99);  // the last one may still be on its way
}

TEMPLATE_TEST_CASE("alerts: bad rules are refused with what to write instead", "[alerts]", OnCgroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto message = [&](AlertRule rule) {
        return std::string(failed_start(*manager, victim("exit"), with({std::move(rule)})).what());
    };
    CHECK(message(AlertRule::literal("")).find("write what to look for") != std::string::npos);
    CHECK(message(AlertRule::regex("a(b")).find("a(b") != std::string::npos);
    CHECK(message(AlertRule::regex("(a+)+$")).find("explodes") != std::string::npos);
    warden::ManagerConfig config;
    config.alerts.rules = {AlertRule::regex("[")};
    CHECK_THROWS_AS(warden::ProcessManager(config), warden::system_error);
}
