// SPDX-License-Identifier: MIT
// What a look at the manager finds: orphans, a lost log directory, a limit that is reached.
#include <support/lives.hpp>
#include <warden/telemetry/health.hpp>

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

TEMPLATE_TEST_CASE("health: a manager at rest and one at work are well", "[health]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    CHECK(manager->health().status() == HealthStatus::ok);
    auto process = ready(manager, {"out", "ready\n", "stay"});
    const auto report = manager->health();
    INFO(report.reasons());
    CHECK(report.status() == HealthStatus::ok);
    CHECK(report.zombies.empty());
    CHECK(report.orphans.empty());
    CHECK(finding(report, "signal handlers").detail.find("cleanup_all()") != std::string::npos);  // told to leave them
    CHECK(process.stop(StopPlan{}.kill(30s)).clean());
}

TEMPLATE_TEST_CASE("health: orphans are found, with an event at the tick and one alert", "[health]",
                   EVERY_TIGHT_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.health_interval = 20ms; }};
    Listener listener(*manager);
    const auto count = [&](EventKind kind, warden::Severity severity) {
        const auto events = listener.events();
        return std::count_if(events.begin(), events.end(),
                             [&](const auto& e) { return e.kind == kind && e.severity == severity; });
    };
    CHECK(eventually([&] { return count(EventKind::health, warden::Severity::info) >= 2; }));
    auto process = manager->spawn(play("beside", "4", "leave", "away", "close", "stay", "stay"),
                                  {.stdout_ = warden::Output::capture});
    REQUIRE(next_line(process));
    const auto line = next_line(process);
    REQUIRE(line);
    const warden::Pid orphan = std::stoi(*line);
    REQUIRE(eventually([&] { return manager->health().orphans.size() == 1; }));  // its parent may just be ending
    const auto report = manager->health();
    REQUIRE(report.orphans.size() == 1);
    CHECK(report.orphans.front().process.pid == orphan);
    CHECK(report.orphans.front().tree == process.uuid());
    CHECK(finding(report, "orphans").detail.find("pid " + *line) != std::string::npos);
    CHECK(eventually([&] { return count(EventKind::health, warden::Severity::warning) >= 3; }));
    CHECK(count(EventKind::alert, warden::Severity::warning) == 1);
    CHECK(manager->metrics().alerts_total == 1);
    CHECK(process.stop(StopPlan{}.kill(30s)).clean());
    CHECK(manager->health().orphans.empty());
}

TEMPLATE_TEST_CASE("health: a log directory that cannot be written is told", "[health]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory place;
    const auto file = place.write("logs", "no directory");
    TestManager manager{TestType::mechanism, [&](auto& config) { config.log_directory = file; }};
    const auto report = manager->health();
    CHECK(report.status() == HealthStatus::degraded);
    CHECK(finding(report, "log directory").status == HealthStatus::degraded);
    CHECK(report.reasons().find(file.string()) != std::string::npos);
}

TEMPLATE_TEST_CASE("health: as many processes as are allowed is told", "[health]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.max_processes = 1; }};
    const auto process = manager->spawn(play("stay"), {.stop_plan = StopPlan{}.kill(30s)});
    CHECK(finding(manager->health(), "limits").status == HealthStatus::degraded);
}
