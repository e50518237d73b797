// SPDX-License-Identifier: MIT
// Operations that run beside the caller: each is cancelled for itself, and each completes.
#include <scenarios/output_async.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>

using namespace support;
using namespace std::chrono_literals;
using boost::asio::use_awaitable;
using warden::CompletedProcess;
using warden::error_code;
using warden::ExitCause;
using warden::SpawnOptions;
using warden::StopPlan;

TEMPLATE_TEST_CASE("async: run by callback, future and coroutine", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Futures futures;
    boost::asio::io_context context;
    TestManager manager{TestType::mechanism};
    std::promise<CompletedProcess> called;
    manager->async_run(play("echo"), {}, "by callback", [&](const error_code& ec, CompletedProcess result) {
        CHECK(!ec);
        called.set_value(std::move(result));
    });
    CHECK(called.get_future().get().out == "by callback");
    CHECK(manager->async_run(play("exit", "7"), {}, {}, futures()).get().status.code() == 7);
    const warden::CommandLine command = play("echo", "err", "err\n");
    run(context, [&]() -> boost::asio::awaitable<void> {
        const SpawnOptions options;
        const CompletedProcess result = co_await manager->async_run(command, options, "in", use_awaitable);
        CHECK(result.out == "in");
        CHECK(result.err == "err\n");
    });
    const auto failed = code_of<CompletedProcess>([&](auto done) {
        manager->async_run({(manager.directory / "no such program").string()}, {}, {}, std::move(done));
    });
    CHECK(failed == boost::system::errc::no_such_file_or_directory);
    CHECK(failed.category() == boost::system::system_category());
    CHECK(manager->list().empty());
}

