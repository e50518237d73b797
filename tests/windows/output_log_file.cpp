// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include "../machine/output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/detail/logs/log_directory.hpp>
#include <warden/detail/logs/log_file.hpp>
#include <warden/detail/logs/loop_wait.hpp>
#include <warden/logs/log_follower.hpp>
#include <warden/logs/log_reader.hpp>
#include <warden/logs/log_sink.hpp>

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <windows.h>

using namespace log_test;
using namespace std::chrono_literals;
using warden::error_code;
using warden::LogSink;
using warden::OnLimit;
using warden::detail::LogDirectory;
using warden::detail::LogFile;
using warden::detail::UniqueHandle;
namespace conditions = boost::system::errc;

namespace {

error_code refusal(const std::filesystem::path& path) {
    error_code ec;
    (void)LogSink::open(path, {}, {}, ec);
    return ec;
}

/// As C and C++ streams open a file: nobody may rename or remove it meanwhile.
UniqueHandle pin(const std::filesystem::path& path) {
    return UniqueHandle(::CreateFileW(path.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr,
                                      OPEN_EXISTING, 0, nullptr));
}

std::string all_of(const UniqueHandle& file) {
    error_code ec;
    std::string text(1 << 16, '\0');
    text.resize(warden::detail::read_at(file, 0, text.data(), text.size(), ec));
    return text;
}

LogFile open_file(const std::filesystem::path& path) {
    error_code ec;
    LogFile file = LogFile::open(path, {}, ec);
    INFO(ec.message());
    REQUIRE_FALSE(ec);
    return file;
}

void put(const std::filesystem::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

/// The calls of LogFile with the file pinned or open in a way that lets it be renamed.
struct Reader {
    const char* name;
    DWORD share;
};
constexpr Reader readers[] = {{"lets it be renamed", FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE},
                              {"pins it", FILE_SHARE_READ | FILE_SHARE_WRITE}};

UniqueHandle open_as(const Reader& reader, const std::filesystem::path& path) {
    return UniqueHandle(::CreateFileW(path.c_str(), GENERIC_READ, reader.share, nullptr, OPEN_EXISTING, 0, nullptr));
}

}  // namespace

TEST_CASE("log file: what Windows takes for a device is refused in any directory, to write and to read") {
    const Directory directory;
    for (const char* name : {"NUL", "nul", "con", "CON.log", "aux.txt", "COM1", "com9.log", "LPT1.tar.gz", "prn ",
                             "CONIN$", "conout$", "nul .log"}) {
        INFO(name);
        CHECK(refusal(directory / name) == conditions::invalid_argument);
        error_code ec;
        (void)warden::tail_file(directory / name, 1, ec);
        CHECK(ec == conditions::invalid_argument);
    }
    CHECK(refusal(directory / "com1/a.log") == conditions::invalid_argument);
    CHECK(refusal(directory.path() / L"COM\u00b9.log") == conditions::invalid_argument);
    CHECK(refusal("NUL") == conditions::invalid_argument);
    CHECK(refusal(L"\\\\.\\pipe\\a.log") == conditions::invalid_argument);
    for (const char* name : {"console.log", "com.log", "com10.log", "auxiliary", "nul_.log"}) {
        INFO(name);
        CHECK_FALSE(refusal(directory / name));
    }
    CHECK(directory.names().size() == 5);
}

TEST_CASE("log file: a stream of a file and names with foreign characters are refused") {
    const Directory directory;
    CHECK(refusal(directory / "a.log:stream") == conditions::invalid_argument);
    for (const char* name : {"a?.log", "a*.log", "a|b", "a\"b", "a\tb"}) {
        INFO(name);
        CHECK(refusal(directory / name) == conditions::invalid_argument);
    }
    CHECK(directory.names().empty());
}

TEST_CASE("log file: a path longer than MAX_PATH works, a part longer than 255 is refused") {
    const Directory directory;
    std::filesystem::path path = directory.path();
    for (int i = 0; i < 5; ++i) path /= std::string(100, static_cast<char>('a' + i));
    path /= "a.log";
    LogSink sink = open_sink(path, {3, 100});
    for (std::size_t i = 0; i < 10; ++i) sink.write(std::to_string(i) + "\n");
    CHECK(sink.stats().failures == 0);
    CHECK(warden::tail_file(path, 1) == std::vector<std::string>{"9"});
    CHECK(refusal(directory / std::string(256, 'x')) == conditions::filename_too_long);
    CHECK(refusal(directory / std::string(251, 'x')) == conditions::filename_too_long);  // its temporary name
    CHECK_FALSE(refusal(directory / std::string(250, 'x')));
    std::filesystem::path endless = directory.path();
    for (int i = 0; i < 200; ++i) endless /= std::string(200, 'x');
    CHECK(refusal(endless / "a.log") == conditions::filename_too_long);
}

TEST_CASE("log file: names that are no valid UTF-16 are as good as others") {
    const Directory directory;
    const std::filesystem::path path = directory.path() / L"lone \xd800 surrogate.log";
    error_code ec;
    {
        LogSink sink = LogSink::open(path, {3, 100}, OnLimit::rotate(1), ec);
        if (ec) {
            WARN("SKIPPED: this file system has no such names: " << ec.message());
            return;
        }
        for (std::size_t i = 0; i < 10; ++i) sink.write(std::to_string(i) + "\n");
        CHECK(sink.stats().failures == 0);
    }
    CHECK(warden::tail_file(path, 1, ec) == std::vector<std::string>{"9"});
}

TEST_CASE("log file: a handle is not inherited, and lets others read, write, rename and remove") {
    const Directory directory;
    const auto path = directory / "a.log";
    LogFile file = open_file(path);
    error_code ec;
    file.append("text\n", ec);
    const UniqueHandle strict(::CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE,
                                            FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr, OPEN_EXISTING, 0, nullptr));
    CHECK(strict);  // it holds the file without DELETE
    std::string line;
    std::ifstream stream(path);
    CHECK(std::getline(stream, line));
    CHECK(line == "text");
}

