// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <support/skip.hpp>
#include <support/subprocess.hpp>
#include <warden/logs/log_retention.hpp>
#include <warden/logs/log_sink.hpp>

#include <array>
#include <chrono>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>

using namespace log_test;
using namespace std::chrono_literals;
using warden::LogSink;
using warden::OnLimit;
using warden::prune_logs;

namespace {

using Time = std::chrono::system_clock::time_point;

LogSink open_small(const std::filesystem::path& path, OnLimit on_limit = {}) {
    return open_sink(path, {10, 100}, on_limit);
}

void set_age(const std::filesystem::path& path, std::chrono::seconds age, Time now) {
    const std::time_t time = std::chrono::system_clock::to_time_t(now - age);
    const std::array<::timespec, 2> times{::timespec{time, 0}, ::timespec{time, 0}};
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) == 0);
}

/// A log that nobody writes any more, of that age.
std::filesystem::path make_log(const std::filesystem::path& path, std::chrono::seconds age, Time now) {
    open_small(path).write("text\n");
    set_age(path, age, now);
    return path;
}

}  // namespace

TEST_CASE("log retention: a log that somebody writes stays, also if another process prunes") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const auto now = std::chrono::system_clock::now();
    {
        LogSink sink = open_small(directory / "a.log");
        for (std::size_t i = 0; i < 10; ++i) sink.write(numbered_line(i));  // compacted: it is another file now
        LogSink rotating = open_small(directory / "b.log", OnLimit::rotate(1));
        for (std::size_t i = 0; i < 10; ++i) rotating.write(numbered_line(i));
        for (const auto* name : {"a.log", "b.log", "b.log.1"}) set_age(directory / name, 24h, now);
        const std::string failures = support::in_subprocess([&](support::Checks& checks) {
            const auto report = prune_logs(directory.path(), {.max_files = 1, .max_age = 1h}, now);
            checks.that(report.in_use == 2 && report.removed == 1, "only the rotated one goes");
        });
        CHECK(failures == "");
        CHECK(directory.names() == std::vector<std::string>{"a.log", "b.log"});
        CHECK(prune_logs(directory.path(), {.max_files = 1, .max_age = 1h}, now).in_use == 2);
        sink.write("end\n");
    }
    set_age(directory / "a.log", 24h, now);
    CHECK(prune_logs(directory.path(), {.max_files = 0, .max_age = 1h}, now).removed == 2);
    CHECK(directory.names().empty());
}

TEST_CASE("log retention: what is no log of ours stays") {
    const Directory directory;
    const Directory elsewhere;
    SKIP_WITHOUT_MARKS(directory);
    const auto now = std::chrono::system_clock::now();
    std::ofstream(directory / "foreign.log") << "text\n";
    set_age(directory / "foreign.log", 24h * 365, now);
    make_log(elsewhere / "a.log", 24h * 365, now);
    make_log(directory / "linked.log", 24h * 365, now);
    std::filesystem::create_hard_link(directory / "linked.log", elsewhere / "other.log");
    std::filesystem::create_symlink(elsewhere / "a.log", directory / "link.log");
    std::filesystem::create_directory_symlink(elsewhere.path(), directory / "folder");
    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
    std::filesystem::create_directory(directory / "empty");
    std::string deep = "1/2/3/4/5/6/7/8/9";
    make_log(directory / (deep + "/deep.log"), 24h * 365, now);
    make_log(directory / "1/2/3/4/5/6/7/8/log.log", 24h * 365, now);
    const auto before = directory.names();
    const auto report = prune_logs(directory.path(), {.max_files = 1, .max_age = 1h}, now);
    CHECK(report.found == 1);
    CHECK(report.removed == 1);
    CHECK(report.removed_directories == 0);
    CHECK(report.failures == 0);
    CHECK(directory.names() == before);
    CHECK(elsewhere.names() == std::vector<std::string>{"a.log", "other.log"});
    CHECK(std::filesystem::exists(directory / (deep + "/deep.log")));
    CHECK_FALSE(std::filesystem::exists(directory / "1/2/3/4/5/6/7/8/log.log"));
}
#endif
