// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_LINUX || WARDEN_OS_WINDOWS
#include "output_log_follower.hpp"
#include <support/catch.hpp>
#include <warden/detail/logs/log_file.hpp>
#include <warden/logs/log_follower.hpp>
#include <warden/logs/log_sink.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace log_test;
using namespace std::chrono_literals;
using warden::LogSink;
using warden::OnLimit;
using From = LogFollower::From;

TEST_CASE("log follower: lines come when they are whole, from the beginning or from the end") {
    const Directory directory;
    LogSink sink = open_sink(directory / "a.log");
    sink.write("one\ntwo\nunfin");
    LogFollower all = LogFollower::open(sink.path(), From::beginning);
    LogFollower news = LogFollower::open(sink.path(), From::end);
    CHECK(texts_now(all) == Texts{"one", "two"});
    CHECK(texts_now(news).empty());
    sink.write("ished\r\nfour\n");
    CHECK(texts_now(all) == Texts{"unfinished", "four"});
    CHECK(texts_now(news) == Texts{"unfinished", "four"});
    sink.write("rest");
    CHECK(texts_now(all).empty());
    const auto rest = all.finish();
    REQUIRE(rest);
    CHECK(rest->text == "rest");
    CHECK_FALSE(all.finish());
}

TEST_CASE("log follower: begins with as many of the newest lines as are wanted, and goes on") {
    const Directory directory;
    LogSink sink = open_sink(directory / "a.log", {30'000, 1'000'000});
    for (int i = 1; i <= 20'000; ++i) sink.write("line " + std::to_string(i) + '\n');
    sink.write("unfin");
    LogFollower three = LogFollower::open_last(sink.path(), 3);
    LogFollower none = LogFollower::open_last(sink.path(), 0);
    LogFollower all = LogFollower::open_last(sink.path(), 30'000);
    CHECK(texts_now(three) == Texts{"line 19998", "line 19999", "line 20000"});
    CHECK(texts_now(none).empty());
    const auto seen = texts_now(all);
    REQUIRE(seen.size() == 20'000);
    CHECK(seen.front() == "line 1");
    sink.write("ished\n");
    CHECK(texts_now(three) == Texts{"unfinished"});
    CHECK(texts_now(none) == Texts{"unfinished"});
    CHECK(texts_now(all) == Texts{"unfinished"});
    warden::error_code ec;
    LogFollower absent = LogFollower::open_last(directory / "none.log", 5, ec);
    CHECK(!ec);
    CHECK(texts_now(absent).empty());
    (void)LogFollower::open_last(directory / "none" / "a.log", 5, ec);
    CHECK(ec == boost::system::errc::no_such_file_or_directory);
}

TEST_CASE("log follower: waits for a line and for no longer than it may") {
    const Directory directory;
    LogSink sink = open_sink(directory / "a.log");
    LogFollower follower = LogFollower::open(sink.path(), From::end);
    CHECK_FALSE(follower.next(1ms));
    CHECK_FALSE(follower.next(0s));
    CHECK_FALSE(follower.next(-1h));
    std::thread writer([&] { sink.write("one\n"); });
    CHECK(follower.next(warden::no_timeout)->text == "one");
    writer.join();
    CHECK(texts_now(follower).empty());
}

TEST_CASE("log follower: a file that is renamed is read to its end before the one that takes its path") {
    const Directory directory;
    const auto path = directory / "a.log";
    add(path, "one\n");
    LogFollower follower = LogFollower::open(path, From::beginning);
    CHECK(follower.next(patience)->text == "one");
    std::filesystem::rename(path, directory / "a.log.1");
    CHECK(texts_now(follower).empty());
    add(directory / "a.log.1", "two\n");  // its writer has not noticed yet
    add(path, "three\n");
    CHECK(texts_now(follower) == Texts{"two", "three"});
    CHECK_FALSE(follower.next(1ms));
    std::thread other([&] {
        std::filesystem::rename(path, directory / "old.log");
        add(path, "four\n");
    });
    const auto line = follower.next(patience);
    other.join();
    REQUIRE(line);
    CHECK(line->text == "four");
}

TEST_CASE("log follower: what is not a log is refused") {
    const Directory directory;
    const auto refusal = [](const std::filesystem::path& path) {
        error_code ec;
        (void)LogFollower::open(path, From::end, ec);
        return ec;
    };
    CHECK(refusal(directory.path()) == boost::system::errc::is_a_directory);
    CHECK(refusal(directory.path() / "") == boost::system::errc::is_a_directory);
    CHECK(refusal("") == boost::system::errc::is_a_directory);
    CHECK(refusal(directory / "none/a.log") == boost::system::errc::no_such_file_or_directory);
    CHECK_THROWS_AS(LogFollower::open(directory / "none/a.log", From::end), warden::system_error);
}

TEST_CASE("log follower: a follower of no log says so") {
    LogFollower follower;
    error_code ec;
    CHECK_FALSE(follower.next(1h, ec));
    CHECK(ec == boost::system::errc::bad_file_descriptor);
    CHECK_THROWS_AS(follower.try_next(), warden::system_error);
}

TEST_CASE("log follower: within the bounds, what was removed before it was read is reported to the byte") {
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(2)}) {
        const Directory directory;
        SKIP_WITHOUT_MARKS(directory);
        LogSink sink = open_sink(directory / "a.log", {40, 3'000}, on_limit);
        LogFollower follower = LogFollower::open(sink.path(), From::beginning);
        Numbered numbers;
        std::size_t written = 0;
        for (std::size_t round = 0; round < 300; ++round) {  // a few lines at a time, or more than the log can hold
            for (std::size_t i = 0; i < (round % 10 == 9 ? 500 : round % 13); ++i) sink.write(numbered_line(written++));
            if (round % 7 == 0) sink.write(numbered_line(written).substr(0, 20));
            for (const auto& line : lines_now(follower)) numbers.take(line);
            if (round % 7 == 0) sink.write(numbered_line(written++).substr(20));
            if (round % 50 == 49) sink = open_sink(directory / "a.log", {40, 3'000}, on_limit);  // continued
        }
        for (const auto& line : lines_now(follower)) numbers.take(line);
        INFO((on_limit.rotates() ? "rotating" : "keeping the newest"));
        CHECK(numbers.fault == "");
        CHECK(numbers.next == written);
        CHECK(numbers.gaps > 20);
    }
}

TEST_CASE("log follower: a line longer than the bound of the log loses its beginning, and that is counted") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(1)}) {
        const auto path = directory / (on_limit.rotates() ? "r.log" : "k.log");
        LogSink sink = open_sink(path, {10, 100}, on_limit);
        LogFollower follower = LogFollower::open(path, From::beginning);
        std::uint64_t given = 0;
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < 100; ++i) {
            std::string text(i * 37 % 400, 'x');
            if (i % 3 == 0) text += '\n';
            given += text.size();
            sink.write(text);
            while (const auto read = follower.try_read_some(17)) seen += read->text.size() + read->gap_bytes;
            REQUIRE(seen == given);
        }
    }
}

TEST_CASE("log follower: as fast as it is written, no line is missing or there twice unless it is said") {
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(3)}) {
        const Directory directory;
        SKIP_WITHOUT_MARKS(directory);
        LogSink sink = open_sink(directory / "a.log", {100, 5'000}, on_limit);
        LogFollower follower = LogFollower::open(sink.path(), From::beginning);
        Numbered numbers;
        constexpr std::size_t last = 20'000;
        std::thread reader([&] { numbers.follow(follower, last); });
        std::string half;
        for (std::size_t i = 0; i <= last; ++i) {
            const std::string line = numbered_line(i);
            sink.write(half + line.substr(0, i % 3 == 0 ? 15 : line.size()));
            half = i % 3 == 0 ? line.substr(15) : "";
        }
        if (!half.empty()) sink.write(half);
        reader.join();
        INFO((on_limit.rotates() ? "rotating" : "keeping the newest") << ", " << numbers.gaps << " gaps");
        CHECK(numbers.fault == "");
    }
}

TEST_CASE("log follower: lines that are all the same are counted") {
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(2)}) {
        const Directory directory;
        SKIP_WITHOUT_MARKS(directory);
        LogSink sink = open_sink(directory / "a.log", {50, 1'000}, on_limit);
        LogFollower follower = LogFollower::open(sink.path(), From::beginning);
        constexpr std::uint64_t ticks = 20'000;
        std::atomic<std::uint64_t> bytes{0};
        std::atomic<bool> failed{false};
        std::thread reader([&] {
            while (bytes < ticks * 5 && !failed) {
                const auto line = follower.next(patience);
                failed = !line || line->text != "tick" || line->partial || line->gap_bytes % 5 != 0;
                if (!failed) bytes += 5 + line->gap_bytes;
            }
        });
        for (std::uint64_t i = 0; i < ticks; ++i) sink.write("tick\n");
        reader.join();
        CHECK_FALSE(failed);
        CHECK(bytes == ticks * 5);
        CHECK_FALSE(follower.try_next());
    }
}

TEST_CASE("log follower: five logs of three writers each, all messages seen or the gap reported") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    constexpr std::size_t logs = 5;
    constexpr std::size_t writers = 3;
    constexpr std::size_t messages = 50;
    struct Log {
        LogSink sink;
        std::mutex mutex;
        LogFollower follower;
        std::uint64_t given = 0;
        std::uint64_t seen = 0;
        std::array<std::size_t, writers> newest{};
        std::string fault{};
    };
    std::deque<Log> all(logs);
    for (std::size_t i = 0; i < logs; ++i) {
        all[i].sink = open_sink(directory / std::to_string(i), {1'000, 256},
                                i % 2 == 0 ? OnLimit::keep_newest : OnLimit::rotate(2));
        all[i].follower = LogFollower::open(all[i].sink.path(), From::beginning);
    }
    const auto message = [](std::size_t writer, std::size_t number) {
        return "writer " + std::to_string(writer) + " message " + std::to_string(number);
    };
    std::vector<std::thread> threads;
    for (Log& log : all) {
        for (std::size_t writer = 0; writer < writers; ++writer) {
            threads.emplace_back([&log, &message, writer] {
                for (std::size_t i = 1; i <= messages; ++i) {
                    const std::lock_guard lock(log.mutex);
                    log.sink.write(message(writer, i) + '\n');
                    log.given += message(writer, i).size() + 1;
                }
            });
        }
        threads.emplace_back([&log, &message] {
            std::uint64_t all_bytes = 0;
            for (std::size_t writer = 0; writer < writers; ++writer) {
                for (std::size_t i = 1; i <= messages; ++i) all_bytes += message(writer, i).size() + 1;
            }
            while (log.seen < all_bytes && log.fault.empty()) {
                const auto line = log.follower.next(patience);
                if (!line) {
                    log.fault = "nothing comes";
                    break;
                }
                const std::size_t writer = std::strtoul(line->text.substr(7).c_str(), nullptr, 10);
                const std::size_t number = std::strtoul(line->text.substr(17).c_str(), nullptr, 10);
                if (writer >= writers || line->text != message(writer, number)) log.fault = "torn: " + line->text;
                else if (number <= log.newest[writer]) log.fault = "twice: " + line->text;
                else log.newest[writer] = number;
                log.seen += line->gap_bytes + line->text.size() + 1;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    for (const Log& log : all) {
        CHECK(log.fault == "");
        CHECK(log.seen == log.given);
    }
}

TEST_CASE("log follower: several rotations between two looks") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    LogSink sink = open_sink(directory / "a.log", {4, 1'000}, OnLimit::rotate(5));
    LogFollower follower = LogFollower::open(sink.path(), From::beginning);
    Numbered numbers;
    std::size_t written = 0;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 17; ++i) sink.write(numbered_line(written++));
        for (const auto& line : lines_now(follower)) numbers.take(line);
        REQUIRE(numbers.fault == "");
        REQUIRE(numbers.next == written);
    }
    CHECK(numbers.gaps == 0);
    for (int i = 0; i < 40; ++i) sink.write(numbered_line(written++));
    for (const auto& line : lines_now(follower)) numbers.take(line);
    CHECK(numbers.fault == "");
    CHECK(numbers.gaps == 1);
    LogFollower late = LogFollower::open(sink.path(), From::beginning);  // as far back as the files reach, no gap
    const auto lines = lines_now(late);
    REQUIRE(lines.size() > 16);
    CHECK_FALSE(lines.front().gap);
    CHECK(lines.back().text + '\n' == numbered_line(written - 1));
}

TEST_CASE("log follower: a log that does not exist yet") {
    const Directory directory;
    for (const From from : {From::beginning, From::end}) {
        const auto path = directory / (from == From::end ? "e.log" : "b.log");
        LogFollower follower = LogFollower::open(path, from);
        CHECK_FALSE(follower.try_next());
        std::thread writer([&] { open_sink(path).write("one\n"); });
        const auto line = follower.next(patience);
        writer.join();
        REQUIRE(line);
        CHECK(line->text == "one");
        CHECK_FALSE(line->gap);
    }
}

TEST_CASE("log follower: what comes after it was opened is news, however little of it is left at the first look") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    for (const From from : {From::beginning, From::end}) {
        for (const bool exists : {false, true}) {
            const auto path = directory / (std::to_string(exists) + (from == From::end ? "e" : "b"));
            LogSink sink;
            LogFollower follower;
            if (!exists) follower = LogFollower::open(path, from);
            sink = open_sink(path, {4, 1'000});
            if (exists) follower = LogFollower::open(path, from);
            for (std::size_t i = 0; i < 20; ++i) sink.write(numbered_line(i));
            Numbered numbers;
            for (const auto& line : lines_now(follower)) numbers.take(line);
            CHECK(numbers.fault == "");
            CHECK(numbers.next == 20);
            CHECK(numbers.gaps == 1);
        }
    }
}

TEST_CASE("log follower: the log of another stream begins at its beginning") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const auto path = directory / "a.log";
    open_sink(path).write("one\nunfinished");
    LogFollower follower = LogFollower::open(path, From::beginning);
    CHECK(texts_now(follower) == Texts{"one"});
    std::filesystem::remove(path);
    LogSink sink = open_sink(path, {2, 1'000}, OnLimit::rotate(3));
    for (int i = 0; i < 5; ++i) sink.write("new " + std::to_string(i) + "\n");
    CHECK(texts_now(follower) == Texts{"unfinished", "new 0", "new 1", "new 2", "new 3", "new 4"});
    std::filesystem::remove(path);
    std::filesystem::remove(warden::detail::rotated_path(path, 1));
    std::filesystem::remove(warden::detail::rotated_path(path, 2));
    LogSink short_lived = open_sink(path, {1, 100});
    short_lived.write("123\n");
    short_lived.write("last\n");
    auto read = follower.try_read_some(100);
    REQUIRE(read);
    CHECK(read->text == "last\n");
    CHECK(read->new_stream);
    CHECK(read->gap);
    CHECK(read->gap_bytes == 4);
}

TEST_CASE("log follower: a seam in a file is a gap of what was lost there") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    error_code ec;
    using warden::detail::LogFile;
    LogFile file = LogFile::open(directory / "a.log", {}, ec);
    REQUIRE_FALSE(ec);
    LogFollower follower = LogFollower::open(directory / "a.log", From::beginning);
    LogFollower behind = LogFollower::open(directory / "a.log", From::beginning);
    file.append("one\nunfin", ec);
    CHECK(texts_now(follower) == Texts{"one"});
    CHECK(behind.try_next()->text == "one");
    file.mark_seam(5 + 40, 4);  // "unfin" and forty bytes more are lost
    file.truncate(4, ec);
    file.append("after a drop\n", ec);
    auto lines = lines_now(follower);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].text == "unfin");
    CHECK(lines[0].partial);
    CHECK(lines[1].text == "after a drop");
    CHECK(lines[1].gap_bytes == 40);
    file.replace("after a drop\nlast\n", 49, ec);
    CHECK(texts_now(follower) == Texts{"last"});
}

TEST_CASE("log follower: a file that somebody cuts begins again") {
    const Directory directory;
    const auto path = directory / "a.log";
    add(path, "one\ntwo\n");
    LogFollower follower = LogFollower::open(path, From::beginning);
    CHECK(texts_now(follower) == Texts{"one", "two"});
    std::filesystem::resize_file(path, 0);
    CHECK(texts_now(follower).empty());
    add(path, "three\n");
    auto lines = lines_now(follower);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].text == "three");
    CHECK(lines[0].gap);
    CHECK(lines[0].gap_bytes == 0);
}

TEST_CASE("log follower: a file that somebody cuts and its sink continues goes on") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    LogSink::Clock::time_point now = LogSink::Clock::now();
    LogSink sink = open_sink(directory / "b.log", {100, 60});
    LogFollower of_sink = LogFollower::open(sink.path(), From::beginning);
    sink.write("0123456789\n0123456789\n", now += 1s);
    CHECK(texts_now(of_sink).size() == 2);
    std::filesystem::resize_file(sink.path(), 0);
    sink.write("new\n", now);
    const auto lines = lines_now(of_sink);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].text == "new");
    CHECK(lines[0].gap);
    sink.write("newer\n", now += 1s);
    CHECK(texts_now(of_sink) == Texts{"newer"});
    for (int i = 0; i < 9; ++i) {
        sink.write("a line of the log\n", now += 1s);
        CHECK(texts_now(of_sink) == Texts{"a line of the log"});
    }
}

