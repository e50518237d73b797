// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_LINUX
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/logs/log_sink.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

using namespace log_test;
using namespace std::chrono_literals;
using warden::LogSink;
using warden::OnLimit;
using warden::detail::system_code;

namespace {

/// A clock that the test moves, so that nobody waits for the next attempt.
struct Clock {
    LogSink::Clock::time_point now = LogSink::Clock::now();
    LogSink::Clock::time_point later() { return now += LogSink::retry_interval; }
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
#endif
