// SPDX-License-Identifier: MIT
// What children write arrives as they wrote it, whatever it is, and what is kept of it is bounded at every instant.
#include <support/fixture.hpp>
#include <warden/output/line_format.hpp>

#include <algorithm>
#include <fstream>
#include <map>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::Output;
using warden::OutputLine;
using warden::SpawnOptions;
using warden::Stream;

namespace {

std::string all_byte_values() {
    std::string text;
    for (int c = 0; c < 256; ++c) text += static_cast<char>(c);
    return text;
}

/// What arrives by each way when a process writes the bytes of a file.
struct Arrived {
    std::string captured;
    std::string chunks;
    std::string joined;  // lines and parts, with the newlines that a splitter takes away
    std::vector<std::string> lines;
    std::vector<bool> partial;
    std::string log;
};

Arrived through(TestManager& manager, const std::string& text, warden::CommandLine command = {}) {
    Arrived arrived;
    const auto file = manager.directory.write("input", text);
    if (command.program().empty()) command = {"cat", file.string()};
    SpawnOptions options;
    options.stdout_ = Output::capture | Output::log;
    options.log.limits = {10'000'000, 10'000'000};
    options.on_chunk = [&](Stream, std::string_view chunk) { arrived.chunks += chunk; };
    options.on_line = [&](const OutputLine& line) {
        arrived.lines.emplace_back(line.text);
        arrived.partial.push_back(line.partial);
        arrived.joined += line.text;
        if (!line.partial) arrived.joined += '\n';
    };
    auto process = manager->spawn(command, options);
    const auto result = process.communicate();
    CHECK(result.success());
    CHECK(process.info().dropped_bytes == 0);
    arrived.captured = result.out;
    arrived.log = read_file(process.log_path().string());
    return arrived;
}

std::size_t code_points(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
}

}  // namespace

TEMPLATE_TEST_CASE("output: any bytes arrive as they were written, by every way", "[output][E02][E04][E07]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string texts[] = {
        all_byte_values() + '\n',
        "\x88\xaf\xc0\xaf\xed\xa0\x80\xff\xfe\n\xef\xbb\xbf"
        "after a mark\n",
        "<3>like a priority\n<<0>>\n<0\n{\"event\":\"exit\"}\n",
        "carriage return\rin a line\nand a separator\xe2\x80\xa8there\n",
        "\n\n\n\n",
        std::string(3, '\0') + '\n',
    };
    for (const auto& text : texts) {
        const auto arrived = through(manager, text);
        CHECK((arrived.captured == text));
        CHECK((arrived.chunks == text));
        CHECK((arrived.joined == text));
        CHECK((arrived.log == text));
        CHECK(arrived.lines.size() == static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')));
    }
}

TEMPLATE_TEST_CASE("output: CR LF ends a line for callbacks and stays in the log", "[output][E04]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto arrived = through(manager, "one\r\ntwo\r\n\r\n");
    CHECK(arrived.lines == std::vector<std::string>{"one", "two", ""});
    CHECK(arrived.log == "one\r\ntwo\r\n\r\n");
    CHECK(arrived.captured == "one\r\ntwo\r\n\r\n");
}

TEMPLATE_TEST_CASE("output: a line longer than the bound comes in marked parts that join to it, no character cut",
                   "[output][E01][E03]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.max_line_bytes = 100; }};
    std::string long_line;
    for (int i = 0; i < 500; ++i) long_line += i % 3 == 0 ? "\xf0\x9f\x8c\xb3" : i % 3 == 1 ? "\xc3\xa4" : "a";
    const std::string text = long_line + "\nshort\n";
    const auto arrived = through(manager, text);
    CHECK((arrived.joined == text));
    REQUIRE(arrived.lines.size() > 3);
    for (std::size_t i = 0; i < arrived.lines.size(); ++i) {
        const auto& line = arrived.lines[i];
        CHECK(line.size() <= 100);
        if (!line.empty())
            CHECK((static_cast<unsigned char>(line[0]) & 0xC0u) != 0x80u);  // begins with a whole character
        CHECK(arrived.partial[i] == (i + 2 < arrived.lines.size()));
    }
    CHECK(arrived.lines.back() == "short");
}

TEMPLATE_TEST_CASE("output: characters that are written byte by byte are not taken apart", "[output][E03]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string text = "\xf0\x9f\x8c\xb3\xc3\xa4\xe2\x82\xac\nend\n";
    const auto arrived =
        through(manager, text,
                {"sh", "-c",
                 "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do dd if=" + (manager.directory / "input").string() +
                     " bs=1 count=1 skip=$((i-1)) status=none; done"});
    CHECK(arrived.captured == text);
    CHECK(arrived.joined == text);
    CHECK(arrived.log == text);
}

