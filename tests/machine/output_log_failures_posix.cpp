// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/logs/log_sink.hpp>

#include <chrono>
#include <cstdint>
#include <string>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace log_test;
using namespace std::chrono_literals;
using warden::LogLimits;
using warden::LogSink;
using warden::OnLimit;
using warden::detail::system_code;

namespace {

/// A clock that the test moves, so that nobody waits for the next attempt.
struct Clock {
    LogSink::Clock::time_point now = LogSink::Clock::now();
    LogSink::Clock::time_point later() { return now += LogSink::retry_interval; }
};

/// Files of this program cannot grow beyond `bytes` while it lives. Soft limit only; SIGXFSZ keeps its effect.
class FileSizeLimit {
public:
    explicit FileSizeLimit(::rlim_t bytes) {
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
        ::rlimit limit = before_;
        limit.rlim_cur = bytes;
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

private:
    ::rlimit before_{};
};

}  // namespace

TEST_CASE("log sink: over the file size limit the host survives, drops are counted, and writing resumes") {
    const Directory directory;
    Clock clock;
    LogSink sink = open_sink(directory / "a.log", {1'000, 100'000});
    std::size_t number = 0;
    std::string all;
    const auto write_one = [&] {
        all += numbered_line(number);
        sink.write(numbered_line(number++), clock.now);
    };
    while (all.size() < 3'500) write_one();
    std::uint64_t failures_during = 0;
    std::string during;
    {
        const FileSizeLimit limit(4'000);
        for (int i = 0; i < 100; ++i) {
            if (i % 10 == 0) clock.later();
            write_one();
        }
        failures_during = sink.stats().failures;
        during = slurp(sink.path()).value();
    }
    CHECK(sink.stats().degraded);
    CHECK(sink.stats().last_error == system_code(EFBIG));
    CHECK(failures_during == 1);
    CHECK(consecutive_numbers(during).has_value());
    CHECK(during.ends_with('\n'));
    CHECK(sink.stats().dropped_bytes == 0);  // memory holds it all
    write_one();
    CHECK(sink.stats().degraded);  // not tried again before its time
    clock.later();
    write_one();
    CHECK_FALSE(sink.stats().degraded);
    CHECK(slurp(sink.path()) == all);
}

TEST_CASE("log sink: what leaves memory before the disk recovers is dropped by whole lines and counted exactly") {
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(3)}) {
        const Directory directory;
        Clock clock;
        const LogLimits limits{1'000, 10'000};
        LogSink sink = open_sink(directory / "a.log", limits, on_limit);
        std::string all;
        std::size_t number = 0;
        while (all.size() < 2'000) all += numbered_line(number++);
        all += "unfinished";
        sink.write(all, clock.now);
        {
            const FileSizeLimit limit(2'000);
            sink.write(" line\n", clock.now);
            all += " line\n";
            for (int i = 0; i < 1'000; ++i) {
                sink.write(numbered_line(number), clock.now);
                all += numbered_line(number++);
            }
        }
        const auto dropped_during = sink.stats().dropped_bytes;
        CHECK(dropped_during > 0);
        sink.write(numbered_line(number), clock.later());
        all += numbered_line(number);
        CHECK_FALSE(sink.stats().degraded);
        CHECK(sink.stats().failures == 1);
        const std::string text = whole_log(sink.path(), 3);
        if (on_limit.rotates()) {  // everything is there or was counted
            CHECK(text.size() + sink.stats().dropped_bytes == all.size());
        } else {
            CHECK(std::string_view(all).ends_with(text));
        }
        CHECK(sink.stats().dropped_bytes >= dropped_during);
        CHECK(text.ends_with(numbered_line(number)));
        CHECK(text.find("unfinished") == text.npos);
        const std::size_t jump = text.find(numbered_line(number - 50));
        REQUIRE(jump != text.npos);
        CHECK(consecutive_numbers(text.substr(jump)).has_value());
    }
}

TEST_CASE("log sink: a file that was removed is made again with what was written meanwhile") {
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(2)}) {
        const Directory directory;
        Clock clock;
        LogSink sink = open_sink(directory / "a.log", {}, on_limit);
        sink.write("one\n", clock.later());
        sink.write("tw", clock.later());
        std::filesystem::remove(sink.path());
        sink.write("o\nthree\n", clock.now);
        CHECK_FALSE(std::filesystem::exists(sink.path()));
        sink.write("four\n", clock.later());
        CHECK(slurp(sink.path()) == "two\nthree\nfour\n");
        CHECK(sink.stats().failures == 0);
        CHECK(sink.stats().dropped_bytes == 0);
        CHECK(sink.stats().lines == 3);
    }
}

TEST_CASE("log sink: a directory that was removed is made again") {
    const Directory directory;
    Clock clock;
    LogSink sink = open_sink(directory / "deep/er/a.log");
    sink.write("one\n", clock.later());
    std::filesystem::remove_all(directory / "deep");
    sink.write("two\n", clock.later());
    CHECK(slurp(sink.path()).value().ends_with("two\n"));
    CHECK_FALSE(sink.stats().degraded);
}

TEST_CASE("log sink: a descriptor closed by somebody else is replaced, and its number is not touched again") {
    const Directory directory;
    Clock clock;
    const int lowest = ::dup(0);
    ::close(lowest);
    LogSink sink = open_sink(directory / "a.log");
    sink.write("one\n", clock.later());
    struct ::stat mine {
    }, found{};
    REQUIRE(::stat(sink.path().c_str(), &mine) == 0);
    int fd = lowest;
    while (fd < lowest + 8 && (::fstat(fd, &found) != 0 || !warden::detail::same_file(mine, found))) ++fd;
    REQUIRE(fd < lowest + 8);
    ::close(fd);
    const int stranger = ::open((directory / "stranger").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(stranger == fd);
    sink.write("two\n", clock.later());
    CHECK(slurp(sink.path()) == "one\ntwo\n");
    CHECK(slurp(directory / "stranger") == "");
    CHECK(::close(stranger) == 0);
}

TEST_CASE("log sink: a directory in the place of the file is one failure and is left alone") {
    const Directory directory;
    Clock clock;
    LogSink sink = open_sink(directory / "a.log", {10, 100});
    sink.write("one\n", clock.later());
    std::filesystem::remove(sink.path());
    std::filesystem::create_directory(sink.path());
    for (int i = 0; i < 50; ++i)
        sink.write(numbered_line(static_cast<std::size_t>(i)), i % 9 == 0 ? clock.later() : clock.now);
    CHECK(sink.stats().degraded);
    CHECK(sink.stats().failures == 1);
    CHECK(sink.stats().dropped_bytes > 0);
    CHECK(std::filesystem::is_directory(sink.path()));
    std::filesystem::remove(sink.path());
    sink.write("end\n", clock.later());
    CHECK_FALSE(sink.stats().degraded);
    CHECK(slurp(sink.path()).value().ends_with("end\n"));
    CHECK(directory.names() == std::vector<std::string>{"a.log"});
}
#endif
