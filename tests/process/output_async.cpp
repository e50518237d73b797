// SPDX-License-Identifier: MIT
// What runs beside the caller: callbacks, futures, coroutines, each cancelled for itself; lines as they come.
#include <support/fixture.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <thread>
#include <tuple>

#include <sys/stat.h>

using namespace support;
using namespace std::chrono_literals;
using boost::asio::use_awaitable;
using boost::asio::use_future;
using warden::CompletedProcess;
using warden::error_code;
using warden::ExitCause;
using warden::Input;
using warden::Output;
using warden::SpawnOptions;
using warden::StopPlan;

namespace {

const error_code aborted = boost::asio::error::operation_aborted;
const error_code eof = boost::asio::error::eof;

/// Futures that are made ready on a thread of this object: left to itself, Asio starts some that never end. To be made
/// before the manager, whose thread posts there.
class Futures {
public:
    [[nodiscard]] auto operator()() { return boost::asio::bind_executor(pool_.get_executor(), use_future); }

private:
    boost::asio::thread_pool pool_{1};
};

/// Runs `coroutine` on the thread of the test, and rethrows what it throws. To be made before the manager: `context`.
template <class Coroutine>
void run(boost::asio::io_context& context, Coroutine coroutine) {
    auto done = boost::asio::co_spawn(context, std::move(coroutine), use_future);
    context.run();
    done.get();
}

SpawnOptions talking() {
    SpawnOptions options;
    options.stdin_ = Input::pipe;
    options.stdout_ = Output::capture;
    options.stop_plan = StopPlan::now();
    return options;
}

/// What an operation completed with, as a value: an exception that two threads share is more than the thread sanitizer
/// can follow.
template <class... Results, class Start>
std::future<std::tuple<error_code, Results...>> outcome(Start start) {
    auto promise = std::make_shared<std::promise<std::tuple<error_code, Results...>>>();
    start([promise](const error_code& ec, Results... results) { promise->set_value({ec, std::move(results)...}); });
    return promise->get_future();
}

template <class... Results, class Start>
error_code code_of(Start start) {
    return std::get<0>(outcome<Results...>(std::move(start)).get());
}

/// The next line, or why there is none.
std::future<std::tuple<error_code, std::string>> line_of(warden::ManagedProcess& process) {
    return outcome<std::string>([&](auto done) { process.async_read_line(std::move(done)); });
}

error_code line_code(warden::ManagedProcess& process) { return std::get<0>(line_of(process).get()); }

/// Starts an operation with a cancellation slot and cancels it. The code that it completed with.
template <class... Results, class Start>
error_code cancelled(Start start) {
    boost::asio::cancellation_signal signal;
    std::promise<error_code> code;
    start(boost::asio::bind_cancellation_slot(signal.slot(),
                                              [&](const error_code& ec, Results...) { code.set_value(ec); }));
    signal.emit(boost::asio::cancellation_type::total);
    return code.get_future().get();
}

}  // namespace

TEMPLATE_TEST_CASE("async: a conversation by lines, in a coroutine", "[async]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::io_context context;
    TestManager manager{TestType::mechanism};
    auto process =
        manager->spawn({"sh", {"-c", "while read -r x; do echo \"got $x\"; done; printf 'no end'"}}, talking());
    const std::vector<std::string> words{"one", "two", "three"};
    run(context, [&]() -> boost::asio::awaitable<void> {
        for (const std::string& word : words) {
            co_await process.async_write(word + '\n', use_awaitable);
            const std::string answer = co_await process.async_read_line(use_awaitable);
            CHECK(answer == "got " + word);
        }
        process.close_stdin();
        const std::string last = co_await process.async_read_line(use_awaitable);
        CHECK(last == "no end");
        auto [ec, line] = co_await process.async_read_line(boost::asio::experimental::as_tuple(use_awaitable));
        CHECK(ec == eof);
        const warden::ExitStatus status = co_await process.async_wait(use_awaitable);
        CHECK(status.success());
    });
}

