// SPDX-License-Identifier: MIT
// Groups of services with real processes: order, restarts, failures, stops, and that nothing is there twice or left.
#include <support/fixture.hpp>
#include <support/lives.hpp>
#include <support/start.hpp>
#include <warden/supervision/service_group.hpp>

#include <atomic>
#include <csignal>
#include <future>
#include <map>
#include <random>
#include <set>
#include <thread>

#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::DependencyCondition;
using warden::errc;
using warden::EventKind;
using warden::FailureAction;
using warden::RestartMode;
using warden::RestartPolicy;
using warden::Service;
using warden::ServiceChange;
using warden::ServiceGroup;
using warden::ServicePhase;
using warden::StopPlan;

namespace {

Service service(std::string name, warden::CommandLine command, std::vector<warden::Dependency> depends_on = {}) {
    Service made;
    made.name = std::move(name);
    made.command = std::move(command);
    made.depends_on = std::move(depends_on);
    made.options.stop_plan = StopPlan{}.terminate(10s).kill(10s);
    return made;
}

/// Restarts at once, as often as needed.
RestartPolicy quick(RestartMode mode) {
    RestartPolicy policy;
    policy.mode = mode;
    policy.initial_delay = 1ms;
    policy.max_delay = 5ms;
    policy.max_restarts.reset();
    return policy;
}

/// All changes of a group, in order.
class Changes {
public:
    explicit Changes(ServiceGroup& group)
        : subscription_(group.subscribe([this](const ServiceChange& change) {
              const std::lock_guard lock(mutex_);
              all_.push_back(change);
          })) {}
    [[nodiscard]] std::vector<ServiceChange> all() const {
        const std::lock_guard lock(mutex_);
        return all_;
    }
    /// How many changes come before the first of `service` to `phase`; the number of all if there is none.
    [[nodiscard]] std::size_t place(std::string_view service, ServicePhase phase) const {
        const std::lock_guard lock(mutex_);
        const auto at = std::find_if(all_.begin(), all_.end(), [&](const ServiceChange& change) {
            return change.service == service && change.to == phase;
        });
        return static_cast<std::size_t>(at - all_.begin());
    }
    [[nodiscard]] bool has(std::string_view service, ServicePhase phase) const {
        return place(service, phase) < all().size();
    }

private:
    mutable std::mutex mutex_;
    std::vector<ServiceChange> all_;
    warden::Subscription subscription_;
};

/// The error of a start that must fail.
warden::ServiceError failed_start(ServiceGroup& group, warden::Timeout timeout = 30s) {
    try {
        group.start(timeout);
    } catch (const warden::ServiceError& error) {
        return error;
    }
    FAIL("the start succeeded");
    std::abort();
}

ServicePhase phase(const ServiceGroup& group, std::string_view name) { return group.status(name).phase; }

}  // namespace

TEMPLATE_TEST_CASE("services: a group starts in the order of its conditions and stops in the reverse one", "[services]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Gate gate;
    ServiceGroup group(*manager);
    group.add(service("web", play("stay"), {{"job", DependencyCondition::completed_well}}));
    group.add(service("job", play("await", gate.name()), {{"db", DependencyCondition::started}}));
    group.add(service("db", play("stay")));
    group.add(service("beside", play("stay"), {{"db"}}));
    const Changes changes(group);
    auto started = std::async(std::launch::async, [&] { group.start(); });
    REQUIRE(eventually([&] { return phase(group, "job") == ServicePhase::ready; }));
    REQUIRE(eventually([&] { return phase(group, "beside") == ServicePhase::ready; }));
    CHECK(phase(group, "web") == ServicePhase::waiting);
    CHECK(started.wait_for(0s) == std::future_status::timeout);
    gate.open();
    started.get();
    CHECK(phase(group, "web") == ServicePhase::ready);
    CHECK(phase(group, "job") == ServicePhase::completed);
    const auto web = group.status("web");
    CHECK(web.pid != 0);
    REQUIRE(web.phases.size() == 5);
    CHECK(web.phases[1].phase == ServicePhase::waiting);
    CHECK(web.phases[4].phase == ServicePhase::ready);
    CHECK(web.restarts == 0);
    REQUIRE(manager->find(web.uuid));
    CHECK(manager->find("web")->pid == web.pid);

    const auto report = group.stop();
    CHECK(report.clean());
    REQUIRE(report.services.size() == 4);
    CHECK(report.services[0].service == "web");
    CHECK(report.services[0].report.steps.size() == 1);
    CHECK(report.services[1].report.steps.empty());  // the job had ended by itself
    CHECK(group.status("web").pid == 0);
    CHECK(group.status("web").last_cause == warden::ExitCause::stopped);
    CHECK(manager->active_pids().empty());
    REQUIRE(eventually([&] { return changes.has("db", ServicePhase::stopped); }));
    CHECK(changes.place("db", ServicePhase::launching) < changes.place("job", ServicePhase::launching));
    CHECK(changes.place("job", ServicePhase::completed) < changes.place("web", ServicePhase::launching));
    CHECK(changes.place("beside", ServicePhase::stopped) < changes.place("db", ServicePhase::stopping));
}

