// SPDX-License-Identifier: MIT
// What a look at the manager finds on Windows: orphans, a lost log directory; and what it leaves alone.
#include <algorithm>
#include <fstream>
#include <mutex>

#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::EventKind;
using warden::HealthReport;
using warden::HealthStatus;
using warden::Output;
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

TEST_CASE("scenario: a manager at work is well", "[scenario][health]") {
    TestManager manager;
    auto process = manager->spawn(victim("sleep-forever"), {.stdout_ = Output::capture});
    REQUIRE(next_line(process) == "ready");
    const auto report = manager->health();
    INFO(report.reasons());
    CHECK(report.status() == HealthStatus::ok);
    CHECK(report.zombies.empty());
    CHECK(report.orphans.empty());
    CHECK(finding(report, "signal handlers").detail.find("cleanup_all()") != std::string::npos);  // told to leave them
    CHECK(process.stop(StopPlan::now()).clean());
}

TEST_CASE("scenario: what has ended and is only held by a handle is no zombie, and no member", "[scenario][health]") {
    TestManager manager;
    auto process =
        manager->spawn(victim("escape", "plain", "stay"), {.stdout_ = Output::capture, .stop_plan = StopPlan::now()});
    const auto line = next_line(process);
    REQUIRE(line);
    const auto pid = std::stoi(*line);
    const HeldProcess member(pid);
    REQUIRE(member.is_held());
    CHECK(manager->run(victim("end-process", std::to_string(pid), "1")).success());
    REQUIRE(member.ends_within(10s));
    const auto report = manager->health();
    INFO(report.reasons());
    CHECK(report.status() == HealthStatus::ok);
    CHECK(report.zombies.empty());
    const auto tree = process.tree();
    CHECK(std::none_of(tree.begin(), tree.end(), [&](const auto& m) { return m.pid == pid; }));
    CHECK(process.running());
}

TEST_CASE("scenario: orphans are found, with an event at the tick and one alert", "[scenario][health]") {
    TestManager manager([](warden::ManagerConfig& config) { config.cleanup_interval = 20ms; });
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
    auto process = manager->spawn(victim("escape", "twice", "stay"), {.stdout_ = Output::capture});
    const auto line = next_line(process);
    REQUIRE(line);
    const auto pid = std::stoi(*line);
    REQUIRE(eventually([&] { return manager->health().orphans.size() == 1; }));  // its parent may just be ending
    const auto report = manager->health();
    REQUIRE(report.orphans.size() == 1);
    CHECK(report.orphans.front().process.pid == pid);
    CHECK(report.orphans.front().tree == process.uuid());
    CHECK(finding(report, "orphans").detail.find("pid " + std::to_string(pid)) != std::string::npos);
    CHECK(eventually([&] { return count(EventKind::health, warden::Severity::warning) >= 3; }));
    CHECK(count(EventKind::alert, warden::Severity::warning) == 1);
    CHECK(manager->metrics().alerts_total == 1);
    CHECK(process.stop(StopPlan{}.kill(30s)).clean());
    CHECK(manager->health().orphans.empty());
}

TEST_CASE("scenario: the program's own children are not looked at", "[scenario][health]") {
    TestManager manager;
    std::string line = '"' + beside("windows_victim.exe") + "\" spawn-child-and-exit";
    STARTUPINFOA settings{};
    settings.cb = sizeof settings;
    PROCESS_INFORMATION made{};
    const HANDLE job = ::CreateJobObjectA(nullptr, nullptr);  // so that nothing of them is left
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits{};
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    REQUIRE(::SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits));
    REQUIRE(::CreateProcessA(nullptr, line.data(), nullptr, nullptr, FALSE, CREATE_SUSPENDED, nullptr, nullptr,
                             &settings, &made));
    CHECK(::AssignProcessToJobObject(job, made.hProcess));
    ::ResumeThread(made.hThread);
    ::CloseHandle(made.hThread);
    CHECK(::WaitForSingleObject(made.hProcess, 30'000) == WAIT_OBJECT_0);
    const auto report = manager->health();
    CHECK(report.status() == HealthStatus::ok);
    CHECK(report.orphans.empty());
    CHECK(manager->list().empty());
    ::CloseHandle(made.hProcess);
    ::CloseHandle(job);
}

TEST_CASE("scenario: a log directory that cannot be written is told", "[scenario][health]") {
    const TestDirectory place;
    const auto file = place / "logs";
    std::ofstream(file) << "no directory";
    TestManager manager([&](warden::ManagerConfig& config) { config.log_directory = file; });
    const auto report = manager->health();
    CHECK(report.status() == HealthStatus::degraded);
    CHECK(finding(report, "log directory").status == HealthStatus::degraded);
    CHECK(report.reasons().find(file.string()) != std::string::npos);
}

TEST_CASE("scenario: as many processes as are allowed is told", "[scenario][health]") {
    TestManager manager([](warden::ManagerConfig& config) { config.max_processes = 1; });
    const auto process = manager->spawn(victim("sleep-forever"), {.stop_plan = StopPlan::now()});
    CHECK(finding(manager->health(), "limits").status == HealthStatus::degraded);
}
