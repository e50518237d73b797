// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/logs/log_reader.hpp>

#include <cerrno>
#include <chrono>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace log_test;

TEST_CASE("log reader: links, FIFOs and devices are refused") {
    const Directory directory;
    const auto refusal = [](const std::filesystem::path& path) {
        warden::error_code ec;
        CHECK(warden::tail_file(path, 5, ec).empty());
        return ec;
    };
    CHECK(refusal("/dev/zero") == warden::detail::system_code(EINVAL));
    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
    CHECK(refusal(directory / "fifo") == warden::detail::system_code(EINVAL));
    std::filesystem::create_symlink(directory / "none", directory / "link");
    CHECK(refusal(directory / "link") == warden::detail::system_code(ELOOP));
}

TEST_CASE("log reader: the holes of a file hold no lines, and cost nothing") {
    const Directory directory;
    constexpr ::off_t large = ::off_t{1} << 40;
    open_sink(directory / "a.log").write("one\ntwo\n");
    if (::truncate((directory / "a.log").c_str(), large) != 0) {
        WARN("SKIPPED: no file of 1 TiB here");
        return;
    }
    const auto lines = [&](std::size_t count) { return warden::tail_file(directory / "a.log", count); };
    const auto text_of = [](std::string line) { return line.substr(0, line.find('\0')); };
    const auto began = std::chrono::steady_clock::now();
    std::vector<std::string> found = lines(10);
    REQUIRE(found.size() >= 2);
    CHECK(found[0] == "one");
    CHECK(found[1] == "two");
    std::size_t bytes = 0;
    for (const auto& line : found) bytes += line.size();
    CHECK(bytes < 65'536);
    const int fd = ::open((directory / "a.log").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    REQUIRE(::write(fd, "\nthree\n", 7) == 7);
    ::close(fd);
    CHECK(text_of(lines(1).at(0)) == "three");
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(2));
}
#endif