TEST_CASE("log follower: a new file may be made before its writer leaves the old one") {
    const Directory directory;
    const auto path = directory / "a.log";
    add(path, "one\n");
    LogFollower follower = LogFollower::open(path, From::beginning);
    CHECK(texts_now(follower) == Texts{"one"});
    std::filesystem::rename(path, directory / "a.log.1");
    add(path, "");
    CHECK(texts_now(follower).empty());
    add(directory / "a.log.1", "two\n");
    CHECK(texts_now(follower) == Texts{"two"});
    add(directory / "a.log.1", "three\n");
    add(path, "four\n");
    CHECK(texts_now(follower) == Texts{"three", "four"});
}

TEST_CASE("log follower: long lines come in parts, any bytes survive, and text is bounded") {
    const Directory directory;
    const auto path = directory / "a.log";
    std::string text(100'000, 'x');
    text += "\n\n" + std::string(70'000, '\x80') + std::string(3, '\0') + "end\n";
    add(path, text);
    LogFollower follower = LogFollower::open(path, From::beginning);
    std::string joined;
    for (const auto& line : lines_now(follower)) {
        CHECK(line.text.size() <= warden::LineSplitter::default_max_line_bytes);
        joined += line.text + (line.partial ? "" : "\n");
    }
    CHECK(joined == text);
    LogFollower raw = LogFollower::open(path, From::beginning);
    joined.clear();
    for (const std::size_t most : {std::size_t{0}, std::size_t{10}, SIZE_MAX}) {
        const auto read = raw.try_read_some(most);
        REQUIRE(read);
        CHECK(read->text.size() == std::clamp<std::size_t>(most, 1, 65'536));
        joined += read->text;
    }
    while (const auto read = raw.try_read_some(65'536)) joined += read->text;
    CHECK(joined == text);
}
#endif
