// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/stop_plan.hpp>

#include <chrono>
#include <set>
#include <string>
#include <vector>

using namespace warden;
using namespace std::chrono_literals;

namespace {
std::vector<StopAction> actions(const StopPlan& plan) {
    std::vector<StopAction> found;
    for (const auto& step : plan.steps()) found.push_back(step.action);
    return found;
}
}  // namespace

TEST_CASE("stop plan: the presets are without mistakes, and take as long as they say") {
    using enum StopAction;
    CHECK(actions(StopPlan::standard()) == std::vector{terminate, kill, last_resort});
    CHECK(actions(StopPlan::prompt()) == std::vector{terminate, kill, last_resort});
    CHECK(actions(StopPlan::gentle()) == std::vector{close_stdin, terminate, kill, last_resort});
    CHECK(actions(StopPlan::now()) == std::vector{kill, last_resort});
    CHECK(StopPlan::standard().deadline() == 6s);
    CHECK(StopPlan::prompt().deadline() == 3500ms);
    CHECK(StopPlan::gentle().deadline() == 15s);
    CHECK(StopPlan::now().deadline() == 3s);
    CHECK(StopPlan::within(3s) == StopPlan::standard());
    for (const auto& plan : {StopPlan::standard(), StopPlan::prompt(), StopPlan::gentle(), StopPlan::now()}) {
        CHECK(plan.validate().empty());
    }
}

TEST_CASE("stop plan: forceful presets kill only after they asked, except now") {
    for (const auto& plan : {StopPlan::standard(), StopPlan::prompt(), StopPlan::gentle()}) {
        const auto taken = actions(plan);
        const auto asked = std::find(taken.begin(), taken.end(), StopAction::terminate);
        CHECK(asked < std::find(taken.begin(), taken.end(), StopAction::kill));
    }
}

TEST_CASE("stop plan: is built like a sentence, each step with what it needs") {
    StopPlan plan;
    plan.close_stdin(1s).write_line("quit", 2s).run_command({"stop-it", "{pid}"}, 3s).signal(10, 4s);
    plan.terminate(5s).freeze(0s).kill(6s).last_resort(7s);
    const std::vector<StopStep> expected{
        {StopAction::close_stdin, 1s, 0, {}, {}},
        {StopAction::write_line, 2s, 0, "quit", {}},
        {StopAction::run_command, 3s, 0, {}, {"stop-it", "{pid}"}},
        {StopAction::signal, 4s, 10, {}, {}},
        {StopAction::terminate, 5s, 0, {}, {}},
        {StopAction::freeze, 0s, 0, {}, {}},
        {StopAction::kill, 6s, 0, {}, {}},
        {StopAction::last_resort, 7s, 0, {}, {}},
    };
    CHECK(plan.steps() == expected);
    CHECK(plan.validate().empty());
    CHECK(plan == StopPlan{}
                      .close_stdin(1s)
                      .write_line("quit", 2s)
                      .run_command({"stop-it", "{pid}"}, 3s)
                      .signal(10, 4s)
                      .terminate(5s)
                      .freeze(0s)
                      .kill(6s)
                      .last_resort(7s));
}

TEST_CASE("stop plan: the deadline saturates, and a negative grace does not shorten it") {
    CHECK(StopPlan{}.deadline() == 0s);
    CHECK(StopPlan{}.terminate(Nanoseconds::max()).kill(1ns).deadline() == Nanoseconds::max());
    CHECK(StopPlan{}.terminate(1ns).kill(Nanoseconds::max()).deadline() == Nanoseconds::max());
    CHECK(StopPlan{}.terminate(Nanoseconds::max()).kill(Nanoseconds::max()).last_resort(1s).deadline() ==
          Nanoseconds::max());
    CHECK(StopPlan{}.terminate(Nanoseconds::min()).kill(2s).deadline() == 2s);
}

TEST_CASE("stop plan: one that something could outlive is a mistake, and all mistakes are listed") {
    CHECK(StopPlan{}.validate().size() == 1);
    CHECK(StopPlan{}.kill(1s).terminate(1s).validate().size() == 1);
    CHECK(StopPlan{}.terminate(1s).last_resort(1s).validate().empty());
    const auto mistakes = StopPlan{}.terminate(-1s).run_command({}, 1s).freeze(-1ns).validate();
    CHECK(mistakes.size() == 4);
}

TEST_CASE("stop action: each has a name of its own") {
    std::set<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(StopAction::last_resort); ++i) {
        names.insert(to_string(static_cast<StopAction>(i)));
    }
    CHECK(names.size() == static_cast<std::size_t>(StopAction::last_resort) + 1);
    CHECK(names.count("") == 0);
    CHECK(to_string(StopAction::last_resort) == "last_resort");
}

TEST_CASE("stop report: is clean if nothing survived") {
    StopReport report;
    CHECK(report.clean());
    report.survivors.push_back({1, "init", "runs as user 0"});
    CHECK_FALSE(report.clean());
}