TEMPLATE_TEST_CASE("async: reads that wait get one line each, in order, and what was not read stays for communicate",
                   "[async]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Futures futures;
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn({"cat"}, talking());
    std::vector<std::future<std::string>> lines;
    for (int i = 0; i < 10; ++i) lines.push_back(process.async_read_line(futures()));
    std::string text;
    for (int i = 0; i < 20; ++i) text += "line " + std::to_string(i) + (i % 2 == 0 ? "\n" : "\r\n");
    process.async_write(text, futures()).get();
    for (int i = 0; i < 10; ++i) CHECK(lines[static_cast<std::size_t>(i)].get() == "line " + std::to_string(i));
    const CompletedProcess rest = process.async_communicate("the end", 20s, futures()).get();
    CHECK(rest.out == text.substr(text.find("line 10")) + "the end");
    CHECK(rest.success());
    CHECK(line_code(process) == eof);
}

TEMPLATE_TEST_CASE("async: who reads by line slows the process down and loses nothing", "[async]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    constexpr int count = is_sanitized ? 5'000 : 50'000;
    SpawnOptions options = talking();
    options.capture_bytes = 4096;
    auto process = manager->spawn({"sh", {"-c", "read x; seq " + std::to_string(count)}}, options);
    auto next = line_of(process);
    process.write("go\n");
    for (int i = 1; i <= count; ++i) {
        REQUIRE(std::get<1>(next.get()) == std::to_string(i));
        next = line_of(process);
    }
    CHECK(std::get<0>(next.get()) == eof);
    CHECK(process.info().dropped_bytes == 0);
}

TEMPLATE_TEST_CASE("async: a chain of reads is a chain of handlers, none within another", "[async]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::io_context context;
    TestManager manager{TestType::mechanism};
    constexpr int count = is_sanitized ? 20'000 : 200'000;
    SpawnOptions options = talking();
    options.capture_bytes = 100'000;
    auto process = manager->spawn({"sh", {"-c", "read x; seq " + std::to_string(count)}}, options);
    int lines = 0;
    int wrong = 0;
    bool is_inside = false;
    error_code end;
    std::function<void()> read = [&] {
        process.async_read_line(boost::asio::bind_executor(context, [&](const error_code& ec, const std::string& line) {
            wrong += is_inside;
            is_inside = true;
            end = ec;
            if (!ec) wrong += line != std::to_string(++lines);
            if (!ec) read();
            is_inside = false;
        }));
    };
    read();
    process.write("go\n");
    context.run();
    CHECK(lines == count);
    CHECK(wrong == 0);
    CHECK(end == eof);
}

TEMPLATE_TEST_CASE("async: many reads at once from many threads: each line comes to one of them", "[async]", OnCgroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr int count = is_sanitized ? 4'000 : 40'000;
    constexpr int readers = 8;
    boost::asio::thread_pool pool{3};
    TestManager manager{TestType::mechanism};
    SpawnOptions options = talking();
    options.capture_bytes = 10'000;
    auto process = manager->spawn({"sh", {"-c", "read x; seq " + std::to_string(count)}}, options);
    std::atomic<std::int64_t> sum{0};
    std::atomic<int> lines{0};
    std::latch over{readers};
    std::function<void()> read = [&] {
        process.async_read_line(boost::asio::bind_executor(pool, [&](const error_code& ec, const std::string& line) {
            if (ec) return over.count_down();
            sum += std::stoi(line);
            ++lines;
            read();
        }));
    };
    for (int i = 0; i < readers; ++i) read();
    process.write("go\n");
    over.wait();
    CHECK(lines == count);
    CHECK(sum == std::int64_t{count} * (count + 1) / 2);
    CHECK(process.info().dropped_bytes == 0);
}

