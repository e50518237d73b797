// SPDX-License-Identifier: MIT
// The life of a group of services, event by event, on a clock that stands still until the test says otherwise.
#include <support/catch.hpp>
#include <warden/detail/supervision/service_machine.hpp>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using warden::DependencyCondition;
using warden::ExitStatus;
using warden::FailureAction;
using warden::RestartMode;
using warden::Service;
using warden::ServicePhase;
using warden::SteadyTime;
using warden::detail::LaunchFailure;
using warden::detail::ServiceAction;
using warden::detail::ServiceEnd;
using warden::detail::ServiceGraph;
using warden::detail::ServiceMachine;

namespace {

using Lines = std::vector<std::string>;
constexpr SteadyTime start_time{1h};

/// A service that restarts after exactly a second, then two, ..., without jitter.
Service service(std::string name, std::vector<warden::Dependency> depends_on = {},
                RestartMode mode = RestartMode::never, FailureAction on_failure = FailureAction::stop_dependants) {
    Service made;
    made.name = std::move(name);
    made.command = {"true"};
    made.restart.mode = mode;
    made.restart.jitter = 0;
    made.depends_on = std::move(depends_on);
    made.on_failure = on_failure;
    return made;
}

/// The machine, with words for what it wants: "launch a", "stop a", "a ready", "given up a".
class Story {
public:
    /// Those whose name begins with a capital letter show that they are ready.
    explicit Story(std::vector<Service> services)
        : services_(std::move(services)), machine_(ServiceGraph(services_), traits()) {}

    SteadyTime now = start_time;

    Lines start() {
        machine_.start(now);
        return done();
    }
    Lines stop() {
        machine_.stop_all(now, "asked");
        return done();
    }
    Lines stop(const char* name) {
        machine_.stop(place(name), now, "asked");
        return done();
    }
    Lines restart(const char* name) {
        machine_.restart(place(name), now, "asked");
        return done();
    }
    Lines launched(const char* name) {
        machine_.launched(place(name), run(name), now);
        return done();
    }
    Lines launch_failed(const char* name, LaunchFailure failure = LaunchFailure::may_pass) {
        machine_.launch_failed(place(name), run(name), now, failure, "no memory", 0);
        return done();
    }
    Lines ready(const char* name) {
        machine_.became_ready(place(name), run(name), now);
        return done();
    }
    Lines not_ready(const char* name) {
        machine_.readiness_failed(place(name), run(name), now, "no answer");
        return done();
    }
    Lines not_alive(const char* name) {
        machine_.liveness_failed(place(name), run(name), now, "no answer");
        return done();
    }
    /// Its process ends, and nothing is left.
    Lines gone(const char* name, int code = 0) {
        machine_.ended(place(name), run(name), now, {ExitStatus::from_code(code), false, false, true}, 0);
        return done();
    }
    /// Its process ends, and something is left.
    Lines ended(const char* name, int code = 0) {
        machine_.ended(place(name), run(name), now, {ExitStatus::from_code(code), false, false, false}, 0);
        return done();
    }
    Lines ended(const char* name, const ServiceEnd& end) {
        machine_.ended(place(name), run(name), now, end, 0);
        return done();
    }
    Lines empty(const char* name) {
        machine_.tree_empty(place(name), run(name), now);
        return done();
    }
    Lines survivors(const char* name) {
        machine_.stop_left_survivors(place(name), run(name), now, "pid 12");
        return done();
    }
    /// The time passes; the machine is woken if it wanted to be.
    Lines pass(warden::Nanoseconds length) {
        now += length;
        if (machine_.next_time() <= now) machine_.tick(now);
        return done();
    }

    [[nodiscard]] ServiceMachine& machine() { return machine_; }
    [[nodiscard]] std::string reason(const char* name) { return machine_.reason(place(name)); }
    [[nodiscard]] ServicePhase phase(const char* name) { return machine_.phase(place(name)); }
    [[nodiscard]] std::size_t place(const std::string& name) const {
        std::size_t i = 0;
        while (services_[i].name != name) ++i;
        return i;
    }

private:
    [[nodiscard]] std::vector<ServiceMachine::Traits> traits() {
        runs_.resize(services_.size());
        std::vector<ServiceMachine::Traits> all;
        for (const Service& each : services_)
            all.push_back({each.name, each.restart, each.on_failure, each.name[0] < 'a'});
        return all;
    }
    [[nodiscard]] std::uint64_t run(const char* name) const { return runs_[place(name)]; }
    Lines done() {
        Lines lines;
        for (const ServiceAction& action : machine_.take_actions()) {
            const std::string& name = services_[action.service].name;
            if (action.kind == ServiceAction::Kind::launch) runs_[action.service] = action.run;
            lines.push_back(action.kind == ServiceAction::Kind::launch ? "launch " + name
                            : action.kind == ServiceAction::Kind::stop ? "stop " + name
                            : action.kind == ServiceAction::Kind::given_up
                                ? "given up " + name
                                : name + " " + std::string(to_string(action.phase)));
        }
        return lines;
    }

