// SPDX-License-Identifier: MIT
// Pipes between a program and its children: who holds them, who is slow, who is gone.
#include <scenarios/output.hpp>

#include <algorithm>
#include <atomic>
#include <future>
#include <utility>

using namespace support;
using namespace std::chrono_literals;
using warden::Output;
using warden::SpawnOptions;
using warden::StopPlan;
using warden::Stream;
using Clock = std::chrono::steady_clock;

TEMPLATE_TEST_CASE("output: a grandchild that holds the pipe does not delay a wait, and is named", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 300ms; }};
    Clock::duration best = 1h;
    for (int attempt = 0; attempt < 3 && best > soon(100ms); ++attempt) {  // a busy machine may be slow once
        std::promise<std::string> announced;
        SpawnOptions options;
        options.stdout_ = Output::capture;
        options.on_line = [&](std::string_view line) {
            if (line != "before") announced.set_value(std::string(line));
        };
        auto process = manager->spawn(play("out", "before\n", "leave", "stay"), options);
        const std::string pid = announced.get_future().get();
        const HeldProcess holder(std::stoi(pid));
        REQUIRE(holder.is_held());
        const auto began = Clock::now();
        CHECK(process.wait().success());
        best = std::min(best, Clock::now() - began);
        CHECK(process.info().output_incomplete);
        CHECK(process.tree_alive());
        const auto result = process.communicate();
        CHECK(Clock::now() - began < soon(2s));
        CHECK(result.incomplete);
        CHECK(result.pipe_holder == (lists_members ? std::stoi(pid) : 0));
        CHECK(result.out == "before\n" + pid + '\n');
        CHECK(result.success());
        CHECK_FALSE(holder.has_ended());
        CHECK(process.stop(StopPlan::now()).clean());
        CHECK(holder.has_ended());
    }
    CHECK(best <= soon(100ms));
}

TEMPLATE_TEST_CASE("output: run returns though a grandchild holds the pipe, and takes it along", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 200ms; }};
    const auto began = Clock::now();
    SpawnOptions options;
    options.stop_plan = StopPlan::now();
    const auto result = manager->run(play("out", "said\n", "leave", "stay"), options);
    CHECK(Clock::now() - began < soon(1500ms));
    CHECK(result.status.success());
    CHECK(result.incomplete);
    REQUIRE(result.out.starts_with("said\n"));
    const HeldProcess holder(std::stoi(result.out.substr(5)));
    CHECK(holder.has_ended());
    CHECK(manager->list().empty());

    options.timeout = 500ms;
    const auto second = Clock::now();
    const auto stopped = manager->run(play("stay"), options);
    CHECK(stopped.cause == warden::ExitCause::timed_out);
    CHECK(Clock::now() - second < soon(1500ms));
}

TEMPLATE_TEST_CASE("output: a grandchild that keeps writing cannot keep a run going, and nothing from before is lost",
                   "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 300ms; }};
    const auto began = Clock::now();
    SpawnOptions options;
    options.stop_plan = StopPlan::now();
    options.capture_bytes = 100'000;
    const auto result = manager->run(play("out", "before\n", "leave", "again", "1000000000", "more\n"), options);
    CHECK(Clock::now() - began < soon(2s));
    CHECK(result.status.success());
    CHECK(result.incomplete);
    auto lines = split(result.out, '\n');
    REQUIRE(lines.size() >= 2);
    CHECK(lines[0] == "before");
    CHECK(std::stoi(lines[1]) > 0);
    if (lines.size() > 2) CHECK(std::string_view("more").starts_with(lines.back()));  // where it was cut
    lines.pop_back();
    for (std::size_t i = 2; i < lines.size(); ++i) {
        if (lines[i] != "more") CHECK(lines[i] == "more");
    }
    CHECK(manager->list().empty());
}

TEMPLATE_TEST_CASE("output: sixteen megabytes through a process that echoes to both streams arrive whole", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string text = pattern(16u << 20);
    const auto result = manager->run(play("tee"), {}, text);
    CHECK(result.success());
    CHECK((result.out == text));
    CHECK((result.err == text));
    CHECK_FALSE(result.truncated);
    CHECK_FALSE(result.incomplete);
    CHECK(manager->metrics().output_bytes_total == 2 * text.size());
}

TEMPLATE_TEST_CASE("output: who ends without reading its input harms nobody", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string text = pattern(1u << 20);
    const auto result = manager->run(play("exit", "3"), {}, text);
    CHECK(result.status.code() == 3);
    CHECK(result.cause == warden::ExitCause::exited);

    auto process = manager->spawn(play("exit", "4"), talking());
    warden::error_code ec;
    process.write(text, ec);
    CHECK(ec);  // that it does not read, or that it is gone
    CHECK(process.wait().code() == 4);
    process.write(text, ec);
    CHECK(ec);
    process.close_stdin(ec);  // no crash, no signal
}

