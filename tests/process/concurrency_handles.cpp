// SPDX-License-Identifier: MIT
// Callbacks that have the output of a process while it ends: they neither wait for themselves nor are they waited for.
#include <support/fixture.hpp>

#include <boost/asio/thread_pool.hpp>

#include <functional>
#include <future>
#include <mutex>

using namespace support;
using namespace std::chrono_literals;
using warden::ManagedProcess;
using warden::SpawnOptions;
using warden::StopPlan;

TEMPLATE_TEST_CASE("concurrency: a callback that waits for the end of its own process does not wait for itself",
                   "[concurrency]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::thread_pool only_one(1);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 20s; }};
    struct Way {
        const char* name;
        std::function<void(ManagedProcess&)> end;
    };
    const Way ways[] = {
        {"stop", [](auto& process) { process.stop(); }},
        {"stop by uuid", [&](auto& process) { manager->stop(process.uuid()); }},
        {"cleanup", [&](auto&) { manager->cleanup_all(); }},
        {"destructor", [](auto& process) { const ManagedProcess last = std::move(process); }},
        {"wait", [](auto& process) { process.terminate(), process.wait(); }},
        {"communicate", [](auto& process) { process.terminate(), process.communicate(); }},
    };
    for (const bool on_one_thread : {false, true}) {
        for (const Way& way : ways) {
            INFO(way.name << (on_one_thread ? ", with all callbacks on one thread" : ""));
            ManagedProcess process;
            std::promise<void> started;
            std::promise<void> ended;
            std::mutex mutex;
            std::vector<std::string> lines;
            SpawnOptions options;
            options.stdout_ = warden::Output::capture;
            options.on_line = [&, ready = started.get_future().share()](std::string_view line) {
                if (line.starts_with("ready")) {
                    ready.wait();
                    way.end(process);
                    ended.set_value();
                }
                const std::lock_guard lock(mutex);
                lines.emplace_back(line);
            };
            if (on_one_thread) {
                options.executor = only_one.get_executor();
                options.on_chunk = [](warden::Stream, std::string_view) {};
                options.alerts = {warden::AlertRule::literal("term")};
            }
            process = manager->spawn(victim("trap-slowly", "0"), options);
            const auto began = std::chrono::steady_clock::now();
            started.set_value();
            ended.get_future().wait();
            CHECK(std::chrono::steady_clock::now() - began < 10s);  // and not the drain budget
            if (process) CHECK(process.exit_status().value().success());
            CHECK(eventually([&] {
                const std::lock_guard lock(mutex);
                return lines.size() == 2;
            }));
            const std::lock_guard lock(mutex);
            REQUIRE(lines.size() == 2);
            CHECK(lines[1] == "term");
        }
    }
}

TEMPLATE_TEST_CASE(
    "concurrency: what has ended by itself is neither timed out nor stopped while a callback still has its output",
    "[concurrency]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 20s; }};
    ManagedProcess process;
    std::promise<void> started;
    std::promise<warden::StopReport> stopped;
    SpawnOptions options;
    options.stdin_ = warden::Input::pipe;
    options.stdout_ = warden::Output::capture;
    options.timeout = 2s;
    options.on_line = [&, ready = started.get_future().share()](std::string_view) {
        ready.wait();
        warden::error_code ec;
        static_cast<void>(eventually([&] {  // its end is known inside
            process.write("", ec);
            return ec == warden::errc::input_closed;
        }));
        static_cast<void>(eventually([&] { return process.runtime() > 2100ms; }));
        process.terminate(ec);
        stopped.set_value(process.stop());
    };
    process = manager->spawn(warden::CommandLine::shell("echo done"), options);
    started.set_value();
    const auto report = stopped.get_future().get();
    CHECK(report.clean());
    CHECK(report.steps.empty());
    CHECK(process.wait().success());
    CHECK(process.cause() == warden::ExitCause::exited);
    CHECK(process.state() == warden::State::completed);
    CHECK(manager->metrics().timeouts_total == 0);
}

TEMPLATE_TEST_CASE("concurrency: a stop takes no further step while a callback still has the output of what is gone",
                   "[concurrency]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 20s; }};
    std::promise<void> stop_is_over;
    std::promise<void> line_came;
    SpawnOptions options;
    options.stdout_ = warden::Output::capture;
    options.on_line = [&, over = stop_is_over.get_future().share()](std::string_view) {
        line_came.set_value();
        over.wait_for(2300ms);  // longer than the grace
    };
    auto process = manager->spawn(warden::CommandLine::shell("echo line; exec sleep 60"), options);
    line_came.get_future().wait();
    const auto report = process.stop(StopPlan{}.terminate(2s).kill(10s));
    stop_is_over.set_value();
    REQUIRE(report.steps.size() == 1);
    CHECK(report.steps[0].tree_exited);
    CHECK(report.steps[0].duration < 2s);
    CHECK(process.cause() == warden::ExitCause::stopped);
}
