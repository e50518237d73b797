// SPDX-License-Identifier: MIT
// Nothing that a process starts gets away from a stop. Each way out is tried first against a plain killpg(2), which
// must miss it.
#include <support/fixture.hpp>

#include <cctype>
#include <cerrno>
#include <csignal>
#include <set>

#include <dirent.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::CommandLine;
using warden::StopPlan;

namespace {

/// The processes with `word` in their command lines.
std::vector<pid_t> processes_with(const std::string& word) {
    std::vector<pid_t> found;
    DIR* const listing = ::opendir("/proc");
    if (!listing) return found;
    while (const dirent* entry = ::readdir(listing)) {
        if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) continue;
        const auto pid = static_cast<pid_t>(std::atoi(entry->d_name));
        const std::string arguments = read_file("/proc/" + std::string(entry->d_name) + "/cmdline");
        if (arguments.find(word) != std::string::npos && is_alive(pid)) found.push_back(pid);
    }
    ::closedir(listing);
    return found;
}

/// Ends and reaps what has come below this process since `before`.
void end_all_but(const std::vector<pid_t>& before) {
    const std::set<pid_t> kept(before.begin(), before.end());
    CHECK(eventually([&] {
        bool any = false;
        for (const pid_t pid : descendants()) {
            if (kept.count(pid) != 0) continue;
            any = true;
            ::kill(pid, SIGKILL);
            ::waitpid(pid, nullptr, WNOHANG | __WALL);
        }
        return !any;
    }));
}

/// Starts the command as the leader of a process group, waits for its announcement, kills the group. Whether who
/// announced itself lives on.
bool escapes_a_plain_killpg(const CommandLine& command, Handshake& handshake) {
    const auto before = descendants();
    std::vector<char*> argv{const_cast<char*>(command.program().c_str())};
    for (const auto& argument : command.arguments()) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    pid_t leader = 0;
    const int failed = ::posix_spawnp(&leader, argv[0], nullptr, &attributes, argv.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    REQUIRE(failed == 0);
    const pid_t member = handshake.pid();
    REQUIRE(member > 0);
    ::killpg(leader, SIGKILL);
    CHECK(::waitpid(leader, nullptr, 0) == leader);
    const bool escaped = !eventually([&] { return !is_alive(member); }, 50ms);
    end_all_but(before);
    return escaped;
}

/// A way out of the process group, for a process that announces itself with its pid.
struct Escape {
    const char* name;
    std::function<CommandLine(const Handshake&)> command;
};

/// A shell that announces itself, then is `sleep`.
std::string sleeper(const Handshake& handshake) {
    return "sh -c 'echo ready $$ >" + handshake.path() + "; exec sleep 60'";
}
CommandLine shell_with(const std::string& before, const Handshake& handshake, const std::string& after) {
    return {"bash", "-c", before + sleeper(handshake) + after};
}

const Escape escapes[] = {
    {"setsid -f", [](const Handshake& h) { return shell_with("setsid -f ", h, "; exec sleep 60"); }},
    {"setsid -f, and its parent exits", [](const Handshake& h) { return shell_with("setsid -f ", h, ""); }},
    {"env -i setsid -f", [](const Handshake& h) { return shell_with("env -i setsid -f ", h, "; exec sleep 60"); }},
    {"timeout", [](const Handshake& h) { return shell_with("timeout 60 ", h, " & exec sleep 60"); }},
    {"timeout within timeout",
     [](const Handshake& h) { return shell_with("timeout 60 timeout 60 ", h, " & exec sleep 60"); }},
    {"the job of an interactive shell",
     [](const Handshake& h) { return shell_with("set -m; ", h, " & exec sleep 60"); }},
    {"a double fork", [](const Handshake& h) { return victim(h, "setsid-daemon", "stay"); }},
    {"a double fork, and its parent exits", [](const Handshake& h) { return victim(h, "setsid-daemon"); }},
    {"a double fork that clears its environment",
     [](const Handshake& h) { return victim(h, "setsid-daemon", "stay", "clear"); }},
    {"a double fork that ignores requests",
     [](const Handshake& h) { return victim(h, "setsid-daemon", "stay", "ignore"); }},
    {"a daemon that ignores requests and stops itself",
     [](const Handshake& h) {
         return CommandLine{"bash", "-c",
                            "setsid -f bash -c 'trap \"\" TERM HUP INT; echo ready $$ >" + h.path() +
                                "; kill -STOP $$; sleep 60'; exec sleep 60"};
     }},
};

}  // namespace

