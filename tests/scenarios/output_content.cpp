// SPDX-License-Identifier: MIT
// What children write arrives as they wrote it, whatever it is, and what is kept of it is bounded.
#include <scenarios/output.hpp>
#include <warden/output/log_line.hpp>

#include <algorithm>
#include <atomic>
#include <map>

using namespace support;
using warden::Output;
using warden::OutputLine;
using warden::SpawnOptions;
using warden::Stream;

namespace {

/// What arrives by each way when a process writes the bytes of a file.
struct Arrived {
    std::string captured;
    std::string chunks;
    std::string joined;  // lines and parts, with the newlines that a splitter takes away
    std::vector<std::string> lines;
    std::vector<bool> partial;
    std::string log;
};

Arrived through(TestManager& manager, const std::string& text, const std::string& order = "file") {
    Arrived arrived;
    const auto file = manager.directory.write("input", text);
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
    auto process = manager->spawn(play(order, file.string()), options);
    const auto result = process.communicate();
    CHECK(result.success());
    CHECK(process.info().dropped_bytes == 0);
    arrived.captured = result.out;
    arrived.log = read_file(process.log_path());
    return arrived;
}

}  // namespace

TEMPLATE_TEST_CASE("output: any bytes arrive as they were written, by every way", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string texts[] = {
        all_byte_values() + '\n',
        "\x88\xaf\xc0\xaf\xed\xa0\x80\xff\xfe\n\xef\xbb\xbf"
        "after a mark\n",
        "<3>like a priority\n<<0>>\n<0\n{\"event\":\"exit\"}\n",
        "carriage return\rin a line\x1a and the end of a text for CP/M\nand a separator\xe2\x80\xa8there\n",
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

TEMPLATE_TEST_CASE("output: CR LF ends a line for callbacks and stays in the log", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto arrived = through(manager, "one\r\ntwo\r\n\r\n");
    CHECK(arrived.lines == std::vector<std::string>{"one", "two", ""});
    CHECK(arrived.log == "one\r\ntwo\r\n\r\n");
    CHECK(arrived.captured == "one\r\ntwo\r\n\r\n");
}

TEMPLATE_TEST_CASE("output: a line longer than the bound comes in marked parts that join to it, no character cut",
                   "[output]", EVERY_MECHANISM) {
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

TEMPLATE_TEST_CASE("output: characters that are written byte by byte are not taken apart", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string text = "\xf0\x9f\x8c\xb3\xc3\xa4\xe2\x82\xac\nend\n";
    const auto arrived = through(manager, text, "file-by-byte");
    CHECK(arrived.captured == text);
    CHECK(arrived.joined == text);
    CHECK(arrived.log == text);
}

TEMPLATE_TEST_CASE("output: a flood without a single newline is bounded in memory and nothing of the process is lost",
                   "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t size = WARDEN_OS_WINDOWS ? 24u << 20 : is_sanitized ? 256u << 20 : 1u << 30;
    TestManager manager{TestType::mechanism};
    std::atomic<std::uint64_t> seen{0};
    std::atomic<std::size_t> longest{0};
    SpawnOptions options;
    options.overflow_policy = warden::OverflowPolicy::block;
    options.on_line = [&](const OutputLine& line) {
        seen += line.text.size();
        longest = std::max(longest.load(), line.text.size());
    };
    const std::size_t before = peak_memory_mb();
    REQUIRE(before > 0);
    auto process = manager->spawn(flood(size), options);
    CHECK(process.wait().success());
    CHECK((others_have_streams() ? eventually([&] { return seen == size; }) : seen == size));
    CHECK(longest <= manager->config().max_line_bytes);
    CHECK(process.info().output_bytes == size);
    if (!is_sanitized) CHECK(peak_memory_mb() - before < (WARDEN_OS_WINDOWS ? 12 : 64));  // they keep what was freed
}

TEMPLATE_TEST_CASE("output: counts are exact for a hundred thousand tiny writes and for mixed streams", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    CHECK(manager->run(play("bytes", "100000")).out.size() == 100'000);
    const std::string text = pattern(200 * 8192);
    const auto result = manager->run(play("tee"), {}, text);
    CHECK((result.out == text));
    CHECK((result.err == text));
    CHECK(manager->metrics().output_bytes_total == 100'000 + 2 * text.size());
}

TEMPLATE_TEST_CASE("output: a process that writes nothing has an empty log and no lines", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    int lines = 0;
    SpawnOptions options;
    options.on_line = [&](std::string_view) { ++lines; };
    auto process = manager->spawn(play(), options);
    CHECK(process.wait().success());
    CHECK(lines == 0);
    CHECK(process.tail(10).empty());
    CHECK(std::filesystem::exists(process.log_path()));
    CHECK(std::filesystem::file_size(process.log_path()) == 0);
}

TEMPLATE_TEST_CASE("output: a log of prefixed or JSON lines gives back what both streams wrote", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (const auto format : {warden::LogFormat::prefixed, warden::LogFormat::json_lines}) {
        INFO(to_string(format));
        SpawnOptions options;
        options.log.format = format;
        auto process =
            manager->spawn(play("out", "first\nno newline on stdout", "err", "no newline on stderr"), options);
        CHECK(process.wait().success());
        REQUIRE(eventually([&] { return !process.tree_alive(); }));
        std::map<std::string, std::string> streams;
        for (const auto& text : split(read_file(process.log_path()), '\n')) {
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

TEMPLATE_TEST_CASE("output: more than a capture may hold is cut, counted and said", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.capture_bytes = 1000;
    const auto result = manager->run(flood(100'000), options);
    CHECK(result.success());
    CHECK(result.truncated);
    CHECK(result.out.size() == 1000);
    CHECK(manager->metrics().output_bytes_total == 100'000);
}

TEMPLATE_TEST_CASE("output: a process that writes more than it may is stopped, and what it may write arrives",
                   "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.max_output_bytes = 1000;
    options.max_stderr_bytes = 50;
    options.stop_plan = warden::StopPlan::now();
    const auto flooded = manager->run(play("again", "1000000000", "0123456789"), options);
    CHECK(flooded.cause == warden::ExitCause::output_limit);
    CHECK_FALSE(flooded.success());
    CHECK(flooded.out.size() == 1000);
    CHECK(flooded.truncated);
    const auto complained =
        manager->run(play("again", "100", "0123456789", "again", "5", "0123456789", "stay"), options);
    CHECK(complained.cause == warden::ExitCause::output_limit);
    // Too much that is seen only when the process has ended is no less too much; just enough is not.
    CHECK(manager->run(play("again", "101", "0123456789"), options).cause == warden::ExitCause::output_limit);
    const auto enough = manager->run(play("again", "100", "0123456789"), options);
    CHECK(enough.success());
    CHECK_FALSE(enough.truncated);
    CHECK(manager->metrics().exits_by(warden::ExitCause::output_limit) == 3);
}

TEMPLATE_TEST_CASE("output: a limit on output is an event with its value and stream", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Events events(*manager, warden::EventKind::limit);
    SpawnOptions options;
    options.max_stderr_bytes = 5;
    options.stop_plan = warden::StopPlan::now();
    const auto result = manager->run(play("out", "more than that", "err", "123456", "stay"), options);
    CHECK(result.cause == warden::ExitCause::output_limit);
    CHECK(result.err == "12345");
    CHECK(result.out == "more than that");
    REQUIRE(eventually([&] { return events.all().size() == 1; }));
    CHECK(attribute(events.all()[0], "warden.limit.name") == "output_bytes");
    CHECK(attribute(events.all()[0], "warden.limit.value") == "5");
    CHECK(attribute(events.all()[0], "log.iostream") == "stderr");
}
