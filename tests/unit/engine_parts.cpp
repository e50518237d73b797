// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <support/fake_context.hpp>
#include <warden/detail/engine/escalation.hpp>
#include <warden/detail/engine/health_monitor.hpp>
#include <warden/detail/output/alert_watch.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

using namespace warden;
using namespace warden::detail;
using namespace std::chrono_literals;
using test::FakeContext;
using Log = std::vector<std::string>;

namespace {

/// Inspections that take `length` each, and find `report`.
struct Inspector final : HealthInspector {
    explicit Inspector(FakeContext& with) : context(with), monitor(with, *this), timer(with.clock) {}

    void begin_inspection() override {
        context.note("inspection");
        timer.arm(context.clock.now() + length, [this] {
            monitor.report(report, 3);
            monitor.inspected();
        });
    }

    FakeContext& context;
    HealthReport report;
    Nanoseconds length{};
    HealthMonitor monitor;
    Timer timer;
};

[[nodiscard]] ManagerConfig every(Nanoseconds interval) {
    ManagerConfig config;
    config.health_interval = interval;
    return config;
}

[[nodiscard]] HealthReport finds(std::string check, HealthStatus status) {
    HealthReport report;
    report.findings.push_back({std::move(check), status, "a detail"});
    return report;
}

}  // namespace

TEST_CASE("health monitor: the interval is from the end of one inspection to the beginning of the next") {
    FakeContext context(every(60s));
    Inspector inspector(context);
    inspector.length = 5s;
    inspector.monitor.start();
    context.clock.advance(60s - 1ns);
    CHECK(context.log.empty());
    context.clock.advance(2min);
    CHECK(context.log == Log{"60000 inspection", "65000 health", "125000 inspection", "130000 health"});
    inspector.monitor.stop();
    context.clock.advance(24h);
    CHECK(context.log.size() == 4);
}

TEST_CASE("health monitor: an alert when a trouble begins, and again only after two inspections without it") {
    FakeContext context(every(60s));
    Inspector inspector(context);
    inspector.monitor.start();
    const auto alerts_after = [&](HealthStatus status) {
        inspector.report = finds("guardian", status);
        context.clock.advance(60s);
        return context.metrics.snapshot().alerts_total;
    };
    CHECK(alerts_after(HealthStatus::ok) == 0);
    CHECK(alerts_after(HealthStatus::degraded) == 1);
    CHECK(context.log.back() == "120000 alert");
    CHECK(context.events.back().message == "guardian: a detail");
    CHECK(context.events.back().severity == Severity::warning);
    CHECK(alerts_after(HealthStatus::failing) == 1);
    CHECK(alerts_after(HealthStatus::ok) == 1);
    CHECK(alerts_after(HealthStatus::degraded) == 1);  // one without it was not enough
    CHECK(alerts_after(HealthStatus::ok) == 1);
    CHECK(alerts_after(HealthStatus::ok) == 1);
    CHECK(alerts_after(HealthStatus::failing) == 2);
    CHECK(context.events.back().severity == Severity::critical);
}

TEST_CASE("health monitor: zombies are a trouble only at the second inspection in a row") {
    HealthAlerts alerts;
    const HealthFinding bad{"zombies", HealthStatus::degraded, "3"};
    const HealthFinding good{"zombies", HealthStatus::ok, "0"};
    CHECK_FALSE(alerts.is_due(bad));
    CHECK_FALSE(alerts.is_due(good));
    CHECK_FALSE(alerts.is_due(bad));
    CHECK(alerts.is_due(bad));
    CHECK_FALSE(alerts.is_due(bad));
}

TEST_CASE("health monitor: troubles of different checks do not hide one another") {
    HealthAlerts alerts;
    CHECK(alerts.is_due({"limits", HealthStatus::degraded, ""}));
    CHECK(alerts.is_due({"log directory", HealthStatus::degraded, ""}));
    CHECK_FALSE(alerts.is_due({"limits", HealthStatus::degraded, ""}));
}

namespace {

struct Reactions final : AlertReactions {
    explicit Reactions(FakeContext& with) : context(with) {}
    void report(const AlertRule&, const Alert& alert) override {
        context.note(alert.line + " after " + std::to_string(alert.suppressed));
    }
    void act(const AlertRule& rule) override { context.note("act by " + rule.title()); }
    void report_trouble(const AlertRule&, const std::string& words) override { context.note(words); }
    FakeContext& context;
};

}  // namespace

