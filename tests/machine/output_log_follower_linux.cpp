// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_LINUX
#include "output_log_follower.hpp"
#include <support/catch.hpp>
#include <support/census.hpp>
#include <support/process.hpp>
#include <support/skip.hpp>
#include <support/subprocess.hpp>
#include <warden/logs/log_follower.hpp>
#include <warden/logs/log_sink.hpp>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace log_test;
using namespace std::chrono_literals;
using warden::LogLimits;
using warden::LogSink;
using warden::OnLimit;
using From = LogFollower::From;

namespace {

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

/// How many events wait for a follower at most; one more tells that others were dropped.
std::size_t max_queued_events() { return std::stoul(support::read_file("/proc/sys/fs/inotify/max_queued_events")); }

/// None of them has a name, or all have one of less than 16 bytes.
std::size_t queued_events(const LogFollower& follower, bool named) {
    int bytes = 0;
    REQUIRE(::ioctl(warden::detail::LogFollowerAccess::wait_handle(follower), FIONREAD, &bytes) == 0);
    return static_cast<std::size_t>(bytes) / (named ? 32 : 16);
}

error_code refusal(const std::filesystem::path& path) {
    error_code ec;
    (void)LogFollower::open(path, From::end, ec);
    return ec;
}

}  // namespace

TEST_CASE("log follower: its descriptor is readable when there is something to look at") {
    const Directory directory;
    LogSink sink = open_sink(directory / "a.log");
    LogFollower follower = LogFollower::open(sink.path(), From::end);
    const int fd = warden::detail::LogFollowerAccess::wait_handle(follower);
    CHECK(texts_now(follower).empty());
    ::pollfd readable{fd, POLLIN, 0};
    CHECK(::poll(&readable, 1, 0) == 0);
    sink.write("two\n");
    CHECK(::poll(&readable, 1, 0) == 1);
    CHECK(texts_now(follower) == Texts{"two"});
    CHECK(::poll(&readable, 1, 0) == 0);
}

TEST_CASE("log follower: the newest lines are found in rotated files, and what was before them is no gap") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    LogSink sink = open_sink(directory / "a.log", {10, 1'000}, OnLimit::rotate(3));
    Texts expected;
    for (std::size_t i = 0; i < 95; ++i) {
        const std::string line = numbered_line(i);
        sink.write(line);
        if (i >= 70) expected.push_back(line.substr(0, line.size() - 1));
    }
    LogFollower follower = LogFollower::open_last(sink.path(), 25);
    CHECK(texts_now(follower) == expected);
}

TEST_CASE("log follower: what the newest lines cost does not depend on the size of the log") {
    const Directory directory;
    const auto path = directory / "huge.log";
    add(path, "\n");
    std::filesystem::resize_file(path, std::uintmax_t{1} << 40);  // a hole, which would be read for hours
    add(path, "\none\ntwo\nthree\n");
    LogFollower follower = LogFollower::open_last(path, 2);
    CHECK(texts_now(follower) == Texts{"two", "three"});
    add(path, "four\n");
    CHECK(texts_now(follower) == Texts{"four"});
}

TEST_CASE("log follower: another log in the directory wakes nobody") {
    const Directory directory;
    LogSink sink = open_sink(directory / "a.log");
    LogSink other = open_sink(directory / "b.log", {10, 300});
    LogFollower follower = LogFollower::open(sink.path(), From::end);
    CHECK_FALSE(follower.try_next());
    for (std::size_t i = 0; i < 50; ++i) other.write(numbered_line(i));
    ::pollfd readable{warden::detail::LogFollowerAccess::wait_handle(follower), POLLIN, 0};
    CHECK(::poll(&readable, 1, 0) == 0);
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

TEST_CASE("log follower: more events than their queue holds lose no line, and the next one wakes it") {
    const std::size_t most = max_queued_events();
    SKIP_UNLESS(most <= 1'000'000, "fs.inotify.max_queued_events is " + std::to_string(most));
    const Directory directory;
    const auto path = directory / "a.log";
    add(path, numbered_line(0));
    LogFollower follower = LogFollower::open(path, From::beginning);
    Numbered numbers;
    numbers.follow(follower, 0);
    CHECK_FALSE(follower.next(1ms));
    std::size_t written = 1;
    const int log = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    for (const std::size_t start = written; written - start <= most / 2;) {  // two events that differ for each line
        const std::string line = numbered_line(written++);
        REQUIRE(::write(log, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
        REQUIRE(::fchmod(log, written % 2 == 0 ? 0600 : 0640) == 0);
    }
    ::close(log);
    CHECK(queued_events(follower, false) == most + 1);
    std::filesystem::rename(path, directory / "a.log.1");  // of this it is not told
    for (int i = 0; i < 3; ++i) add(path, numbered_line(written++));
    numbers.follow(follower, written - 1);
    CHECK(numbers.fault == "");
    CHECK(numbers.gaps == 0);
    CHECK_FALSE(follower.next(1ms));
    std::thread other([&] { add(path, numbered_line(written)); });
    numbers.follow(follower, written);
    other.join();
    CHECK(numbers.fault == "");
}

TEST_CASE("log follower: the end of a directory that is not told because the queue of events is full is noticed") {
    const std::size_t most = max_queued_events();
    SKIP_UNLESS(most <= 100'000, "fs.inotify.max_queued_events is " + std::to_string(most));
    const Directory directory;
    const auto folder = directory / "folder";
    std::filesystem::create_directory(folder);
    LogFollower follower = LogFollower::open(folder / "a.log", From::beginning);
    CHECK_FALSE(follower.next(1ms));
    for (std::size_t i = 0; i <= most; ++i) {
        const std::string other = folder / (i % 2 == 0 ? "b.log" : "c.log");
        const int file = ::open(other.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        REQUIRE(file >= 0);
        ::close(file);
        ::unlink(other.c_str());
    }
    CHECK(queued_events(follower, true) == most);  // and the one without a name, of half the size
    std::filesystem::remove(folder);
    std::filesystem::create_directory(folder);
    CHECK_FALSE(follower.next(1ms));
    std::thread other([&] { add(folder / "a.log", "one\n"); });
    const auto line = follower.next(patience);
    other.join();
    REQUIRE(line);
    CHECK(line->text == "one");
}

TEST_CASE("log follower: links, FIFOs and devices are refused, also when it takes the place of one") {
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

TEST_CASE("log follower: the holes of a file cost nothing where it begins with the newest line") {
    const Directory directory;
    add(directory / "a.log", "one\n");
    if (::truncate((directory / "a.log").c_str(), ::off_t{1} << 40) != 0) {
        WARN("SKIPPED: no file of 1 TiB here");
        return;
    }
    const auto began = std::chrono::steady_clock::now();
    add(directory / "a.log", "\ntwo\n");
    LogFollower follower = LogFollower::open_last(directory / "a.log", 1);
    CHECK(follower.try_next()->text == "two");
    CHECK(std::chrono::steady_clock::now() - began < 2s);
}
#endif
