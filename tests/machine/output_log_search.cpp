// SPDX-License-Identifier: MIT
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <support/skip.hpp>
#include <warden/logs/log_reader.hpp>
#include <warden/logs/log_search.hpp>
#include <warden/logs/log_sink.hpp>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

using namespace log_test;
using namespace std::chrono_literals;
using warden::errc;
using warden::error_code;
using warden::find_log;
using warden::find_logs;
using warden::LogSink;
using warden::OnLimit;
using warden::detail::LogOwner;

namespace {

using Path = std::filesystem::path;
using Time = std::chrono::system_clock::time_point;

const Time some_day{std::chrono::hours(24 * 365 * 50)};

std::string uuid(int number) {
    std::string digits = std::to_string(number);
    return "0123abcd-0000-4000-8000-" + std::string(12 - digits.size(), '0') + digits;
}

LogSink open_owned(const Path& path, const LogOwner& owner, OnLimit on_limit = {}) {
    LogSink sink = open_sink(path, {10, 1000}, on_limit);
    sink.set_owner(to_text(owner));
    return sink;
}

/// A log of process `number`, which has ended.
Path make_log(const Path& path, int number, const std::string& name, Time started = some_day,
              bool only_errors = false) {
    open_owned(path, {uuid(number), only_errors, started, name}).write("text of " + uuid(number) + '\n');
    return path;
}

void write_file(const Path& path, std::string_view text = "text\n") {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
}

/// What is found, or nothing.
Path found(const Directory& directory, std::string_view key) {
    error_code ec;
    const Path path = find_log(directory.path(), key, ec);
    CHECK(path.empty() == static_cast<bool>(ec));
    return path;
}

error_code failure(const Path& directory, std::string_view key) {
    error_code ec;
    CHECK(find_log(directory, key, ec).empty());
    return ec;
}

std::string words(const Path& directory, std::string_view key) {
    try {
        return "found: " + find_log(directory, key).string();
    } catch (const warden::system_error& error) {
        return error.what();
    }
}

std::optional<LogOwner> owner_of(const Path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const auto owner = warden::detail::parse_log_owner(warden::detail::read_owner(fd));
    ::close(fd);
    return owner;
}

/// The variable has this value while it lives.
class Variable {
public:
    Variable(const char* name, const std::string& value) : name_(name) {
        if (const char* before = std::getenv(name)) before_ = before;
        ::setenv(name, value.c_str(), 1);
    }
    Variable(const Variable&) = delete;
    ~Variable() {
        if (before_) ::setenv(name_, before_->c_str(), 1);
        else ::unsetenv(name_);
    }

private:
    const char* name_;
    std::optional<std::string> before_;
};

}  // namespace

TEST_CASE("log search: a log is found by the name of its process, by its uuid and by the beginning of that") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const Path log = make_log(directory / "batch/anything.log", 1, "job one");
    make_log(directory / "other.log", 2, "other");
    CHECK(found(directory, "job one") == log);
    CHECK(found(directory, uuid(1)) == log);
    CHECK(found(directory, uuid(1).substr(0, 35) + "1") == log);
    CHECK(found(directory, "0123ABCD-0000-4000-8000-000000000001") == log);
    CHECK(found(directory, uuid(2).substr(0, 36)) == directory / "other.log");
    CHECK(failure(directory.path(), "job") == errc::not_found);
    CHECK(failure(directory.path(), uuid(3)) == errc::not_found);
    CHECK(failure(directory.path(), "") == errc::not_found);
    std::filesystem::remove(directory / "other.log");
    CHECK(found(directory, "0123abcd") == log);
    CHECK(found(directory, "0123abcd-00") == log);
    CHECK(failure(directory.path(), "0123abc") == errc::not_found);
    CHECK(failure(directory.path(), "0123abcd-0-") == errc::not_found);
    error_code ec;
    const auto all = find_logs(directory.path(), "job one", ec);
    REQUIRE(all.size() == 1);
    CHECK(all[0].uuid == uuid(1));
    CHECK(all[0].name == "job one");
    CHECK(all[0].time == some_day);
    CHECK_FALSE(all[0].only_errors);
}

TEST_CASE("log search: of several processes of one name the newest, and its stdout before its stderr") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    make_log(directory / "new.log", 2, "job", some_day + 1h);
    make_log(directory / "a_new_error.log", 2, "job", some_day + 1h, true);
    make_log(directory / "old.log", 1, "job", some_day);  // written last
    error_code ec;
    std::vector<std::string> names;
    for (const auto& log : find_logs(directory.path(), "job", ec)) names.push_back(log.path.filename().string());
    CHECK(names == std::vector<std::string>{"new.log", "a_new_error.log", "old.log"});
    CHECK(found(directory, "job") == directory / "new.log");
    CHECK(found(directory, uuid(1)) == directory / "old.log");
    std::filesystem::remove(directory / "new.log");
    CHECK(found(directory, uuid(2)) == directory / "a_new_error.log");
}

