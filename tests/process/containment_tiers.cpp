// SPDX-License-Identifier: MIT
// What the weakest mechanism holds and does not promise, and what happens where a stronger one is refused half-way.
#include <support/fixture.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <map>

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::CommandLine;
using warden::Mechanism;
using warden::StopPlan;

namespace {

/// A shell whose child stays in its group, announces itself with its pid and sleeps.
CommandLine parent_of_sleeper(const Handshake& handshake, const std::string& first, const std::string& last) {
    return {"sh", {"-c", "sh -c '" + first + "echo ready $$ >" + handshake.path() + "; sleep 60; sleep 60' & " + last}};
}

/// The control group of a manager.
std::filesystem::path home_group(const warden::ProcessManager& manager) {
    return control_group_of("warden-" + to_string(manager.instance_id()));
}

}  // namespace

TEST_CASE("process group: it says what it does not promise, and a demand for more is refused", "[containment]") {
    TestManager manager{Mechanism::process_group};
    const auto report = manager->containment();
    CHECK(report.mechanism == Mechanism::process_group);
    CHECK_FALSE(report.covers_setsid);
    CHECK_FALSE(report.covers_host_crash);
    CHECK_FALSE(report.covers_other_users);
    CHECK_FALSE(report.why_not_stronger.empty());
    CHECK(manager->guardian_pid() == 0);
    warden::SpawnOptions options;
    options.containment = {.covers_host_crash = true};
    const auto error = failed_start(*manager, {"true"}, options);
    CHECK(error.code() == warden::errc::containment_unavailable);
    CHECK(error.step() == warden::SpawnStep::containment);
}

TEST_CASE("process group: who stays in the group is ended, also when its leader has ended before", "[containment]") {
    TestManager manager{Mechanism::process_group};
    for (const char* first : {"", "trap \"\" TERM HUP; "}) {
        INFO(first);
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn(parent_of_sleeper(handshake, first, "exit 5"));
        const pid_t member = handshake.pid();
        REQUIRE(member > 0);
        CHECK(process.wait().code() == 5);
        CHECK(process.tree_alive());
        CHECK(is_alive(member));
        const auto tree = process.tree();
        const auto is_member = [&](const auto& m) { return m.pid == member; };
        CHECK(std::any_of(tree.begin(), tree.end(), is_member) == lists_members);
        CHECK(process.stop(StopPlan::within(100ms)).clean());
        CHECK_FALSE(process.tree_alive());
        CHECK_FALSE(is_alive(member));
    }
}

TEST_CASE("process group: the end of the last member is noticed by itself", "[containment]") {
    TestManager manager{Mechanism::process_group};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(parent_of_sleeper(handshake, "", "exit 0"));
    const pid_t member = handshake.pid();
    REQUIRE(member > 0);
    CHECK(process.wait().success());
    CHECK(process.tree_alive());
    ::kill(-static_cast<pid_t>(process.pid()), SIGKILL);  // also what it is just forking; the number is held
    CHECK(eventually([&] { return !process.tree_alive(); }));
}

TEST_CASE("process group: who leaves the group escapes, as was said", "[containment]") {
    TestManager manager{Mechanism::process_group};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "setsid-daemon", "stay"));
    const pid_t daemon = handshake.pid();
    REQUIRE(daemon > 0);
    CHECK(process.stop(StopPlan::within(100ms)).clean());
    CHECK(is_alive(daemon));
    ::kill(daemon, SIGKILL);
    CHECK(eventually([&] { return ::waitpid(daemon, nullptr, WNOHANG) == daemon; }));
}

TEST_CASE("process group: a leader that somebody else has reaped does not hide its group, nor lend it its number",
          "[containment]") {
    SKIP_UNLESS(lists_members, "there a group is given up once somebody else has reaped its leader");
    TestManager manager{Mechanism::process_group};
    bool stolen = false;
    for (int tries = 0; tries < 200 && !stolen; ++tries) {
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn(parent_of_sleeper(handshake, "trap \"\" TERM HUP; ", "exec sleep 60"));
        const pid_t member = handshake.pid();
        REQUIRE(member > 0);
        const auto leader = static_cast<pid_t>(process.pid());
        REQUIRE(::kill(leader, SIGKILL) == 0);
        pid_t reaped = 0;
        while (reaped == 0)
            reaped = ::waitpid(leader, nullptr, WNOHANG);  // what a foreign loop does, if it comes first
        stolen = reaped == leader;
        static_cast<void>(process.wait());
        CHECK(process.tree_alive());
        CHECK(process.stop(StopPlan::within(100ms)).clean());
        CHECK_FALSE(is_alive(member));
    }
    CHECK(stolen);
}

TEST_CASE("process group: members that have ended and that their parents do not reap do not keep it alive",
          "[containment]") {
    SKIP_UNLESS(lists_members, "POSIX does not tell who has ended");
    TestManager manager{Mechanism::process_group};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "zombies", "3", "leave"));
    const pid_t parent = handshake.pid();
    REQUIRE(parent > 0);
    const auto group = static_cast<pid_t>(process.pid());
    CHECK(process.stop(StopPlan::now()).clean());
    CHECK_FALSE(process.tree_alive());
    CHECK(::kill(-group, 0) == 0);
    CHECK(is_alive(parent));
    ::kill(parent, SIGKILL);
    CHECK(eventually([&] { return ::waitpid(parent, nullptr, WNOHANG) == parent; }));
    while (::waitpid(-group, nullptr, 0) > 0) {}
}

