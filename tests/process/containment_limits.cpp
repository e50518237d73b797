// SPDX-License-Identifier: MIT
// Members that cannot obey at once, or that change their control group: what is still ended, what is said of it.
#include <support/fixture.hpp>
#include <warden/detail/containment/cgroup_hierarchy_linux.hpp>

#include <csignal>
#include <fstream>

#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::CommandLine;
using warden::Mechanism;
using warden::StopPlan;

namespace {

/// A control group beside those of the managers, removed with this object.
class OtherGroup {
public:
    OtherGroup()
        : path_(std::filesystem::path(own_control_group()) / ("other-test-" + std::to_string(::getpid()))),
          is_made_(std::filesystem::create_directory(path_)) {}
    OtherGroup(const OtherGroup&) = delete;
    ~OtherGroup() {
        if (is_made_) static_cast<void>(eventually([&] { return ::rmdir(path_.c_str()) == 0; }));
    }
    [[nodiscard]] std::string members() const { return (path_ / "cgroup.procs").string(); }

private:
    std::filesystem::path path_;
    bool is_made_;
};

CommandLine script(const std::string& text) { return {"sh", {"-c", text}}; }

/// The directory of the control group that a process is in.
std::filesystem::path group_of(pid_t pid) {
    return warden::detail::cgroup_mount() + warden::detail::procfs::control_group(pid);
}

}  // namespace

TEST_CASE("containment: a process that makes a control group beneath its own is ended in there too", "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{Mechanism::cgroup};
    Handshake handshake(manager.directory / "fifo");
    for (int round = 0; round < 3; ++round) {
        auto process = manager->spawn(script("below=" + warden::detail::cgroup_mount() +
                                             "$(sed -n s/^0:://p /proc/self/cgroup)/below; mkdir $below $below/again; "
                                             "trap '' TERM; sleep 60 & echo $! >$below/again/cgroup.procs; "
                                             "echo ready $! >" +
                                             handshake.path() + "; wait; wait"));
        const pid_t member = handshake.pid();
        REQUIRE(member > 0);
        const auto group = group_of(member);
        REQUIRE(group.filename() == "again");
        CHECK(manager->health().escaped.empty());
        CHECK(process.stop(StopPlan::within(50ms)).clean());
        CHECK_FALSE(is_alive(member));
        process = {};
        CHECK(eventually([&] { return !std::filesystem::exists(group); }));
    }
}

TEST_CASE("containment: a frozen control group does not keep its members alive", "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    for (const auto mechanism : {Mechanism::cgroup, Mechanism::keeper}) {
        INFO(warden::to_string(mechanism));
        TestManager manager{mechanism};
        Handshake handshake(manager.directory / "fifo");
        const OtherGroup other;
        const bool own_group = mechanism == Mechanism::cgroup;
        auto process = manager->spawn(own_group ? victim(handshake, "stay")
                                                : script("echo $$ >" + other.members() + " && echo ready $$ >" +
                                                         handshake.path() + " && exec sleep 60"));
        const pid_t pid = handshake.pid();
        REQUIRE(pid > 0);
        REQUIRE(std::ofstream(group_of(pid) / "cgroup.freeze") << "1" << std::flush);
        REQUIRE(eventually(
            [&] { return read_file(group_of(pid) / "cgroup.events").find("frozen 1") != std::string::npos; }));
        const auto report = process.stop(StopPlan::within(100ms));
        CHECK(report.clean());
        CHECK(report.duration < 2s);
        CHECK_FALSE(is_alive(pid));
    }
}

TEST_CASE("containment: who leaves the control group is found, told, and ended with the others", "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{Mechanism::cgroup};
    Handshake handshake(manager.directory / "fifo");
    const OtherGroup other;
    const std::string announce = "; echo ready $! >" + handshake.path();
    struct Escape {
        const char* what;
        std::string script;
    };
    const Escape escapes[] = {
        {"the leader",
         "trap '' TERM; echo $$ >" + other.members() + "; echo ready $$ >" + handshake.path() + "; exec sleep 60"},
        {"a child", "trap '' TERM; sleep 60 & echo $! >" + other.members() + announce + "; wait; wait"},
        {"a child, of a leader that obeys",
         "(trap '' TERM; exec sleep 60) & echo $! >" + other.members() + announce + "; trap 'exit 0' TERM; wait"},
        {"a child with one of its own", "trap '' TERM; (sleep 60 & echo ready $! >" + handshake.path() +
                                            "; wait; wait) & echo $! >" + other.members() + "; wait; wait"},
    };
    for (const auto& escape : escapes) {
        INFO(escape.what);
        auto process = manager->spawn(script(escape.script));
        const pid_t pid = handshake.pid();
        REQUIRE(pid > 0);
        if (std::string_view(escape.what) == "a child with one of its own")
            REQUIRE(std::ofstream(other.members(), std::ios::app) << pid << std::flush);
        const auto health = manager->health();
        CHECK(std::any_of(health.escaped.begin(), health.escaped.end(),
                          [&](const auto& suspect) { return suspect.process.pid == pid; }));
        CHECK(health.status() == warden::HealthStatus::degraded);
        const auto tree = process.tree();
        CHECK(std::any_of(tree.begin(), tree.end(), [&](const auto& m) { return m.pid == pid && m.escaped; }));
        const auto report = process.stop(StopPlan::within(100ms));
        CHECK(report.clean());
        CHECK_FALSE(process.tree_alive());
        CHECK_FALSE(is_alive(pid));
    }
    CHECK(manager->run({"true"}).status.success());
}

TEST_CASE("containment: an escaped process that lives on keeps its tree alive", "[containment]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    TestManager manager{Mechanism::cgroup};
    Handshake handshake(manager.directory / "fifo");
    const OtherGroup other;
    auto process = manager->spawn(script("trap 'exit 3' USR1; sleep 60 & echo $! >" + other.members() +
                                         "; echo ready $! >" + handshake.path() + "; wait"));
    const pid_t pid = handshake.pid();
    REQUIRE(pid > 0);
    CHECK(process.tree().size() == 2);
    process.signal(SIGUSR1);
    CHECK(process.wait().code() == 3);
    CHECK(process.tree_alive());
    ::kill(pid, SIGKILL);
    CHECK(eventually([&] { return !process.tree_alive(); }));
}

TEMPLATE_TEST_CASE("stop: a parent in vfork, which is uninterruptible, is ended with its child", "[stop]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "vfork-parent"));
    const pid_t pid = handshake.pid();
    REQUIRE(pid > 0);
    REQUIRE(eventually([&] { return process_state(pid) == 'D'; }));
    const auto report = process.stop(StopPlan::within(100ms));
    CHECK(report.clean());
    CHECK(report.duration < 2s);
    CHECK_FALSE(is_alive(pid));
}

TEMPLATE_TEST_CASE("stop: a process that dumps a core of a gigabyte is ended within the plan", "[stop]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(read_file("/proc/sys/kernel/core_pattern").find_first_of("|/") == std::string::npos,
                "cores do not go to the working directory here");
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    const TestDirectory place;
    warden::SpawnOptions options;
    options.working_directory = place.path();
    auto process = manager->spawn(victim(handshake, "dump-core", "1024"), options);
    REQUIRE(handshake.pid(60s) > 0);
    REQUIRE(eventually([&] { return !std::filesystem::is_empty(place.path()); }));
    const auto report = process.stop(StopPlan::within(100ms));
    CHECK(report.clean());
    CHECK(report.duration < 3s);
    CHECK(process.wait().signaled());
}
