// SPDX-License-Identifier: MIT
// Control groups whose members own them and misuse them, that others left behind, or where the program itself stands in
// a bad one.
#include <support/fixture.hpp>
#include <warden/detail/containment/cgroup_home_linux.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <csignal>
#include <fstream>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::Mechanism;
using warden::StopPlan;

namespace {

/// The control group of a manager.
std::filesystem::path home_group(const warden::ProcessManager& manager) {
    return control_group_of("warden-" + to_string(manager.instance_id()));
}

/// The name that a process which has ended would have given to its group.
std::string name_of_dead_owner(const std::string& name) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t owner = ::fork();
    if (owner == 0) {
        const std::string owned = warden::detail::owned_group_name(name);
        ::_exit(::write(ends[1], owned.data(), owned.size()) > 0 ? 0 : 1);
    }
    ::close(ends[1]);
    char text[256];
    const ssize_t size = ::read(ends[0], text, sizeof text);
    ::close(ends[0]);
    CHECK(::waitpid(owner, nullptr, 0) == owner);
    return {text, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

/// Leaves groups for later: as many as run at the same time.
void make_spare_groups(warden::ProcessManager& manager) {
    std::vector<warden::ManagedProcess> running;
    for (int i = 0; i < 3; ++i) running.push_back(manager.spawn({"cat"}, {.stdin_ = warden::Input::pipe}));
    for (auto& process : running) process.close_stdin();
    for (auto& process : running) CHECK(process.wait().success());
    for (auto& process : running) CHECK(eventually([&] { return !process.tree_alive(); }));
}

/// A shell that does `then`, with the file in f that says how many groups may be made beneath its own.
warden::CommandLine limit_of_own_group(const std::string& then) {
    return {"sh",
            {"-c",
             "g=$(sed -n 's/^0:://p' /proc/self/cgroup); m=$(sed -n 's/.* \\([^ ]*\\) [^ ]* - cgroup2 .*/\\1/p' "
             "/proc/self/mountinfo | head -1); f=$m$g/cgroup.max.descendants; " +
                 then}};
}

}  // namespace

TEST_CASE("containment: no misuse of its own control group saves a process from a stop", "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    for (const char* how : {"rights", "threaded", "threaded-below", "nested", "deep", "unit"}) {
        INFO(how);
        TestManager manager{Mechanism::cgroup};  // beside a threaded group the next one can only be threaded too
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn(victim(handshake, "misuse-group", how));
        const pid_t member = handshake.pid();
        REQUIRE(member > 0);
        const auto tree = process.tree();
        CHECK(std::any_of(tree.begin(), tree.end(), [&](const auto& m) { return m.pid == member; }));
        const auto report = process.stop(StopPlan::within(50ms));
        CHECK(report.clean());
        CHECK(report.duration < 1s);
        CHECK_FALSE(is_alive(member));
    }
}

TEST_CASE("containment: a member is asked to end wherever it is within its control group", "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{Mechanism::cgroup};
    for (const char* where : {"x.scope", "a", "t"}) {
        INFO(where);
        auto process = manager->spawn({"sh", "-c", "read line; exec sleep 60"}, {.stdin_ = warden::Input::pipe});
        std::filesystem::path group;
        for (const auto& entry : std::filesystem::directory_iterator(home_group(*manager))) {
            if (entry.is_directory() &&
                read_file((entry.path() / "cgroup.procs").string()) == std::to_string(process.pid()) + '\n')
                group = entry.path();
        }
        REQUIRE_FALSE(group.empty());
        std::filesystem::create_directory(group / where);
        REQUIRE(std::ofstream(group / where / "cgroup.procs") << process.pid() << std::flush);
        const auto report = process.stop(StopPlan{}.terminate(5s).kill(1s));
        CHECK(report.clean());
        CHECK(report.steps.size() == 1);
        CHECK(process.exit_status()->signal() == SIGTERM);
    }
}

TEST_CASE("containment: a process whose first thread has ended is ended by a stop", "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{Mechanism::cgroup};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "end-first-thread"));
    const pid_t member = handshake.pid();
    REQUIRE(member > 0);
    const auto report = process.stop(StopPlan{}.kill(2s));
    CHECK(report.clean());
    CHECK(report.duration < 1s);
    CHECK(process.wait().signal() == SIGKILL);
}

TEST_CASE("containment: what one tree did to spare control groups harms no later start", "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    for (const char* how : {"freeze", "freeze-all", "kill", "remove", "names", "limit"}) {
        INFO(how);
        TestManager manager{Mechanism::cgroup};  // whose spare groups nobody has touched yet
        make_spare_groups(*manager);
        auto misuser = manager->spawn(victim("misuse-groups", how));
        const bool freezes_itself = how == std::string("freeze-all");  // until the next start
        const auto events = (home_group(*manager) / "cgroup.events").string();
        if (freezes_itself) CHECK(eventually([&] { return read_file(events).find("frozen 1") != std::string::npos; }));
        else CHECK(misuser.wait().success());
        const auto began = std::chrono::steady_clock::now();
        for (int i = 0; i < 4; ++i) CHECK(manager->run(victim("exit", "3")).status.code() == 3);
        CHECK(std::chrono::steady_clock::now() - began < 2s);
        CHECK(misuser.wait().success());
        CHECK(manager->run(limit_of_own_group("cat $f")).out == "max\n");
    }
}

TEST_CASE("containment: a tree gets nothing of what the one before it set on its group", "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{Mechanism::cgroup};
    CHECK(manager->run(limit_of_own_group("echo 0 > $f")).success());
    for (int i = 0; i < 3; ++i) CHECK(manager->run(limit_of_own_group("cat $f")).out == "max\n");
}

