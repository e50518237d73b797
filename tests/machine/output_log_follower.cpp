// SPDX-License-Identifier: MIT
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <support/census.hpp>
#include <support/process.hpp>
#include <support/skip.hpp>
#include <support/subprocess.hpp>
#include <warden/output/log_follower.hpp>
#include <warden/output/log_sink.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

using namespace log_test;
using namespace std::chrono_literals;
using warden::error_code;
using warden::FollowedLine;
using warden::LogFollower;
using warden::LogLimits;
using warden::LogSink;
using warden::OnLimit;
using From = LogFollower::From;

namespace {

constexpr auto patience = 20s;  // only bounds a failure

void add(const std::filesystem::path& path, std::string_view text) { std::ofstream(path, std::ios::app) << text; }

/// All lines that can be had without waiting.
std::vector<FollowedLine> lines_now(LogFollower& follower) {
    std::vector<FollowedLine> lines;
    while (auto line = follower.try_next()) lines.push_back(std::move(*line));
    return lines;
}

std::vector<std::string> texts_now(LogFollower& follower) {
    std::vector<std::string> texts;
    for (auto& line : lines_now(follower)) {
        CHECK_FALSE(line.gap);
        texts.push_back(std::move(line.text));
    }
    return texts;
}

using Texts = std::vector<std::string>;

/// Follows numbered lines and compares each, and where it stands in the stream, with what was written.
struct Numbered {
    std::size_t next = 0;
    std::uint64_t start_of_next = 0;
    std::uint64_t position = 0;
    std::size_t gaps = 0;
    std::string fault{};

    void take(const FollowedLine& line) {
        if (!fault.empty()) return;
        gaps += line.gap;
        position += line.gap_bytes;
        while (start_of_next < position) start_of_next += numbered_line(next++).size();
        const std::string whole = numbered_line(next);
        if (line.gap != (line.gap_bytes > 0)) fault = "a gap without a size at " + line.text;
        else if (start_of_next != position) fault = "the gap before this line is wrong: " + line.text;
        else if (line.partial ? !whole.starts_with(line.text) : line.text + '\n' != whole)
            fault = "not " + whole + line.text;
        position += line.text.size() + !line.partial;
        if (line.partial) return;  // a gap comes next
        start_of_next += whole.size();
        ++next;
    }

    void follow(LogFollower& follower, std::size_t last) {
        while (fault.empty() && next <= last) {
            error_code ec;
            const auto line = follower.next(patience, ec);
            if (ec) fault = ec.message();
            else if (!line) fault = "nothing after " + std::to_string(next);
            else take(*line);
        }
    }
};

/// A child that runs `work` and ends.
class Writer {
public:
    template <class Work>
    explicit Writer(Work work) : pid_(::fork()) {
        if (pid_ != 0) return;
        support::watch(60);
        work();
        ::_exit(0);
    }
    Writer(const Writer&) = delete;
    ~Writer() { CHECK(ended_well()); }

private:
    bool ended_well() {
        int status = 0;
        return pid_ > 0 && ::waitpid(pid_, &status, 0) == pid_ && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    ::pid_t pid_;
};

error_code refusal(const std::filesystem::path& path) {
    error_code ec;
    (void)LogFollower::open(path, From::end, ec);
    return ec;
}

}  // namespace

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
    const int fd = warden::detail::FollowerDoor::wait_handle(follower);
    CHECK(texts_now(follower).empty());
    ::pollfd readable{fd, POLLIN, 0};
    CHECK(::poll(&readable, 1, 0) == 0);
    sink.write("two\n");
    CHECK(::poll(&readable, 1, 0) == 1);
    CHECK(texts_now(follower) == Texts{"two"});
    CHECK(::poll(&readable, 1, 0) == 0);
}

