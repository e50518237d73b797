// SPDX-License-Identifier: MIT
// Lines that are read as they come: by coroutines, handlers, futures, from many threads.
#include <scenarios/output_async.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <functional>
#include <future>
#include <iostream>
#include <latch>
#include <utility>

using namespace support;
using namespace std::chrono_literals;
using boost::asio::use_awaitable;
using warden::error_code;
using warden::SpawnOptions;

TEMPLATE_TEST_CASE("async: a conversation by lines, in a coroutine", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::io_context context;
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(play("echo", "out", "no end"), talking());
    const std::vector<std::string> words{"one", "two", "three"};
    run(context, [&]() -> boost::asio::awaitable<void> {
        for (const std::string& word : words) {
            co_await process.async_write(word + '\n', use_awaitable);
            const std::string answer = co_await process.async_read_line(use_awaitable);
            CHECK(answer == word);
        }
        process.close_stdin();
        const std::string last = co_await process.async_read_line(use_awaitable);
        CHECK(last == "no end");
        auto [ec, line] = co_await process.async_read_line(boost::asio::experimental::as_tuple(use_awaitable));
        CHECK(ec == end_of_output);
        const warden::ExitStatus status = co_await process.async_wait(use_awaitable);
        CHECK(status.success());
    });
}

TEMPLATE_TEST_CASE("async: reads that wait get one line each, in order, and what was not read stays for communicate",
                   "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Futures futures;
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(play("echo"), talking());
    std::vector<std::future<std::string>> lines;
    for (int i = 0; i < 10; ++i) lines.push_back(process.async_read_line(futures()));
    std::string text;
    for (int i = 0; i < 20; ++i) text += "line " + std::to_string(i) + (i % 2 == 0 ? "\n" : "\r\n");
    process.async_write(text, futures()).get();
    for (int i = 0; i < 10; ++i) CHECK(lines[static_cast<std::size_t>(i)].get() == "line " + std::to_string(i));
    const warden::CompletedProcess rest = std::get<1>(communication(process, "the end", 60s).get());
    CHECK(rest.out == text.substr(text.find("line 10")) + "the end");
    CHECK(rest.success());
    CHECK(std::get<0>(line_of(process).get()) == end_of_output);
}

TEMPLATE_TEST_CASE("async: who reads by line slows the process down and loses nothing", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    constexpr int count = is_slow ? 5'000 : 50'000;
    SpawnOptions options = talking();
    options.capture_bytes = 4096;
    auto process = manager->spawn(play("read", "count", std::to_string(count)), options);
    auto next = line_of(process);
    process.write("go\n");
    for (int i = 1; i <= count; ++i) {
        if (std::get<1>(next.get()) != std::to_string(i)) FAIL("line " << i << " is missing");
        next = line_of(process);
    }
    CHECK(std::get<0>(next.get()) == end_of_output);
    CHECK(process.info().dropped_bytes == 0);
}

TEMPLATE_TEST_CASE("async: a chain of reads is a chain of handlers, none within another", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::io_context context;
    TestManager manager{TestType::mechanism};
    constexpr int count = WARDEN_OS_WINDOWS ? 10'000 : is_sanitized ? 20'000 : 200'000;
    SpawnOptions options = talking();
    options.capture_bytes = 100'000;
    auto process = manager->spawn(play("read", "count", std::to_string(count)), options);
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
    CHECK(end == end_of_output);
}

TEMPLATE_TEST_CASE("async: many reads at once from many threads: each line comes to one of them", "[async]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr int count = WARDEN_OS_WINDOWS ? 8'000 : is_sanitized ? 4'000 : 40'000;
    constexpr int readers = 8;
    boost::asio::thread_pool pool{3};
    TestManager manager{TestType::mechanism};
    SpawnOptions options = talking();
    options.capture_bytes = 10'000;
    auto process = manager->spawn(play("read", "count", std::to_string(count)), options);
    std::atomic<std::int64_t> sum{0};
    std::atomic<int> lines{0};
    std::atomic<int> reading{readers};
    std::promise<void> over;
    std::function<void()> read = [&] {
        process.async_read_line(boost::asio::bind_executor(pool, [&](const error_code& ec, const std::string& line) {
            if (ec) {
                if (--reading == 0) over.set_value();
                return;
            }
            sum += std::stoi(line);
            ++lines;
            read();
        }));
    };
    for (int i = 0; i < readers; ++i) read();
    process.write("go\n");
    over.get_future().wait();
    pool.join();  // its handlers hold on to what ends here
    CHECK(lines == count);
    CHECK(sum == std::int64_t{count} * (count + 1) / 2);
    CHECK(process.info().dropped_bytes == 0);
}

