// SPDX-License-Identifier: MIT
// What a stop does step by step, what it reports, and stops that meet.
#include <support/lives.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <atomic>
#include <climits>
#include <future>
#include <optional>
#include <thread>

using namespace support;
using namespace std::chrono_literals;
using warden::ExitCause;
using warden::ManagedProcess;
using warden::SpawnOptions;
using warden::State;
using warden::StopAction;
using warden::StopPlan;

namespace {

const std::vector<std::string> obedient{"out", "ready\n", "stay"};
const std::vector<std::string> stubborn{"ignore", "out", "ready\n", "stay"};

/// How long after a stop a member may be seen; what bounds stops by their graces. Wine takes its time.
#if WARDEN_OS_WINDOWS
constexpr auto end_of_a_member = 10s;
constexpr auto latest_kill = 20s;
constexpr auto latest_end = 20s;
constexpr auto latest_timeout = 30s;
constexpr auto common_grace = 800ms;
constexpr auto latest_of_all = 6 * common_grace;
#else
constexpr auto end_of_a_member = 0ms;
constexpr auto latest_kill = 550ms;
constexpr auto latest_end = 600ms;
constexpr auto latest_timeout = (300ms + 300ms + 500ms) * 11 / 10;
constexpr auto common_grace = 400ms;
constexpr auto latest_of_all = 2s;
#endif

/// A token for a future whose handler needs none of the threads that Asio would make for it and keep.
auto future_on(boost::asio::thread_pool& pool) {
    return boost::asio::bind_executor(pool.get_executor(), boost::asio::use_future);
}

}  // namespace

TEMPLATE_TEST_CASE("stop: who ignores the request is killed when the grace is over, not before and not much later",
                   "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    bool in_time = false;
    for (int attempt = 0; attempt < 3 && !in_time;
         ++attempt) {  // a busy machine may be late once; early is never allowed
        auto process = ready(manager, stubborn);
        const auto report = process.stop(StopPlan{}.terminate(500ms).kill(30s));
        REQUIRE(report.steps.size() == 2);
        CHECK(report.clean());
        CHECK(report.steps[0].action == StopAction::terminate);
        CHECK_FALSE(report.steps[0].tree_exited);
        CHECK(report.steps[1].action == StopAction::kill);
        CHECK(report.steps[1].tree_exited);
        CHECK(report.steps[0].duration >= 500ms);
        CHECK(report.steps[1].began >= 500ms);
        CHECK(report.duration >= 500ms);
        in_time = report.steps[1].began <= latest_kill && report.duration <= latest_end;
        CHECK(process.exit_status()->signal() == kill_number);
        CHECK(process.cause() == ExitCause::forced);
        CHECK(process.state() == State::force_killed);
        CHECK(manager->metrics().forced_total == static_cast<std::uint64_t>(attempt + 1));
    }
    CHECK(in_time);
}

TEMPLATE_TEST_CASE("stop: after its leader has ended a tree is seen alive, and a stop still ends it", "[stop]",
                   EVERY_TIGHT_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (const bool by_scope : {false, true}) {
        SpawnOptions options;
        options.stdout_ = warden::Output::capture;
        options.stop_plan = StopPlan{}.kill(30s);
        auto process = manager->spawn(play("leave", "away", "pid", "close", "stay"), options);
        REQUIRE(next_line(process));
        const auto line = next_line(process);  // it is on its own now
        REQUIRE(line);
        const HeldProcess member(std::stoi(*line));
        REQUIRE(member.is_held());
        const auto status = process.wait_for(30s);
        REQUIRE(status);
        CHECK(status->success());
        CHECK(process.state() == State::completed);
        CHECK(process.tree_alive());
        CHECK(process.info().tree_alive);
        CHECK_FALSE(member.has_ended());
        if (by_scope) process = ManagedProcess();
        else CHECK(process.stop().clean());
        CHECK(member.ends_within(end_of_a_member));
        if (!by_scope) {
            CHECK_FALSE(process.tree_alive());
            CHECK(process.state() == State::completed);  // how it ended does not change any more
            CHECK(process.cause() == ExitCause::exited);
        }
    }
    CHECK(eventually([&] { return manager->list().empty(); }));
}

TEMPLATE_TEST_CASE("stop: of what has ended, again and again and from many threads, does nothing and is no error",
                   "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(play("exit", "3"));
    CHECK(process.wait().code() == 3);
    REQUIRE(eventually([&] { return !process.tree_alive(); }));
    std::atomic<int> wrong{0};
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
    CHECK(process.cause() == ExitCause::exited);
    CHECK(process.state() == State::failed);
}

