// SPDX-License-Identifier: MIT
// Stops that meet: of many threads, of many processes, one after another; and what ended a process, told apart.
#include <boost/asio/bind_cancellation_slot.hpp>

#include <atomic>
#include <future>
#include <thread>

#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::ExitCause;
using warden::ManagedProcess;
using warden::Output;
using warden::SpawnOptions;
using warden::State;
using warden::StopAction;
using warden::StopPlan;
using warden::StopReport;

namespace {

constexpr int kill_number = 9;

/// A process that has said that it is ready.
ManagedProcess ready(TestManager& manager, const char* verb, SpawnOptions options = {}) {
    options.stdout_ = Output::capture;
    auto process = manager->spawn(victim(verb), std::move(options));
    REQUIRE(next_line(process) == "ready");
    return process;
}

/// Ends a process from outside, with that code.
bool end_from_outside(warden::Pid pid, UINT code) {
    const HANDLE raw = ::OpenProcess(PROCESS_TERMINATE, FALSE, static_cast<DWORD>(pid));
    const bool ended = raw != nullptr && ::TerminateProcess(raw, code) != 0;
    if (raw != nullptr) ::CloseHandle(raw);
    return ended;
}

}  // namespace

TEST_CASE("scenario: after its leader has ended a tree is seen alive, and a stop still ends it", "[scenario][stop]") {
    TestManager manager;
    for (const bool by_scope : {false, true}) {
        SpawnOptions options;
        options.stdout_ = Output::capture;
        options.stop_plan = StopPlan::now();
        auto process = manager->spawn(victim("escape", "plain", "leave"), options);
        const auto line = next_line(process);
        REQUIRE(line);
        const HeldProcess member(std::stoi(*line));
        REQUIRE(member.is_held());
        CHECK(process.wait().success());
        CHECK(process.state() == State::completed);
        CHECK(process.tree_alive());
        CHECK(process.info().tree_alive);
        CHECK_FALSE(member.has_ended());
        if (by_scope) process = ManagedProcess();
        else CHECK(process.stop().clean());
        CHECK(member.ends_within(10s));
        if (by_scope) continue;
        CHECK_FALSE(process.tree_alive());
        CHECK(process.state() == State::completed);  // how it ended does not change any more
        CHECK(process.cause() == ExitCause::normal);
    }
    CHECK(manager->list().empty());
}

TEST_CASE("scenario: the end of the last member is noticed by itself", "[scenario][stop]") {
    TestManager manager;
    auto process = manager->spawn(victim("escape", "plain", "leave"), {.stdout_ = Output::capture});
    const auto line = next_line(process);
    REQUIRE(line);
    CHECK(process.wait().success());
    CHECK(process.tree_alive());
    CHECK(end_from_outside(std::stoi(*line), 1));
    CHECK(eventually([&] { return !process.tree_alive(); }));
}

TEST_CASE("scenario: of what has ended, a stop from many threads does nothing and is no error", "[scenario][stop]") {
    TestManager manager;
    auto process = manager->spawn(victim("exit", "3"));
    CHECK(process.wait().code() == 3);
    REQUIRE(eventually([&] { return !process.tree_alive(); }));
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 11; ++i) {
                const auto report = process.stop();
                if (!report.clean() || !report.steps.empty()) ++wrong;
                warden::error_code ec;
                process.kill(ec);
                if (ec) ++wrong;
                process.terminate(ec);
                if (ec) ++wrong;
                process.suspend(ec);
                if (ec) ++wrong;
                process.signal(kill_number, ec);
                if (ec != warden::errc::already_ended) ++wrong;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(process.exit_status()->code() == 3);
    CHECK(process.cause() == ExitCause::normal);
    CHECK(process.state() == State::failed);
}

TEST_CASE("scenario: several threads that stop one process get one stop, and all get its report", "[scenario][stop]") {
    TestManager manager;
    auto process = ready(manager, "ignore-break");
    std::vector<StopReport> reports(3);
    std::vector<std::thread> threads;
    for (auto& report : reports)
        threads.emplace_back([&] { report = process.stop(StopPlan{}.terminate(300ms).kill(30s)); });
    for (auto& thread : threads) thread.join();
    for (const auto& report : reports) {
        CHECK(report.clean());
        if (!report.steps.empty()) CHECK(report.steps.back().action == StopAction::kill);
    }
    CHECK(manager->metrics().stop_latency.count() == 1);
    CHECK(manager->metrics().forced_total == 1);
}

TEST_CASE("scenario: to give up waiting for a stop neither ends nor hurries it", "[scenario][stop]") {
    TestManager manager;
    auto process = ready(manager, "ignore-break");
    boost::asio::cancellation_signal signal;
    std::promise<bool> told;
    const auto began = std::chrono::steady_clock::now();
    process.async_stop(
        StopPlan{}.terminate(300ms).kill(30s),
        boost::asio::bind_cancellation_slot(signal.slot(), [&](const warden::error_code& ec, const StopReport&) {
            told.set_value(ec == boost::asio::error::operation_aborted);
        }));
    signal.emit(boost::asio::cancellation_type::all);
    CHECK(told.get_future().get());
    CHECK(process.wait_for(30s));
    CHECK(std::chrono::steady_clock::now() - began >= 300ms);
    CHECK(process.exit_status()->signal() == kill_number);
    CHECK(process.cause() == ExitCause::forced);
}