TEMPLATE_TEST_CASE("services: who depends on one that is ready waits for the line that says so", "[services]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Gate gate;
    ServiceGroup group(*manager);
    auto model = service("model", play("await", gate.name(), "out", "listening\n", "stay"));
    model.options.alerts = {warden::AlertRule::literal("listening", warden::AlertAction::ready)};
    group.add(model);
    group.add(service("gateway", play("stay"), {{"model"}}));
    const auto error = failed_start(group, 100ms);
    REQUIRE(error.failures().size() == 2);
    CHECK(error.failures()[0].phase == ServicePhase::running);
    CHECK(error.failures()[1].phase == ServicePhase::waiting);
    CHECK(error.failures()[1].reason == "for 'model' to be ready");
    gate.open();
    group.start();
    CHECK(phase(group, "model") == ServicePhase::ready);
    CHECK(phase(group, "gateway") == ServicePhase::ready);
}

TEMPLATE_TEST_CASE("services: a crash is followed by a new process that is linked to the old one, whose log is kept",
                   "[services]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Listener listener(*manager);
    const auto marker = manager.directory / "once";
    ServiceGroup group(*manager);
    // The first process makes the file and fails; the second one finds it.
    auto web = service("web", {"sh", "-c",
                               "if [ -e '" + marker.string() +
                                   "' ]; then echo second; exec sleep 60; fi; "
                                   "echo first; : > '" +
                                   marker.string() + "'; exit 3"});
    web.restart = quick(RestartMode::on_failure);
    group.add(web);
    group.start();
    REQUIRE(
        eventually([&] { return group.status("web").restarts == 1 && phase(group, "web") == ServicePhase::ready; }));
    const auto status = group.status("web");
    CHECK(status.former_uuid != status.uuid);
    CHECK_FALSE(status.former_uuid.is_nil());
    CHECK(status.last_exit == warden::ExitStatus::from_code(3));
    CHECK(eventually([&] { return read_file(status.log_path) == "second\n"; }));
    const auto former_log = status.log_path.parent_path() / ("process-" + to_string(status.former_uuid) + ".log");
    CHECK(read_file(former_log) == "first\n");
    REQUIRE(eventually([&] { return listener.count(EventKind::restart) == 1; }));
    for (const auto& event : listener.events()) {
        if (event.kind != EventKind::restart) continue;
        CHECK(event.uuid == status.uuid);
        CHECK(event.attributes.back().second == warden::AttributeValue(to_string(status.former_uuid)));
    }
    CHECK(manager->metrics().restarts_total == 1);
    CHECK_FALSE(manager->find(status.former_uuid));  // nobody holds it
}