TEMPLATE_TEST_CASE("output: a flood without a single newline is bounded in memory and nothing of the process is lost",
                   "[output][E01]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t size = is_sanitized ? 256u << 20 : 1u << 30;
    TestManager manager{TestType::mechanism};
    std::atomic<std::uint64_t> seen{0};
    std::atomic<std::size_t> longest{0};
    SpawnOptions options;
    options.slow_consumer = warden::SlowConsumer::pause;
    options.on_line = [&](const OutputLine& line) {
        seen += line.text.size();
        longest = std::max(longest.load(), line.text.size());
    };
    const auto resident_mb = [] {
        const std::string status = read_file("/proc/self/status");
        return std::atol(status.c_str() + status.find("VmHWM:") + 6) / 1024;
    };
    const long before = resident_mb();
    auto process = manager->spawn({"sh", "-c", "head -c " + std::to_string(size) + " /dev/zero | tr '\\0' a"}, options);
    CHECK(process.wait().success());
    CHECK(seen == size);
    CHECK(longest <= manager->config().max_line_bytes);
    CHECK(process.info().output_bytes == size);
    if (!WARDEN_HAS_ASAN && !WARDEN_HAS_TSAN) CHECK(resident_mb() - before < 64);  // they keep what was freed
}

TEMPLATE_TEST_CASE("output: counts are exact for a hundred thousand tiny writes and for mixed streams", "[output][E05]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    CHECK(manager->run({"dd", "if=/dev/zero", "bs=1", "count=100000", "status=none"}).out.size() == 100'000);
    const auto result =
        manager->run({"sh", "-c", "for i in $(seq 200); do head -c 8192 /dev/zero; head -c 8192 /dev/zero >&2; done"});
    CHECK(result.out.size() == 200 * 8192);
    CHECK(result.err.size() == 200 * 8192);
    CHECK(manager->metrics().output_bytes_total == 100'000 + 2 * 200 * 8192);
}

TEMPLATE_TEST_CASE("output: the locale changes nothing", "[output][E06]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        ::setenv("LANG", "oops", 1);
        ::setenv("LC_ALL", "no_SUCH.locale", 1);
        TestManager manager{TestType::mechanism};
        const std::string text = all_byte_values();
        check.that(manager->run(victim("echo"), {}, text).out == text, "all bytes come back");
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("output: a process that writes nothing has an empty log and no lines", "[output][E08]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    int lines = 0;
    SpawnOptions options;
    options.on_line = [&](std::string_view) { ++lines; };
    auto process = manager->spawn(victim("nothing"), options);
    CHECK(process.wait().success());
    CHECK(lines == 0);
    CHECK(process.tail(10).empty());
    CHECK(std::filesystem::exists(process.log_path()));
    CHECK(std::filesystem::file_size(process.log_path()) == 0);
}

TEMPLATE_TEST_CASE("output: a log of prefixed or JSON lines gives back what both streams wrote", "[output][LOG-4]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (const auto format : {warden::LogFormat::prefixed, warden::LogFormat::json_lines}) {
        INFO(to_string(format));
        SpawnOptions options;
        options.log.format = format;
        auto process = manager->spawn(victim("unterminated"), options);
        CHECK(process.wait().success());
        std::map<std::string, std::string> streams;
        for (const auto& text : split(read_file(process.log_path().string()), '\n')) {
            const auto line = warden::parse_log_line(format, text);
            REQUIRE(line);
            CHECK(line->time.size() == 30);
            streams[line->stream] += line->text + (line->partial ? "" : "\n");
        }
        CHECK(streams["stdout"] == "first\nno newline on stdout");
        CHECK(streams["stderr"] == "no newline on stderr");
        const auto tail = process.tail(3);  // as it was read, so perhaps after the end of stderr, which ends no line
        CHECK(std::any_of(tail.begin(), tail.end(), [](const auto& line) { return line.ends_with("first"); }));
    }
}

TEMPLATE_TEST_CASE(
    "log: during a flood the file is within both bounds whenever one looks, and the newest lines are there",
    "[output][F01]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t most_lines = 500;
    constexpr std::size_t most_chars = 4000;
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.log.limits = {most_lines, most_chars};
    std::size_t looks = 0;
    std::size_t lines_seen = 0;
    std::size_t chars_seen = 0;
    warden::ManagedProcess process;
    while (looks < 20) {
        process = manager->spawn(victim("lines", "400000"), options);
        do {
            const std::string text = read_file(process.log_path().string());
            lines_seen = std::max(lines_seen, static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')));
            chars_seen = std::max(chars_seen, code_points(text));
            ++looks;
        } while (!process.wait_for(1ms));
    }
    CHECK(lines_seen <= most_lines);
    CHECK(chars_seen <= most_chars);
    const auto lines = split(read_file(process.log_path().string()), '\n');
    REQUIRE_FALSE(lines.empty());
    CHECK(lines.back() == "line 400000");
    CHECK(process.tail(1) == std::vector<std::string>{"line 400000"});
    for (std::size_t i = 1; i < lines.size(); ++i)
        CHECK(lines[i] == "line " + std::to_string(400000 - (lines.size() - 1 - i)));
    CHECK(lines.size() >= 100);  // at least the newest half of the bound: 2000 characters are more than 160 lines
}

TEMPLATE_TEST_CASE(
    "log: with rotation no file of a flood is ever beyond the bounds, and their lines follow one another",
    "[output][F01][F02]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t most_chars = 100'000;
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.log.limits = {1'000'000, most_chars};
    options.log.on_limit = warden::OnLimit::rotate(3);
    auto process = manager->spawn(victim("lines", "400000"), options);
    std::size_t largest = 0;
    std::size_t most_files = 0;
    while (!process.wait_for(1ms) || largest == 0) {
        std::size_t files = 0;
        std::error_code gone;
        for (const auto& entry : std::filesystem::directory_iterator(process.log_path().parent_path(), gone)) {
            struct stat status {};
            if (::stat(entry.path().c_str(), &status) != 0) continue;
            ++files;
            largest = std::max(largest, static_cast<std::size_t>(status.st_size));
        }
        most_files = std::max(most_files, files);
    }
    CHECK(largest <= most_chars);
    CHECK(most_files <= 5);  // the active one, three, and one that is about to go
    std::string all;
    for (int i = 3; i >= 1; --i) all += read_file(process.log_path().string() + '.' + std::to_string(i));
    all += read_file(process.log_path().string());
    const auto lines = split(all, '\n');
    CHECK(lines.back() == "line 400000");
    std::size_t torn = 0;
    for (std::size_t i = 0; i < lines.size(); ++i)
        torn += lines[i] == "line " + std::to_string(400000 - (lines.size() - 1 - i)) ? 0u : 1u;
    CHECK(torn == 0);
    CHECK(all.size() > 2 * most_chars);
}

TEMPLATE_TEST_CASE("log: a file that cannot grow hurts neither the program nor the child, and what is lost is counted",
                   "[output][F05]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        const struct rlimit small { 100'000, RLIM_INFINITY };
        struct rlimit usual {};
        ::getrlimit(RLIMIT_FSIZE, &usual);
        SpawnOptions options;
        options.log.limits = {1'000'000, 10'000'000};
        options.log.on_limit = warden::OnLimit::rotate(1);  // the other way keeps in memory what cannot be written yet
        auto process = manager->spawn({"sh", "-c", "read line; exec " WARDEN_TEST_VICTIM " flood 5000000"}, [&] {
            options.stdin_ = warden::Input::pipe;
            return options;
        }());
        ::setrlimit(RLIMIT_FSIZE, &small);  // for this program: EFBIG, and SIGXFSZ
        process.write("go\n");
        check.that(process.wait_for(10s).has_value(), "the child is not blocked");
        check.that(process.exit_status() && process.exit_status()->success(), "and not hurt");
        check.that(process.info().dropped_bytes > 0, "drops are counted");
        check.that(process.info().output_bytes == 5'000'000, "all was read");
        struct stat status {};
        check.that(::stat(process.log_path().c_str(), &status) == 0 && status.st_size <= 100'000,
                   "the file is not beyond the limit");
        ::setrlimit(RLIMIT_FSIZE, &usual);
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("log: that it cannot be written is told by one event", "[output][F05]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        std::atomic<int> degraded{0};
        const auto subscription = manager->subscribe(
            [&](const warden::Event& event) { degraded += event.kind == warden::EventKind::log_degraded ? 1 : 0; });
        SpawnOptions options;
        options.stdin_ = warden::Input::pipe;
        options.log.limits = {1'000'000, 10'000'000};
        auto process = manager->spawn({"sh", "-c", "read line; exec " WARDEN_TEST_VICTIM " flood 5000000"}, options);
        struct rlimit usual {};
        ::getrlimit(RLIMIT_FSIZE, &usual);
        const struct rlimit small { 100'000, usual.rlim_max };
        ::setrlimit(RLIMIT_FSIZE, &small);
        process.write("go\n");
        check.that(process.wait_for(10s).has_value(), "the child is not blocked");
        ::setrlimit(RLIMIT_FSIZE, &usual);
        check.that(eventually([&] { return degraded >= 1; }, 1s), "an event tells of it");
        check.that(degraded <= 1, "only one");
    });
    CHECK(failures == "");
}
