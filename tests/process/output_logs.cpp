// SPDX-License-Identifier: MIT
// The logs of real processes: followed while they are written, collected from programs that write their own, pruned.
#include <support/fixture.hpp>
#include <warden/output/line_format.hpp>
#include <warden/output/log_reader.hpp>
#include <warden/output/log_search.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <fstream>

#include <sys/stat.h>
#include <sys/xattr.h>

using namespace support;
using namespace std::chrono_literals;
using warden::LogFollower;
using warden::OnLimit;
using warden::Output;
using warden::SpawnOptions;

namespace {

/// What a follower sees until `last`; and how many bytes that is, together with those that gaps took.
struct Seen {
    std::vector<std::string> lines;
    std::uint64_t bytes = 0;
};

Seen follow_until(LogFollower follower, const std::string& last) {
    Seen seen;
    while (const auto line = follower.next(20s)) {
        seen.bytes += line->gap_bytes + line->text.size() + (line->partial ? 0 : 1);
        seen.lines.push_back(line->text);
        if (line->text == last) break;
    }
    return seen;
}

std::size_t files_below(const std::filesystem::path& directory) {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) count += entry.is_regular_file();
    return count;
}

}  // namespace

TEMPLATE_TEST_CASE("logs: a running process is followed by name and by uuid, across compaction and rotation", "[logs]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (const OnLimit& on_limit : {OnLimit(), OnLimit::rotate(3)}) {
        SpawnOptions options;
        options.name = "counter";
        options.stdin_ = warden::Input::pipe;
        options.log.limits = {100, 1000};
        options.log.on_limit = on_limit;
        auto process = manager->spawn({"sh", {"-c", "read x; seq 5000; echo the end; read x"}}, options);
        LogFollower by_name = manager->follow("counter");
        LogFollower by_uuid = manager->follow(to_string(process.uuid()), LogFollower::From::end);
        process.write("go\n");
        for (LogFollower* follower : {&by_name, &by_uuid}) {
            const Seen seen = follow_until(std::move(*follower), "the end");
            REQUIRE(!seen.lines.empty());
            CHECK(seen.lines.back() == "the end");
            CHECK(seen.bytes == 23'893 + 8);  // seq 5000, the end: nothing twice, nothing missing that was not told
        }
        process.close_stdin();
        static_cast<void>(process.wait());
    }
    CHECK_THROWS_AS(manager->follow("nobody"), warden::system_error);
}