TEMPLATE_TEST_CASE("services: who fails too often is given up, and a start says so with all that it kept from starting",
                   "[services]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Listener listener(*manager);
    ServiceGroup group(*manager);
    auto bad = service("bad", play("exit", "7"));
    bad.restart = quick(RestartMode::always);
    bad.restart.max_restarts = 3;
    group.add(bad);
    group.add(service("after", play("stay"), {{"bad", DependencyCondition::completed_well}}));
    group.add(service("other", play("stay")));
    bad.restart.mode = RestartMode::on_failure;
    ServiceGroup right(*manager);
    right.add(bad);
    right.add(service("after", play("stay"), {{"bad", DependencyCondition::completed_well}}));
    right.add(service("other", play("stay")));
    CHECK(thrown_by([&] { group.start(); }).first == errc::invalid_options);  // what restarts always never completes
    CHECK(manager->metrics().spawned_total == 0);
    const auto error = failed_start(right);
    CHECK(error.code() == errc::service_failed);
    CHECK(std::string(error.what())
              .starts_with("the group did not start: 'bad' failed: exited with code 7, after 3 "
                           "restarts within 60 s; 'after' stopped: it depends on 'bad', which is "
                           "failed"));
    REQUIRE(error.failures().size() == 2);
    CHECK(error.failures()[0].phase == ServicePhase::failed);
    CHECK(phase(right, "other") == ServicePhase::ready);
    CHECK(right.status("bad").restarts == 3);
    REQUIRE(eventually([&] { return listener.count(EventKind::alert) == 1; }));  // it comes last
    CHECK(listener.count(EventKind::given_up) == 1);
    CHECK(listener.count(EventKind::restart) == 3);
    CHECK(manager->metrics().alerts_total == 1);
}

TEMPLATE_TEST_CASE("services: a failure stops those that need it, or all, in their order", "[services]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const FailureAction action :
         {FailureAction::ignore, FailureAction::stop_dependants, FailureAction::stop_all}) {
        INFO(to_string(action));
        TestManager manager{TestType::mechanism};
        Gate gate;
        ServiceGroup group(*manager);
        auto db = service("db", play("await", gate.name(), "exit", "1"));
        db.on_failure = action;
        group.add(db);
        group.add(service("web", play("stay"), {{"db"}}));
        group.add(service("front", play("stay"), {{"web"}}));
        group.add(service("other", play("stay")));
        const Changes changes(group);
        group.start();
        gate.open();
        REQUIRE(eventually([&] { return phase(group, "db") == ServicePhase::failed; }));
        const auto reaches = [&](const char* name, bool is_stopped) {
            if (!is_stopped) return phase(group, name) == ServicePhase::ready;
            return eventually([&] { return phase(group, name) == ServicePhase::stopped; });
        };
        CHECK(reaches("web", action != FailureAction::ignore));
        CHECK(reaches("front", action != FailureAction::ignore));
        CHECK(reaches("other", action == FailureAction::stop_all));
        if (action == FailureAction::ignore) continue;
        CHECK(group.status("web").reason == "'db' failed");
        REQUIRE(eventually([&] { return changes.has("web", ServicePhase::stopped); }));
        CHECK(changes.place("front", ServicePhase::stopped) < changes.place("web", ServicePhase::stopping));
        if (action == FailureAction::stop_all) group.wait();
    }
}

TEMPLATE_TEST_CASE("services: a restart never overlaps with what is left of the old process", "[services]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    ServiceGroup group(*manager);
    // Leaves a child behind that ignores requests to end, tells its pid, and fails.
    auto web = service("web", {"sh", "-c", "trap '' TERM; sleep 60 > /dev/null 2>&1 & echo $!; exit 1"});
    web.options.stop_plan = StopPlan{}.terminate(100ms).kill(10s);
    web.restart = quick(RestartMode::always);
    std::mutex mutex;
    std::vector<int> children;
    web.options.on_line = [&](const warden::OutputLine& line) {
        const std::lock_guard lock(mutex);
        children.push_back(std::stoi(std::string(line.text)));
    };
    std::atomic<int> launches{0};
    std::atomic<int> overlaps{0};
    group.add(web);
    const auto subscription = group.subscribe([&](const ServiceChange& change) {
        if (change.to != ServicePhase::launching) return;
        ++launches;
        const std::lock_guard lock(mutex);
        for (const int pid : children) overlaps += is_alive(pid) ? 1 : 0;
    });
    group.start();
    CHECK(eventually([&] { return launches >= 4; }));
    CHECK(group.stop().clean());
    CHECK(overlaps == 0);
    const std::lock_guard lock(mutex);
    CHECK(children.size() >= 3);
    for (const int pid : children) CHECK_FALSE(is_alive(pid));
}

