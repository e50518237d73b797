// SPDX-License-Identifier: MIT
// Logs go only to directories that no other user can change.
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/detail/logs/trusted_directory.hpp>
#include <warden/logs/log_retention.hpp>

#include <cerrno>
#include <filesystem>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

using namespace log_test;
using warden::error_code;
using warden::LogSink;
namespace fs = std::filesystem;

namespace {

constexpr ::uid_t stranger = 12'345;

error_code refusal(const fs::path& path) {
    error_code ec;
    (void)LogSink::open(path, {}, {}, ec);
    return ec;
}

const error_code not_permitted = warden::detail::system_code(EPERM);

/// Refused, for a reason that names the part and says `why`; nothing was made there.
void check_refused(const fs::path& log, const fs::path& part, const std::string& why) {
    CHECK(refusal(log) == not_permitted);
    const std::string reason = warden::detail::why_not_trusted(log.parent_path());
    CHECK(reason == "'" + part.string() + "' " + why);
    CHECK_FALSE(fs::exists(log));
}

}  // namespace

TEST_CASE("log directory: a part of the path that others may write to is refused, and said") {
    const Directory directory;
    fs::create_directories(directory / "open/mine");
    REQUIRE(::chmod((directory / "open").c_str(), 0777) == 0);
    check_refused(directory / "open/mine/a.log", fs::canonical(directory.path()) / "open",
                  "is writable by others (mode 0777)");
    check_refused(directory / "open/new/a.log", fs::canonical(directory.path()) / "open",
                  "is writable by others (mode 0777)");
    CHECK_FALSE(fs::exists(directory / "open/new"));
    const warden::PruneReport pruned = warden::prune_logs(directory / "open/mine", {});
    CHECK(pruned.failures == 1);
    CHECK(pruned.first_error == not_permitted);
    REQUIRE(::chmod((directory / "open").c_str(), 01777) == 0);  // sticky: others cannot rename what is ours
    CHECK_FALSE(refusal(directory / "open/mine/a.log"));
    CHECK_FALSE(refusal(directory / "open/new/a.log"));
}

TEST_CASE("log directory: a group may write to it only if it is the private one of its owner, or root's") {
    const Directory directory;
    fs::create_directory(directory / "home");
    const auto with_group = [&](::gid_t group) {
        return ::chown((directory / "home").c_str(), static_cast<::uid_t>(-1), group) == 0 &&
               ::chmod((directory / "home").c_str(), 0775) == 0;
    };
    if (::geteuid() != 0) {
        WARN("SKIPPED: only root can give a directory to any group");
        return;
    }
    REQUIRE(with_group(0));
    CHECK_FALSE(refusal(directory / "home/a.log"));
    REQUIRE(with_group(stranger));
    check_refused(directory / "home/b.log", fs::canonical(directory.path()) / "home",
                  "is writable by others (mode 0775)");
}

TEST_CASE("log directory: links are followed where no other user could have made them") {
    const Directory directory;
    fs::create_directories(directory / "real/deep");
    fs::create_symlink("real", directory / "relative");
    fs::create_symlink(directory / "real/deep", directory / "absolute");
    fs::create_symlink("loop", directory / "loop");
    CHECK_FALSE(refusal(directory / "relative/a.log"));
    CHECK_FALSE(refusal(directory / "absolute/../b.log"));
    CHECK(fs::exists(directory / "real/a.log"));
    CHECK(fs::exists(directory / "real/b.log"));
    CHECK(refusal(directory / "loop/a.log") == warden::detail::system_code(ELOOP));
    if (::geteuid() != 0) {
        WARN("SKIPPED: only root can make a link of another user");
        return;
    }
    fs::create_directory(directory / "shared");
    REQUIRE(::chmod((directory / "shared").c_str(), 01777) == 0);
    fs::create_symlink(directory / "real", directory / "shared/trap");
    CHECK_FALSE(refusal(directory / "shared/trap/c.log"));
    REQUIRE(::lchown((directory / "shared/trap").c_str(), stranger, stranger) == 0);
    check_refused(directory / "shared/trap/d.log", fs::canonical(directory.path()) / "shared/trap",
                  "is a link of user 12345");
}

TEST_CASE("log directory: a directory of another user anywhere on the way is refused") {
    if (::geteuid() != 0) {
        WARN("SKIPPED: only root can make a directory of another user");
        return;
    }
    const Directory directory;
    fs::create_directories(directory / "theirs/mine");
    REQUIRE(::chown((directory / "theirs").c_str(), stranger, stranger) == 0);
    check_refused(directory / "theirs/mine/a.log", fs::canonical(directory.path()) / "theirs", "belongs to user 12345");
}

TEST_CASE("log directory: what is put in its place later gets nothing of the log") {
    const Directory directory;
    fs::create_directories(directory / "victim");
    const auto write_to_victim = [&](warden::OnLimit on_limit) {
        LogSink sink = open_sink(directory / "logs/a.log", {4, 1000}, on_limit);
        sink.write("1\n2\n");
        fs::rename(directory / "logs", directory / "away");
        fs::create_directory_symlink(directory / "victim", directory / "logs");
        sink.write("3\n4\n5\n6\n", LogSink::Clock::time_point{});  // before the path is looked at again
        CHECK(fs::is_empty(directory / "victim"));
        CHECK(slurp(directory / "away/a.log")->ends_with("6\n"));
        fs::remove(directory / "logs");
        fs::remove_all(directory / "away");
    };
    write_to_victim(warden::OnLimit::keep_newest);
    write_to_victim(warden::OnLimit::rotate(2));
}
#endif
