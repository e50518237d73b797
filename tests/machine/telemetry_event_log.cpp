// SPDX-License-Identifier: MIT
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/telemetry/event_log.hpp>

#include <boost/json.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

using namespace warden;
namespace fs = std::filesystem;

namespace {

std::string id(std::size_t number) {
    std::string digits = std::to_string(number);
    return "00000000-0000-4000-8000-" + digits.insert(0, 12 - digits.size(), '0');
}

/// A file that was last written `age` hours ago.
void make_file(const fs::path& path, int age) {
    std::ofstream(path) << "{}\n";
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(age));
}

EventLogOptions at(const fs::path& path) {
    EventLogOptions options;
    options.path = path;
    return options;
}

}  // namespace

TEST_CASE("event log: an event is a line in the file when write returns") {
    const log_test::Directory directory;
    error_code ec;
    EventLog log = EventLog::open(at(directory / "events/e.jsonl"), false, ec);
    REQUIRE_FALSE(ec);
    CHECK(log.path() == directory / "events/e.jsonl");
    for (int i = 1; i <= 3; ++i) {
        Event event{.kind = EventKind::spawn, .name = "two\nlines", .command = {"p", "secret"}};
        event.pid = i;
        log.write(event);
        const std::string text = log_test::slurp(log.path()).value();
        REQUIRE(log_test::count_lines(text) == static_cast<std::size_t>(i));
        const auto last = text.substr(text.rfind('\n', text.size() - 2) + 1);
        CHECK(boost::json::parse(last).as_object().at("process.pid").as_int64() == i);
    }
    CHECK(log.stats().lines == 3);
    CHECK(log.lost_events() == 0);
    CHECK(log_test::slurp(log.path())->find("secret") != std::string::npos);
}

TEST_CASE("event log: redacted arguments do not reach the disk") {
    const log_test::Directory directory;
    error_code ec;
    EventLog log = EventLog::open(at(directory / "e.jsonl"), true, ec);
    log.write({.kind = EventKind::spawn, .command = {"p", "canary"}});
    CHECK(log_test::slurp(directory / "e.jsonl")->find("canary") == std::string::npos);
}

TEST_CASE("event log: is bounded and rotated") {
    const log_test::Directory directory;
    error_code ec;
    EventLogOptions options = at(directory / "e.jsonl");
    options.limits = {10, 100'000};
    EventLog log = EventLog::open(options, false, ec);
    for (int i = 0; i < 35; ++i) log.write({.kind = EventKind::state});
    CHECK(directory.names() == std::vector<std::string>{"e.jsonl", "e.jsonl.1"});
    CHECK(log_test::count_lines(log_test::slurp(directory / "e.jsonl").value()) <= 10);
    CHECK(log_test::count_lines(log_test::slurp(directory / "e.jsonl.1").value()) <= 10);
    CHECK(log.stats().dropped_bytes == 0);
}

TEST_CASE(
    "event log: one that is not enabled opens nothing, one that cannot be opened says why, and both take events") {
    const log_test::Directory directory;
    error_code ec = errc::forked;
    EventLogOptions options = at(directory / "e.jsonl");
    options.enabled = false;
    EventLog off = EventLog::open(options, false, ec);
    CHECK_FALSE(ec);
    off.write({});
    CHECK(directory.names().empty());
    CHECK(off.path().empty());
    CHECK(off.stats().bytes == 0);

    CHECK(EventLog::open({}, false, ec).path().empty());
    CHECK(ec == errc::invalid_options);
    EventLog failed = EventLog::open(at(directory.path()), false, ec);
    CHECK(ec == boost::system::errc::is_a_directory);
    failed.write({});
}

TEST_CASE("event log: the oldest logs of earlier managers go with all their files, and nothing else does") {
    const log_test::Directory directory;
    constexpr std::size_t earlier = EventLog::kept_logs + 8;
    for (std::size_t i = 0; i < earlier; ++i) {  // the higher the number, the older
        make_file(directory / (id(i) + ".jsonl"), static_cast<int>(i) + 1);
        make_file(directory / (id(i) + ".jsonl.1"), 10'000);
        make_file(directory / ("." + id(i) + ".jsonl.tmp"), 10'000);
    }
    const std::vector<std::string> strangers{"data.jsonl",
                                             id(90) + ".json",
                                             id(91) + ".jsonl.bak",
                                             id(92) + ".jsonl.",
                                             id(93) + ".jsonl.1x",
                                             "x" + id(94) + ".jsonl",
                                             "A" + id(95).substr(1) + ".jsonl"};
    for (const auto& name : strangers) make_file(directory / name, 20'000);
    fs::create_directory(directory / (id(96) + ".jsonl"));
    make_file(directory / "target", 20'000);
    fs::create_symlink(directory / "target", directory / (id(97) + ".jsonl"));

    error_code ec;
    const EventLog log = EventLog::open(at(directory / (id(500) + ".jsonl")), false, ec);
    REQUIRE_FALSE(ec);
    for (std::size_t i = 0; i < earlier; ++i) {
        INFO(i);
        const bool stays = i + 1 < EventLog::kept_logs;
        CHECK(fs::exists(directory / (id(i) + ".jsonl")) == stays);
        CHECK(fs::exists(directory / (id(i) + ".jsonl.1")) == stays);
        CHECK(fs::exists(directory / ("." + id(i) + ".jsonl.tmp")) == stays);
    }
    CHECK(fs::exists(log.path()));
    for (const auto& name : strangers) CHECK(fs::exists(directory / name));
    CHECK(fs::exists(directory / (id(96) + ".jsonl")));
    CHECK(fs::is_symlink(directory / (id(97) + ".jsonl")));
    CHECK(fs::exists(directory / "target"));
}

TEST_CASE("event log: one with a name of the program's own choice removes nothing") {
    const log_test::Directory directory;
    for (std::size_t i = 0; i < EventLog::kept_logs * 2; ++i) make_file(directory / (id(i) + ".jsonl"), 100);
    error_code ec;
    const EventLog log = EventLog::open(at(directory / "mine.jsonl"), false, ec);
    REQUIRE_FALSE(ec);
    CHECK(directory.names().size() == EventLog::kept_logs * 2 + 1);
}
