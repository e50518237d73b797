// SPDX-License-Identifier: MIT
// The logs of real processes: within their bounds while they are written, followed, collected, found, pruned.
#include <machine/output_log_directory.hpp>
#include <scenarios/output.hpp>
#include <warden/logs/log_reader.hpp>
#include <warden/logs/log_search.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <algorithm>

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
    while (const auto line = follower.next(60s)) {
        seen.bytes += line->gap_bytes + line->text.size() + (line->partial ? 0 : 1);
        seen.lines.push_back(line->text);
        if (line->text == last) break;
    }
    return seen;
}

/// A process that counts to 5000 once it is told to, and what two followers of its log saw of that.
std::vector<Seen> follow_counter(TestManager& manager, const OnLimit& on_limit) {
    SpawnOptions options;
    options.name = "counter";
    options.stdin_ = warden::Input::pipe;
    options.log.limits = {100, 1000};
    options.log.on_limit = on_limit;
    auto process = manager->spawn(play("read", "count", "5000", "out", "the end\n", "read"), options);
    LogFollower by_name = manager->follow("counter");
    LogFollower by_uuid = manager->follow(to_string(process.uuid()), LogFollower::From::end);
    process.write("go\n");
    std::vector<Seen> seen;
    for (LogFollower* follower : {&by_name, &by_uuid}) seen.push_back(follow_until(std::move(*follower), "the end"));
    process.close_stdin();
    CHECK(process.wait().success());
    return seen;
}

std::size_t files_below(const std::filesystem::path& directory) {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) count += entry.is_regular_file();
    return count;
}

/// How many of the lines are not the numbers up to `last`, one after the other.
std::size_t torn(const std::vector<std::string>& lines, std::size_t last) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) count += lines[i] != std::to_string(last - (lines.size() - 1 - i));
    return count;
}

#define SKIP_UNLESS_FILES_ARE_WATCHED() \
    SKIP_UNLESS(WARDEN_OS_LINUX || WARDEN_OS_WINDOWS, "nothing tells of changes of files here")

}  // namespace