TEMPLATE_TEST_CASE("async: a read that was cancelled takes no line with it", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(play("echo"), talking());
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
    process.close_stdin();
    CHECK(process.wait().success());
}

TEMPLATE_TEST_CASE("async: a line longer than the buffer comes in parts", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options = talking();
    options.capture_bytes = 1000;
    auto process = manager->spawn(play("read", "again", "100000", "x"), options);
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
    CHECK(ec == end_of_output);
    CHECK(sum == 100'000);
}

TEMPLATE_TEST_CASE("async: callbacks for output run on the executor that was given", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::io_context context;
    TestManager manager{TestType::mechanism};
    const auto me = std::this_thread::get_id();
    int lines = 0;
    std::size_t bytes = 0;
    bool elsewhere = false;
    SpawnOptions options;
    options.executor = context.get_executor();
    options.overflow_policy = warden::OverflowPolicy::block;
    options.on_line = [&](std::string_view) {
        ++lines;
        elsewhere = elsewhere || std::this_thread::get_id() != me;
    };
    options.on_chunk = [&](warden::Stream, std::string_view text) {
        bytes += text.size();
        elsewhere = elsewhere || std::this_thread::get_id() != me;
    };
    auto process = manager->spawn(play("count", "10000"), options);
    auto busy = boost::asio::make_work_guard(context);
    process.async_wait(
        boost::asio::bind_executor(context, [&](const error_code&, const warden::ExitStatus&) { busy.reset(); }));
    context.run();
    CHECK(lines == 10'000);
    CHECK(bytes == 48'894);
    CHECK(!elsewhere);
}

TEMPLATE_TEST_CASE("output: lines for an execution context that is gone are dropped, and the process goes on",
                   "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto context = std::make_unique<boost::asio::io_context>();
    auto called = std::make_unique<std::vector<std::string>>();
    SpawnOptions options = talking();
    options.executor = context->get_executor();
    options.on_line = [&lines = *called](std::string_view line) { lines.emplace_back(line); };
    options.on_exit = [&lines = *called](const warden::ProcessInfo&) { lines.emplace_back("exit"); };
    options.drain_timeout = 60s;
    auto process = manager->spawn(play("out", "first\n", "line", "line", "exit", "3"), options);
    auto work = std::make_unique<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>>(
        context->get_executor());  // without work a context does not wait
    context->run_one_for(20s);
    work.reset();
    CHECK(*called == std::vector<std::string>{"first"});
    process.write("second\n");  // its line is on the way to the context when that goes
    REQUIRE(eventually([&] { return process.tail(1) == std::vector<std::string>{"second"}; }));
    context.reset();
    called.reset();
    process.write("third\n");
    const auto status = process.wait_for(20s);
    REQUIRE(status);
    CHECK(status->code() == 3);
    CHECK(process.communicate().out == "first\nsecond\nthird\n");
}

namespace {

using Reader =
    std::function<void(warden::ManagedProcess&, warden::Stream, std::function<void(error_code, std::string)>)>;

/// Reads a stream to its end, part after part; the parts. `begun` is called when the first read waits.
std::vector<std::string> parts_of(
    warden::ManagedProcess& process, warden::Stream stream, const Reader& read,
    const std::function<void()>& begun = [] {}) {
    std::vector<std::string> parts;
    for (bool is_first = true;; is_first = false) {
        std::promise<std::pair<error_code, std::string>> next;
        read(process, stream, [&](error_code ec, std::string text) { next.set_value({ec, std::move(text)}); });
        if (is_first) begun();
        auto [ec, text] = next.get_future().get();
        if (ec == boost::asio::error::eof) return parts;
        if (ec) throw warden::system_error(ec);  // two threads are here at a time, and Catch2 has one
        parts.push_back(std::move(text));
    }
}

std::string joined(const std::vector<std::string>& parts) {
    std::string text;
    for (const auto& part : parts) text += part;
    return text;
}

const Reader by_lines = [](auto& process, auto stream, auto done) {
    process.async_read_lines(stream, std::move(done));
};
const Reader by_bytes = [](auto& process, auto stream, auto done) {
    process.async_read_bytes(stream, std::move(done));
};

}  // namespace

TEMPLATE_TEST_CASE("output: both streams are read while they come, one after the other too, and nothing is lost",
                   "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = options.stderr_ = warden::Output::capture;
    options.capture_bytes = 4096;  // far less than is written: the process waits for who reads
    const std::string text = [] {
        std::string all;
        for (int i = 0; i < 100'000; ++i) all += std::to_string(i) + (i % 2 == 0 ? "\n" : "\r\n");
        return all + "no newline";
    }();
    options.stdin_ = warden::Input::pipe;
    auto process = manager->spawn(play("tee"), options);
    std::latch reading(2);
    const auto begun = [&] { reading.count_down(); };
    auto input = std::async(std::launch::async, [&] {
        reading.wait();  // what nobody reads is kept up to the bound only
        process.write(text);
        process.close_stdin();
    });
    auto err =
        std::async(std::launch::async, [&] { return parts_of(process, warden::Stream::stderr_, by_bytes, begun); });
    const auto out = parts_of(process, warden::Stream::stdout_, by_lines, begun);
    input.get();
    CHECK(joined(out) == text);
    CHECK(joined(err.get()) == text);
    for (std::size_t i = 0; i + 1 < out.size(); ++i) CHECK(out[i].ends_with('\n'));
    CHECK(out.size() < 100'000);
    CHECK(process.wait().success());
    auto merged = manager->spawn(play("out", "x"), talking());
    CHECK(code_of<std::string>([&](auto done) { merged.async_read_bytes(warden::Stream::stderr_, std::move(done)); }) ==
          warden::errc::invalid_options);
}

TEMPLATE_TEST_CASE("output: a stream that nobody reads any more does not hold up the other one", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = options.stderr_ = warden::Output::capture;
    options.capture_bytes = 1000;
    std::promise<std::string> first;
    std::promise<std::string> complaint;
    auto process = manager->spawn(play("again", "3000", "x", "err", "at last\n", "again", "10000000", "y"), options);
    process.async_read_bytes(warden::Stream::stdout_,
                             [&](error_code, std::string text) { first.set_value(std::move(text)); });
    CHECK_FALSE(first.get_future().get().empty());
    process.async_read_lines(warden::Stream::stderr_,
                             [&](error_code, std::string text) { complaint.set_value(std::move(text)); });
    auto complained = complaint.get_future();
    REQUIRE(complained.wait_for(20s) == std::future_status::ready);
    CHECK(complained.get() == "at last\n");
    process.stop(warden::StopPlan::now());
}

TEMPLATE_TEST_CASE("output: many lines come with one hand-off, millions a second", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = warden::Output::capture;
    const std::string line = "a line of output that is of a usual length, which is about sixty\n";
    const std::size_t count = is_slow ? 100'000 : 1'000'000;
    auto process = manager->spawn(play("again", std::to_string(count), line), options);
    const auto begin = std::chrono::steady_clock::now();
    std::size_t lines = 0;
    std::promise<void> over;
    std::function<void(error_code, std::string)> next = [&](error_code ec, const std::string& text) {
        lines += static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
        if (ec) over.set_value();
        else process.async_read_lines(warden::Stream::stdout_, next);
    };
    process.async_read_lines(warden::Stream::stdout_, next);
    over.get_future().get();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    CHECK(lines == count);
    std::cout << "lines read asynchronously: " << static_cast<double>(count) / took.count() / 1e6
              << " million a second\n";
    CHECK(process.wait().success());
}

#if WARDEN_OS_POSIX
TEMPLATE_TEST_CASE("output: closing the end that is read ends a process that writes on", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = warden::Output::capture;
    options.stderr_ = warden::Output::merge;
    auto process = manager->spawn(play("again", "1000000000", "y\n"), options);
    std::promise<error_code> first;
    process.async_read_lines(warden::Stream::stdout_, [&](error_code ec, const std::string&) { first.set_value(ec); });
    CHECK_FALSE(first.get_future().get());
    process.close_output(warden::Stream::stdout_);
    process.close_output(warden::Stream::stdout_);
    CHECK(process.wait().signal() == SIGPIPE);
    static_cast<void>(parts_of(process, warden::Stream::stdout_, by_bytes));  // ends
    error_code ec;
    process.close_output(warden::Stream::stderr_, ec);
    CHECK(ec == warden::errc::invalid_options);
}
#endif
