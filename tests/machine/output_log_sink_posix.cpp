// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/logs/log_sink.hpp>

#include <cerrno>
#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

using namespace log_test;
using warden::error_code;
using warden::LogSink;

namespace {

error_code refusal(const std::filesystem::path& path) {
    error_code ec;
    (void)LogSink::open(path, {}, {}, ec);
    return ec;
}

}  // namespace

TEST_CASE("log sink: files and directories that it makes are for this user only") {
    const Directory directory;
    const LogSink sink = open_sink(directory / "new/folders/a.log");
    struct ::stat status {};
    REQUIRE(::stat(sink.path().c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    REQUIRE(::stat((directory / "new").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
}

TEST_CASE("log sink: links, FIFOs and devices are refused") {
    const Directory directory;
    const auto code = [](int number) { return warden::detail::system_code(number); };
    open_sink(directory / "real.log").write("mine\n");
    std::filesystem::create_symlink(directory / "real.log", directory / "link.log");
    CHECK(refusal(directory / "link.log") == code(ELOOP));
    std::filesystem::create_symlink(directory / "nothing", directory / "dangling.log");
    CHECK(refusal(directory / "dangling.log") == code(ELOOP));
    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
    CHECK(refusal(directory / "fifo") == code(EINVAL));
    CHECK(refusal("/dev/null") == code(EINVAL));
    CHECK(slurp(directory / "real.log") == "mine\n");
}

TEST_CASE("log sink: files and directories of other users are refused") {
    if (::geteuid() != 0) {
        WARN("SKIPPED: only root can make a file of another user");
        return;
    }
    const Directory directory;
    open_sink(directory / "foreign.log").write("x");
    REQUIRE(::chown((directory / "foreign.log").c_str(), 12'345, 12'345) == 0);
    CHECK(refusal(directory / "foreign.log") == warden::detail::system_code(EPERM));
    std::filesystem::create_directory(directory / "foreign");
    REQUIRE(::chown((directory / "foreign").c_str(), 12'345, 12'345) == 0);
    CHECK(refusal(directory / "foreign/a.log") == warden::detail::system_code(EPERM));
}
#endif