TEST_CASE("scenario: a faster plan replaces the one that runs, a slower one joins it", "[scenario][stop]") {
    TestManager manager;
    auto process = ready(manager, "ignore-break");
    std::promise<StopReport> slow;
    std::promise<StopReport> slower;
    process.async_stop(StopPlan::within(60s),
                       [&](const warden::error_code&, StopReport report) { slow.set_value(std::move(report)); });
    REQUIRE(eventually([&] { return process.state() == State::stopping; }));
    process.async_stop(StopPlan::within(90s),
                       [&](const warden::error_code&, StopReport report) { slower.set_value(std::move(report)); });
    const auto fast = process.stop(StopPlan{}.kill(30s));
    CHECK(fast.clean());
    for (auto* promise : {&slow, &slower}) {
        const auto report = promise->get_future().get();
        CHECK(report.clean());
        REQUIRE(report.steps.size() == 2);
        CHECK(report.steps[0].action == StopAction::terminate);
        CHECK(report.steps[1].action == StopAction::kill);
    }
}

TEST_CASE("scenario: the causes of an end are told apart", "[scenario][stop]") {
    TestManager manager([](warden::ManagerConfig& config) { config.graceful_timeout = 50ms; });
    CHECK(manager->run(victim("exit", "0")).cause == ExitCause::normal);
    CHECK(manager->run(victim("exit", "143")).cause == ExitCause::normal);
    CHECK(manager->run(victim("crash")).cause == ExitCause::crashed);
    {
        auto process = ready(manager, "sleep-forever");
        CHECK(end_from_outside(process.pid(), 9));  // the system does not tell that from an exit
        CHECK(process.wait().code() == 9);
        CHECK(process.cause() == ExitCause::normal);
        CHECK(process.state() == State::failed);
    }
    {
        auto process = ready(manager, "sleep-forever");
        process.kill();
        CHECK(process.wait().signal() == kill_number);
        CHECK(process.cause() == ExitCause::forced);
        CHECK(process.state() == State::force_killed);
    }
    {
        SpawnOptions options;
        options.timeout = 300ms;
        options.stop_plan = StopPlan{}.terminate(50ms).kill(30s);
        auto process = manager->spawn(victim("ignore-break"), options);
        CHECK_FALSE(process.wait().success());
        CHECK(process.cause() == ExitCause::timed_out);
        CHECK(process.runtime() >= 300ms);
    }
    {
        auto process = ready(manager, "sleep-forever");
        CHECK(manager->cleanup_all().size() == 1);
        CHECK(process.cause() == ExitCause::host_shutdown);
    }
}

TEST_CASE("scenario: a timeout holds though a grandchild holds the pipe", "[scenario][stop]") {
    TestManager manager([](warden::ManagerConfig& config) { config.drain_budget = 500ms; });
    SpawnOptions options;
    options.timeout = 300ms;
    options.stop_plan = StopPlan{}.terminate(300ms).kill(30s);
    const auto done = manager->run(victim("beside", "ignore-break", "stay"), options);
    CHECK(done.cause == ExitCause::timed_out);
    CHECK(done.duration >= 300ms);
    CHECK(done.duration < 30s);
    CHECK(manager->metrics().timeouts_total == 1);
    CHECK(manager->active_pids().empty());
    CHECK(eventually([&] { return manager->list().empty(); }));
}

TEST_CASE("scenario: those that ignore the request take one grace together", "[scenario][stop]") {
    constexpr int count = 6;
    const auto grace = 800ms;
    TestManager manager([&](warden::ManagerConfig& config) {
        config.graceful_timeout = grace;
        config.stop_plan = StopPlan::within(60s);
    });
    for (const bool by_name : {true, false}) {
        std::vector<ManagedProcess> processes;
        SpawnOptions options;
        options.name = "stubborn";
        for (int i = 0; i < count; ++i) processes.push_back(ready(manager, "ignore-break", options));
        const auto began = std::chrono::steady_clock::now();
        if (by_name) {
            CHECK(manager->stop("stubborn", StopPlan{}.terminate(grace).kill(30s)).steps.size() == 2 * count);
        } else {
            CHECK(manager->cleanup_all().size() == count);
        }
        const auto took = std::chrono::steady_clock::now() - began;
        CHECK(took >= grace);
        CHECK(took < count * grace);
        for (const auto& process : processes) {
            CHECK(process.exit_status()->signal() == kill_number);
            CHECK_FALSE(process.tree_alive());
        }
    }
}