TEMPLATE_TEST_CASE("output: who closes its input and goes on is not written to any more", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(!others_have_streams(),
                "Wine 8 gives the streams of a program to its conhost too, which keeps them open");
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(play("close-input", "out", "closed\n", "stay"), talking());
    REQUIRE(next_line(process) == "closed");
    warden::error_code ec;
    process.write(pattern(1u << 20), ec);
    CHECK(ec);
    CHECK(process.running());
    CHECK(process.stop(StopPlan::now()).clean());
}

TEMPLATE_TEST_CASE(
    "output: a callback that takes its time stalls neither its own child nor others, and drops are counted", "[output]",
    EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t size = (is_slow ? 32u : 64u) << 20;
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 100ms; }};
    std::promise<void> go_on;
    const auto gate = go_on.get_future().share();
    std::atomic<std::uint64_t> seen{0};
    SpawnOptions options;
    options.log.limits = {100'000, 1'000'000};
    options.on_chunk = [&, gate](Stream, std::string_view text) {
        gate.wait();
        seen += text.size();
    };
    auto process = manager->spawn(flood(size), options);
    CHECK(process.wait_for(60s));
    CHECK(manager->run(play("echo"), {}, "hello").out == "hello");  // others are served meanwhile
    CHECK(process.info().output_bytes == size);
    go_on.set_value();
    CHECK(eventually([&] { return seen + process.info().dropped_bytes == size; }));
    CHECK(process.info().dropped_bytes > 0);
}

TEMPLATE_TEST_CASE("output: with pause a slow callback gets everything, and the child waits", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t size = 8u << 20;
    TestManager manager{TestType::mechanism, [](auto& config) { config.consumer_queue_bytes = 64u << 10; }};
    std::promise<void> go_on;
    const auto gate = go_on.get_future().share();
    std::promise<void> called;
    std::atomic<std::uint64_t> seen{0};
    SpawnOptions options;
    options.stdout_ = Output::capture;
    options.overflow_policy = warden::OverflowPolicy::block;
    options.on_chunk = [&, gate, is_first = true](Stream, std::string_view text) mutable {
        if (std::exchange(is_first, false)) called.set_value();
        gate.wait();
        seen += text.size();
    };
    auto process = manager->spawn(flood(size), options);
    called.get_future().wait();
    CHECK_FALSE(process.wait_for(300ms));  // it is waiting for its write to end
    CHECK(process.info().output_bytes < size);
    CHECK(manager->run(play("echo"), {}, "hello").out == "hello");
    go_on.set_value();
    CHECK(process.wait_for(60s));
    CHECK(eventually([&] { return seen == size; }));
    CHECK(process.info().dropped_bytes == 0);
    CHECK(process.communicate().out.size() == size);
}

TEMPLATE_TEST_CASE("output: a communicate that runs out of time loses nothing, and the next one goes on", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t size = 8u << 20;
    TestManager manager{TestType::mechanism, [](auto& config) { config.consumer_queue_bytes = 64u << 10; }};
    std::promise<void> go_on;
    const auto gate = go_on.get_future().share();
    SpawnOptions options = talking();
    options.overflow_policy = warden::OverflowPolicy::block;
    options.on_chunk = [gate](Stream, std::string_view) { gate.wait(); };  // so that it lasts as long as it should
    auto process = manager->spawn(flood(size), options);
    warden::error_code ec;
    for (int i = 0; i < 5; ++i) {
        static_cast<void>(process.communicate({}, 20ms, ec));
        CHECK(ec == warden::errc::timed_out);
    }
    CHECK(process.running());
    go_on.set_value();
    const auto result = process.communicate({}, 60s, ec);
    CHECK_FALSE(ec);
    CHECK(result.out.size() == size);
    CHECK(result.success());
}

