// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/output/log_sink.hpp>

#include <chrono>
#include <cstdint>
#include <string>

#include <sys/mount.h>
#include <sys/resource.h>

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

/// A small file system of its own, if this user may mount one.
class SmallDisk {
public:
    explicit SmallDisk(const std::filesystem::path& path) : path_(path) {
        std::filesystem::create_directory(path);
        mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=64k,mode=700") == 0;
        if (!mounted_) WARN("SKIPPED: no right to mount a small file system");
    }
    SmallDisk(const SmallDisk&) = delete;
    ~SmallDisk() {
        if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
    }
    explicit operator bool() const { return mounted_; }

    /// Takes all that is free but `bytes`.
    void fill(std::size_t free_bytes) const {
        const int fd = ::open((path_ / "filler").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        const std::string block(4096, 'f');
        while (::write(fd, block.data(), block.size()) > 0) {}
        const auto size = std::filesystem::file_size(path_ / "filler");
        REQUIRE(::ftruncate(fd, static_cast<::off_t>(size - free_bytes)) == 0);
        ::close(fd);
    }
    void make_room() const { std::filesystem::remove(path_ / "filler"); }

private:
    std::filesystem::path path_;
    bool mounted_ = false;
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

TEST_CASE("log sink: a full disk leaves no torn line at any offset, and writing resumes when there is room") {
    const Directory directory;
    const SmallDisk disk(directory / "disk");
    if (!disk) return;
    for (std::size_t offset = 0; offset < 130; offset += 13) {
        Clock clock;
        const auto path = directory / "disk/a.log";
        std::filesystem::remove(path);
        LogSink sink = open_sink(path, {1'000, 100'000});
        std::string all;
        std::size_t number = 0;
        sink.write(std::string(offset, 'x') + "\n", clock.now);
        disk.fill(4096);
        for (int i = 0; i < 200; ++i) {
            const std::string line = numbered_line(number++);
            all += line;
            sink.write(line, clock.now);
            if (i % 20 == 19) clock.later();
            const std::string text = slurp(path).value();
            REQUIRE(consecutive_numbers(text.substr(offset + 1)).has_value());
            REQUIRE(text.ends_with('\n'));
        }
        CHECK(sink.stats().degraded);
        CHECK(sink.stats().last_error == system_code(ENOSPC));
        CHECK(sink.stats().failures == 1);
        disk.make_room();
        sink.write("end\n", clock.later());
        CHECK_FALSE(sink.stats().degraded);
        CHECK(slurp(path) == std::string(offset, 'x') + "\n" + all + "end\n");
    }
}

TEST_CASE("log sink: on a full disk neither compaction nor rotation loses what is there, and neither leaves litter") {
    const Directory directory;
    const SmallDisk disk(directory / "disk");
    if (!disk) return;
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(2)}) {
        Clock clock;
        const auto path = directory / (on_limit.rotates() ? "disk/r.log" : "disk/k.log");
        LogSink sink = open_sink(path, {1'000, 5'000}, on_limit);
        std::size_t number = 0;
        for (int i = 0; i < 200; ++i) sink.write(numbered_line(number++), clock.now);
        disk.fill(0);
        for (int i = 0; i < 500; ++i) {
            sink.write(numbered_line(number++), i % 20 == 0 ? clock.later() : clock.now);
            const auto numbers = consecutive_numbers(whole_log(path, 2));
            REQUIRE(numbers.has_value());
            REQUIRE(numbers->size() > 20);
        }
        CHECK(sink.stats().degraded);
        disk.make_room();
        sink.write(numbered_line(number), clock.later());
        CHECK_FALSE(sink.stats().degraded);
        CHECK(slurp(path).value().ends_with(numbered_line(number)));
        for (const auto& entry : std::filesystem::directory_iterator(directory / "disk")) {
            CHECK(entry.path().extension() != ".tmp");
        }
    }
}

TEST_CASE("log sink: a directory that becomes read-only is one failure, and the old file is continued afterwards") {
    const Directory directory;
    Clock clock;
    std::filesystem::create_directory(directory / "disk");
    LogSink sink = open_sink(directory / "disk/a.log");
    sink.write("one\n", clock.later());
    if (::mount("tmpfs", (directory / "disk").c_str(), "tmpfs", MS_RDONLY, "size=64k") != 0) {
        WARN("SKIPPED: no right to mount a read-only file system");
        return;
    }
    for (int i = 0; i < 10; ++i) sink.write("two\n", clock.later());
    CHECK(::umount2((directory / "disk").c_str(), MNT_DETACH) == 0);
    CHECK(sink.stats().degraded);
    CHECK(sink.stats().failures == 1);
    CHECK(sink.stats().last_error == system_code(EROFS));
    sink.write("three\n", clock.later());
    CHECK_FALSE(sink.stats().degraded);
    CHECK(sink.stats().dropped_bytes == 0);
    std::string expected = "one\n";
    for (int i = 0; i < 10; ++i) expected += "two\n";
    CHECK(slurp(sink.path()) == expected + "three\n");
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
