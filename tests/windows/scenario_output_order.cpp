// SPDX-License-Identifier: MIT
// The order of output, who is slow to take it, and that all of it comes before the exit is told.
#include <atomic>
#include <future>

#include <windows/scenario_output.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::Output;
using warden::SpawnOptions;
using warden::Stream;

TEST_CASE("scenario: a callback that takes its time stalls neither its own child nor others, and drops are counted",
          "[scenario]") {
    constexpr std::size_t flood = 32u << 20;
    TestManager manager([](warden::ManagerConfig& config) { config.drain_budget = 100ms; });
    std::promise<void> go_on;
    const auto gate = go_on.get_future().share();
    std::atomic<std::uint64_t> seen{0};
    SpawnOptions options;
    options.log.limits = {100'000, 1'000'000};
    options.on_chunk = [&, gate](Stream, std::string_view text) {
        gate.wait();
        seen += text.size();
    };
    auto process = manager->spawn(victim("flood", std::to_string(flood)), options);
    CHECK(process.wait_for(60s));
    CHECK(manager->run(play("echo"), {}, "hello").out == "hello");  // others are served meanwhile
    CHECK(process.info().output_bytes == flood);
    go_on.set_value();
    CHECK(eventually([&] { return seen + process.info().dropped_bytes == flood; }));
    CHECK(process.info().dropped_bytes > 0);
}

TEST_CASE("scenario: with pause a slow callback gets everything, and the child waits", "[scenario]") {
    constexpr std::size_t flood = 8u << 20;
    TestManager manager([](warden::ManagerConfig& config) { config.consumer_queue_bytes = 64u << 10; });
    std::promise<void> go_on;
    const auto gate = go_on.get_future().share();
    std::promise<void> called;
    std::atomic<std::uint64_t> seen{0};
    SpawnOptions options;
    options.stdout_ = Output::capture;
    options.slow_consumer = warden::SlowConsumer::pause;
    options.on_chunk = [&, gate, is_first = true](Stream, std::string_view text) mutable {
        if (std::exchange(is_first, false)) called.set_value();
        gate.wait();
        seen += text.size();
    };
    auto process = manager->spawn(victim("flood", std::to_string(flood)), options);
    called.get_future().wait();
    CHECK_FALSE(process.wait_for(300ms));  // it is waiting in WriteFile
    CHECK(process.info().output_bytes < flood);
    CHECK(manager->run(play("echo"), {}, "hello").out == "hello");
    go_on.set_value();
    CHECK(process.wait_for(60s));
    CHECK(eventually([&] { return seen == flood; }));
    CHECK(process.info().dropped_bytes == 0);
    CHECK(process.communicate().out.size() == flood);
}

TEST_CASE("scenario: a communicate that runs out of time loses nothing, and the next one goes on", "[scenario]") {
    constexpr std::size_t flood = 8u << 20;
    TestManager manager([](warden::ManagerConfig& config) { config.consumer_queue_bytes = 64u << 10; });
    std::promise<void> go_on;
    const auto gate = go_on.get_future().share();
    SpawnOptions options = talking();
    options.slow_consumer = warden::SlowConsumer::pause;
    options.on_chunk = [gate](Stream, std::string_view) { gate.wait(); };  // so that it lasts as long as it should
    auto process = manager->spawn(victim("flood", std::to_string(flood)), options);
    warden::error_code ec;
    for (int i = 0; i < 5; ++i) {
        static_cast<void>(process.communicate({}, 20ms, ec));
        CHECK(ec == warden::errc::timed_out);
    }
    CHECK(process.running());
    go_on.set_value();
    const auto result = process.communicate({}, 60s, ec);
    CHECK_FALSE(ec);
    CHECK(result.out.size() == flood);
    CHECK(result.success());
}

TEST_CASE("scenario: each stream keeps its order and its unterminated tail", "[scenario]") {
    TestManager manager;
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

TEST_CASE("scenario: merged streams keep the order of writing", "[scenario]") {
    TestManager manager;
    SpawnOptions options;
    options.stdout_ = Output::capture;
    options.stderr_ = Output::merge;
    const auto result = manager->run(play("both", "1000"), options);
    std::string expected;
    for (int i = 1; i <= 1000; ++i) expected += "out " + std::to_string(i) + "\nerr " + std::to_string(i) + '\n';
    CHECK((result.out == expected));
    CHECK(result.err.empty());
}

TEST_CASE("scenario: a file that is given to the child receives its output itself", "[scenario]") {
    TestManager manager;
    const auto path = write_file(manager.directory / "out", "what was there before is gone");
    SpawnOptions options;
    options.stdout_ = Output::to_file(path);
    options.stderr_ = Output::merge;
    CHECK(manager->run(play("both", "2"), options).out.empty());
    CHECK(read_file(path) == "out 1\nerr 1\nout 2\nerr 2\n");
}

TEST_CASE("scenario: all of it comes before the exit is told", "[scenario]") {
    TestManager manager;
    constexpr std::size_t size = 1u << 20;
    for (int i = 0; i < 5; ++i) {
        std::atomic<std::size_t> seen{0};
        std::atomic<std::int64_t> told{-1};
        SpawnOptions options;
        options.log.limits = {10'000'000, 10'000'000};
        options.slow_consumer = warden::SlowConsumer::pause;
        options.on_chunk = [&](Stream, std::string_view text) { seen += text.size(); };
        const auto subscription = manager->subscribe([&](const warden::Event& event) {
            if (event.kind != warden::EventKind::exit) return;
            for (const auto& [key, value] : event.attributes) {
                if (key == "warden.output.bytes") told = std::get<std::int64_t>(value);
            }
        });
        auto process = manager->spawn(victim("flood", std::to_string(size)), options);
        CHECK(process.wait().success());
        CHECK(seen == size);
        CHECK(std::filesystem::file_size(process.log_path()) == size);
        CHECK(process.info().output_bytes == size);
        CHECK((!process.info().output_incomplete || is_wine()));  // whose conhost holds the pipe for a moment
        CHECK(eventually([&] { return told == static_cast<std::int64_t>(size); }));
    }
}

TEST_CASE("scenario: a manager does not wait for a callback that has days of lines before it", "[scenario]") {
    std::promise<void> never;
    const auto gate = never.get_future().share();
    const auto began = std::chrono::steady_clock::now();
    {
        TestManager manager([](warden::ManagerConfig& config) { config.drain_budget = 100ms; });
        SpawnOptions options;
        options.on_line = [gate](std::string_view) { gate.wait_for(50ms); };
        auto process = manager->spawn(play("count", "100000"), options);
        CHECK(process.wait().success());
    }
    CHECK(std::chrono::steady_clock::now() - began < 60s);  // and not 5000 s
}