TEMPLATE_TEST_CASE(
    "log: during a flood the file is within both bounds whenever one looks, and the newest lines are there", "[output]",
    EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t max_lines = 500;
    constexpr std::size_t max_chars = 2500;
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.log.limits = {max_lines, max_chars};
    std::size_t lines_seen = 0;
    std::size_t chars_seen = 0;
    int looks = 0;
    warden::ManagedProcess process;
    while (looks < 20) {
        process = manager->spawn(play("count", "400000"), options);
        do {
            const std::string text = read_file(process.log_path());
            lines_seen = std::max(lines_seen, static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')));
            chars_seen = std::max(chars_seen, text.size());
            ++looks;
        } while (!process.wait_for(1ms));
    }
    CHECK(lines_seen <= max_lines);
    CHECK(chars_seen <= max_chars);
    const auto lines = split(read_file(process.log_path()), '\n');
    REQUIRE(lines.size() >= 100);  // at least the newest half of the bound: 1250 characters are more than 160 lines
    CHECK(torn(lines, 400'000) == 0);
    CHECK(lines.back() == "400000");
    CHECK(process.tail(1) == std::vector<std::string>{"400000"});
    CHECK(process.info().dropped_bytes == 0);
}

TEMPLATE_TEST_CASE(
    "log: with rotation no file of a flood is ever beyond the bounds, and their lines follow one another", "[output]",
    EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t last = is_slow ? 200'000 : 400'000;
    constexpr std::size_t max_chars = 100'000;
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.log.limits = {1'000'000, max_chars};
    options.log.on_limit = OnLimit::rotate(3);
    auto process = manager->spawn(play("count", std::to_string(last)), options);
    std::uintmax_t largest = 0;
    std::size_t max_files = 0;
    while (!process.wait_for(1ms) || largest == 0) {
        std::error_code gone;
        std::size_t files = 0;
        for (const auto& entry : std::filesystem::directory_iterator(process.log_path().parent_path(), gone)) {
            const auto size = entry.file_size(gone);
            if (gone) continue;
            ++files;
            largest = std::max(largest, size);
        }
        max_files = std::max(max_files, files);
    }
    CHECK(max_files <= 5);  // the active one, three, and one that is about to go
    CHECK(largest <= max_chars);
    std::string all;
    for (const char* number : {".3", ".2", ".1", ""}) all += read_file(process.log_path().string() + number);
    const auto lines = split(all, '\n');
    CHECK(torn(lines, last) == 0);
    CHECK(all.size() > 2 * max_chars);
    CHECK(files_below(process.log_path().parent_path()) == 4);
}

TEMPLATE_TEST_CASE("logs: a running process is followed by name and by uuid, across compaction and rotation", "[logs]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS_FILES_ARE_WATCHED();
    TestManager manager{TestType::mechanism};
    for (const OnLimit& on_limit : {OnLimit(), OnLimit::rotate(3)}) {
        for (const Seen& seen : follow_counter(manager, on_limit)) {
            REQUIRE(!seen.lines.empty());
            CHECK(seen.lines.back() == "the end");
        }
    }
    CHECK_THROWS_AS(manager->follow("nobody"), warden::system_error);
}

TEMPLATE_TEST_CASE("logs: who follows is told of what he missed, to the byte", "[logs]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS_FILES_ARE_WATCHED();
    SKIP_WITHOUT_MARKS(TestDirectory());
    TestManager manager{TestType::mechanism};
    for (const OnLimit& on_limit : {OnLimit(), OnLimit::rotate(3)}) {
        for (const Seen& seen : follow_counter(manager, on_limit))
            CHECK(seen.bytes ==
                  23'893 + 8);  // the numbers and the end: nothing twice, nothing missing that was not told
    }
}

TEMPLATE_TEST_CASE("logs: a file that the program writes itself is in its log, also when it rotates", "[logs]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS_FILES_ARE_WATCHED();
    TestManager manager{TestType::mechanism};
    manager.directory.write("own.log", "from another run\n");
    SpawnOptions options;
    options.working_directory = manager.directory.path();
    options.log.collect = "own.log";
    options.alerts = {warden::AlertRule::literal("line 7 ", warden::AlertAction::ready)};
    std::vector<std::string> orders{"out", "on stdout\n"};
    const auto append = [&](int first, int last) {
        for (int i = first; i < last; ++i)
            orders.insert(orders.end(), {"append", "own.log", "line " + std::to_string(i) + " of the file\n"});
    };
    append(0, 10);
    orders.insert(orders.end(), {"rename", "own.log", "own.log.1"});
    append(10, 20);
    orders.insert(orders.end(), {"append", "own.log", "no end"});
    auto process = manager->spawn(play(orders), options);
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

TEMPLATE_TEST_CASE("logs: what cannot be collected is refused with the reason", "[logs]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.log.collect = manager.directory / "no directory" / "own.log";
    auto error = failed_start(*manager, play(), options);
    CHECK(error.step() == warden::SpawnStep::log_file);
    CHECK(std::string(error.what()).find("own.log") != std::string::npos);
    options.log.collect = manager.directory / "own.log";
    options.stdout_ = Output::null;
    CHECK(failed_start(*manager, play(), options).code() == warden::errc::invalid_options);
}

TEMPLATE_TEST_CASE("logs: a log is found by name and uuid without the manager, whatever it is called", "[logs]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory directory;
    SKIP_WITHOUT_MARKS(directory);
    std::filesystem::path first_log;
    std::string first;
    {
        TestManager manager{TestType::mechanism, [&](auto& config) { config.log_directory = directory.path(); }};
        SpawnOptions options;
        options.name = "my job";
        options.log.naming = warden::LogNaming::pattern("{type}/{date}-{uuid}-{stream}.log");
        auto process = manager->spawn(play("out", "first\n"), options);
        first = to_string(process.uuid());
        first_log = process.log_path();
        CHECK(warden::find_log(directory.path(), first) == first_log);  // from the start on
        static_cast<void>(process.wait());
        options.log.naming = warden::LogNaming::by_name();
        options.stdin_ = warden::Input::pipe;
        auto shared = manager->spawn(play("out", "one\n", "read"), options);
        auto other = manager->spawn(play("out", "two\n"), options);
        static_cast<void>(other.wait());
        CHECK(warden::find_log(directory.path(), to_string(other.uuid())) == shared.log_path());
        warden::error_code ec;
        CHECK(warden::find_log(directory.path(), to_string(shared.uuid()), ec).empty());  // it is the last one's
        CHECK(ec == warden::errc::not_found);
        auto failed = failed_start(*manager, {"no such program"}, options);
        CHECK(warden::find_log(directory.path(), to_string(other.uuid())) == shared.log_path());
    }
    CHECK(warden::find_log(directory.path(), first) == first_log);
    CHECK(warden::find_log(directory.path(), first.substr(0, 13)) == first_log);
    CHECK(warden::find_log(directory.path(), "my job") == directory / "my_job.log");
}

TEMPLATE_TEST_CASE("logs: a manager leaves as many logs as it should keep", "[logs]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory directory;
    SKIP_WITHOUT_MARKS(directory);
    const auto logs = directory / "logs";
    for (int round = 0; round < 2; ++round) {
        TestManager manager{TestType::mechanism, [&](auto& config) {
                                config.log_directory = logs;
                                config.log_retention.max_files = 5;
                            }};
        for (int i = 0; i < 4; ++i) static_cast<void>(manager->spawn(play("out", "a line\n")).wait());
        write_file(logs / "not ours.txt", "text\n");
        CHECK(files_below(logs) <= 5 + 4 + 1);
    }
    CHECK(files_below(logs) == 5 + 1);
}

TEMPLATE_TEST_CASE("logs: a log that another manager writes is left to it, and the second one has a name of its own",
                   "[logs]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager first{TestType::mechanism};
    TestManager second{TestType::mechanism,
                       [&](auto& config) { config.log_directory = first.directory / "data" / "logs"; }};
    SpawnOptions options;
    options.name = "train";
    options.log.naming = warden::LogNaming::by_name();
    options.stdin_ = warden::Input::pipe;
    options.stop_plan = warden::StopPlan::now();
    const auto words = play("out", "begun\n", "echo");
    auto one = first->spawn(words, options);
    auto beside = first->spawn(words, options);
    auto two = second->spawn(words, options);
    CHECK(beside.log_path() == one.log_path());  // of one manager: one writer
    CHECK(two.log_path() == one.log_path().parent_path() / "train-2.log");
    CHECK(two.error_log_path() != one.error_log_path());
    REQUIRE(eventually([&] { return read_file(one.log_path()) == "begun\nbegun\n"; }));
    const std::string many = [] {
        std::string text;
        for (int i = 0; i < 500; ++i) text += "line " + std::to_string(i) + '\n';
        return text;
    }();
    for (auto* process : {&one, &two}) {
        process->write(many);
        process->close_stdin();
        CHECK(process->wait().success());
    }
    CHECK(read_file(two.log_path()) == "begun\n" + many);
    CHECK(read_file(one.log_path()) == "begun\nbegun\n" + many);
    two = {};
    auto third = second->spawn(words, options);  // still not that of the others
    CHECK(third.log_path() == one.log_path().parent_path() / "train-2.log");
}