TEMPLATE_TEST_CASE("stop: several threads that stop one process get one stop, and all get its report", "[stop]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = ready(manager, stubborn);
    std::vector<std::future<warden::StopReport>> reports;
    for (int t = 0; t < 3; ++t)
        reports.push_back(
            std::async(std::launch::async, [&] { return process.stop(StopPlan{}.terminate(300ms).kill(30s)); }));
    for (auto& future : reports) {
        const auto report = future.get();
        CHECK(report.clean());
        REQUIRE_FALSE(report.steps.empty());
        CHECK(report.steps.back().action == StopAction::kill);
        CHECK(report.duration < 20s);
    }
    CHECK(manager->metrics().stop_latency.count() == 1);
    CHECK(manager->metrics().forced_total == 1);
}

TEMPLATE_TEST_CASE("stop: a handle that holds nothing signals nobody", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto held = manager->spawn(play("stay"));
    ManagedProcess moved_to(std::move(held));
    ManagedProcess* const handles[] = {&held};  // moved from
    for (auto* handle : handles) {
        warden::error_code ec;
        handle->kill(ec);
        CHECK(ec == warden::errc::no_process);
        handle->terminate(ec);
        CHECK(ec == warden::errc::no_process);
        handle->signal(kill_number, ec);
        CHECK(ec == warden::errc::no_process);
        CHECK_THROWS_AS(handle->stop(), warden::system_error);
    }
    CHECK(moved_to.running());
    static_cast<void>(moved_to.stop(StopPlan{}.kill(30s)));
}

TEMPLATE_TEST_CASE("stop: a number that is no signal is refused before anything happens", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(play("stay"));
    for (const int number : {0, 65, 200, -1, -9, INT_MIN, INT_MAX}) {
        warden::error_code ec;
        process.signal(number, ec);
        CHECK(ec == warden::errc::invalid_signal);
        CHECK_FALSE(StopPlan{}.signal(number, 1s).kill(1s).validate().empty());
    }
    CHECK(process.running());
    CHECK(process.state() == State::running);
    static_cast<void>(process.stop(StopPlan{}.kill(30s)));
}

TEMPLATE_TEST_CASE("stop: to give up waiting for a stop neither ends nor hurries it", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::thread_pool pool(1);
    TestManager manager{TestType::mechanism};
    for (const bool cancelled : {true, false}) {
        auto process = ready(manager, stubborn);
        const auto began = std::chrono::steady_clock::now();
        if (cancelled) {
            boost::asio::cancellation_signal signal;
            std::promise<warden::error_code> told;
            process.async_stop(StopPlan{}.terminate(400ms).kill(30s),
                               boost::asio::bind_cancellation_slot(
                                   signal.slot(), [&](const warden::error_code& ec, const warden::StopReport&) {
                                       told.set_value(ec);
                                   }));
            signal.emit(boost::asio::cancellation_type::all);
            CHECK(process.wait_for(30s));
            CHECK(told.get_future().get() == boost::asio::error::operation_aborted);
        } else {
            static_cast<void>(
                process.async_stop(StopPlan{}.terminate(400ms).kill(30s), future_on(pool)));  // and it is dropped
            CHECK(process.wait_for(30s));
        }
        CHECK(std::chrono::steady_clock::now() - began >= 400ms);
        CHECK(process.exit_status()->signal() == kill_number);
        CHECK(process.cause() == ExitCause::forced);
    }
}

TEMPLATE_TEST_CASE("stop: a faster plan replaces the one that runs, a slower one joins it", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::thread_pool pool(1);
    TestManager manager{TestType::mechanism};
    auto process = ready(manager, stubborn);
    auto slow = process.async_stop(StopPlan::within(60s), future_on(pool));
    REQUIRE(eventually([&] { return process.state() == State::stopping; }));
    auto slower = process.async_stop(StopPlan::within(90s), future_on(pool));
    const auto fast = process.stop(StopPlan{}.kill(30s));
    CHECK(fast.clean());
    CHECK(fast.duration < 10s);
    for (auto* future : {&slow, &slower}) {
        const auto report = future->get();
        CHECK(report.clean());
        REQUIRE(report.steps.size() == 2);
        CHECK(report.steps[0].action == StopAction::terminate);
        CHECK(report.steps[1].action == StopAction::kill);
    }
}

TEMPLATE_TEST_CASE("stop: the causes of an end are told apart", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.graceful_timeout = 50ms; }};
    CHECK(manager->run(play()).cause == ExitCause::exited);
    CHECK(manager->run(play("exit", "143")).cause == ExitCause::exited);
    CHECK(manager->run(play("crash")).cause == ExitCause::crashed);
    {
        auto process = ready(manager, obedient);
        process.kill();
        CHECK(process.wait().signal() == kill_number);
        CHECK(process.cause() == ExitCause::forced);
        CHECK(process.state() == State::force_killed);
    }
    {
        SpawnOptions options;
        options.timeout = 1s;
        options.stop_plan = StopPlan{}.terminate(100ms).kill(30s);
        auto process = manager->spawn(play(stubborn), options);
        CHECK_FALSE(process.wait().success());
        CHECK(process.cause() == ExitCause::timed_out);
        CHECK(process.runtime() >= 1s);
    }
    {
        auto process = ready(manager, obedient);
        CHECK(manager->cleanup_all().size() == 1);
        CHECK(process.cause() == ExitCause::host_shutdown);
    }
}

