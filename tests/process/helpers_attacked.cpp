// SPDX-License-Identifier: MIT
// A process of the same user stops or kills the guardian and its keepers.
#include <support/fixture.hpp>
#include <warden/detail/system/procfs_linux.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::Mechanism;
using warden::StopPlan;

namespace {

std::vector<pid_t> keepers(const warden::ProcessManager& manager) {
    std::vector<pid_t> found;
    warden::error_code unlisted;
    for (const warden::Pid child : warden::detail::procfs::children(manager.guardian_pid(), unlisted)) {
        const auto pid = static_cast<pid_t>(child);
        if (read_file("/proc/" + std::to_string(pid) + "/comm") == "warden-keeper\n") found.push_back(pid);
    }
    return found;
}

void signal_keepers(const warden::ProcessManager& manager, int signal) {
    const auto all = keepers(manager);
    REQUIRE_FALSE(all.empty());
    for (const pid_t pid : all) CHECK(::kill(pid, signal) == 0);
}

void signal_guardian(const warden::ProcessManager& manager, int signal) {
    CHECK(::kill(static_cast<pid_t>(manager.guardian_pid()), signal) == 0);
}

/// Whether a process is stopped.
bool is_stopped(pid_t pid) {
    const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
    const auto name_end = stat.rfind(')');
    return name_end != stat.npos && stat.substr(name_end + 2, 1) == "T";
}

warden::HealthFinding guardian_health(const warden::ProcessManager& manager) {
    const auto report = manager.health();
    const auto found = std::find_if(report.findings.begin(), report.findings.end(),
                                    [](const auto& finding) { return finding.check == "guardian"; });
    REQUIRE(found != report.findings.end());
    return *found;
}

/// A manager with a process whose child has a session of its own, and the events of lost helpers.
struct Guarded {
    Guarded()
        : process(manager->spawn(victim(handshake, "setsid-daemon", "stay"),
                                 {.stop_plan = StopPlan{}.kill(200ms).last_resort(200ms)})),
          member(handshake.pid()) {
        REQUIRE(member > 0);
    }
    TestManager manager{Mechanism::keeper};
    std::atomic<int> lost{0};
    warden::Subscription subscription = manager->subscribe(
        [this](const warden::Event& event) { lost += event.kind == warden::EventKind::guardian_lost ? 1 : 0; });
    Handshake handshake{manager.directory / "fifo"};
    warden::ManagedProcess process;
    pid_t member;
};

}  // namespace

TEST_CASE("helpers: neither stopped keepers nor a stopped guardian hold up a start", "[helpers]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    TestManager manager{Mechanism::keeper};
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
    signal_keepers(*manager, SIGSTOP);
    CHECK(manager->run(victim("exit", "4")).status.code() == 4);
    signal_guardian(*manager, SIGSTOP);
    signal_keepers(*manager, SIGSTOP);
    std::vector<warden::ManagedProcess> processes;  // more than there are spare keepers
    for (int i = 0; i < 20; ++i) processes.push_back(manager->spawn(victim("exit", "5")));
    for (auto& process : processes) CHECK(process.wait().code() == 5);
}

TEST_CASE("helpers: a stopped keeper is resumed by a stop, which is clean", "[helpers]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    Guarded guarded;
    signal_keepers(*guarded.manager, SIGSTOP);
    signal_guardian(*guarded.manager, SIGSTOP);
    CHECK(guarded.process.stop(StopPlan::prompt()).clean());
    CHECK_FALSE(is_alive(guarded.member));
}

TEST_CASE("helpers: a health report says that helpers were stopped, and resumes them", "[helpers]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    TestManager manager{Mechanism::keeper};
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
    signal_guardian(*manager, SIGSTOP);
    REQUIRE(eventually([&] { return is_stopped(static_cast<pid_t>(manager->guardian_pid())); }));
    const auto all = keepers(*manager);  // from now on no others come
    REQUIRE_FALSE(all.empty());
    signal_keepers(*manager, SIGSTOP);
    CHECK(eventually([&] { return std::all_of(all.begin(), all.end(), is_stopped); }));
    CHECK(guardian_health(*manager).status == warden::HealthStatus::degraded);
    CHECK(std::none_of(all.begin(), all.end(), is_stopped));
    CHECK(guardian_health(*manager).status == warden::HealthStatus::ok);
}