TEST_CASE("log file: is replaced while a reader has it open") {
    for (const Reader& reader : readers) {
        INFO(reader.name);
        const Directory directory;
        const auto path = directory / "a.log";
        LogFile file = open_file(path);
        error_code ec;
        file.append("one\ntwo\n", ec);
        const UniqueHandle open = open_as(reader, path);
        REQUIRE(open);
        for (int i = 0; i < 3; ++i) {
            file.replace("two\n", 4, ec);
            INFO(ec.message());
            REQUIRE_FALSE(ec);
            CHECK(slurp(path) == "two\n");
            CHECK(file.size() == 4);
            CHECK(file.standing() == LogFile::Standing::in_place);
        }
        file.append("three\n", ec);
        CHECK_FALSE(ec);
        CHECK(slurp(path) == "two\nthree\n");
        const bool pinned = (reader.share & FILE_SHARE_DELETE) == 0;
        CHECK(all_of(open) == (pinned ? "two\nthree\n" : "one\ntwo\n"));
    }
}

TEST_CASE("log file: is rotated while a reader has it open, and the unfinished line moves on") {
    for (const Reader& reader : readers) {
        INFO(reader.name);
        const Directory directory;
        const auto path = directory / "a.log";
        LogFile file = open_file(path);
        error_code ec;
        file.append("one\nunfin", ec);
        {
            const UniqueHandle open = open_as(reader, path);
            REQUIRE(open);
            file.rotate(2, 4, "unfin", 4, ec);
            INFO(ec.message());
            REQUIRE_FALSE(ec);
            CHECK(slurp(path) == "unfin");
            CHECK(slurp(directory / "a.log.1") == "one\n");
            file.append("ished\n", ec);
            CHECK(file.standing() == LogFile::Standing::in_place);
        }
        file.rotate(2, 11, "", 15, ec);
        CHECK_FALSE(ec);
        file.rotate(2, 0, "", 15, ec);
        CHECK_FALSE(ec);
        CHECK(directory.names() == std::vector<std::string>{"a.log", "a.log.1", "a.log.2"});
        CHECK(slurp(directory / "a.log.2") == "unfinished\n");
        CHECK(slurp(directory / "a.log.1") == "");
    }
}

TEST_CASE("log file: a rotated file that a reader pins is an error, and nothing is lost") {
    const Directory directory;
    const auto path = directory / "a.log";
    LogFile file = open_file(path);
    error_code ec;
    file.append("one\n", ec);
    file.rotate(2, 4, "", 4, ec);
    REQUIRE_FALSE(ec);
    file.append("two\n", ec);
    {
        const UniqueHandle pinned = pin(directory / "a.log.1");
        REQUIRE(pinned);
        file.rotate(2, 4, "", 8, ec);
        CHECK(ec == conditions::permission_denied);
        CHECK(slurp(path) == "two\n");
        CHECK(directory.names() == std::vector<std::string>{"a.log", "a.log.1"});
    }
    file.rotate(2, 4, "", 8, ec);
    CHECK_FALSE(ec);
    CHECK(slurp(directory / "a.log.1") == "two\n");
    CHECK(slurp(directory / "a.log.2") == "one\n");
}