TEMPLATE_TEST_CASE("services: a start that takes too long says who is not there yet and why", "[services]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Gate gate;
    ServiceGroup group(*manager);
    group.add(service("job", play("await", gate.name())));
    group.add(service("web", play("stay"), {{"job", DependencyCondition::completed}}));
    const auto error = failed_start(group, 100ms);
    CHECK(error.code() == errc::timed_out);
    CHECK(std::string(error.what())
              .starts_with("the group did not start: 'web' is waiting: for 'job' to be "
                           "completed"));
    CHECK(error.failures().size() == 1);
    gate.open();
    CHECK(eventually([&] { return phase(group, "web") == ServicePhase::ready; }));  // it went on
    group.start();
}

TEMPLATE_TEST_CASE("services: one is stopped or restarted on request, and the others run on", "[services]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    ServiceGroup group(*manager);
    group.add(service("db", play("stay")));
    group.add(service("web", play("stay"), {{"db"}}));
    group.add(service("other", play("stay")));
    CHECK(thrown_by([&] { group.restart("db"); }).first == errc::invalid_options);
    group.start();
    const auto before = group.status();
    group.restart("db");
    group.start();  // waits for it
    CHECK(group.status("db").former_uuid == before[0].uuid);
    CHECK(group.status("db").phase == ServicePhase::ready);
    CHECK(group.status("web").uuid == before[1].uuid);
    CHECK(thrown_by([&] { group.restart("nobody"); }).first == errc::not_found);
    CHECK(thrown_by([&] { group.stop("nobody"); }).first == errc::not_found);
    group.stop("db");
    CHECK(phase(group, "web") == ServicePhase::stopped);
    CHECK(phase(group, "db") == ServicePhase::stopped);
    CHECK(phase(group, "other") == ServicePhase::ready);
    CHECK_FALSE(group.wait_for(0s));
    group.stop("other");
    CHECK(group.wait_for(0s));
}

TEMPLATE_TEST_CASE("services: when the manager cleans up, nobody is restarted", "[services]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    ServiceGroup group(*manager);
    for (const char* name : {"a", "b", "c"}) {
        auto each = service(name, play("stay"));
        each.restart = quick(RestartMode::always);
        group.add(each);
    }
    group.start();
    CHECK(manager->cleanup_all().size() == 3);
    REQUIRE(group.wait_for(30s));
    for (const auto& status : group.status()) {
        CHECK(status.phase == ServicePhase::stopped);
        CHECK(status.restarts == 0);
    }
    CHECK(manager->active_pids().empty());
}

TEMPLATE_TEST_CASE("services: the end of a group, or of its manager, leaves nothing", "[services]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const bool manager_first : {false, true}) {
        std::optional<TestManager> manager(std::in_place, TestType::mechanism);
        std::optional<ServiceGroup> group(std::in_place, **manager);
        for (const char* name : {"a", "b"}) {
            auto each = service(name, play("beside", "1", "stay", "stay"));
            each.restart = quick(RestartMode::always);
            group->add(each);
        }
        group->start();
        std::vector<HeldProcess> held;
        for (const auto& status : group->status()) held.emplace_back(status.pid);
        if (manager_first) manager.reset();
        group.reset();
        for (const HeldProcess& process : held) CHECK(process.has_ended());
        if (!manager_first) CHECK((*manager)->list().empty());
    }
}

TEST_CASE("services: all mistakes of a group are told before anything is started", "[services]") {
    TestManager manager;
    ServiceGroup group(*manager);
    group.add(service("a", play("stay"), {{"b"}}));
    group.add(service("b", play("stay"), {{"a"}, {"nobody"}}));
    CHECK(group.validate().size() == 2);
    const auto [code, text] = thrown_by([&] { group.start(); });
    CHECK(code == errc::invalid_options);
    CHECK(contains(text, "'a' -> 'b' -> 'a'"));
    CHECK(contains(text, "'nobody'"));
    warden::error_code ec;
    group.start(1s, ec);
    CHECK(ec == errc::invalid_options);
    CHECK(thrown_by([&] { group.start(0s); }).first == errc::invalid_timeout);
    CHECK(group.status().size() == 2);
    CHECK(phase(group, "a") == ServicePhase::idle);
    CHECK(group.stop().services.empty());
    CHECK(manager->metrics().spawned_total == 0);
}

