// SPDX-License-Identifier: MIT
// Code of the user that throws, or whose execution context is gone: reported and counted, and nothing else suffers.
#include <support/fixture.hpp>
#include <warden/warden.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <optional>
#include <stdexcept>
#include <thread>

#include <pthread.h>

using namespace support;
using namespace std::chrono_literals;

namespace {

struct ThrowingExecutor {
    void execute(const std::function<void()>&) const { throw std::runtime_error("not today"); }
    bool operator==(const ThrowingExecutor&) const = default;
};

struct ThrowingInitializer {
    template <class Launcher, class Path, class Arguments>
    boost::system::error_code on_setup(Launcher&, const Path&, const Arguments&) {
        throw std::runtime_error("not set up");
    }
};

struct ThrowingWhenDone {
    template <class Launcher, class Path, class Arguments>
    void on_success(Launcher&, const Path&, const Arguments&) {
        throw std::runtime_error("not glad");
    }
};

}  // namespace

TEMPLATE_TEST_CASE("callbacks: an executor that throws loses no output and no end", "[callbacks]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::atomic<int> lines{0};
    warden::SpawnOptions options;
    options.executor = ThrowingExecutor();
    options.on_line = [&](const warden::OutputLine&) { ++lines; };
    auto process = manager->spawn(victim("lines", "100"), options);
    CHECK(process.wait().success());
    CHECK(eventually([&] { return lines == 100; }));
    CHECK(manager->metrics().callback_exceptions_total > 0);
}

TEMPLATE_TEST_CASE("callbacks: a completion handler without an executor that throws is counted", "[callbacks]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(victim("exit", "3"));
    process.async_wait([](const warden::error_code&, warden::ExitStatus) { throw std::runtime_error("not that"); });
    CHECK(process.wait().code() == 3);
    CHECK(eventually([&] { return manager->metrics().callback_exceptions_total == 1; }));
    CHECK(manager->run(victim("exit", "4")).status.code() == 4);
}

TEMPLATE_TEST_CASE("callbacks: an initializer that throws fails the start, or is counted once there is a process",
                   "[callbacks]", OnCgroup, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    try {
        static_cast<void>(manager->spawn(victim("stay"), {}, ThrowingInitializer()));
        FAIL("it started");
    } catch (const warden::SpawnError& error) {
        CHECK(error.step() == warden::SpawnStep::launch);
        CHECK(std::string(error.what()).find("not set up") != std::string::npos);
    }
    CHECK(manager->active_pids().empty());
    auto process = manager->spawn(victim("exit", "3"), {}, ThrowingWhenDone());
    CHECK(process.wait().code() == 3);
    CHECK(manager->metrics().callback_exceptions_total == 1);
}

TEMPLATE_TEST_CASE("callbacks: an operation whose io_context goes first is dropped, and the process goes on",
                   "[callbacks]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    warden::SpawnOptions options;
    options.stdout_ = warden::Output::capture;
    auto process = manager->spawn(victim(handshake, "stay"), options);
    REQUIRE(handshake.pid() > 0);
    std::atomic<int> called{0};
    const auto kept = std::make_shared<int>(0);  // by the handlers
    {
        boost::asio::io_context context;
        process.async_wait(boost::asio::bind_executor(
            context.get_executor(), [&called, kept](const warden::error_code&, warden::ExitStatus) { ++called; }));
        process.async_read_line(boost::asio::bind_executor(
            context.get_executor(), [&called, kept](const warden::error_code&, std::string) { ++called; }));
        boost::asio::co_spawn(
            context,
            [&, kept]() -> boost::asio::awaitable<void> {
                co_await process.async_wait(boost::asio::use_awaitable);
                ++called;
            },
            boost::asio::detached);
        context.poll();
        CHECK(kept.use_count() > 1);
    }
    CHECK(kept.use_count() == 1);
    CHECK(process.running());
    CHECK(process.stop(warden::StopPlan::now()).clean());
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
    CHECK(called == 0);
}

TEMPLATE_TEST_CASE("callbacks: a thread that is cancelled in a stop leaves a manager that works", "[stop]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(!is_sanitized, "the sanitizers do not follow the end of a cancelled thread");
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "ignore-term"));
    REQUIRE(handshake.pid() > 0);
    std::atomic<int> steps{0};
    const auto subscription =
        manager->subscribe([&](const warden::Event& event) { steps += event.kind == warden::EventKind::stop ? 1 : 0; });
    std::thread stopping([&] { static_cast<void>(process.stop(warden::StopPlan{}.terminate(300ms).kill(10s))); });
    CHECK(eventually([&] { return steps == 1; }));
    CHECK(::pthread_cancel(stopping.native_handle()) == 0);
    stopping.join();
    CHECK(eventually([&] { return !process.tree_alive(); }));
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
}
