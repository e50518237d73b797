// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/logs/log_follower.hpp>

TEST_CASE("log follower: where the system has nothing to wait for, opening one says so") {
    const log_test::Directory directory;
    warden::error_code ec;
    auto follower = warden::LogFollower::open(directory / "a.log", warden::LogFollower::From::end, ec);
    CHECK(ec == boost::system::errc::function_not_supported);
    CHECK_FALSE(follower.try_next(ec));
    CHECK(ec == boost::system::errc::bad_file_descriptor);
}
#endif