TEST_CASE("control: a plain killpg misses each of these escapes", "[stop]") {
    const TestDirectory directory;
    for (const auto& escape : escapes) {
        INFO(escape.name);
        Handshake handshake(directory / "fifo");
        CHECK(escapes_a_plain_killpg(escape.command(handshake), handshake));
    }
}

TEMPLATE_TEST_CASE("stop: no escape from group, session, environment or parent is one", "[stop]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (const auto& escape : escapes) {
        INFO(escape.name);
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn(escape.command(handshake));
        const pid_t member = handshake.pid();
        REQUIRE(member > 0);
        const auto tree = process.tree();
        CHECK(std::any_of(tree.begin(), tree.end(), [&](const auto& m) { return m.pid == member; }));
        const auto report = process.stop(StopPlan::within(100ms));
        CHECK(report.clean());
        CHECK_FALSE(is_alive(member));
        CHECK_FALSE(process.tree_alive());
        CHECK(processes_with(handshake.path()).empty());
    }
}

TEMPLATE_TEST_CASE("stop: the end of a handle's scope reaches the escaped too", "[stop]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.stop_plan = StopPlan::within(100ms); }};
    for (const auto& escape : escapes) {
        INFO(escape.name);
        Handshake handshake(manager.directory / "fifo");
        pid_t member = 0;
        {
            const auto process = manager->spawn(escape.command(handshake));
            member = handshake.pid();
        }
        REQUIRE(member > 0);
        CHECK_FALSE(is_alive(member));
    }
    CHECK(eventually([&] { return manager->list().empty(); }));
}

TEMPLATE_TEST_CASE("stop: kill and terminate alone reach the escaped too", "[stop]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (const bool by_force : {true, false}) {
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn(victim(handshake, "setsid-daemon", "stay"));
        const pid_t member = handshake.pid();
        REQUIRE(member > 0);
        if (by_force) process.kill();
        else process.terminate();
        CHECK(process.wait().signal() == (by_force ? SIGKILL : SIGTERM));
        CHECK(eventually([&] { return !is_alive(member) && !process.tree_alive(); }));
    }
}

TEMPLATE_TEST_CASE("stop: a chain of processes that forks faster than anybody can look is ended", "[stop]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "chain-forker", "20"));
    REQUIRE(handshake.pid() > 0);
    CHECK(process.wait().code() == 0);
    CHECK(process.tree_alive());
    const auto report = process.stop(StopPlan{}.kill(4s).last_resort(1s));
    CHECK(report.clean());
    CHECK(report.duration < (TestType::mechanism == warden::Mechanism::cgroup ? 1s : 5s));
    CHECK(processes_with(handshake.path()).empty());
}

TEMPLATE_TEST_CASE("stop: a fork bomb is ended, and the program can start processes afterwards", "[stop]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "fork-bomb", "60"));
    REQUIRE(handshake.pid() > 0);
    const auto report = process.stop(StopPlan::now());
    CHECK(report.clean());
    CHECK(report.duration < 2s);
    CHECK(processes_with(handshake.path()).empty());
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
}

TEMPLATE_TEST_CASE("stop: two thousand grandchildren are gone within two seconds", "[stop]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "grandchildren", "2000"));
    REQUIRE(handshake.pid(30s) > 0);
    CHECK(process.tree().size() == 2001);
    const auto report = process.stop(StopPlan::now());
    CHECK(report.clean());
    CHECK(report.duration < 2s);
    CHECK(processes_with(handshake.path()).empty());
}