TEST_CASE("services: a command that cannot be started is not tried again, and its reason is the start's own",
          "[services]") {
    TestManager manager;
    ServiceGroup group(*manager);
    auto missing = service("missing", {"/no/such/program"});
    missing.restart = RestartPolicy::always();
    group.add(missing);
    const auto error = failed_start(group);
    REQUIRE(error.failures().size() == 1);
    CHECK(contains(error.failures()[0].reason, "/no/such/program"));
    CHECK(group.status("missing").restarts == 0);
    CHECK(thrown_by([&] { group.add(service("late", play("stay"))); }).first == errc::invalid_options);
}

TEST_CASE("services: a group may be stopped by a callback for the output of one of its services", "[services]") {
    TestManager manager([](auto& config) { config.drain_timeout = 20s; });
    ServiceGroup group(*manager);
    std::promise<bool> clean;
    auto talker = service("talker", play("out", "stop me\n", "stay"));
    talker.options.on_line = [&](const warden::OutputLine&) { clean.set_value(group.stop().clean()); };
    group.add(talker);
    warden::error_code ec;
    group.start(30s, ec);
    const auto began = warden::SteadyTime::clock::now();
    CHECK(clean.get_future().get());
    CHECK(warden::SteadyTime::clock::now() - began < 10s);  // not the drain timeout
}

TEST_CASE("services: fifty services start beside each other, and end together", "[services]") {
    TestManager manager;
    ServiceGroup group(*manager);
    for (int i = 0; i < 50; ++i) group.add(service("s" + std::to_string(i), play("stay")));
    group.start();
    CHECK(manager->active_pids().size() == 50);
    CHECK(group.stop().clean());
    CHECK(manager->active_pids().empty());
}

namespace {

/// Three services, each a process with a child, and who they are.
class Prey {
public:
    explicit Prey(ServiceGroup& group) : group_(group) {
        for (std::size_t i = 0; i < 3; ++i) {
            auto each = service("s" + std::to_string(i), play("pid", "beside", "1", "stay", "stay"));
            each.restart = quick(RestartMode::always);
            each.options.on_line = [this, i](const warden::OutputLine& line) {
                const std::lock_guard lock(mutex_);
                pids_[i].push_back(std::stoi(std::string(line.text)));
            };
            group.add(each);
        }
    }

    enum Part { leader, member, keeper };
    /// Kills a part of a service that is ready, and each part only once: its number cannot be a stranger's then.
    bool kill(std::size_t i, Part part) {
        const auto status = group_.status()[i];
        const std::lock_guard lock(mutex_);
        const auto& pids = pids_[i];
        const auto at = std::find(pids.begin(), pids.end(), status.pid);
        if (status.phase != ServicePhase::ready || at == pids.end() || at + 1 == pids.end()) return false;
        if (!killed_.insert(*at).second) return false;
        const pid_t target = part == leader ? *at : part == member ? *(at + 1) : parent_of(*at);
        return target > 1 && target != ::getpid() && ::kill(target, SIGKILL) == 0;
    }
    /// The newest leader of each service runs, and its child. Older numbers may be those of strangers by now.
    [[nodiscard]] bool is_whole() const {
        const auto all = group_.status();
        const std::lock_guard lock(mutex_);
        for (std::size_t i = 0; i < pids_.size(); ++i) {
            const auto at = std::find(pids_[i].begin(), pids_[i].end(), all[i].pid);
            if (pids_[i].end() - at != 2 || !is_alive(*at) || parent_of(*(at + 1)) != *at) return false;
        }
        return true;
    }

private:
    ServiceGroup& group_;
    mutable std::mutex mutex_;
    std::array<std::vector<int>, 3> pids_;
    std::set<int> killed_;
};

}  // namespace