TEST_CASE("process group: a chain of forks whose first process is gone is ended whole", "[containment]") {
    TestManager manager{Mechanism::process_group};
    for (int i = 0; i < 10; ++i) {
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn(victim(handshake, "chain-forker", "20", "in-group"));
        REQUIRE(handshake.pid() > 0);
        CHECK(process.wait().code() == 0);
        CHECK(process.tree_alive());
        const auto group = static_cast<pid_t>(process.pid());
        CHECK(process.stop(StopPlan{}.kill(2s)).clean());
        while (::waitpid(-group, nullptr, WNOHANG) > 0) {}
        CHECK(eventually([&] { return ::kill(-group, 0) != 0 && errno == ESRCH; }, 2s));
    }
}

namespace {

/// The time of a processor that this program, the manager's guardian and each of its keepers have had: unlike the time
/// of the clock it does not count the time that busy strangers have.
std::map<pid_t, std::chrono::nanoseconds> processor_times(const warden::ProcessManager& manager) {
    std::vector<pid_t> pids{::getpid()};
    if (const auto guardian = static_cast<pid_t>(manager.guardian_pid()); guardian > 0) {
        pids.push_back(guardian);
        const std::string name = std::to_string(guardian);
        for (const auto& child : split(read_file("/proc/" + name + "/task/" + name + "/children"), ' '))
            pids.push_back(static_cast<pid_t>(std::stoi(child)));
    }
    std::map<pid_t, std::chrono::nanoseconds> times;
    for (const pid_t pid : pids) {
        clockid_t clock{};
        timespec time{};
        if (::clock_getcpuclockid(pid, &clock) == 0 && ::clock_gettime(clock, &time) == 0)
            times[pid] = std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    }
    return times;
}

std::chrono::nanoseconds cost_of_starts_waits_and_stops(warden::ProcessManager& manager) {
    const auto before = processor_times(manager);
    for (int i = 0; i < 20; ++i) {
        CHECK(manager.run(victim("exit", "3")).status.code() == 3);
        CHECK(manager.spawn(victim("stay")).stop(StopPlan::now()).clean());
    }
    std::chrono::nanoseconds cost{};
    for (const auto& [pid, time] : processor_times(manager)) {
        const auto former = before.find(pid);
        cost += former == before.end() ? time : time - former->second;
    }
    return cost;
}

/// What a start, a wait and a stop cost by themselves is in every round. A processor that is shared with others, by
/// its cache or by a hypervisor, adds to single rounds, and never takes away.
std::chrono::nanoseconds cost_without_disturbance(warden::ProcessManager& manager) {
    auto least = std::chrono::nanoseconds::max();
    for (int round = 0; round < 5; ++round) least = std::min(least, cost_of_starts_waits_and_stops(manager));
    return least;
}

}  // namespace

TEMPLATE_TEST_CASE("containment: a start, a wait and a stop cost no more beside fifteen hundred strangers",
                   "[containment][scale]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    TestManager of_strangers;
    const auto before = cost_without_disturbance(*manager);
    Handshake handshake(of_strangers.directory / "fifo");
    auto strangers = of_strangers->spawn(victim(handshake, "grandchildren", "1500"));
    REQUIRE(handshake.pid(30s) > 0);
    const auto beside = cost_without_disturbance(*manager);
    CHECK(strangers.stop(StopPlan::now()).clean());
    const auto after = cost_without_disturbance(*manager);
    INFO("before " << before.count() << " ns, beside them " << beside.count() << " ns, after " << after.count()
                   << " ns");
    CHECK(beside < 2 * std::min(before, after));
}

TEST_CASE("containment: a control group that is refused half-way gives way to a keeper, and it is told",
          "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{Mechanism::automatic};
    REQUIRE(manager->containment().mechanism == Mechanism::cgroup);
    CHECK(manager->run({"true"}).status.success());
    const auto own = home_group(*manager);
    REQUIRE(std::filesystem::is_directory(own));
    std::vector<warden::ManagedProcess> holding;
    for (int i = 0; i < 20; ++i) holding.push_back(manager->spawn(victim("stay")));  // no group is left over
    REQUIRE(std::ofstream(own / "cgroup.max.descendants") << "0" << std::flush);

    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "setsid-daemon", "stay"));
    const pid_t daemon = handshake.pid();
    REQUIRE(daemon > 0);
    CHECK(process.containment().mechanism == Mechanism::keeper);
    CHECK(process.containment().why_not_stronger.find("a control group could not be made") != std::string::npos);
    CHECK(process.stop(StopPlan::now()).clean());
    CHECK_FALSE(is_alive(daemon));

    warden::SpawnOptions options;
    options.containment.mechanism = Mechanism::cgroup;
    CHECK(failed_start(*manager, victim("stay"), options).step() == warden::SpawnStep::containment);
    REQUIRE(std::ofstream(own / "cgroup.max.descendants") << "max" << std::flush);
    CHECK(manager->run(victim("exit", "3"), options).status.code() == 3);
}

TEST_CASE("containment: a manager that was told to use control groups does not take anything else", "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{Mechanism::cgroup};
    const auto own = home_group(*manager);
    std::vector<warden::ManagedProcess> holding;
    for (int i = 0; i < 20; ++i) holding.push_back(manager->spawn(victim("stay")));
    REQUIRE(std::ofstream(own / "cgroup.max.descendants") << "0" << std::flush);
    CHECK(failed_start(*manager, victim("stay")).step() == warden::SpawnStep::containment);
}
