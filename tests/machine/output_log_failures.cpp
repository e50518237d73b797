// SPDX-License-Identifier: MIT
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/logs/log_sink.hpp>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

using namespace log_test;
using namespace std::chrono_literals;
using warden::LogSink;

namespace {

/// A clock that the test moves, so that nobody waits for the next attempt.
struct Clock {
    LogSink::Clock::time_point now = LogSink::Clock::now();
    LogSink::Clock::time_point later() { return now += LogSink::retry_interval; }
};

}  // namespace

TEST_CASE("log sink: a file that was renamed keeps what it has, and a new one goes on") {
    const Directory directory;
    Clock clock;
    LogSink sink = open_sink(directory / "a.log");
    sink.write("one\n", clock.later());
    std::filesystem::rename(sink.path(), directory / "b.log");
    sink.write("two\n", clock.now);
    sink.write("three\n", clock.later());
    CHECK(slurp(directory / "b.log") == "one\ntwo\n");
    CHECK(slurp(sink.path()) == "three\n");
}

TEST_CASE("log sink: a file that somebody cut is continued without a hole") {
    const Directory directory;
    Clock clock;
    LogSink sink = open_sink(directory / "a.log", {100, 30});
    sink.write("0123456789\n0123456789\n", clock.later());
    std::filesystem::resize_file(sink.path(), 0);
    sink.write("new\n", clock.now);
    CHECK(slurp(sink.path()) == "new\n");
    sink.write("newer\n", clock.later());
    CHECK(slurp(sink.path()) == "new\nnewer\n");
    CHECK(sink.stats().lines == 2);
}

TEST_CASE("log sink: a relative path stays where it was when the program changes its directory") {
    const Directory directory;
    Clock clock;
    const auto before = std::filesystem::current_path();
    std::filesystem::create_directory(directory / "elsewhere");
    std::filesystem::current_path(directory.path());
    LogSink sink = open_sink("a.log");
    std::filesystem::current_path(directory / "elsewhere");
    sink.write("one\n", clock.later());
    sink.write("two\n", clock.later());
    std::filesystem::current_path(before);
    CHECK(slurp(directory / "a.log") == "one\ntwo\n");
    CHECK(std::filesystem::is_empty(directory / "elsewhere"));
}