TEMPLATE_TEST_CASE("services: a group whose processes are killed at random is whole again, and nothing is there twice",
                   "[services]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    ServiceGroup group(*manager);
    Prey prey(group);
    group.start();
    std::mt19937 random(std::random_device{}());
    const bool has_keepers = TestType::mechanism == warden::Mechanism::keeper;
    std::size_t kills = 0;
    const auto end = std::chrono::steady_clock::now() + 2s;
    while (std::chrono::steady_clock::now() < end) {
        const auto i = random() % 3;
        const auto part = static_cast<Prey::Part>(random() % (has_keepers ? 3 : 2));
        if (!eventually([&] { return prey.kill(i, part) || std::chrono::steady_clock::now() >= end; })) break;
        ++kills;
        if (part == Prey::member) group.restart("s" + std::to_string(i));  // its leader runs on, alone
    }
    CHECK(kills > 3);
    REQUIRE(eventually([&] {
        const auto all = group.status();
        return manager->active_pids().size() == 3 && std::all_of(all.begin(), all.end(), [](const auto& status) {
                   return status.phase == ServicePhase::ready;
               });
    }));
    CHECK(manager->list().size() == 3);
    CHECK(eventually([&] { return prey.is_whole(); }));
    CHECK(group.stop().clean());
    CHECK_FALSE(prey.is_whole());
    CHECK(manager->active_pids().empty());
}

TEMPLATE_TEST_CASE("services: who depends on one that is ready waits for its probe", "[services]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Gate gate;
    ServiceGroup group(*manager);
    const auto path = manager.directory / "ready";
    auto model = service("model", play("await", gate.name(), "append", path.string(), "x", "stay"));
    model.readiness = warden::Probe::file(path).every(10ms);
    group.add(model);
    group.add(service("gateway", play("stay"), {{"model"}}));
    const auto error = failed_start(group, 200ms);
    REQUIRE(error.failures().size() == 2);
    CHECK(error.failures()[0].phase == ServicePhase::running);
    CHECK(contains(error.failures()[0].reason, path.string()));
    CHECK(error.failures()[1].reason == "for 'model' to be ready");
    gate.open();
    group.start();
    CHECK(phase(group, "gateway") == ServicePhase::ready);
    CHECK(manager->find("model")->state == warden::State::ready);
}

TEMPLATE_TEST_CASE("services: a readiness probe that fails is a failure of the service, whose process is stopped",
                   "[services]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    ServiceGroup group(*manager);
    auto model = service("model", play("out", "out of memory\n", "stay"));
    model.readiness = warden::Probe::all_of(
        {warden::Probe::file(manager.directory / "never"), warden::Probe::fails_on_line("out of memory")});
    auto slow = service("slow", play("stay"));
    slow.readiness = warden::Probe::file(manager.directory / "never").within(50ms);
    group.add(model);
    group.add(slow);
    const auto error = failed_start(group);
    REQUIRE(error.failures().size() == 2);
    CHECK(contains(error.failures()[0].reason, "out of memory"));
    CHECK(contains(error.failures()[1].reason, "not ready within 50 ms"));
    CHECK(manager->active_pids().empty());
}

TEMPLATE_TEST_CASE("services: a liveness probe that fails is followed by a restart", "[services]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::atomic<bool> is_well{true};
    ServiceGroup group(*manager);
    auto web = service("web", play("stay"));
    web.restart = quick(RestartMode::on_failure);
    web.liveness = warden::Probe::custom("well",
                                         [&]() -> std::optional<std::string> {
                                             return is_well ? std::nullopt : std::optional<std::string>("it is ill");
                                         })
                       .every(5ms)
                       .thresholds(1, 2);
    group.add(web);
    group.start();
    const auto before = group.status("web");
    is_well = false;
    REQUIRE(eventually([&] { return group.status("web").restarts > 0; }));
    is_well = true;
    REQUIRE(eventually([&] { return phase(group, "web") == ServicePhase::ready; }));
    const auto after = group.status("web");
    CHECK(after.uuid != before.uuid);
    const auto& phases = after.phases;
    CHECK(std::any_of(phases.begin(), phases.end(), [](const auto& record) {
        return record.phase == ServicePhase::stopping && contains(record.reason, "it is ill");
    }));
}
