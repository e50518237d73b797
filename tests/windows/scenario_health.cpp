// SPDX-License-Identifier: MIT
// What a look at the manager finds on Windows: no zombies; and what it leaves alone.
#include <algorithm>

#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::HealthStatus;
using warden::Output;
using warden::StopPlan;

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