TEMPLATE_TEST_CASE("stop: a timeout holds though the process ignores it and its grandchild holds the pipe", "[stop]",
                   EVERY_TIGHT_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 500ms; }};
    const std::vector<std::string> trees[] = {
        {"beside", "2", "ignore", "stay", "ignore", "stay"},          // all ignore it, and hold the pipe
        {"beside", "3", "away", "ignore", "stay", "ignore", "stay"},  // one of them from its own session
    };
    for (const auto& tree : trees) {
        INFO(tree[2]);
        SpawnOptions options;
        options.stop_plan = StopPlan{}.terminate(300ms).kill(30s);
        options.timeout = 300ms;
        const auto began = std::chrono::steady_clock::now();
        const auto result = manager->run(play(tree), options);
        const auto took = std::chrono::steady_clock::now() - began;
        CHECK(result.cause == ExitCause::timed_out);
        CHECK(result.status.signal() == kill_number);
        CHECK(took >= 600ms);
        CHECK(took <= latest_timeout);
    }
    CHECK(manager->metrics().timeouts_total == 2);
    CHECK(manager->active_pids().empty());
    CHECK(eventually([&] { return manager->list().empty(); }));
}

TEMPLATE_TEST_CASE("stop: those that ignore the request take one grace together", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr int count = so_many(12, 6);
    TestManager manager{TestType::mechanism, [](auto& config) {
                            config.graceful_timeout = common_grace;
                            config.stop_plan = StopPlan::within(60s);
                        }};
    for (const bool by_name : {true, false}) {
        std::vector<ManagedProcess> processes;
        SpawnOptions options;
        options.name = "stubborn";
        for (int i = 0; i < count; ++i) processes.push_back(ready(manager, stubborn, options));
        const auto began = std::chrono::steady_clock::now();
        if (by_name)
            CHECK(manager->stop("stubborn", StopPlan{}.terminate(common_grace).kill(30s)).steps.size() == 2 * count);
        else CHECK(manager->cleanup_all().size() == count);
        const auto took = std::chrono::steady_clock::now() - began;
        CHECK(took >= common_grace);
        CHECK(took < latest_of_all);
        for (const auto& process : processes) {
            CHECK(process.exit_status()->signal() == kill_number);
            CHECK_FALSE(process.tree_alive());
        }
    }
}

TEMPLATE_TEST_CASE("stop: every kind of step does what it says, in its order", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions piped;
    piped.stdin_ = warden::Input::pipe;
    {
        auto process = manager->spawn(play("echo"), piped);
        CHECK(process.stop(StopPlan{}.close_stdin(30s).kill(30s)).steps.size() == 1);
        CHECK(process.exit_status()->success());
        CHECK(process.cause() == ExitCause::stopped);
    }
    {
        auto process = manager->spawn(play("line", "exit", "7"), piped);
        const auto report = process.stop(StopPlan{}.write_line("quit", 30s).kill(30s));
        REQUIRE(report.steps.size() == 1);
        CHECK(report.steps[0].tree_exited);
        CHECK(process.exit_status()->code() == 7);
        CHECK(process.cause() == ExitCause::stopped);
        CHECK(process.state() == State::stopped);
        CHECK(process.tail(1) == std::vector<std::string>{"quit"});
        CHECK(manager->metrics().forced_total == 0);
    }
    {
        auto process = ready(manager, obedient);
        CHECK(process.stop(StopPlan{}.signal(kill_number, 30s).kill(30s)).steps.size() == 1);
        CHECK(process.exit_status()->signal() == kill_number);
    }
    auto process = ready(manager, stubborn, piped);
    const auto report = process.stop(StopPlan{}
                                         .close_stdin(20ms)
                                         .write_line("x", 20ms)
                                         .call({"nothing", [](warden::Pid, auto) { return std::string(); }}, 20ms)
                                         .terminate(20ms)
                                         .freeze(20ms)
                                         .kill(30s));
    CHECK(report.clean());
    std::vector<StopAction> taken;
    auto earliest = 0ms;
    for (const auto& step : report.steps) {
        taken.push_back(step.action);
        CHECK(step.began >= earliest);
        CHECK(step.tree_exited == (step.action == StopAction::kill));
        earliest += 20ms;
    }
    CHECK(taken == std::vector<StopAction>{StopAction::close_stdin, StopAction::write_line, StopAction::call,
                                           StopAction::terminate, StopAction::freeze, StopAction::kill});
}
