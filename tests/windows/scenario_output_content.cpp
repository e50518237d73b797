// SPDX-License-Identifier: MIT
// What children write arrives as they wrote it, whatever it is, and what is kept of it is bounded.
#include <warden/output/line_format.hpp>

#include <clocale>
#include <map>

#include <windows/scenario_output.hpp>

// after windows.h
#include <psapi.h>

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

Arrived through(TestManager& manager, const std::string& text, const std::string& order = "file") {
    Arrived arrived;
    const auto file = write_file(manager.directory / "input", text);
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

/// The most memory that this program has had so far.
std::size_t peak_mb() {
    PROCESS_MEMORY_COUNTERS counters{};
    counters.cb = sizeof counters;
    ::GetProcessMemoryInfo(::GetCurrentProcess(), &counters, sizeof counters);
    return counters.PeakWorkingSetSize >> 20;
}

/// Another locale as long as it lives.
class Locale {
public:
    explicit Locale(const char* name) : before_(std::setlocale(LC_ALL, nullptr)) {
        is_set = std::setlocale(LC_ALL, name) != nullptr;
    }
    Locale(const Locale&) = delete;
    ~Locale() { std::setlocale(LC_ALL, before_.c_str()); }

    bool is_set = false;

private:
    std::string before_;
};

}  // namespace

TEST_CASE("scenario: any bytes arrive as they were written, by every way", "[scenario]") {
    TestManager manager;
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

TEST_CASE("scenario: CR LF ends a line for callbacks and stays in the log", "[scenario]") {
    TestManager manager;
    const auto arrived = through(manager, "one\r\ntwo\r\n\r\n");
    CHECK(arrived.lines == std::vector<std::string>{"one", "two", ""});
    CHECK(arrived.log == "one\r\ntwo\r\n\r\n");
    CHECK(arrived.captured == "one\r\ntwo\r\n\r\n");
}

TEST_CASE("scenario: a line longer than the bound comes in marked parts that join to it, no character cut",
          "[scenario]") {
    TestManager manager([](warden::ManagerConfig& config) { config.max_line_bytes = 100; });
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

TEST_CASE("scenario: characters that are written byte by byte are not taken apart", "[scenario]") {
    TestManager manager;
    const std::string text = "\xf0\x9f\x8c\xb3\xc3\xa4\xe2\x82\xac\nend\n";
    const auto arrived = through(manager, text, "file-by-byte");
    CHECK(arrived.captured == text);
    CHECK(arrived.joined == text);
    CHECK(arrived.log == text);
}

TEST_CASE("scenario: a flood without a single newline is bounded in memory and nothing of the process is lost",
          "[scenario]") {
    constexpr std::size_t size = 24u << 20;
    TestManager manager;
    std::atomic<std::uint64_t> seen{0};
    std::atomic<std::size_t> longest{0};
    SpawnOptions options;
    options.slow_consumer = warden::SlowConsumer::pause;
    options.on_line = [&](const OutputLine& line) {
        seen += line.text.size();
        longest = std::max(longest.load(), line.text.size());
    };
    const std::size_t before = peak_mb();
    REQUIRE(before > 0);
    auto process = manager->spawn(victim("flood", std::to_string(size)), options);
    CHECK(process.wait().success());
    CHECK(eventually([&] { return seen == size; }));  // its conhost of Wine has the pipe a little longer
    CHECK(longest <= manager->config().max_line_bytes);
    CHECK(process.info().output_bytes == size);
    CHECK(peak_mb() - before < 12);
}

TEST_CASE("scenario: counts are exact for many tiny writes and for mixed streams", "[scenario]") {
    TestManager manager;
    CHECK(manager->run(play("bytes", "10000")).out.size() == 10'000);
    const std::string text = pattern(1 << 20);
    const auto result = manager->run(play("tee"), {}, text);
    CHECK((result.out == text));
    CHECK((result.err == text));
    CHECK(manager->metrics().output_bytes_total == 10'000 + 2 * text.size());
}

TEST_CASE("scenario: the locale changes nothing", "[scenario]") {
    TestManager manager;
    const auto metrics = manager->metrics();
    const std::string told = warden::to_prometheus(metrics);
    const Locale german("German");
    REQUIRE(german.is_set);
    const std::string text = all_byte_values();
    CHECK((manager->run(play("echo"), {}, text).out == text));
    CHECK(warden::to_prometheus(metrics) == told);
}

TEST_CASE("scenario: a process that writes nothing has an empty log and no lines", "[scenario]") {
    TestManager manager;
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

TEST_CASE("scenario: a log of prefixed or JSON lines gives back what both streams wrote", "[scenario]") {
    TestManager manager;
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
