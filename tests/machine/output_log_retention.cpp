// SPDX-License-Identifier: MIT
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <support/skip.hpp>
#include <warden/logs/log_retention.hpp>
#include <warden/logs/log_sink.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

using namespace log_test;
using namespace std::chrono_literals;
using warden::error_code;
using warden::LogRetention;
using warden::LogSink;
using warden::OnLimit;
using warden::prune_logs;

namespace {

using Time = std::chrono::system_clock::time_point;

LogSink open_small(const std::filesystem::path& path, OnLimit on_limit = {}) {
    return open_sink(path, {10, 100}, on_limit);
}

void set_age(const std::filesystem::path& path, std::chrono::seconds age, Time now) {
    const auto age_of_now = std::chrono::system_clock::now() - now + age;
    const auto time = std::filesystem::file_time_type::clock::now() - age_of_now;
    std::filesystem::last_write_time(path,
                                     std::chrono::time_point_cast<std::filesystem::file_time_type::duration>(time));
}

/// A log that nobody writes any more, of that age.
std::filesystem::path make_log(const std::filesystem::path& path, std::chrono::seconds age, Time now) {
    open_small(path).write("text\n");
    set_age(path, age, now);
    return path;
}

}  // namespace

TEST_CASE("log retention: logs that are too old go, younger ones stay") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const auto now = std::chrono::system_clock::now();
    make_log(directory / "old.log", 31 * 24h, now);
    make_log(directory / "young.log", 29 * 24h, now);
    make_log(directory / "worker/old.log", 31 * 24h, now);
    make_log(directory / "batch/old.log", 31 * 24h, now);
    make_log(directory / "batch/young.log", 0s, now);
    const auto report = prune_logs(directory.path(), {}, now);
    CHECK(report.found == 5);
    CHECK(report.removed == 3);
    CHECK(report.removed_bytes == 15);
    CHECK(report.removed_directories == 1);
    CHECK(report.failures == 0);
    CHECK(directory.names() == std::vector<std::string>{"batch", "young.log"});
    CHECK(std::filesystem::exists(directory / "batch/young.log"));
    CHECK_FALSE(std::filesystem::exists(directory / "batch/old.log"));
    CHECK(prune_logs(directory.path(), {.max_files = 0, .max_age = 0s}, now + 24h * 365).removed == 0);
}

TEST_CASE("log retention: above the number of files, the oldest go") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const auto now = std::chrono::system_clock::now();
    for (int i = 0; i < 20; ++i)
        make_log(directory / (std::to_string(i % 4) + "/" + std::to_string(i)), std::chrono::seconds(20 - i), now);
    const auto report = prune_logs(directory.path(), {.max_files = 3, .max_age = 1h}, now);
    CHECK(report.found == 20);
    CHECK(report.removed == 17);
    CHECK(report.removed_directories == 1);
    CHECK(directory.names() == std::vector<std::string>{"1", "2", "3"});
    for (int i = 17; i < 20; ++i)
        CHECK(std::filesystem::exists(directory / (std::to_string(i % 4) + "/" + std::to_string(i))));
    CHECK(prune_logs(directory.path(), {.max_files = 3, .max_age = 1h}, now).removed == 0);
}

TEST_CASE("log retention: a rotated log counts file by file") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const auto now = std::chrono::system_clock::now();
    {
        LogSink sink = open_small(directory / "a.log", OnLimit::rotate(4));
        for (std::size_t i = 0; i < 20; ++i) sink.write(numbered_line(i));
    }
    REQUIRE(directory.names().size() == 5);
    set_age(directory / "a.log.4", 40s, now);
    set_age(directory / "a.log.3", 30s, now);
    const auto report = prune_logs(directory.path(), {.max_files = 0, .max_age = 20s}, now);
    CHECK(report.found == 5);
    CHECK(report.removed == 2);
    CHECK(directory.names() == std::vector<std::string>{"a.log", "a.log.1", "a.log.2"});
}

TEST_CASE("log retention: a log that somebody writes stays") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const auto now = std::chrono::system_clock::now();
    {
        LogSink sink = open_small(directory / "a.log");
        for (std::size_t i = 0; i < 10; ++i) sink.write(numbered_line(i));  // compacted: it is another file now
        LogSink rotating = open_small(directory / "b.log", OnLimit::rotate(1));
        for (std::size_t i = 0; i < 10; ++i) rotating.write(numbered_line(i));
        for (const auto* name : {"a.log", "b.log", "b.log.1"}) set_age(directory / name, 24h, now);
        const auto report = prune_logs(directory.path(), {.max_files = 1, .max_age = 1h}, now);
        CHECK(report.in_use == 2);
        CHECK(report.removed == 1);
        CHECK(directory.names() == std::vector<std::string>{"a.log", "b.log"});
        CHECK(prune_logs(directory.path(), {.max_files = 1, .max_age = 1h}, now).in_use == 2);
        sink.write("end\n");
    }
    set_age(directory / "a.log", 24h, now);
    CHECK(prune_logs(directory.path(), {.max_files = 0, .max_age = 1h}, now).removed == 2);
    CHECK(directory.names().empty());
}

TEST_CASE("log retention: what a crash left of a compaction goes at once, unless somebody holds it") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const auto now = std::chrono::system_clock::now();
    make_log(directory / "a.log", 1h, now);
    make_log(directory / ".a.log.tmp", 0s, now);
    std::ofstream(directory / ".foreign.tmp") << "text\n";
    const LogSink held = open_small(directory / ".b.log.tmp");
    CHECK(prune_logs(directory.path(), {}, now).removed == 1);
    CHECK(directory.names() == std::vector<std::string>{".b.log.tmp", ".foreign.tmp", "a.log"});
}

TEST_CASE("log retention: mistakes and what cannot be looked at are reported, and nothing is removed") {
    const Directory directory;
    const auto now = std::chrono::system_clock::now();
    make_log(directory / "a.log", 24h, now);
    CHECK(LogRetention{}.validate().empty());
    CHECK(LogRetention{.max_age = -1s}.validate().size() == 1);
    auto report = prune_logs(directory.path(), {.max_age = -1s}, now);
    CHECK(report.failures == 1);
    CHECK(report.first_error == warden::errc::invalid_options);
    report = prune_logs(directory / "none", {}, now);
    CHECK(report.failures == 1);
    CHECK(report.first_error == boost::system::errc::no_such_file_or_directory);
    CHECK(report.first_failed == directory / "none");
    CHECK(directory.names() == std::vector<std::string>{"a.log"});
}