TEST_CASE("containment: a program in a group that was killed once has control groups all the same", "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    const std::filesystem::path own(own_control_group());
    const auto killed = own / ("killed-test-" + std::to_string(::getpid()));
    REQUIRE(std::filesystem::create_directory(killed));
    REQUIRE(std::ofstream(killed / "cgroup.kill") << "1" << std::flush);
    const std::string failures = in_subprocess([&](Checks& check) {
        if (!check.that(bool(std::ofstream(killed / "cgroup.procs") << "0" << std::flush), "the group can be entered"))
            return;
        TestManager manager{Mechanism::automatic};
        check.that(manager->containment().mechanism == Mechanism::cgroup, manager->containment().why_not_stronger);
        for (int i = 0; i < 3; ++i) check.that(manager->run(victim("exit", "3")).status.code() == 3, "a process runs");
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn(victim(handshake, "setsid-daemon", "stay"));
        check.that(handshake.pid() > 0, "a daemon runs");
        check.that(process.stop(StopPlan::now()).clean(), "and is stopped");
        check.that(process.containment().mechanism == Mechanism::cgroup, "from a control group");
    });
    CHECK(failures == "");
    CHECK(eventually([&] { return ::rmdir(killed.c_str()) == 0; }));
}

TEST_CASE("containment: two hundred programs that start and die at once take no control group from one another",
          "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    int gate[2];
    REQUIRE(::pipe(gate) == 0);
    std::vector<pid_t> programs;
    for (int i = 0; i < 200; ++i) {
        const pid_t program = ::fork();
        REQUIRE(program >= 0);
        if (program == 0) {
            char byte = 0;
            ::close(gate[1]);
            ::alarm(60);
            static_cast<void>(!::read(gate[0], &byte, 1));  // its end lets all begin
            std::string why;
            const auto home = warden::detail::CgroupHome::make("warden-test-crowd-" + std::to_string(i), why);
            warden::error_code ec;
            if (home) static_cast<void>(home->make_group(ec));
            ::_exit(home && !ec ? 0 : 1);  // with its groups left behind
        }
        programs.push_back(program);
    }
    ::close(gate[0]);
    ::close(gate[1]);
    int lost = 0;
    for (const pid_t program : programs) {
        int status = -1;
        CHECK(::waitpid(program, &status, 0) == program);
        lost += status != 0;
    }
    CHECK(lost == 0);
    std::string why;
    CHECK(warden::detail::CgroupHome::make("warden-test-crowd-last", why));
    CHECK(control_group_of("warden-test-crowd-") == "");
}

TEST_CASE("containment: the group of a manager that was killed before it had a guardian goes with the next one",
          "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    const std::filesystem::path own(own_control_group());
    const pid_t member = ::fork();
    if (member == 0) {
        ::alarm(60);
        for (;;) ::pause();
    }
    const auto stale = own / name_of_dead_owner("warden-test-stale");
    REQUIRE(std::filesystem::create_directories(stale / "0"));
    REQUIRE(std::ofstream(stale / "0" / "cgroup.procs") << member << std::flush);
    const int lock = ::open(stale.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(::flock(lock, LOCK_SH | LOCK_NB) == 0);  // as a stranger may, and a stopped guardian did
    const auto living_owner = own / warden::detail::owned_group_name("warden-test-living");
    std::filesystem::create_directories(living_owner / "0");
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
        CHECK((std::filesystem::status(home_group(*living)).permissions() & std::filesystem::perms::all) ==
              std::filesystem::perms::owner_all);
    }
    TestManager last{Mechanism::cgroup};  // the group may not have been empty yet
    CHECK_FALSE(std::filesystem::exists(stale));
    ::close(lock);
    CHECK(std::filesystem::exists(living_owner / "0"));
    std::filesystem::remove(living_owner / "0");
    std::filesystem::remove(living_owner);
    CHECK(std::filesystem::exists(foreign / "0"));
    std::filesystem::remove(foreign / "0");
    std::filesystem::remove(foreign);
}

TEST_CASE("containment: the group of a living program that has no pidfds is not taken for a stale one",
          "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    int gate[2];
    int ends[2];
    REQUIRE((::pipe(gate) == 0 && ::pipe(ends) == 0));
    const pid_t owner = ::fork();
    REQUIRE(owner >= 0);
    if (owner == 0) {
        ::alarm(60);
        ::close(gate[1]);
        const bool is_denied = deny_system_calls({SYS_pidfd_open}, EPERM);
        const auto owned = own_control_group() + '/' + warden::detail::owned_group_name("warden-test-without-pidfds");
        const bool made = is_denied && ::mkdir(owned.c_str(), 0700) == 0;
        char byte = 0;
        if (made && ::write(ends[1], owned.data(), owned.size()) > 0) static_cast<void>(!::read(gate[0], &byte, 1));
        ::_exit(made ? 0 : 1);
    }
    ::close(gate[0]);
    ::close(ends[1]);
    char text[512];
    const ssize_t size = ::read(ends[0], text, sizeof text);
    ::close(ends[0]);
    const std::filesystem::path group(std::string(text, static_cast<std::size_t>(std::max<ssize_t>(size, 0))));
    std::string why;
    CHECK(warden::detail::CgroupHome::make("warden-test-first", why));
    CHECK(std::filesystem::exists(group));
    ::close(gate[1]);  // now it ends
    int status = -1;
    CHECK(::waitpid(owner, &status, 0) == owner);
    CHECK(status == 0);
    CHECK(warden::detail::CgroupHome::make("warden-test-second", why));
    CHECK_FALSE(std::filesystem::exists(group));
}
