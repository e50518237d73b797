// SPDX-License-Identifier: MIT
// Nothing that a process starts gets away from a stop, save who asks the system to. Each way out is tried first against
// an end of the leader alone, which must miss it.
#include <algorithm>
#include <string>

#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::ManagedProcess;
using warden::Output;
using warden::SpawnOptions;
using warden::StopPlan;

namespace {

/// A way apart from the leader, and whether the leader stays.
struct Escape {
    const char* way;
    const char* leader;
};
constexpr Escape escapes[] = {
    {"plain", "leave"},  {"twice", "stay"},      {"twice", "leave"},    {"cleared", "stay"},   {"group", "stay"},
    {"console", "stay"}, {"no-window", "leave"}, {"detached", "leave"}, {"suspended", "stay"}, {"job", "stay"},
};

/// A leader that has started one apart from itself, and a hold on that one.
struct Escaped {
    Escaped(TestManager& manager, const Escape& escape, StopPlan plan = StopPlan::now()) {
        SpawnOptions options;
        options.stdout_ = Output::capture;
        options.stop_plan = std::move(plan);
        process = manager->spawn(victim("escape", escape.way, escape.leader), std::move(options));
        const auto line = next_line(process);
        REQUIRE(line);
        INFO(*line);
        pid = std::stoi(*line);
        member.emplace(pid);
        REQUIRE(member->is_held());
    }
    ManagedProcess process;
    warden::Pid pid = 0;
    std::optional<HeldProcess> member;
};

/// The name of a mutex that lives while any of the processes does that were told of it.
class Marker {
public:
    Marker() : name_("warden-marker-" + std::to_string(::GetCurrentProcessId())) {}
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] bool lives() const {
        const HANDLE mutex = ::OpenMutexA(SYNCHRONIZE, FALSE, name_.c_str());
        if (mutex != nullptr) ::CloseHandle(mutex);
        return mutex != nullptr;
    }

private:
    std::string name_;
};

}  // namespace

TEST_CASE("control: an end of the leader alone misses each of these", "[scenario][stop]") {
    TestManager manager;
    for (const auto& escape : escapes) {
        if (escape.leader == std::string("leave")) continue;
        INFO(escape.way);
        Escaped escaped(manager, escape);
        escaped.process.signal(9);
        CHECK(escaped.process.wait().signal() == 9);
        CHECK(escaped.process.tree_alive());
        CHECK_FALSE(escaped.member->has_ended());
    }
}

TEST_CASE("scenario: no escape from group, console, environment, parent or by a job of one's own is one",
          "[scenario][stop]") {
    TestManager manager;
    for (const auto& escape : escapes) {
        INFO(escape.way << ", and the leader is to " << escape.leader);
        Escaped escaped(manager, escape);
        const auto tree = escaped.process.tree();
        CHECK(std::any_of(tree.begin(), tree.end(), [&](const auto& m) { return m.pid == escaped.pid; }));
        CHECK(escaped.process.stop(StopPlan{}.terminate(20ms).kill(30s)).clean());
        CHECK(escaped.member->ends_within(10s));
        CHECK_FALSE(escaped.process.tree_alive());
        CHECK(escaped.process.tree().empty());
    }
}

TEST_CASE("scenario: the end of a handle's scope reaches the escaped too", "[scenario][stop]") {
    TestManager manager;
    for (const auto& escape : escapes) {
        INFO(escape.way << ", and the leader is to " << escape.leader);
        Escaped escaped(manager, escape);
        escaped.process = ManagedProcess();
        CHECK(escaped.member->ends_within(10s));
    }
    CHECK(eventually([&] { return manager->list().empty(); }));
}

TEST_CASE("scenario: a kill alone reaches the escaped too", "[scenario][stop]") {
    TestManager manager;
    Escaped escaped(manager, {"detached", "stay"});
    escaped.process.kill();
    CHECK(escaped.process.wait().signal() == 9);
    CHECK(escaped.member->ends_within(10s));
    CHECK(eventually([&] { return !escaped.process.tree_alive(); }));
}

TEST_CASE("scenario: who asks the system to break away escapes, as was said", "[scenario][stop]") {
    TestManager manager;
    auto process = manager->spawn(victim("escape", "breakaway", "leave"), {.stdout_ = Output::capture});
    const auto line = next_line(process);
    REQUIRE(line);
    const auto pid = std::stoi(*line);
    const HeldProcess member(pid);
    REQUIRE(member.is_held());
    CHECK(process.wait().success());
    CHECK(eventually([&] { return !process.tree_alive(); }));
    CHECK(process.stop(StopPlan::now()).clean());
    CHECK_FALSE(member.has_ended());
    CHECK(manager->run(victim("end-process", std::to_string(pid), "1")).success());
    CHECK(member.ends_within(10s));
}

TEST_CASE("scenario: a chain of processes, each of which starts the next and ends, is ended", "[scenario][stop]") {
    TestManager manager;
    const Marker marker;
    auto process = manager->spawn(victim("chain", marker.name(), "1000"), {.stdout_ = Output::capture});
    REQUIRE(next_line(process));
    CHECK(process.wait().code() == 0);
    CHECK(process.tree_alive());
    CHECK(process.stop(StopPlan{}.kill(30s)).clean());
    CHECK_FALSE(process.tree_alive());
    CHECK(process.tree().empty());
    CHECK_FALSE(marker.lives());
}

TEST_CASE("scenario: a bomb of processes is ended, and the program can start processes afterwards",
          "[scenario][stop]") {
    TestManager manager;
    const Marker marker;
    auto process = manager->spawn(victim("bomb", marker.name(), "5"), {.stdout_ = Output::capture});
    REQUIRE(next_line(process));
    CHECK(marker.lives());
    CHECK(process.stop(StopPlan{}.kill(30s)).clean());
    CHECK(process.tree().empty());
    CHECK_FALSE(marker.lives());
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
}

TEST_CASE("scenario: a demand that no job meets is refused, with the step and the reason", "[scenario][stop]") {
    TestManager manager;
    for (const auto mechanism :
         {warden::Mechanism::cgroup, warden::Mechanism::keeper, warden::Mechanism::process_group}) {
        INFO(warden::to_string(mechanism));
        SpawnOptions options;
        options.containment.mechanism = mechanism;
        try {
            static_cast<void>(manager->spawn(victim("exit", "0"), options));
            FAIL("it was started");
        } catch (const warden::SpawnError& error) {
            CHECK(error.code() == warden::errc::containment_unavailable);
            CHECK(error.step() == warden::SpawnStep::containment);
        }
    }
    SpawnOptions met;
    met.containment = {.mechanism = warden::Mechanism::job_object, .covers_setsid = true, .covers_host_crash = true};
    CHECK(manager->run(victim("exit", "3"), met).status.code() == 3);
}