TEST_CASE("log search: a name that looks like the beginning of a uuid is a name first") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const Path named = make_log(directory / "named.log", 1, "0123abcd");
    make_log(directory / "other.log", 2, "other", some_day + 1h);
    CHECK(found(directory, "0123abcd") == named);
    CHECK(failure(directory.path(), "0123abcd-") == errc::ambiguous);
}

TEST_CASE("log search: compactions, rotations and a lost file keep whose a log is") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const LogOwner owner{uuid(1), false, some_day, "job"};
    const auto fill = [](LogSink& sink) {
        for (int i = 0; i < 25; ++i) sink.write("line\n");
    };
    LogSink compacted = open_owned(directory / "compacted.log", owner);
    fill(compacted);
    CHECK(compacted.stats().compactions > 0);
    CHECK(owner_of(compacted.path()) == owner);

    LogSink rotated = open_owned(directory / "rotated.log", owner, OnLimit::rotate(2));
    fill(rotated);
    CHECK(rotated.stats().rotations == 2);
    CHECK(owner_of(rotated.path()) == owner);
    CHECK(owner_of(directory / "rotated.log.2") == owner);

    std::filesystem::remove(compacted.path());
    compacted.write("news\n", LogSink::Clock::now() + LogSink::retry_interval);
    CHECK(owner_of(compacted.path()) == owner);

    LogSink continued = open_sink(directory / "compacted.log", {10, 1000});  // by one who does not say whose it is
    fill(continued);
    CHECK(owner_of(continued.path()) == owner);
}

TEST_CASE("log search: a rotated file leads to the active one, also when that is of somebody else by now") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    LogSink sink = open_owned(directory / "shared.log", {uuid(1), false, some_day, "job"}, OnLimit::rotate(3));
    for (int i = 0; i < 15; ++i) sink.write("first\n");
    sink.set_owner(to_text(LogOwner{uuid(2), false, some_day + 1h, "job"}));
    for (int i = 0; i < 10; ++i) sink.write("second\n");
    REQUIRE(sink.stats().rotations == 2);
    CHECK(found(directory, uuid(1)) == directory / "shared.log");
    error_code ec;
    const auto all = find_logs(directory.path(), "job", ec);
    REQUIRE(all.size() == 1);
    CHECK(all[0].uuid == uuid(2));
    CHECK(warden::tail_file(found(directory, uuid(1)), 100).front() == "first");

    const Path other = make_log(directory / "shared.log.7", 3, "job seven");  // no part of that log
    CHECK(found(directory, "job seven") == other);
}

TEST_CASE("log search: a beginning that several uuids have lists them") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    for (int i = 1; i <= 12; ++i)
        make_log(directory / (std::to_string(i) + ".log"), i, i == 12 ? "bad\n\33[2Jname" : "job", some_day + i * 1s);
    CHECK(failure(directory.path(), "0123abcd") == errc::ambiguous);
    const std::string text = words(directory.path(), "0123abcd");
    CAPTURE(text);
    CHECK(text.find("'0123abcd' below " + directory.path().string() + " may be " + uuid(12) + " (bad??[2Jname), " +
                    uuid(11) + " (job), ") == 0);
    CHECK(text.find(", and 2 more") != text.npos);
    CHECK(text.find("write more of it") != text.npos);
}

TEST_CASE("log search: what is not there says what was looked for, and where") {
    const Directory directory;
    const std::string text = words(directory.path(), "no\njob");
    CHECK(text.find("no log of 'no?job' below " + directory.path().string() + ": looked for a process of that name") ==
          0);
    CHECK(failure(directory / "missing", "job") == error_code(ENOENT, boost::system::system_category()));
    CHECK(words(directory / "missing", "job").find("'job' below " + (directory / "missing").string()) !=
          std::string::npos);
}

