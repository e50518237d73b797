// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/logs/log_reader.hpp>

#include <cerrno>
#include <filesystem>

#include <sys/stat.h>

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
#endif