TEST_CASE("helpers: the tree of a killed keeper is ended by the guardian, and that is told", "[helpers]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    Guarded guarded;
    signal_keepers(*guarded.manager, SIGKILL);
    CHECK(eventually([&] { return guarded.lost >= 1 && !is_alive(guarded.member); }));
    CHECK(guarded.process.stop(StopPlan::prompt()).clean());
    CHECK(eventually([&] { return !guarded.process.tree_alive(); }));
    CHECK(guarded.manager->run(victim("exit", "3")).status.code() == 3);
}

TEST_CASE("helpers: what outlives its killed keeper and guardian is reported, and no stop is clean", "[helpers]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    Guarded guarded;
    const auto leader = static_cast<pid_t>(guarded.process.pid());
    const auto all = keepers(*guarded.manager);
    signal_guardian(*guarded.manager, SIGKILL);  // before it can do its part
    for (const pid_t pid : all) CHECK(::kill(pid, SIGKILL) == 0);
    CHECK(eventually([&] { return guarded.lost >= 2; }));
    const auto report = guarded.process.stop(StopPlan{}.kill(200ms).last_resort(200ms));
    CHECK_FALSE(report.clean());
    // They and the keepers have fallen to the nearest subreaper, which is this program.
    for (const pid_t pid : {guarded.member, leader}) CHECK(::kill(pid, SIGKILL) == 0);
    CHECK(eventually([] {
        bool any = false;
        for (const pid_t pid : descendants()) {
            if (parent_of(pid) != ::getpid()) continue;
            if (::waitpid(pid, nullptr, WNOHANG) == 0 &&
                !read_file("/proc/" + std::to_string(pid) + "/comm").starts_with("warden-guardian"))
                any = true;
        }
        return !any;
    }));
}

TEST_CASE("helpers: a guardian that is killed as soon as it is there is replaced ever more slowly", "[helpers]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    TestManager manager{Mechanism::keeper};
    std::atomic<int> told{0};
    const auto subscription = manager->subscribe(
        [&](const warden::Event& event) { told += event.kind == warden::EventKind::guardian_lost ? 1 : 0; });
    CHECK(guardian_health(*manager).status == warden::HealthStatus::ok);
    int killed = 0;
    const auto end = std::chrono::steady_clock::now() + 1s;
    while (std::chrono::steady_clock::now() < end) {
        const auto guardian = static_cast<pid_t>(manager->guardian_pid());
        if (guardian != 0 && ::kill(guardian, SIGKILL) == 0) {
            ++killed;
            // It is over with this one before the next is looked for.
            REQUIRE(eventually([&] { return manager->guardian_pid() != guardian; }));
        }
    }
    CHECK(killed >= 5);
    CHECK(killed <= 11);  // three at once, and then after 10, 20, 40, 80, 160, 320, 640 ms
    CHECK(eventually([&] { return told >= killed - 1; }));
    CHECK(told <= 2 * killed);
    CHECK(guardian_health(*manager).status != warden::HealthStatus::ok);
    CHECK(eventually([&] { return manager->containment().covers_host_crash; }));
    CHECK(guardian_health(*manager).status == warden::HealthStatus::degraded);
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
    CHECK(eventually(no_keepers_left_to_us));
}

TEST_CASE("helpers: a guardian and keepers cannot be looked into by a process of the same user", "[helpers]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    Guarded guarded;
    const auto owner_of_files = [](pid_t pid) {
        struct stat found {};
        return ::stat(("/proc/" + std::to_string(pid) + "/environ").c_str(), &found) == 0
                   ? static_cast<int>(found.st_uid)
                   : -1;
    };
    SKIP_UNLESS(::geteuid() != 0, "root may look into everything");
    auto all = keepers(*guarded.manager);
    all.push_back(static_cast<pid_t>(guarded.manager->guardian_pid()));
    for (const pid_t pid : all) CHECK(owner_of_files(pid) == 0);
    CHECK(owner_of_files(guarded.member) == static_cast<int>(::geteuid()));
}