TEST_CASE("log search: what a file says of its process is believed only if it is well-formed") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const std::string good = to_text(LogOwner{uuid(1), false, some_day, "job"});
    const Path path = directory / "plain.log";
    write_file(path);
    const auto says = [&](const std::string& text) {
        ::removexattr(path.c_str(), "user.warden.process");
        REQUIRE(::setxattr(path.c_str(), "user.warden.process", text.data(), text.size(), 0) == 0);
        error_code ec;
        return !find_logs(directory.path(), "job", ec).empty() || !find_logs(directory.path(), uuid(1), ec).empty();
    };
    CHECK(good == uuid(1) + " stdout 1576800000000 job");
    REQUIRE(says(good));
    CHECK(says(uuid(1) + " stderr 0 job"));
    for (const std::string& bad :
         {std::string(), std::string("job"), std::string(2000, 'x'), std::string(36, ' '), uuid(1), uuid(1) + ' ',
          uuid(1) + " stdout", uuid(1) + " stdout 1 ", uuid(1) + " stdout -1 job", uuid(1) + " stdout 1x job",
          uuid(1) + " stdout 99999999999999999999999 job", uuid(1) + " stdout 9223372036854775807 job",
          uuid(1) + " stdin 1 job", std::string(" stdout 1 job"), uuid(1).substr(1) + " stdout 1 job",
          "0123ABCD" + uuid(1).substr(8) + " stdout 1 job", uuid(1) + std::string("\0 stdout 1 job", 14),
          uuid(1) + " stdout 1 job" + std::string(300, 'x')}) {
        CAPTURE(bad);
        CHECK_FALSE(says(bad));
        CHECK(found(directory, "plain") == path);  // then its name counts
    }
}

TEST_CASE("log search: of a long name the beginning is kept, and found") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const std::string name(5000, 'n');
    const Path log = make_log(directory / "long.log", 1, name);
    CHECK(found(directory, name) == log);
    CHECK(failure(directory.path(), name.substr(0, 255)) == errc::not_found);
}

TEST_CASE("log search: links, pipes and the files of others are not looked at") {
    const Directory directory;
    SKIP_WITHOUT_MARKS(directory);
    const Directory elsewhere;
    make_log(elsewhere / "job.log", 1, "job");
    std::filesystem::create_symlink(elsewhere / "job.log", directory / "job.log");
    std::filesystem::create_directory_symlink(elsewhere.path(), directory / "folder");
    REQUIRE(::mkfifo((directory / "other.log").c_str(), 0600) == 0);
    std::filesystem::create_directory(directory / "third.log");
    make_log(directory / ".job.log.tmp", 2, "job");
    for (const char* key : {"job", "other", "third"}) CHECK(failure(directory.path(), key) == errc::not_found);
    CHECK(failure(directory.path(), uuid(1)) == errc::not_found);

    std::filesystem::create_directory_symlink(elsewhere.path(), directory / "root");  // the root itself may be one
    error_code ec;
    CHECK(find_log(directory / "root", "job", ec) == directory / "root/job.log");

    const Path foreign = make_log(directory / "foreign.log", 3, "foreign");
    CHECK(found(directory, "foreign") == foreign);
    SKIP_UNLESS(::geteuid() == 0, "only root can give a file away");
    REQUIRE(::chown(foreign.c_str(), 1234, 1234) == 0);
    CHECK(failure(directory.path(), "foreign") == errc::not_found);
}

TEST_CASE("log search: no deeper than eight levels") {
    const Directory directory;
    Path deep = directory.path();
    for (int i = 0; i < 8; ++i) deep /= "d";
    write_file(deep / "here.log");
    write_file(deep / "d/below.log");
    CHECK(found(directory, "here") == deep / "here.log");
    CHECK(failure(directory.path(), "below") == errc::not_found);
}

TEST_CASE("log search: where a file does not say whose it is, its name does") {
    const Directory directory;
    write_file(directory / "job.log");
    write_file(directory / "job_error.log");
    write_file(directory / "my_job.log");
    write_file(directory / ("worker/worker-" + uuid(1) + ".log"));
    write_file(directory / ("worker/worker-" + uuid(1) + ".log.1"));
    write_file(directory / ("worker/worker-" + uuid(2) + ".log.1"));  // its active file is lost
    CHECK(found(directory, "job") == directory / "job.log");
    CHECK(found(directory, "my job") == directory / "my_job.log");
    CHECK(found(directory, uuid(1)) == directory / ("worker/worker-" + uuid(1) + ".log"));
    CHECK(found(directory, uuid(2)) == directory / ("worker/worker-" + uuid(2) + ".log.1"));
    CHECK(failure(directory.path(), "0123abcd") == errc::ambiguous);
    CHECK(failure(directory.path(), "worker") == errc::not_found);

    const Path newer = directory / "deeper/job.log";
    write_file(newer);
    std::filesystem::last_write_time(newer, std::filesystem::last_write_time(directory / "job.log") + 1h);
    CHECK(found(directory, "job") == newer);
}

TEST_CASE("log search: without a directory, it looks where the logs of a manager are") {
    const Directory directory;
    write_file(directory / "data/logs/job.log");
    write_file(directory / "elsewhere/job.log");
    const Variable data("WARDEN_DATA_DIRECTORY", (directory / "data").string());
    CHECK(find_log("job") == directory / "data/logs/job.log");
    const Variable logs("WARDEN_LOG_DIRECTORY", (directory / "elsewhere").string());
    CHECK(find_log("job") == directory / "elsewhere/job.log");
}
