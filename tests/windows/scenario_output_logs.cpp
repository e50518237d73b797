// SPDX-License-Identifier: MIT
// The logs of real processes: within their bounds while they are written, followed, collected, found, pruned.
#include <warden/output/line_format.hpp>
#include <warden/output/log_reader.hpp>
#include <warden/output/log_search.hpp>
#include <warden/output/log_sink.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <atomic>
#include <fstream>

#include <windows/scenario_output.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::EventKind;
using warden::LogFollower;
using warden::OnLimit;
using warden::Output;
using warden::SpawnOptions;

namespace {

/// Whether the file system there has a place for the marks of logs, which is a stream of each file.
bool has_marks(const std::filesystem::path& directory) {
    warden::error_code ec;
    const auto path = warden::LogSink::open(directory / "probe.log", {}, {}, ec).path();
    const auto probe = warden::detail::open_log_to_read(path, ec);
    return static_cast<bool>(warden::detail::read_mark(probe.handle.get()));
}

#define SKIP_WITHOUT_MARKS() \
    SKIP_UNLESS(has_marks(TestDirectory().path()), "no marks of logs, for files have no streams here")

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

}  // namespace

TEST_CASE("scenario: during a flood the log is within both bounds whenever one looks, and the newest lines are there",
          "[scenario]") {
    constexpr std::size_t most_lines = 500;
    constexpr std::size_t most_chars = 2500;
    TestManager manager;
    SpawnOptions options;
    options.log.limits = {most_lines, most_chars};
    std::size_t lines_seen = 0;
    std::size_t chars_seen = 0;
    auto process = manager->spawn(play("count", "400000"), options);
    for (int looks = 0; looks < 10 || !process.wait_for(1ms); ++looks) {
        const std::string text = read_file(process.log_path());
        lines_seen = std::max(lines_seen, static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')));
        chars_seen = std::max(chars_seen, text.size());
    }
    CHECK(lines_seen <= most_lines);
    CHECK(chars_seen <= most_chars);
    const auto lines = split(read_file(process.log_path()), '\n');
    CHECK(lines.size() >= 100);
    CHECK(torn(lines, 400'000) == 0);
    CHECK(process.tail(1) == std::vector<std::string>{"400000"});
    CHECK(process.info().dropped_bytes == 0);
}

TEST_CASE("scenario: with rotation no file of a flood is ever beyond the bounds, and their lines follow one another",
          "[scenario]") {
    constexpr std::size_t most_chars = 100'000;
    TestManager manager;
    SpawnOptions options;
    options.log.limits = {1'000'000, most_chars};
    options.log.on_limit = OnLimit::rotate(3);
    auto process = manager->spawn(play("count", "200000"), options);
    std::uintmax_t largest = 0;
    while (!process.wait_for(1ms) || largest == 0) {
        std::error_code gone;
        for (const auto& entry : std::filesystem::directory_iterator(process.log_path().parent_path(), gone)) {
            const auto size = entry.file_size(gone);
            if (!gone) largest = std::max(largest, size);
        }
    }
    CHECK(largest <= most_chars);
    std::string all;
    for (const char* number : {".3", ".2", ".1", ""}) all += read_file(process.log_path().string() + number);
    const auto lines = split(all, '\n');
    CHECK(torn(lines, 200'000) == 0);
    CHECK(all.size() > 2 * most_chars);
    CHECK(files_below(process.log_path().parent_path()) == 4);
}

TEST_CASE("scenario: a log that cannot be written hurts neither the program nor the child, and is told once",
          "[scenario]") {
    TestManager manager;
    const Events degraded(*manager, EventKind::log_degraded);
    SpawnOptions options;
    options.stdin_ = warden::Input::pipe;
    options.log.limits = {1'000'000, 100'000};
    options.log.on_limit = OnLimit::rotate(1);  // the other way keeps in memory what cannot be written yet
    auto process = manager->spawn(play("read", "count", "200000"), options);
    const std::ifstream pin(write_file(process.log_path().string() + ".1", "old\n"));  // it cannot be moved meanwhile
    process.write("go\n");
    CHECK(process.wait_for(60s) == warden::ExitStatus::from_code(0));
    CHECK(process.info().output_bytes == 1'288'895);
    CHECK(process.info().dropped_bytes > 0);
    CHECK(std::filesystem::file_size(process.log_path()) <= 100'000);
    CHECK(eventually([&] { return degraded.all().size() == 1; }));
    CHECK(manager->run(play("echo"), {}, "hello").out == "hello");
    CHECK(degraded.all().size() == 1);
}

TEST_CASE("scenario: a running process is followed by name and by uuid, across compaction and rotation", "[scenario]") {
    TestManager manager;
    for (const OnLimit& on_limit : {OnLimit(), OnLimit::rotate(3)}) {
        for (const Seen& seen : follow_counter(manager, on_limit)) {
            REQUIRE(!seen.lines.empty());
            CHECK(seen.lines.back() == "the end");
        }
    }
    CHECK_THROWS_AS(manager->follow("nobody"), warden::system_error);
}

TEST_CASE("scenario: who follows a log is told of what he missed, to the byte", "[scenario]") {
    SKIP_WITHOUT_MARKS();
    TestManager manager;
    for (const OnLimit& on_limit : {OnLimit(), OnLimit::rotate(3)}) {
        for (const Seen& seen : follow_counter(manager, on_limit)) CHECK(seen.bytes == 23'893 + 8);
    }
}

TEST_CASE("scenario: a file that the program writes itself is in its log, also when it rotates", "[scenario]") {
    TestManager manager;
    write_file(manager.directory / "own.log", "from another run\n");
    SpawnOptions options;
    options.working_directory = manager.directory.path();
    options.log.collect = "own.log";
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
    CHECK(std::filesystem::exists(manager.directory / "own.log.1"));  // it is the program's
}

TEST_CASE("scenario: a collected file keeps the bounds of the log, and its format", "[scenario]") {
    TestManager manager;
    SpawnOptions options;
    options.log.collect = manager.directory / "own.log";
    options.log.limits = {100, 10'000};
    options.log.format = warden::LogFormat::prefixed;
    std::vector<std::string> orders;
    for (int i = 0; i < 20; ++i) {
        std::string text;
        for (int n = 1; n <= 50; ++n) text += std::to_string(i * 50 + n) + '\n';
        orders.insert(orders.end(), {"append", options.log.collect.string(), text});
    }
    auto process = manager->spawn(play(orders), options);
    CHECK(process.wait().success());
    REQUIRE(eventually([&] { return !process.tree_alive(); }));
    const auto lines = warden::tail_file(process.log_path(), 1000);
    REQUIRE(lines.size() >= 50);
    CHECK(lines.size() <= 100);
    const auto last = warden::parse_log_line(warden::LogFormat::prefixed, lines.back());
    REQUIRE(last);
    CHECK(last->stream == "file");
    CHECK(last->text == "1000");
}

TEST_CASE("scenario: what cannot be collected is refused with the reason", "[scenario]") {
    TestManager manager;
    SpawnOptions options;
    options.log.collect = manager.directory / "no directory" / "own.log";
    auto error = failed_start(*manager, play(), options);
    CHECK(error.step() == warden::SpawnStep::log_file);
    CHECK(std::string(error.what()).find("own.log") != std::string::npos);
    options.log.collect = manager.directory / "own.log";
    options.stdout_ = Output::null;
    CHECK(failed_start(*manager, play(), options).code() == warden::errc::invalid_options);
}

TEST_CASE("scenario: a log is found by name and uuid without the manager, whatever it is called", "[scenario]") {
    SKIP_WITHOUT_MARKS();
    const TestDirectory directory;
    std::filesystem::path first_log;
    std::string first;
    {
        TestManager manager([&](warden::ManagerConfig& config) { config.log_directory = directory.path(); });
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

TEST_CASE("scenario: without marks a log is found by the name of its file", "[scenario]") {
    const TestDirectory directory;
    TestManager manager([&](warden::ManagerConfig& config) { config.log_directory = directory.path(); });
    SpawnOptions options;
    options.name = "finder";
    auto process = manager->spawn(play("out", "first\n"), options);
    CHECK(warden::find_log(directory.path(), to_string(process.uuid())) == process.log_path());
    CHECK(process.wait().success());
    options.log.naming = warden::LogNaming::by_name();
    auto named = manager->spawn(play("out", "second\n"), options);
    CHECK(named.wait().success());
    CHECK(warden::find_log(directory.path(), "finder") == named.log_path());
}

TEST_CASE("scenario: a manager leaves as many logs as it should keep", "[scenario]") {
    SKIP_WITHOUT_MARKS();
    const TestDirectory directory;
    const auto logs = directory / "logs";
    for (int round = 0; round < 2; ++round) {
        TestManager manager([&](warden::ManagerConfig& config) {
            config.log_directory = logs;
            config.log_retention.max_files = 5;
        });
        for (int i = 0; i < 4; ++i) static_cast<void>(manager->spawn(play("out", "a line\n")).wait());
        write_file(logs / "not ours.txt", "text\n");
        CHECK(files_below(logs) <= 5 + 4 + 1);
    }
    CHECK(files_below(logs) == 5 + 1);
}