TEST_CASE("log follower: another log in the directory wakes nobody") {
    const Directory directory;
    LogSink sink = open_sink(directory / "a.log");
    LogSink other = open_sink(directory / "b.log", {10, 300});
    LogFollower follower = LogFollower::open(sink.path(), From::end);
    CHECK_FALSE(follower.try_next());
    for (std::size_t i = 0; i < 50; ++i) other.write(numbered_line(i));
    ::pollfd readable{warden::detail::FollowerDoor::wait_handle(follower), POLLIN, 0};
    CHECK(::poll(&readable, 1, 0) == 0);
}

TEST_CASE("log follower: a follower of no log says so") {
    LogFollower follower;
    error_code ec;
    CHECK_FALSE(follower.next(1h, ec));
    CHECK(ec == warden::detail::system_code(EBADF));
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

TEST_CASE("log follower: a log of another process, which is continued by the next one") {
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(2)}) {
        const Directory directory;
        SKIP_WITHOUT_MARKS(directory);
        const auto path = directory / "a.log";
        LogFollower follower = LogFollower::open(path, From::beginning);
        Numbered numbers;
        for (std::size_t first = 0; first < 6'000; first += 2'000) {
            const Writer writer([&] {
                error_code ec;
                LogSink sink = LogSink::open(path, {60, 4'000}, on_limit, ec);
                for (std::size_t i = first; i < first + 2'000; ++i) sink.write(numbered_line(i));
            });
            numbers.follow(follower, first + 1'999);
            REQUIRE(numbers.fault == "");
        }
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

TEST_CASE("log follower: a log that is removed and made again by its writer goes on, with nothing twice") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    LogSink::Clock::time_point now = LogSink::Clock::now();
    LogSink sink = open_sink(directory / "a.log");
    LogFollower follower = LogFollower::open(sink.path(), From::beginning);
    sink.write("one\ntw", now += 1s);
    CHECK(texts_now(follower) == Texts{"one"});
    std::filesystem::remove(sink.path());
    CHECK(texts_now(follower).empty());
    sink.write("o\nthree\n", now);  // into the removed file: it has not looked yet
    sink.write("four\n", now += 1s);
    CHECK(texts_now(follower) == Texts{"two", "three", "four"});
    std::filesystem::remove(sink.path());
    sink.write("five\n", now += 1s);
    sink.write("six\n", now);
    CHECK(texts_now(follower) == Texts{"five", "six"});
    std::filesystem::rename(sink.path(), directory / "b.log");
    sink.write("seven\n", now);
    sink.write("eight\n", now += 1s);
    CHECK(texts_now(follower) == Texts{"seven", "eight"});
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
    std::filesystem::remove(path.native() + ".1");
    std::filesystem::remove(path.native() + ".2");
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

TEST_CASE("log follower: what its writer had to drop is a gap, and no line is there twice") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(3)}) {
        LogSink::Clock::time_point now = LogSink::Clock::now();
        const auto folder = directory / (on_limit.rotates() ? "r" : "k");
        const LogLimits limits{20, 2'000};
        LogSink sink = open_sink(folder / "a.log", limits, on_limit);
        LogFollower follower = LogFollower::open(sink.path(), From::beginning);
        Numbered numbers;
        std::size_t written = 0;
        const auto write = [&](std::chrono::milliseconds later) { sink.write(numbered_line(written++), now += later); };
        for (int i = 0; i < 3; ++i) write(1s);
        for (const auto& line : lines_now(follower)) numbers.take(line);
        std::filesystem::remove(sink.path());
        std::filesystem::create_directory(sink.path());
        for (int i = 0; i < 200; ++i) write(1ms);
        std::filesystem::remove(sink.path());
        write(1s);
        for (int i = 0; i < 3; ++i) write(1ms);
        INFO((on_limit.rotates() ? "rotating" : "keeping the newest"));
        CHECK(sink.stats().dropped_bytes > 0);
        for (const auto& line : lines_now(follower)) numbers.take(line);
        for (int i = 0; i < 30; ++i) write(1ms);
        for (const auto& line : lines_now(follower)) numbers.take(line);
        CHECK(numbers.fault == "");
        CHECK(numbers.next == written);
        CHECK(numbers.gaps >= 1);
    }
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
    // The log of a sink, which notices it and goes on.
    LogSink::Clock::time_point now = LogSink::Clock::now();
    LogSink sink = open_sink(directory / "b.log", {100, 60});
    LogFollower of_sink = LogFollower::open(sink.path(), From::beginning);
    sink.write("0123456789\n0123456789\n", now += 1s);
    CHECK(texts_now(of_sink).size() == 2);
    std::filesystem::resize_file(sink.path(), 0);
    sink.write("new\n", now);
    lines = lines_now(of_sink);
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

TEST_CASE("log follower: files that other programs write, rotate by renaming, replace and remove") {
    const Directory directory;
    const auto path = directory / "a.log";
    const auto rotate = [&](int files) {
        for (int i = files; i > 0; --i) {
            const std::string from = path.native() + (i == 1 ? "" : '.' + std::to_string(i - 1));
            if (std::filesystem::exists(from)) std::filesystem::rename(from, path.native() + '.' + std::to_string(i));
        }
    };
    add(directory / "a.log.1", "before\n");
    add(path, "one\n");
    LogFollower follower = LogFollower::open(path, From::beginning);
    CHECK(texts_now(follower) == Texts{"one"});
    rotate(5);
    CHECK(texts_now(follower).empty());
    add(directory / "a.log.1", "two\n");  // its writer has not noticed yet
    add(path, "three\n");
    CHECK(texts_now(follower) == Texts{"two", "three"});
    rotate(5);
    add(path, "four\n");
    rotate(5);
    add(path, "five\n");
    rotate(5);
    add(path, "six\n");
    CHECK(texts_now(follower) == Texts{"four", "five", "six"});
    std::filesystem::rename(path, directory / "a.log-20260101");
    add(path, "seven\n");
    CHECK(texts_now(follower) == Texts{"seven"});
    add(directory / "new", "nine\n");
    std::filesystem::rename(directory / "new", path);
    auto lines = lines_now(follower);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].text == "nine");
    CHECK(lines[0].gap);
    std::filesystem::remove(path);
    CHECK(texts_now(follower).empty());
    add(path, "ten\n");
    lines = lines_now(follower);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].text == "ten");
    CHECK(lines[0].gap);
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

TEST_CASE("log follower: without extended attributes, a compaction is a gap of unknown size") {
    const Directory directory;
    const std::string failures = support::in_subprocess([&](support::Checks& checks) {
        if (!checks.that(support::deny_system_calls({SYS_fsetxattr}, ENOTSUP), "cannot deny the call")) return;
        error_code ec;
        LogSink sink = LogSink::open(directory / "a.log", {10, 1'000}, OnLimit::keep_newest, ec);
        LogFollower follower = LogFollower::open(sink.path(), From::beginning, ec);
        for (std::size_t i = 0; i < 5; ++i) sink.write(numbered_line(i));
        for (std::size_t i = 0; i < 5; ++i) {
            const auto line = follower.try_next(ec);
            checks.that(line && line->text + '\n' == numbered_line(i) && !line->gap, "a line before");
        }
        for (std::size_t i = 5; i < 40; ++i) sink.write(numbered_line(i));
        checks.that(sink.stats().failures == 0 && !ec, "no error");
        std::optional<FollowedLine> last;
        int gaps = 0;
        while (auto line = follower.try_next(ec)) {
            gaps += line->gap && line->gap_bytes == 0;
            last = std::move(line);
        }
        checks.that(gaps == 1, "one gap of unknown size");
        checks.that(last && !last->gap && last->text + '\n' == numbered_line(39), "the newest line");
    });
    CHECK(failures == "");
}

TEST_CASE("log follower: waits through renaming, removal and a new file") {
    const Directory directory;
    const auto path = directory / "a.log";
    add(path, "one\n");
    LogFollower follower = LogFollower::open(path, From::beginning);
    CHECK(follower.next(patience)->text == "one");
    const std::vector<std::function<void()>> changes{
        [&] {
            std::filesystem::rename(path, directory / "a.log.1");
            add(path, "two\n");
        },
        [&] {
            std::filesystem::remove(path);
            add(path, "three\n");
        },
        [&] {
            add(directory / "new", "four\n");
            std::filesystem::rename(directory / "new", path);
        },
        [&] {
            std::filesystem::remove(path);
            std::filesystem::create_hard_link(directory / "a.log.1", path);
            add(path, "five\n");
        },
    };
    for (std::size_t i = 0; i < changes.size(); ++i) {
        CHECK_FALSE(follower.next(1ms));
        std::thread other(changes[i]);
        const auto line = follower.next(patience);
        other.join();
        INFO(i);
        REQUIRE(line);
        CHECK(lines_now(follower).size() == (i == 3 ? 1 : 0));
    }
}

TEST_CASE("log follower: what is not a log is refused, also when it takes the place of one") {
    const Directory directory;
    std::filesystem::create_symlink(directory / "none", directory / "link");
    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
    CHECK(refusal(directory / "link") == warden::detail::system_code(ELOOP));
    CHECK(refusal(directory / "fifo") == warden::detail::system_code(EINVAL));
    CHECK(refusal(directory.path()) == warden::detail::system_code(EISDIR));
    CHECK(refusal(directory.path() / "") == warden::detail::system_code(EISDIR));
    CHECK(refusal("") == warden::detail::system_code(EISDIR));
    CHECK(refusal("/dev/zero") == warden::detail::system_code(EINVAL));
    CHECK(refusal(directory / "none/a.log") == warden::detail::system_code(ENOENT));
    CHECK_THROWS_AS(LogFollower::open(directory / "none/a.log", From::end), warden::system_error);

    const auto path = directory / "a.log";
    add(path, "one\n");
    LogFollower follower = LogFollower::open(path, From::beginning);
    CHECK(texts_now(follower) == Texts{"one"});
    add(path, "two\n");
    std::filesystem::rename(path, directory / "b.log");
    std::filesystem::create_symlink(directory / "b.log", path);
    error_code ec;
    CHECK(follower.try_next(ec)->text == "two");
    CHECK_FALSE(follower.next(1h, ec));
    CHECK(ec == warden::detail::system_code(ELOOP));
    std::filesystem::remove(path);
    add(path, "three\n");
    CHECK(texts_now(follower) == Texts{"three"});
}

TEST_CASE("log follower: a directory that is removed or renamed is an error, not a wait without end") {
    for (const bool removed : {true, false}) {
        const Directory directory;
        const auto folder = directory / "folder";
        std::filesystem::create_directory(folder);
        LogFollower waiting = LogFollower::open(folder / "none.log", From::end);
        LogFollower follower = LogFollower::open(folder / "a.log", From::end);
        add(folder / "a.log", "one\n");
        CHECK(follower.next(patience)->text == "one");
        CHECK_FALSE(follower.next(1ms));
        CHECK_FALSE(waiting.next(1ms));
        add(folder / "a.log", "two\n");
        std::thread other([&] {
            if (removed) std::filesystem::remove_all(folder);
            else std::filesystem::rename(folder, directory / "elsewhere");
        });
        error_code ec;
        if (const auto line = follower.next(patience, ec)) CHECK(line->text == "two");
        if (!ec) CHECK_FALSE(follower.next(patience, ec));
        CHECK(ec == warden::detail::system_code(ENOENT));
        CHECK_FALSE(waiting.next(patience, ec));
        CHECK(ec == warden::detail::system_code(ENOENT));
        other.join();
        std::filesystem::create_directory(folder);  // made again: it goes on
        add(folder / "a.log", "three\n");
        const auto line = follower.next(patience, ec);
        REQUIRE(line);
        CHECK(line->text == "three");
    }
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