    std::vector<Service> services_;
    std::vector<std::uint64_t> runs_;
    ServiceMachine machine_;
};

/// Without those about phases.
Lines orders(const Lines& lines) {
    Lines found;
    for (const std::string& line : lines) {
        if (line.starts_with("launch ") || line.starts_with("stop ") || line.starts_with("given up "))
            found.push_back(line);
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace

TEST_CASE("machine: those that depend on nothing are launched at once, the others when their conditions are met",
          "[supervision]") {
    Story story({service("Db"), service("job", {{"Db"}}), service("web", {{"Db", DependencyCondition::started}}),
                 service("late", {{"job", DependencyCondition::completed_well}, {"web"}}), service("alone")});
    CHECK(orders(story.start()) == Lines{"launch Db", "launch alone"});
    CHECK(orders(story.launched("Db")) == Lines{"launch web"});
    CHECK(orders(story.launched("web")).empty());
    CHECK_FALSE(story.machine().is_settled());
    CHECK(story.machine().waits_for(story.place("job")) == "'Db' to be ready");
    CHECK(story.ready("Db") == Lines{"Db ready", "job launching", "launch job"});
    CHECK(story.launched("job") == Lines{"job running", "job ready"});
    CHECK(story.machine().waits_for(story.place("late")) == "'job' to be completed_well");
    CHECK(story.gone("job") == Lines{"job completed", "late launching", "launch late"});
    CHECK(orders(story.launched("late")).empty());
    CHECK(orders(story.launched("alone")).empty());
    CHECK(story.machine().is_settled());
    CHECK_FALSE(story.machine().is_group_over());
}

TEST_CASE("machine: a group stops in the reverse order of its dependencies, in parallel where it may",
          "[supervision]") {
    Story story(
        {service("db"), service("a", {{"db"}}), service("b", {{"db"}}), service("front", {{"a"}}), service("alone")});
    static_cast<void>(story.start());
    for (const char* name : {"db", "a", "b", "front", "alone"}) static_cast<void>(story.launched(name));
    CHECK(orders(story.stop()) == Lines{"stop alone", "stop b", "stop front"});
    CHECK(orders(story.gone("b")).empty());
    CHECK(story.gone("front") == Lines{"front stopped", "a stopping", "stop a"});
    CHECK(story.stop().empty());  // twice is once
    CHECK(story.gone("a", 143) == Lines{"a stopped", "db stopping", "stop db"});
    CHECK(story.ended("db").empty());  // what is left of it is being stopped already
    CHECK_FALSE(story.machine().is_group_over());
    CHECK(story.gone("alone") == Lines{"alone stopped"});
    CHECK(story.empty("db") == Lines{"db stopped"});
    CHECK(story.machine().is_group_over());
    CHECK(story.reason("db") == "asked");
}

TEST_CASE("machine: a stop during a launch waits for it, and what was not launched is stopped at once",
          "[supervision]") {
    Story story({service("db"), service("web", {{"db"}}), service("other")});
    static_cast<void>(story.start());
    CHECK(story.stop() == Lines{"web stopped"});
    CHECK(story.launched("db") == Lines{"db running", "db ready", "db stopping", "stop db"});
    CHECK(story.launch_failed("other") == Lines{"other stopped"});
    CHECK(story.gone("db") == Lines{"db stopped"});
}

TEST_CASE("machine: a crash is followed by a restart after the pause, and each pause is longer", "[supervision]") {
    Story story({service("web", {}, RestartMode::on_failure)});
    static_cast<void>(story.start());
    static_cast<void>(story.launched("web"));
    CHECK(story.gone("web", 3) == Lines{"web backing_off"});
    CHECK(story.reason("web") == "exited with code 3");
    CHECK(story.machine().next_time() == story.now + 1s);
    CHECK(story.pass(1s - 1ns).empty());
    CHECK(story.pass(1ns) == Lines{"web waiting", "web launching", "launch web"});
    CHECK(story.machine().next_time() == SteadyTime::max());
    CHECK(story.machine().restarts(0) == 1);
    CHECK(story.launch_failed("web") == Lines{"web backing_off"});
    CHECK(story.machine().next_time() == story.now + 2s);
    static_cast<void>(story.pass(2s));
    static_cast<void>(story.launched("web"));
    CHECK(story.machine().restarts(0) == 2);
    CHECK(story.gone("web") == Lines{"web completed"});
}

TEST_CASE("machine: a restart waits until nothing of the former process is left", "[supervision]") {
    Story story({service("web", {}, RestartMode::always)});
    static_cast<void>(story.start());
    static_cast<void>(story.launched("web"));
    CHECK(story.ended("web", 1) == Lines{"web clearing", "stop web"});
    CHECK(story.pass(10s).empty());  // its pause is over, and something of it lives
    CHECK(story.survivors("web") == Lines{"web clearing"});
    CHECK(story.reason("web") == "it outlived its stop plan: pid 12");
    CHECK(story.pass(10s).empty());
    CHECK(story.empty("web") == Lines{"web waiting", "web launching", "launch web"});
    static_cast<void>(story.launched("web"));
    CHECK(story.ended("web", 1) == Lines{"web clearing", "stop web"});
    CHECK(story.empty("web") == Lines{"web backing_off"});  // what is left of the pause counts from the end
    CHECK(story.machine().next_time() == story.now + 2s);
}

TEST_CASE("machine: who was restarted too often is given up, and says how often", "[supervision]") {
    Service web = service("web", {}, RestartMode::on_failure);
    web.restart.max_restarts = 2;
    Story story({web, service("front", {{"web"}})});
    static_cast<void>(story.start());
    for (int i = 0; i < 2; ++i) {
        static_cast<void>(story.launched("web"));
        CHECK(story.gone("web", 1) == Lines{"web backing_off"});
        static_cast<void>(story.pass(10s));
    }
    static_cast<void>(story.launched("web"));
    const Lines last = story.gone("web", 1);
    CHECK(last == Lines{"given up web", "web failed"});
    CHECK(story.reason("web") == "exited with code 1, after 2 restarts within 60 s");
    CHECK(story.start() == Lines{"web waiting", "web launching", "launch web"});  // a start counts from the beginning
    CHECK(story.machine().restarts(0) == 0);
}

TEST_CASE("machine: a failure is ignored, stops those that need it, or stops all", "[supervision]") {
    for (const FailureAction action :
         {FailureAction::ignore, FailureAction::stop_dependants, FailureAction::stop_all}) {
        Story story({service("db", {}, RestartMode::never, action), service("web", {{"db"}}),
                     service("front", {{"web", DependencyCondition::started}}), service("other"),
                     service("after", {{"db", DependencyCondition::completed}}),
                     service("never", {{"db", DependencyCondition::completed_well}})});
        static_cast<void>(story.start());
        for (const char* name : {"db", "web", "front", "other"}) static_cast<void>(story.launched(name));
        const Lines done = orders(story.gone("db", 1));
        CHECK(story.reason("db") == "exited with code 1");
        if (action == FailureAction::ignore) CHECK(done == Lines{"launch after"});
        if (action == FailureAction::stop_dependants) CHECK(done == Lines{"launch after", "stop front"});
        if (action == FailureAction::stop_all) CHECK(done == Lines{"stop front", "stop other"});
        CHECK(story.phase("never") == ServicePhase::stopped);
        if (action == FailureAction::ignore) {
            CHECK(story.reason("never") == "it depends on 'db', which is failed");
            CHECK(story.phase("web") == ServicePhase::ready);
            continue;
        }
        CHECK(story.reason("front") == "'db' failed");
        CHECK(orders(story.gone("front")) == Lines{"stop web"});
        CHECK(story.gone("web") == Lines{"web stopped"});
    }
}

TEST_CASE("machine: what waits for something that cannot be any more is stopped, and all that wait for it",
          "[supervision]") {
    Story story({service("job", {}, RestartMode::never, FailureAction::ignore), service("a", {{"job"}}),
                 service("b", {{"a"}}), service("c", {{"b", DependencyCondition::completed}})});
    static_cast<void>(story.start());
    const Lines lines = story.launch_failed("job", LaunchFailure::permanent);
    CHECK(lines == Lines{"job failed", "a stopped", "b stopped", "c stopped"});
    CHECK(story.reason("job") == "no memory");
    CHECK(story.machine().is_group_over());
}

TEST_CASE("machine: a restart waits again for what it depends on, but not for what has failed for good",
          "[supervision]") {
    Story story(
        {service("db", {}, RestartMode::always, FailureAction::ignore), service("web", {{"db"}}, RestartMode::always)});
    static_cast<void>(story.start());
    static_cast<void>(story.launched("db"));
    static_cast<void>(story.launched("web"));
    CHECK(story.gone("db", 1) == Lines{"db backing_off"});
    CHECK(story.gone("web", 1) == Lines{"web backing_off"});
    CHECK(orders(story.pass(1s)) == Lines{"launch db"});
    CHECK(story.phase("web") == ServicePhase::waiting);
    CHECK(orders(story.launched("db")) == Lines{"launch web"});
    static_cast<void>(story.launched("web"));
    CHECK(story.gone("db", 1) == Lines{"db backing_off"});
    static_cast<void>(story.pass(10s));
    CHECK(story.launch_failed("db", LaunchFailure::permanent) == Lines{"db failed"});
    CHECK(story.gone("web", 1) == Lines{"web backing_off"});
    CHECK(orders(story.pass(10s)) == Lines{"launch web"});
}

TEST_CASE("machine: a probe that fails stops the process, and the policy decides", "[supervision]") {
    Story story({service("Web", {}, RestartMode::on_failure), service("One")});
    static_cast<void>(story.start());
    static_cast<void>(story.launched("Web"));
    static_cast<void>(story.launched("One"));
    CHECK(story.not_ready("Web") == Lines{"Web stopping", "stop Web"});
    CHECK(story.reason("Web") == "no answer");
    CHECK(story.ready("Web").empty());
    CHECK(story.not_alive("Web").empty());
    CHECK(story.gone("Web", 0) == Lines{"Web backing_off"});  // however well it ended
    CHECK(story.reason("Web") == "no answer; it exited with code 0");
    static_cast<void>(story.pass(1s));
    static_cast<void>(story.launched("Web"));
    CHECK(story.ready("Web") == Lines{"Web ready"});
    CHECK(story.not_ready("Web").empty());  // it was ready
    CHECK(story.not_alive("Web") == Lines{"Web stopping", "stop Web"});
    CHECK(story.not_ready("One") == Lines{"One stopping", "stop One"});
    CHECK(story.gone("One", 0) == Lines{"One failed"});
}

TEST_CASE("machine: a restart on request stops one process and launches the next without a pause", "[supervision]") {
    Story story({service("db", {}, RestartMode::on_failure), service("web", {{"db"}})});
    static_cast<void>(story.start());
    static_cast<void>(story.launched("db"));
    static_cast<void>(story.launched("web"));
    CHECK(story.restart("db") == Lines{"db stopping", "stop db"});
    CHECK(story.restart("db").empty());
    CHECK(story.ended("db", 143).empty());
    CHECK(story.empty("db") == Lines{"db waiting", "db launching", "launch db"});
    CHECK(story.restart("db").empty());  // it is being launched
    static_cast<void>(story.launched("db"));
    CHECK(story.phase("web") == ServicePhase::ready);
    static_cast<void>(story.gone("db", 1));
    CHECK(story.restart("db") == Lines{"db waiting", "db launching", "launch db"});  // no back-off
    static_cast<void>(story.launched("db"));
    CHECK(story.gone("web") == Lines{"web completed"});
    CHECK(story.restart("web") == Lines{"web waiting", "web launching", "launch web"});
    static_cast<void>(story.launched("web"));
    static_cast<void>(story.stop());
    CHECK(story.restart("web").empty());  // it is being stopped for good
    CHECK(orders(story.gone("web")) == Lines{"stop db"});
}

TEST_CASE("machine: one service is stopped together with those that need it, and before it", "[supervision]") {
    Story story({service("db"), service("web", {{"db"}}), service("other")});
    static_cast<void>(story.start());
    for (const char* name : {"db", "web", "other"}) static_cast<void>(story.launched(name));
    CHECK(story.stop("db") == Lines{"web stopping", "stop web"});
    CHECK(story.gone("web") == Lines{"web stopped", "db stopping", "stop db"});
    CHECK(story.gone("db") == Lines{"db stopped"});
    CHECK(story.stop("db").empty());
    CHECK(story.phase("other") == ServicePhase::ready);
    CHECK(orders(story.start()) == Lines{"launch db"});  // what is over is started again
    CHECK(orders(story.launched("db")) == Lines{"launch web"});
}

TEST_CASE("machine: what outlives its stop is a failure, and is stopped once more when somebody asks again",
          "[supervision]") {
    Story story({service("a"), service("b", {}, RestartMode::always)});
    static_cast<void>(story.start());
    static_cast<void>(story.launched("a"));
    static_cast<void>(story.launched("b"));
    static_cast<void>(story.ended("b", 1));
    static_cast<void>(story.survivors("b"));
    CHECK(story.phase("b") == ServicePhase::clearing);
    CHECK(orders(story.stop()) == Lines{"stop a", "stop b"});
    CHECK(story.survivors("a") == Lines{"a failed"});  // its leader lives
    CHECK(story.survivors("b") == Lines{"b failed"});
    CHECK(story.machine().is_group_over());
    CHECK(story.start() == Lines{"a waiting", "b waiting"});
    CHECK(story.machine().waits_for(0) == "the end of what its former process has left");
    CHECK(story.ended("a").empty());
    CHECK(story.empty("a") == Lines{"a launching", "launch a"});
    CHECK(story.empty("b") == Lines{"b launching", "launch b"});
}

TEST_CASE("machine: an end by a limit or by somebody else is a failure, and no restart follows a shutdown",
          "[supervision]") {
    Story story({service("a", {}, RestartMode::on_failure), service("b", {}, RestartMode::always)});
    static_cast<void>(story.start());
    static_cast<void>(story.launched("a"));
    static_cast<void>(story.launched("b"));
    CHECK(story.ended("a", ServiceEnd{ExitStatus::from_code(0), true, false, true}) == Lines{"a backing_off"});
    CHECK(story.ended("b", ServiceEnd{ExitStatus::from_code(1), false, true, true}) == Lines{"b stopped"});
    static_cast<void>(story.pass(1s));
    CHECK(story.launch_failed("a", LaunchFailure::shut_down) == Lines{"a stopped"});
}

TEST_CASE("machine: news of a run that is over change nothing", "[supervision]") {
    Story story({service("web", {}, RestartMode::always)});
    static_cast<void>(story.start());
    static_cast<void>(story.launched("web"));
    static_cast<void>(story.gone("web", 1));
    static_cast<void>(story.pass(1s));
    static_cast<void>(story.launched("web"));
    auto& machine = story.machine();
    machine.launched(0, 1, story.now);
    machine.launch_failed(0, 1, story.now, LaunchFailure::permanent, "", 0);
    machine.became_ready(0, 1, story.now);
    machine.readiness_failed(0, 1, story.now, "");
    machine.liveness_failed(0, 1, story.now, "");
    machine.ended(0, 1, story.now, {}, 0);
    machine.tree_empty(0, 1, story.now);
    machine.stop_left_survivors(0, 1, story.now, "");
    CHECK(machine.take_actions().empty());
    CHECK(story.phase("web") == ServicePhase::ready);
}

TEST_CASE("machine: nothing is launched beside what is about to be stopped", "[supervision]") {
    Story story({service("db"), service("web", {{"db"}})});
    static_cast<void>(story.start());
    CHECK(story.stop() == Lines{"web stopped"});
    CHECK(story.restart("web") == Lines{"web waiting"});
    CHECK(story.launched("db") == Lines{"db running", "db ready", "db stopping", "stop db"});
    CHECK(story.gone("db") == Lines{"db stopped", "web stopped"});
}

TEST_CASE("machine: every phase has a name, and knows whether it is over", "[supervision]") {
    CHECK(to_string(ServicePhase::idle) == "idle");
    CHECK(to_string(ServicePhase::backing_off) == "backing_off");
    CHECK(to_string(ServicePhase::stopped) == "stopped");
    std::size_t over = 0;
    for (std::size_t i = 0; i < warden::service_phase_count; ++i) over += is_over(static_cast<ServicePhase>(i));
    CHECK(over == 4);
}