TEST_CASE("log file: neither a directory nor another file at the path is overwritten by a rotation") {
    const Directory directory;
    const auto path = directory / "a.log";
    LogFile file = open_file(path);
    error_code ec;
    file.append("one\n", ec);
    std::filesystem::rename(path, directory / "b.log");
    CHECK(file.standing() == LogFile::Standing::moved);
    std::filesystem::create_directory(path);
    file.replace("two\n", 4, ec);
    CHECK(ec == conditions::is_a_directory);
    file.rotate(1, 4, "", 4, ec);
    CHECK(ec == conditions::is_a_directory);
    std::filesystem::remove(path);
    put(path, "another\n");
    file.rotate(1, 4, "", 4, ec);
    CHECK(ec);
    CHECK(slurp(path) == "another\n");
    CHECK(directory.names() == std::vector<std::string>{"a.log", "b.log"});
}

TEST_CASE("log file: what a crash leaves of a replacement and of a rotation is put right by the next open") {
    const Directory directory;
    const auto path = directory / "a.log";
    const auto opened = [&] {
        LogFile file = open_file(path);
        error_code ec;
        return file.read(0, 100, ec);
    };
    put(path, "old\n");
    put(directory / ".a.log.tmp", "half wri");
    CHECK(opened() == "old\n");
    CHECK(directory.names() == std::vector<std::string>{"a.log"});
    // The old file had made room for the new one.
    std::filesystem::rename(path, directory / ".a.log.0.tmp");
    put(directory / ".a.log.tmp", "new\n");
    CHECK(opened() == "old\n");
    CHECK(directory.names() == std::vector<std::string>{"a.log"});
    // The same, in a rotation.
    std::filesystem::rename(path, directory / "a.log.1");
    put(directory / ".a.log.tmp", "");
    CHECK(opened() == "old\n");
    CHECK(directory.names() == std::vector<std::string>{"a.log"});
    // It had both names.
    std::filesystem::create_hard_link(path, directory / "a.log.1");
    CHECK(opened() == "old\n");
    CHECK(directory.names() == std::vector<std::string>{"a.log"});
}

TEST_CASE("log sink: a reader who opens the log as streams do sees it within its bound, and cannot stop its writer") {
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(2)}) {
        const Directory directory;
        const warden::LogLimits limits{50, 5'000};
        LogSink sink = open_sink(directory / "a.log", limits, on_limit);
        std::atomic<int> samples{0};
        std::atomic<bool> done{false};
        std::string fault;
        std::thread reader([&] {
            while (!done && fault.empty()) {
                const UniqueHandle pinned = pin(sink.path());
                if (!pinned) continue;  // it is just being renamed
                const std::string text = all_of(pinned);
                if (count_lines(text) > limits.max_lines || count_chars(text) > limits.max_chars) fault = "over";
                ++samples;
            }
            samples = 1'000'000;
        });
        std::size_t number = 0;
        LogSink::Clock::time_point now = LogSink::Clock::now();
        while (samples < 200) sink.write(numbered_line(number++), now += LogSink::retry_interval);
        done = true;
        reader.join();
        sink.write(numbered_line(number), now += LogSink::retry_interval);
        INFO(number << " lines, " << sink.stats().failures << " failures: " << sink.stats().last_error.message());
        CHECK(fault == "");
        CHECK_FALSE(sink.stats().degraded);
        CHECK(slurp(sink.path()).value().ends_with(numbered_line(number)));
    }
}

TEST_CASE("log directory: a log in use stays, one that is pinned too, others go") {
    const Directory directory;
    const auto path = directory / "a.log";
    error_code ec;
    const LogDirectory logs = LogDirectory::open(directory.path(), ec);
    REQUIRE_FALSE(ec);
    {
        const LogSink sink = open_sink(path);
        const auto seen = logs.look_at(L"a.log");
        REQUIRE(seen);
        CHECK(logs.remove(L"a.log", *seen, ec) == LogDirectory::Removal::in_use);
    }
    const auto seen = logs.look_at(L"a.log");
    REQUIRE(seen);
    {
        const UniqueHandle pinned = pin(path);
        CHECK(logs.remove(L"a.log", *seen, ec) == LogDirectory::Removal::in_use);
    }
    auto other = *seen;
    other.written += 1h;
    CHECK(logs.remove(L"a.log", other, ec) == LogDirectory::Removal::other);
    CHECK(logs.remove(L"a.log", *seen, ec) == LogDirectory::Removal::removed);
    CHECK_FALSE(ec);
    CHECK(directory.names().empty());
    CHECK(logs.remove(L"a.log", *seen, ec) == LogDirectory::Removal::other);
    CHECK_FALSE(logs.look_at(L"a.log"));
}