TEMPLATE_TEST_CASE("stop: the first process of a pid namespace that ignores requests is ended with all in it", "[stop]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SKIP_UNLESS(manager->run({"unshare", "-pf", "true"}).success(), "no right to make a pid namespace");
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn({"unshare", "-pf", "sh", "-c",
                                   "trap '' TERM; sleep 60 & echo ready $$ >" + handshake.path() + "; wait; sleep 60"});
    REQUIRE(handshake.pid() == 1);
    const auto tree = process.tree();
    CHECK(tree.size() >= 3);
    const auto report = process.stop(StopPlan::within(100ms));
    CHECK(report.clean());
    for (const auto& member : tree) {
        INFO(member.command << ", now " << describe_process(static_cast<pid_t>(member.pid)));
        // The first process of a namespace leaves its control group while it still waits, in the kernel, for the rest
        // to go.
        CHECK(eventually([&] { return !is_alive(static_cast<pid_t>(member.pid)); }, 1s));
    }
}

TEMPLATE_TEST_CASE("stop: members that run as another user are ended where that is promised", "[stop]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SKIP_UNLESS(::geteuid() == 0, "only root may start a process as another user");
    CHECK(manager->containment().covers_other_users);
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn({"sh", "-c",
                                   "sh -c 'echo ready $$ >" + handshake.path() +
                                       "; exec setpriv --reuid=65534 --clear-groups setsid sleep 60' & exec sleep 60"});
    const pid_t member = handshake.pid();
    REQUIRE(member > 0);
    REQUIRE(eventually([&] {
        const auto tree = process.tree();
        return std::any_of(tree.begin(), tree.end(), [](const auto& m) { return m.user == 65534; });
    }));
    CHECK(process.stop(StopPlan::now()).clean());
    CHECK_FALSE(is_alive(member));
}

TEST_CASE("stop: a member that belongs to another user and may not be killed is the survivor that is reported",
          "[stop]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    SKIP_UNLESS(::geteuid() == 0, "only root may make a program that runs as root for others");
    const TestDirectory directory;
    REQUIRE(::chown(directory.path().c_str(), 65534, 65534) == 0);
    const auto helper = directory / "helper";
    std::filesystem::copy_file(
        "/usr/bin/setpriv",
        helper);  // a set-user-id program may still be killed by its caller; one that changes its real user, not
    REQUIRE(::chmod(helper.c_str(), 04755) == 0);
    const std::string failures = in_subprocess([&](Checks& check) {
        ::setenv("TMPDIR", directory.path().c_str(), 1);
        if (!check.that(::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0, "another user"))
            return;
        TestManager manager{warden::Mechanism::keeper,
                            [](auto& config) { config.stop_plan = StopPlan{}.kill(50ms).last_resort(50ms); }};
        check.that(!manager->containment().covers_other_users, "it does not promise to end processes of other users");
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn({"sh", "-c",
                                       "sh -c 'echo ready $$ >" + handshake.path() + "; exec " + helper.string() +
                                           " --reuid=0 --clear-groups sleep 3' & exec sleep 60"});
        const pid_t member = handshake.pid();
        const auto runs_as_root = [&] {
            const auto tree = process.tree();
            return std::any_of(tree.begin(), tree.end(),
                               [&](const auto& m) { return m.pid == member && m.user == 0; }) &&
                   read_file("/proc/" + std::to_string(member) + "/comm") == "sleep\n";
        };
        if (!check.that(eventually(runs_as_root, 1s), "the helper runs as root (mounted nosuid?)")) return;
        const auto report = process.stop();
        check.that(!report.clean(), "the stop is not clean");
        check.that(report.survivors.size() == 1, std::to_string(report.survivors.size()) + " survivors");
        for (const auto& survivor : report.survivors) {
            check.that(survivor.pid == member, "the survivor is " + survivor.command);
            check.that(survivor.reason.find("user 0") != std::string::npos,
                       "the reason names the user: " + survivor.reason);
        }
        check.that(manager->metrics().cleanup_failures_total >= 1, "the failure is counted");
        // The helper ends by itself; that is seen.
        check.that(eventually([&] { return !process.tree_alive(); }), "its later end is noticed");
    });
    CHECK(failures == "");
}