TEMPLATE_TEST_CASE("logs: a file that the program writes itself is in its log, also when it rotates", "[logs]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    manager.directory.write("own.log", "from another run\n");
    SpawnOptions options;
    options.working_directory = manager.directory.path();
    options.log.collect = "own.log";
    options.alerts = {warden::AlertRule::literal("line 7 ", warden::AlertAction::ready)};
    auto process = manager->spawn({"sh", {"-c", R"(
        echo on stdout
        i=0; while [ $i -lt 10 ]; do echo "line $i of the file" >> own.log; i=$((i+1)); done
        mv own.log own.log.1
        while [ $i -lt 20 ]; do echo "line $i of the file" >> own.log; i=$((i+1)); done
        printf 'no end' >> own.log)"}},
                                  options);
    CHECK(process.wait().success());
    REQUIRE(eventually([&] { return !process.tree_alive(); }));
    auto lines = warden::tail_file(process.log_path(), 100);
    CHECK(std::count(lines.begin(), lines.end(), "on stdout") == 1);
    std::erase(lines, "on stdout");
    REQUIRE(lines.size() == 21);
    for (std::size_t i = 0; i < 20; ++i) CHECK(lines[i] == "line " + std::to_string(i) + " of the file");
    CHECK(lines[20] == "no end");
    CHECK(process.tail(1) == std::vector<std::string>{lines.back()});
    CHECK(std::filesystem::exists(manager.directory / "own.log.1"));  // it is the program's
}

TEMPLATE_TEST_CASE("logs: the end of a tree is told when all that it wrote itself is in its log", "[logs]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.working_directory = manager.directory.path();
    options.log.collect = "own.log";
    REQUIRE(::mkfifo((manager.directory / "go").c_str(), 0600) == 0);
    for (int i = 0; i < 10; ++i) {
        const std::string word = "round " + std::to_string(i);
        std::filesystem::remove(manager.directory / "own.log");
        auto process =
            manager->spawn({"sh", {"-c", R"((read -r word < go; printf '%s' "$word" >> own.log) &)"}}, options);
        const auto log = process.log_path();
        CHECK(process.wait().success());
        CHECK(process.tree_alive());
        std::ofstream(manager.directory / "go") << word << '\n';
        REQUIRE(eventually([&] { return !process.tree_alive(); }));
        CHECK(warden::tail_file(log, 1) == std::vector{word});
    }
}

TEMPLATE_TEST_CASE("logs: a collected file keeps the bounds of the log, and its format", "[logs]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.log.collect = manager.directory / "own.log";
    options.log.limits = {100, 10'000};
    options.log.format = warden::LogFormat::prefixed;
    auto process = manager->spawn({"sh", {"-c", "seq 100000 > \"$0\"", options.log.collect.string()}}, options);
    CHECK(process.wait().success());
    REQUIRE(eventually([&] { return !process.tree_alive(); }));
    const auto lines = warden::tail_file(process.log_path(), 1000);
    REQUIRE(lines.size() >= 50);
    CHECK(lines.size() <= 100);
    const auto last = warden::parse_log_line(warden::LogFormat::prefixed, lines.back());
    REQUIRE(last);
    CHECK(last->stream == "file");
    CHECK(last->text == "100000");
}

TEMPLATE_TEST_CASE("logs: what cannot be collected is refused with the reason", "[logs]", OnCgroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.log.collect = manager.directory / "no directory" / "own.log";
    auto error = failed_start(*manager, victim("exit"), options);
    CHECK(error.step() == warden::SpawnStep::log_file);
    CHECK(std::string(error.what()).find("own.log") != std::string::npos);
    options.log.collect = manager.directory / "own.log";
    options.stdout_ = Output::null;
    CHECK(failed_start(*manager, victim("exit"), options).code() == warden::errc::invalid_options);
}

TEMPLATE_TEST_CASE("logs: a log is found by name and uuid without the manager, whatever it is called", "[logs]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory directory;
    SKIP_UNLESS(::setxattr(directory.path().c_str(), "user.warden.probe", "x", 1, 0) == 0,
                "no extended attributes in " + directory.path().string());
    std::filesystem::path first_log;
    std::string first;
    std::string second;
    {
        TestManager manager{TestType::mechanism, [&](auto& config) { config.log_directory = directory.path(); }};
        SpawnOptions options;
        options.name = "my job";
        options.log.naming = warden::LogNaming::pattern("{type}/{date}-{uuid}-{stream}.log");
        auto process = manager->spawn({"echo", {"first"}}, options);
        first = to_string(process.uuid());
        first_log = process.log_path();
        CHECK(warden::find_log(directory.path(), first) == first_log);  // from the start on
        static_cast<void>(process.wait());
        options.log.naming = warden::LogNaming::by_name();
        auto shared = manager->spawn({"sh", {"-c", "echo one; read x"}}, options);
        auto other = manager->spawn({"echo", {"two"}}, options);
        second = to_string(other.uuid());
        static_cast<void>(other.wait());
        CHECK(warden::find_log(directory.path(), second) == shared.log_path());
        warden::error_code ec;
        CHECK(warden::find_log(directory.path(), to_string(shared.uuid()), ec).empty());  // it is the last one's
        CHECK(ec == warden::errc::not_found);
        auto failed = failed_start(*manager, {"no such program"}, options);
        CHECK(warden::find_log(directory.path(), second) == shared.log_path());
    }
    CHECK(warden::find_log(directory.path(), first) == first_log);
    CHECK(warden::find_log(directory.path(), first.substr(0, 13)) == first_log);
    CHECK(warden::find_log(directory.path(), "my job") == directory / "my_job.log");
}

TEMPLATE_TEST_CASE("logs: a manager leaves as many logs as it should keep", "[logs]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory directory;
    const auto logs = directory / "logs";
    for (int round = 0; round < 2; ++round) {
        TestManager manager{TestType::mechanism, [&](auto& config) {
                                config.log_directory = logs;
                                config.log_retention.max_files = 5;
                            }};
        for (int i = 0; i < 4; ++i) static_cast<void>(manager->spawn({"echo", {"a line"}}).wait());
        std::ofstream(logs / "not ours.txt") << "text\n";
        CHECK(files_below(logs) <= 5 + 4 + 1);
    }
    CHECK(files_below(logs) == 5 + 1);
}