TEMPLATE_TEST_CASE("output: a handle can be destroyed while its process writes and reads", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (int i = 0; i < 10; ++i) {
        SpawnOptions options = talking();
        options.on_line = [](std::string_view) {};
        auto process = manager->spawn(flood(100'000'000'000), options);
        CHECK(eventually([&] { return process.info().output_bytes > 0; }));
    }
    CHECK(manager->active_pids().empty());
    CHECK(eventually([&] { return manager->list().empty(); }));
}

TEMPLATE_TEST_CASE("output: the standard input is at its end unless asked otherwise", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto result = manager->run(play("echo", "out", "the end"));
    CHECK(result.success());
    CHECK(result.out == "the end");
}

TEMPLATE_TEST_CASE("output: each stream keeps its order and its unterminated tail", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::string> lines[2];
    SpawnOptions options;
    options.on_line = [&](Stream stream, std::string_view line) {
        lines[static_cast<std::size_t>(stream)].emplace_back(line);
    };
    std::string out;
    std::string err;
    for (int i = 1; i <= 30; ++i) {
        out += "out " + std::to_string(i) + '\n';
        err += "err " + std::to_string(i) + '\n';
    }
    auto result = manager->run(play("both", "30"), options);
    CHECK(result.out == out);
    CHECK(result.err == err);
    CHECK(lines[0] == split(out, '\n'));
    CHECK(lines[1] == split(err, '\n'));
    for (auto& stream : lines) stream.clear();
    result = manager->run(play("out", "first\nno newline on stdout", "err", "no newline on stderr"), options);
    CHECK(result.out == "first\nno newline on stdout");
    CHECK(result.err == "no newline on stderr");
    CHECK(lines[0] == std::vector<std::string>{"first", "no newline on stdout"});
    CHECK(lines[1] == std::vector<std::string>{"no newline on stderr"});
}

TEMPLATE_TEST_CASE("output: merged streams keep the order of writing", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = Output::capture;
    options.stderr_ = Output::merge;
    const auto result = manager->run(play("both", "1000"), options);
    std::string expected;
    for (int i = 1; i <= 1000; ++i) expected += "out " + std::to_string(i) + "\nerr " + std::to_string(i) + '\n';
    CHECK((result.out == expected));
    CHECK(result.err.empty());
}

TEMPLATE_TEST_CASE("output: many children with three pipes each do not block one another", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr int count = WARDEN_OS_WINDOWS ? 20 : is_sanitized ? 60 : 500;
    TestManager manager{TestType::mechanism, [](auto& config) { config.max_processes = count; }};
    std::vector<warden::ManagedProcess> processes;
    const std::string text = pattern(200'000);
    SpawnOptions options = talking();
    options.stderr_ = Output::capture;
    for (int i = 0; i < count; ++i) processes.push_back(manager->spawn(play("tee"), options));
    for (auto& process : processes) {  // each waits for its input while all later ones hold theirs
        const auto result = process.communicate(text);
        CHECK((result.out == text));
        CHECK((result.err == text));
    }
}

TEMPLATE_TEST_CASE("output: a file that is given to the child receives its output itself", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto path = manager.directory.write("out", "what was there before is gone");
    SpawnOptions options;
    options.stdout_ = Output::to_file(path);
    options.stderr_ = Output::merge;
    CHECK(manager->run(play("both", "2"), options).out.empty());
    CHECK(read_file(path) == "out 1\nerr 1\nout 2\nerr 2\n");
}

TEMPLATE_TEST_CASE("output: all of it comes before the exit is told", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    constexpr std::size_t size = 1u << 20;
    for (int i = 0; i < 10; ++i) {
        std::atomic<std::size_t> seen{0};
        std::atomic<std::int64_t> told{-1};
        SpawnOptions options;
        options.log.limits = {10'000'000, 10'000'000};
        options.overflow_policy = warden::OverflowPolicy::block;
        options.on_chunk = [&](Stream, std::string_view text) { seen += text.size(); };
        const auto subscription = manager->subscribe([&](const warden::Event& event) {
            if (event.kind != warden::EventKind::exit) return;
            for (const auto& [key, value] : event.attributes) {
                if (key == "warden.output.bytes") told = std::get<std::int64_t>(value);
            }
        });
        auto process = manager->spawn(flood(size), options);
        CHECK(process.wait().success());
        CHECK(seen == size);
        CHECK(std::filesystem::file_size(process.log_path()) == size);
        CHECK(process.info().output_bytes == size);
        CHECK((!process.info().output_incomplete || others_have_streams()));
        CHECK(eventually([&] { return told == static_cast<std::int64_t>(size); }));
    }
}

TEMPLATE_TEST_CASE("output: a manager does not wait for a callback that has days of lines before it", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    std::promise<void> never;
    const auto gate = never.get_future().share();
    const auto began = std::chrono::steady_clock::now();
    {
        TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 100ms; }};
        SpawnOptions options;
        options.on_line = [gate](std::string_view) { gate.wait_for(50ms); };
        auto process = manager->spawn(play("count", "100000"), options);
        CHECK(process.wait().success());
    }
    CHECK(std::chrono::steady_clock::now() - began < (WARDEN_OS_WINDOWS ? 60s : 10s));  // and not 5000 s
}