TEMPLATE_TEST_CASE("async: a read that was cancelled takes no line with it", "[async]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn({"cat"}, talking());
    std::vector<std::string> got;
    for (int i = 0; i < 200; ++i) {  // the line and the cancellation come at the same time
        boost::asio::cancellation_signal signal;
        std::promise<std::tuple<error_code, std::string>> told;
        process.async_read_line(
            boost::asio::bind_cancellation_slot(signal.slot(), [&](const error_code& ec, std::string line) {
                told.set_value({ec, std::move(line)});
            }));
        process.write(std::to_string(i) + '\n');
        signal.emit(boost::asio::cancellation_type::total);
        auto [ec, line] = told.get_future().get();
        if (ec) std::tie(ec, line) = line_of(process).get();
        REQUIRE(!ec);
        CHECK(line == std::to_string(i));
    }
}

TEMPLATE_TEST_CASE("async: a line longer than the buffer comes in parts", "[async]", OnCgroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options = talking();
    options.capture_bytes = 1000;
    auto process = manager->spawn({"sh", {"-c", "read x; head -c 100000 /dev/zero | tr '\\0' x"}}, options);
    auto next = line_of(process);
    process.write("go\n");
    std::size_t sum = 0;
    error_code ec;
    for (;; next = line_of(process)) {
        const auto [failed, line] = next.get();
        ec = failed;
        if (ec) break;
        sum += line.size();
    }
    CHECK(ec == eof);
    CHECK(sum == 100'000);
}

TEMPLATE_TEST_CASE("async: run by callback, future and coroutine", "[async]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Futures futures;
    boost::asio::io_context context;
    TestManager manager{TestType::mechanism};
    std::promise<CompletedProcess> called;
    manager->async_run({"cat"}, {}, "by callback", [&](const error_code& ec, CompletedProcess result) {
        CHECK(!ec);
        called.set_value(std::move(result));
    });
    CHECK(called.get_future().get().out == "by callback");
    CHECK(manager->async_run(victim("exit", "7"), {}, {}, futures()).get().status.code() == 7);
    const warden::CommandLine command{"sh", {"-c", "cat; echo err >&2"}};
    run(context, [&]() -> boost::asio::awaitable<void> {
        const CompletedProcess result = co_await manager->async_run(command, SpawnOptions(), "in", use_awaitable);
        CHECK(result.out == "in");
        CHECK(result.err == "err\n");
    });
    CHECK(code_of<CompletedProcess>([&](auto done) {
              manager->async_run({"/no/such/program"}, {}, {}, std::move(done));
          }) == error_code(ENOENT, boost::system::system_category()));
    CHECK(manager->list().empty());
}

TEMPLATE_TEST_CASE("async: a hundred runs at once", "[async]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Futures futures;
    TestManager manager{TestType::mechanism, [](auto& config) { config.max_processes = 200; }};
    std::vector<std::future<CompletedProcess>> runs;
    for (int i = 0; i < 100; ++i) {
        runs.push_back(manager->async_run({"sh", {"-c", "cat; exit " + std::to_string(i)}}, {},
                                          std::string(100'000, 'x'), futures()));
    }
    for (int i = 0; i < 100; ++i) {
        const CompletedProcess result = runs[static_cast<std::size_t>(i)].get();
        CHECK(result.status.code() == i);
        CHECK(result.out.size() == 100'000);
    }
}

TEMPLATE_TEST_CASE("async: what a run leaves running is gone when it completes", "[async]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Futures futures;
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_budget = 100ms; }};
    SpawnOptions options;
    options.stop_plan = StopPlan::now();
    const auto result = manager->async_run({"sh", {"-c", "sleep 300 & echo $!"}}, options, {}, futures()).get();
    CHECK(result.incomplete);
    CHECK(::kill(std::stoi(result.out), 0) != 0);
}

TEMPLATE_TEST_CASE("async: a cancelled run stops its process, and completes when that is gone", "[async]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stop_plan = StopPlan::now();
    Handshake handshake(manager.directory / "fifo");
    boost::asio::cancellation_signal signal;
    std::promise<error_code> code;
    manager->async_run(victim(handshake, "stay"), options, {},
                       boost::asio::bind_cancellation_slot(
                           signal.slot(), [&](const error_code& ec, const CompletedProcess&) { code.set_value(ec); }));
    const pid_t pid = handshake.pid();
    REQUIRE(pid > 0);
    signal.emit(boost::asio::cancellation_type::total);
    CHECK(code.get_future().get() == aborted);
    CHECK(::kill(pid, 0) != 0);
    CHECK(manager->list().empty());
}

TEMPLATE_TEST_CASE("async: each operation is cancelled for itself, and the process goes on", "[async]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Futures futures;
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "stay"), talking());
    REQUIRE(handshake.pid() > 0);
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
    CHECK(other.get().signal() == SIGKILL);
}

TEMPLATE_TEST_CASE("async: to give up waiting for a stop does not call it off", "[async]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "ignore-term"));
    REQUIRE(handshake.pid() > 0);
    CHECK(cancelled<warden::StopReport>(
              [&](auto token) { process.async_stop(StopPlan::within(200ms), std::move(token)); }) == aborted);
    CHECK(process.wait().signal() == SIGKILL);
    CHECK(process.cause() == ExitCause::forced);
}

TEMPLATE_TEST_CASE("async: communicate says when its time is over, and another one goes on", "[async]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Futures futures;
    TestManager manager{TestType::mechanism};
    const auto gate = manager.directory / "gate";
    REQUIRE(::mkfifo(gate.c_str(), 0600) == 0);
    auto process = manager->spawn({"sh", {"-c", "echo before; read x < \"$0\"; echo after", gate.string()}}, talking());
    CHECK(code_of<CompletedProcess>([&](auto done) { process.async_communicate("", 50ms, std::move(done)); }) ==
          warden::errc::timed_out);
    CHECK(process.running());
    auto rest = process.async_communicate("", 20s, futures());
    std::ofstream(gate) << "\n";
    CHECK(rest.get().out == "before\nafter\n");
}

TEMPLATE_TEST_CASE("async: operations of a handle that goes away complete", "[async]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Futures futures;
    TestManager manager{TestType::mechanism};
    std::future<CompletedProcess> communication;
    std::future<std::tuple<error_code, std::string>> line;
    std::future<std::tuple<error_code>> written;
    {
        auto process = manager->spawn({"sleep", {"300"}}, talking());
        line = line_of(process);
        written = outcome<>([&](auto done) { process.async_write(std::string(10 << 20, 'x'), std::move(done)); });
        communication = process.async_communicate("", warden::no_timeout, futures());
    }
    CHECK(communication.get().status.signaled());
    CHECK(std::get<0>(line.get()) == eof);
    CHECK(std::get<0>(written.get()));
}

TEMPLATE_TEST_CASE("async: an empty handle refuses by the handler", "[async]", OnCgroup) {
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
    auto quiet = manager->spawn(victim("exit"));
    CHECK(line_code(quiet) == warden::errc::invalid_options);
    CHECK(code_of<CompletedProcess>([&](auto done) {
              quiet.async_communicate("", warden::Timeout(-1s), there(std::move(done)));
          }) == warden::errc::invalid_timeout);
    CHECK(code_of<>([&](auto done) { quiet.async_write("x", std::move(done)); }) == warden::errc::input_closed);
}

TEMPLATE_TEST_CASE("async: callbacks for output run on the executor that was given", "[async]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::io_context context;
    TestManager manager{TestType::mechanism};
    const auto me = std::this_thread::get_id();
    int lines = 0;
    std::size_t bytes = 0;
    bool elsewhere = false;
    SpawnOptions options;
    options.executor = context.get_executor();
    options.on_line = [&](std::string_view) {
        ++lines;
        elsewhere = elsewhere || std::this_thread::get_id() != me;
    };
    options.on_chunk = [&](warden::Stream, std::string_view text) {
        bytes += text.size();
        elsewhere = elsewhere || std::this_thread::get_id() != me;
    };
    auto process = manager->spawn({"seq", {"10000"}}, options);
    auto busy = boost::asio::make_work_guard(context);
    process.async_wait(
        boost::asio::bind_executor(context, [&](const error_code&, const warden::ExitStatus&) { busy.reset(); }));
    context.run();
    CHECK(lines == 10'000);
    CHECK(bytes == 48'894);
    CHECK(!elsewhere);
}