TEST_CASE("log directory: lists files and directories, goes down, and takes only empty directories away") {
    const Directory directory;
    std::filesystem::create_directories(directory / "folder/below");
    put(directory / "file", "text\n");
    put(directory / "second", "text\n");
    std::filesystem::create_hard_link(directory / "second", directory / "third");
    error_code ec;
    const LogDirectory root = LogDirectory::open(directory.path(), ec);
    std::vector<std::pair<std::wstring, bool>> found;
    root.for_each(ec, [&](const std::wstring& name, bool is_directory) { found.emplace_back(name, is_directory); });
    std::sort(found.begin(), found.end());
    CHECK(found == std::vector<std::pair<std::wstring, bool>>{
                       {L"file", false}, {L"folder", true}, {L"second", false}, {L"third", false}});
    const auto file = root.look_at(L"file");
    REQUIRE(file);
    CHECK(file->status.size == 5);
    CHECK(std::chrono::abs(std::chrono::system_clock::now() - file->written) < 1h);
    CHECK_FALSE(root.look_at(L"second"));  // it has two names
    CHECK_FALSE(root.look_at(L"folder"));
    const LogDirectory folder = root.below(L"folder", ec);
    CHECK(folder);
    CHECK_FALSE(root.below(L"file", ec));
    CHECK(ec == conditions::not_a_directory);
    CHECK_FALSE(root.below(L"none", ec));
    CHECK(ec == conditions::no_such_file_or_directory);
    CHECK_FALSE(::MoveFileW((directory / "folder").c_str(), (directory / "elsewhere").c_str()));  // it is held
    CHECK_FALSE(root.remove_directory(L"folder"));
    CHECK(folder.remove_directory(L"below"));
    CHECK_FALSE(LogDirectory::open(directory / "none", ec));
    CHECK(ec == conditions::no_such_file_or_directory);
}

TEST_CASE("log follower: an event loop is told of a line, and of nothing after the wait was closed") {
    const Directory directory;
    LogSink sink = open_sink(directory / "a.log");
    error_code ec;
    auto follower = warden::LogFollower::open(sink.path(), warden::LogFollower::From::end, ec);
    REQUIRE_FALSE(ec);
    boost::asio::io_context loop;
    warden::detail::LoopWait wait(loop);
    wait.assign(warden::detail::LogFollowerAccess::wait_handle(follower), ec);
    REQUIRE_FALSE(ec);
    std::string text;
    CHECK_FALSE(follower.try_next());
    sink.write("one\n");
    const std::function<void()> look = [&] {
        if (const auto line = follower.try_next(ec)) text = line->text;
        else wait.async_wait(look);
    };
    wait.async_wait(look);
    loop.run_for(20s);
    CHECK(text == "one");
    wait.async_wait([&] { text = "called"; });
    sink.write("two\n");
    wait.close();
    loop.restart();
    loop.run_for(20s);
    CHECK(text == "one");
    CHECK(follower.try_next()->text == "two");
}

TEST_CASE("log follower: a directory that is renamed is an error, not a wait without end") {
    const Directory directory;
    const auto folder = directory / "folder";
    std::filesystem::create_directory(folder);
    error_code ec;
    auto follower = warden::LogFollower::open(folder / "a.log", warden::LogFollower::From::end, ec);
    REQUIRE_FALSE(ec);
    CHECK_FALSE(follower.next(1ms));
    std::thread other([&] { std::filesystem::rename(folder, directory / "elsewhere"); });
    CHECK_FALSE(follower.next(20s, ec));
    CHECK(ec == conditions::no_such_file_or_directory);
    other.join();
    std::filesystem::create_directory(folder);  // made again: it goes on
    put(folder / "a.log", "one\n");
    const auto line = follower.next(20s, ec);
    REQUIRE(line);
    CHECK(line->text == "one");
}

TEST_CASE("log follower: a log that a reader pins is written anew in place, and the follower goes on") {
    const Directory directory;
    LogSink sink = open_sink(directory / "a.log", {10, 1'000});
    error_code ec;
    auto follower = warden::LogFollower::open(sink.path(), warden::LogFollower::From::beginning, ec);
    REQUIRE_FALSE(ec);
    const UniqueHandle pinned = pin(sink.path());
    REQUIRE(pinned);
    std::size_t number = 0;
    std::string last;
    for (; number < 100; ++number) {
        sink.write(numbered_line(number));
        while (const auto line = follower.try_next(ec)) last = line->text;
        REQUIRE_FALSE(ec);
        REQUIRE(last + '\n' == numbered_line(number));
    }
    CHECK(sink.stats().failures == 0);
    CHECK(sink.stats().compactions > 3);
}

TEST_CASE("log sink: a file that was removed is made again, now or when its readers have closed it") {
    const Directory directory;
    LogSink::Clock::time_point now = LogSink::Clock::now();
    LogSink sink = open_sink(directory / "a.log");
    sink.write("one\n", now += 1s);
    REQUIRE(::DeleteFileW((directory / "a.log").c_str()) != 0);
    for (int i = 0; i < 3; ++i) sink.write("two\n", now += 1s);
    CHECK(sink.stats().dropped_bytes == 0);
    CHECK(slurp(sink.path()).value().ends_with("two\n"));
}
#endif
