// SPDX-License-Identifier: MIT
// What a look at the manager finds: zombies, orphans, a lost log directory; and what it leaves alone.
#include <support/fixture.hpp>

#include <csignal>
#include <mutex>

#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::EventKind;
using warden::HealthReport;
using warden::HealthStatus;
using warden::StopPlan;

namespace {

const warden::HealthFinding& finding(const HealthReport& report, const std::string& check) {
    for (const auto& found : report.findings) {
        if (found.check == check) return found;
    }
    FAIL("no check named " << check);
    return report.findings.front();
}

}  // namespace

TEMPLATE_TEST_CASE("health: a manager at rest and one at work are well", "[health][OBS-5]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    CHECK(manager->health().status() == HealthStatus::ok);
    auto process = manager->spawn(victim("stay"));
    const auto report = manager->health();
    INFO(report.reasons());
    CHECK(report.status() == HealthStatus::ok);
    CHECK(report.zombies.empty());
    CHECK(report.orphans.empty());
    CHECK(finding(report, "signal handlers").detail.find("cleanup_all()") != std::string::npos);  // told to leave them
}

TEMPLATE_TEST_CASE("health: zombies that a child makes are counted, stall nothing, and are gone with it",
                   "[health][O01]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(lists_members, "without /proc nobody can list zombies");
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "zombies", "100"));
    REQUIRE(handshake.pid() > 0);
    CHECK(eventually([&] { return manager->health().zombies.size() == 100; }));
    const auto report = manager->health();
    CHECK(report.status() == HealthStatus::degraded);
    CHECK(report.zombies.front().tree == process.uuid());
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
    CHECK(process.stop(StopPlan::now()).clean());
    CHECK(manager->health().status() == HealthStatus::ok);
}

TEMPLATE_TEST_CASE("health: orphans are found, with an event at the tick and one alert", "[health][O02][TST]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.cleanup_interval = 20ms; }};
    std::mutex mutex;
    std::vector<warden::Event> events;
    const auto subscription = manager->subscribe([&](const warden::Event& event) {
        const std::lock_guard lock(mutex);
        if (event.kind == EventKind::health || event.kind == EventKind::alert) events.push_back(event);
    });
    const auto count = [&](EventKind kind, warden::Severity severity) {
        const std::lock_guard lock(mutex);
        return std::count_if(events.begin(), events.end(),
                             [&](const auto& e) { return e.kind == kind && e.severity == severity; });
    };
    CHECK(eventually([&] { return count(EventKind::health, warden::Severity::info) >= 2; }));
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "setsid-daemon", "stay"));
    const pid_t daemon = handshake.pid();
    REQUIRE(daemon > 0);
    const auto report = manager->health();
    REQUIRE(report.orphans.size() == 1);
    CHECK(report.orphans.front().process.pid == daemon);
    CHECK(finding(report, "orphans").detail.find("pid " + std::to_string(daemon)) != std::string::npos);
    CHECK(eventually([&] { return count(EventKind::health, warden::Severity::warning) >= 3; }));
    CHECK(count(EventKind::alert, warden::Severity::warning) == 1);
    CHECK(manager->metrics().alerts_total == 1);
    CHECK(process.stop(StopPlan::now()).clean());
    CHECK(manager->health().orphans.empty());
}

TEMPLATE_TEST_CASE("health: the program's own children are not looked at", "[health][O02]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const pid_t own = ::fork();
    if (own == 0) ::_exit(7);
    siginfo_t ended{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(own), &ended, WEXITED | WNOWAIT) == 0);  // a zombie of the program's own
    const auto report = manager->health();
    CHECK(report.status() == HealthStatus::ok);
    CHECK(report.zombies.empty());
    int status = 0;
    CHECK(::waitpid(own, &status, 0) == own);
    CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("health: a log directory that cannot be written is told", "[health][OBS-5]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    const TestDirectory place;
    const auto file = place.write("logs", "no directory");
    TestManager manager{warden::Mechanism::keeper, [&](auto& config) { config.log_directory = file; }};
    const auto report = manager->health();
    CHECK(report.status() == HealthStatus::degraded);
    CHECK(finding(report, "log directory").status == HealthStatus::degraded);
    CHECK(report.reasons().find(file.string()) != std::string::npos);
}

TEST_CASE("health: as many processes as are allowed is told", "[health][OBS-5]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    TestManager manager{warden::Mechanism::keeper, [](auto& config) { config.max_processes = 1; }};
    const auto process = manager->spawn(victim("stay"));
    CHECK(finding(manager->health(), "limits").status == HealthStatus::degraded);
}