TEST_CASE("alert watch: a rule reports at most so many lines in its time, and says how many it kept back") {
    FakeContext context;
    AlertRule rule = AlertRule::literal("error");
    rule.most = 2;
    rule.per = 10s;
    AlertWatch watch(std::make_shared<const AlertSet>(std::vector{rule}), std::make_unique<Reactions>(context));
    const auto look = [&](std::string_view lines) { watch.look(Stream::stdout_, lines, context.clock.now()); };
    look("error 1\nfine\nerror 2\nerror 3\n");
    context.clock.advance(10s - 1ns);
    look("error 4\n");
    context.clock.advance(1ns);
    look("error 5\n");
    CHECK(context.log == Log{"0 error 1 after 0", "0 error 2 after 0", "10000 error 5 after 2"});
}

TEST_CASE("alert watch: the action of a rule is taken once, before its first report") {
    FakeContext context;
    const AlertRule rule = AlertRule::literal("fatal", AlertAction::stop);
    AlertWatch watch(std::make_shared<const AlertSet>(std::vector{rule}), std::make_unique<Reactions>(context));
    watch.look(Stream::stderr_, "fatal 1\nfatal 2\n", context.clock.now());
    CHECK(context.log == Log{"0 act by fatal", "0 fatal 1 after 0", "0 fatal 2 after 0"});
}

namespace {

/// Takes steps, of which one finds the tree empty.
struct Target final : EscalationTarget {
    explicit Target(FakeContext& with) : context(with) {}
    std::string take_step(const StopStep& step) override {
        context.note(std::string(to_string(step.action)));
        if (step.action == empties_at) escalation->tree_gone();
        return "trouble";
    }
    void step_ended(const StopStep& step, const StopStepResult& result) override {
        context.note("end of " + std::string(to_string(step.action)) + (result.tree_exited ? ", empty" : ""));
    }
    void plan_ended(StopReport over) override {
        context.note("end of plan");
        report = std::move(over);
    }
    FakeContext& context;
    std::shared_ptr<Escalation> escalation;
    StopAction empties_at = StopAction::call;
    StopReport report;
};

}  // namespace

TEST_CASE("escalation: each step has its grace, and the end of a step comes before the next") {
    FakeContext context;
    const auto target = std::make_shared<Target>(context);
    target->escalation = std::make_shared<Escalation>(context.clock, StopPlan{}.terminate(1500ms).kill(0s), target);
    target->escalation->start();
    CHECK(target->escalation->deadline() == context.clock.now() + 1500ms);
    context.clock.advance(1h);
    CHECK(context.log ==
          Log{"0 terminate", "1500 end of terminate", "1500 kill", "1500 end of kill", "1500 end of plan"});
    CHECK(target->report.duration == 1500ms);
    CHECK(target->report.steps[0].error == "trouble");
    target->escalation = nullptr;
    CHECK(target.use_count() == 1);  // what is over holds nobody
}

TEST_CASE("escalation: a tree that is found empty while a step is taken ends the plan there") {
    FakeContext context;
    const auto target = std::make_shared<Target>(context);
    target->empties_at = StopAction::kill;
    target->escalation =
        std::make_shared<Escalation>(context.clock, StopPlan{}.terminate(1s).kill(2s).last_resort(1s), target);
    target->escalation->start();
    context.clock.advance(1h);
    CHECK(context.log ==
          Log{"0 terminate", "1000 end of terminate", "1000 kill", "1000 end of kill, empty", "1000 end of plan"});
    REQUIRE(target->report.steps.size() == 2);
    CHECK(target->report.steps[1].tree_exited);
    CHECK(target->report.duration == 1s);
    target->escalation = nullptr;
}

TEST_CASE("escalation: graces before force are cut to the budget together, and those of force are not") {
    const StopPlan plan = within_budget(StopPlan{}.close_stdin(2s).terminate(10s).kill(2s), 5s);
    CHECK(plan == StopPlan{}.close_stdin(2s).terminate(3s).kill(2s));
    CHECK(within_budget(StopPlan{}.close_stdin(2s).terminate(10s).kill(2s), 1s) ==
          StopPlan{}.close_stdin(1s).terminate(0s).kill(2s));
}
