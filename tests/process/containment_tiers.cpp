// SPDX-License-Identifier: MIT
// What the weakest mechanism holds and does not promise, and what happens where a stronger one is refused half-way.
#include <support/fixture.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <csignal>
#include <fstream>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
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
    return std::filesystem::path(own_control_group()) / ("warden-" + to_string(manager.instance_id()));
}

}  // namespace

TEST_CASE("process group: it says what it does not promise, and a demand for more is refused", "[containment][T3]") {
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

TEST_CASE("process group: who stays in the group is ended, also when its leader has ended before",
          "[containment][T3][G10]") {
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

TEST_CASE("process group: the end of the last member is noticed by itself", "[containment][T3]") {
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

TEST_CASE("process group: who leaves the group escapes, as was said", "[containment][T3][G04]") {
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
          "[containment][T3][J03]") {
    SKIP_UNLESS(lists_members, "where ended members do not tell, the leader has been reaped");
    TestManager manager{Mechanism::process_group};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(parent_of_sleeper(handshake, "trap \"\" TERM HUP; ", "exit 0"));
    const pid_t member = handshake.pid();
    REQUIRE(member > 0);
    CHECK(process.wait().success());
    CHECK(::waitpid(process.pid(), nullptr, 0) == process.pid());  // what a foreign loop does
    CHECK(process.tree_alive());
    CHECK(process.stop(StopPlan::within(100ms)).clean());
    CHECK_FALSE(is_alive(member));
}

TEST_CASE("containment: a control group that is refused half-way gives way to a keeper, and it is told",
          "[containment][L09]") {
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

TEST_CASE("containment: a manager that was told to use control groups does not take anything else",
          "[containment][L09]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{Mechanism::cgroup};
    const auto own = home_group(*manager);
    std::vector<warden::ManagedProcess> holding;
    for (int i = 0; i < 20; ++i) holding.push_back(manager->spawn(victim("stay")));
    REQUIRE(std::ofstream(own / "cgroup.max.descendants") << "0" << std::flush);
    CHECK(failed_start(*manager, victim("stay")).step() == warden::SpawnStep::containment);
}

TEST_CASE("containment: the group of a manager that was killed before it had a guardian goes with the next one",
          "[containment][L09]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    const std::filesystem::path own(own_control_group());
    const pid_t member = ::fork();
    if (member == 0) {
        ::alarm(60);
        for (;;) ::pause();
    }
    // Locked until its member is in it, as its manager would: the managers of other tests sweep meanwhile.
    const auto stale = own / "warden-test-stale";
    int lock = -1;
    REQUIRE(eventually([&] {
        if (lock >= 0) ::close(lock);
        std::error_code swept;
        std::filesystem::create_directories(stale / "0", swept);
        lock = ::open(stale.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return lock >= 0 && ::flock(lock, LOCK_SH | LOCK_NB) == 0 && std::filesystem::exists(stale / "0", swept);
    }));
    REQUIRE(std::ofstream(stale / "0" / "cgroup.procs") << member << std::flush);
    ::close(lock);
    const auto foreign = own / "other-test-stale";
    std::filesystem::create_directories(foreign / "0");
    {
        TestManager living{Mechanism::cgroup};
        const auto process = living->spawn(victim("stay"));
        TestManager next{Mechanism::cgroup};
        int status = 0;
        CHECK(::waitpid(member, &status, 0) == member);
        CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        CHECK(process.running());
        CHECK(std::filesystem::exists(home_group(*living)));
    }
    TestManager last{Mechanism::cgroup};  // the group may not have been empty yet
    CHECK_FALSE(std::filesystem::exists(stale));
    CHECK(std::filesystem::exists(foreign / "0"));
    std::filesystem::remove(foreign / "0");
    std::filesystem::remove(foreign);
}