TEMPLATE_TEST_CASE("async: many runs at once, each with its input, output and exit code", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t count = WARDEN_OS_WINDOWS ? 16 : 100;
    Futures futures;
    TestManager manager{TestType::mechanism, [](auto& config) { config.max_processes = 200; }};
    std::vector<std::future<CompletedProcess>> runs;
    for (std::size_t i = 0; i < count; ++i) {
        runs.push_back(manager->async_run(play("echo", "exit", std::to_string(i)), {},
                                          std::string(100'000, static_cast<char>('a' + i)), futures()));
    }
    for (std::size_t i = 0; i < count; ++i) {
        const CompletedProcess result = runs[i].get();
        CHECK(result.status.code() == static_cast<int>(i));
        CHECK((result.out == std::string(100'000, static_cast<char>('a' + i))));
    }
}

TEMPLATE_TEST_CASE("async: what a run leaves running is gone when it completes", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Futures futures;
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 100ms; }};
    SpawnOptions options;
    options.stop_plan = StopPlan::now();
    const auto result = manager->async_run(play("leave", "stay"), options, {}, futures()).get();
    CHECK(result.incomplete);
    CHECK(result.status.success());
    REQUIRE_FALSE(result.out.empty());
    const HeldProcess left(std::stoi(result.out));
    CHECK(left.has_ended());
    CHECK(manager->list().empty());
}

TEMPLATE_TEST_CASE("async: a cancelled run stops its process, and completes when that is gone", "[async]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stop_plan = StopPlan::now();
    std::promise<warden::Pid> announced;
    options.on_line = [&](std::string_view line) { announced.set_value(std::stoi(std::string(line))); };
    boost::asio::cancellation_signal signal;
    std::promise<error_code> code;
    manager->async_run(play("pid", "stay"), options, {},
                       boost::asio::bind_cancellation_slot(
                           signal.slot(), [&](const error_code& ec, const CompletedProcess&) { code.set_value(ec); }));
    const HeldProcess held(announced.get_future().get());
    REQUIRE(held.is_held());
    signal.emit(boost::asio::cancellation_type::total);
    CHECK(code.get_future().get() == aborted);
    CHECK(held.has_ended());
    CHECK(manager->list().empty());
}

TEMPLATE_TEST_CASE("async: with a cancellation slot that was triggered already nothing starts", "[async]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::promise<error_code> code;
    manager->async_run(
        play("stay"), {}, {},
        boost::asio::bind_cancellation_slot(
            TriggeredSlot(), [&](const error_code& ec, const CompletedProcess&) { code.set_value(ec); }));
    CHECK(code.get_future().get() == aborted);
    CHECK(manager->metrics().spawned_total == 0);
    auto process = manager->spawn(play("stay"));
    std::promise<error_code> stop;
    process.async_stop(StopPlan::now(), boost::asio::bind_cancellation_slot(
                                            TriggeredSlot(), [&](const error_code& ec, const warden::StopReport&) {
                                                stop.set_value(ec);
                                            }));
    CHECK(stop.get_future().get() == aborted);
    CHECK(process.running());
    CHECK(process.stop(StopPlan::now()).clean());
}

TEMPLATE_TEST_CASE("async: each operation is cancelled for itself, and the process goes on", "[async]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Futures futures;
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(play("out", "ready\n", "stay"), talking());
    REQUIRE(next_line(process) == "ready");
    auto other = process.async_wait(futures());
    CHECK(cancelled<warden::ExitStatus>([&](auto token) { process.async_wait(std::move(token)); }) == aborted);
    CHECK(cancelled<std::string>([&](auto token) { process.async_read_line(std::move(token)); }) == aborted);
    CHECK(cancelled<>([&](auto token) { process.async_write(std::string(10 << 20, 'x'), std::move(token)); }) ==
          aborted);
    CHECK(cancelled<CompletedProcess>(
              [&](auto token) { process.async_communicate("", warden::no_timeout, std::move(token)); }) == aborted);
    CHECK(process.running());
    CHECK(other.wait_for(0s) == std::future_status::timeout);
    process.kill();
    CHECK(is_killed(other.get()));
    CHECK(process.cause() == ExitCause::forced);
}

TEMPLATE_TEST_CASE("async: to give up waiting for a stop does not call it off", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(play("ignore", "out", "ready\n", "stay"), {.stdout_ = warden::Output::capture});
    REQUIRE(next_line(process) == "ready");
    CHECK(cancelled<warden::StopReport>(
              [&](auto token) { process.async_stop(StopPlan::within(200ms), std::move(token)); }) == aborted);
    CHECK(is_killed(process.wait()));
    CHECK(process.cause() == ExitCause::forced);
}

TEMPLATE_TEST_CASE("async: communicate says when its time is over, and another one goes on", "[async]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Gate gate;
    auto process = manager->spawn(play("out", "before\n", "await", gate.name(), "out", "after\n"), talking());
    CHECK(std::get<0>(communication(process, "", 50ms).get()) == warden::errc::timed_out);
    CHECK(process.running());
    auto rest = communication(process, "", 60s);
    gate.open();
    CHECK(std::get<1>(rest.get()).out == "before\nafter\n");
}

TEMPLATE_TEST_CASE("async: operations of a handle that goes away complete", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::future<std::tuple<error_code, CompletedProcess>> communicated;
    std::future<std::tuple<error_code, std::string>> line;
    std::future<std::tuple<error_code>> written;
    {
        auto process = manager->spawn(play("stay"), talking());
        line = line_of(process);
        written = outcome<>([&](auto done) { process.async_write(std::string(10 << 20, 'x'), std::move(done)); });
        communicated = communication(process, "", warden::no_timeout);
    }
    const auto ended = std::get<1>(communicated.get());
    CHECK(is_killed(ended.status));
    CHECK(ended.cause == ExitCause::forced);
    CHECK(std::get<0>(line.get()) == end_of_output);
    CHECK(std::get<0>(written.get()));
}

TEMPLATE_TEST_CASE("async: an empty handle refuses by the handler", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::thread_pool pool{1};  // an empty handle has no manager whose threads could call
    TestManager manager{TestType::mechanism};
    const auto there = [&](auto done) { return boost::asio::bind_executor(pool.get_executor(), std::move(done)); };
    warden::ManagedProcess none;
    CHECK(code_of<std::string>([&](auto done) { none.async_read_line(there(std::move(done))); }) ==
          warden::errc::no_process);
    CHECK(code_of<CompletedProcess>([&](auto done) {
              none.async_communicate("", warden::no_timeout, there(std::move(done)));
          }) == warden::errc::no_process);
    auto quiet = manager->spawn(play());
    CHECK(std::get<0>(line_of(quiet).get()) == warden::errc::invalid_options);
    CHECK(code_of<CompletedProcess>([&](auto done) {
              quiet.async_communicate("", warden::Timeout(-1s), there(std::move(done)));
          }) == warden::errc::invalid_timeout);
    CHECK(code_of<>([&](auto done) { quiet.async_write("x", std::move(done)); }) == warden::errc::input_closed);
}
