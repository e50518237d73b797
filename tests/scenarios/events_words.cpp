// SPDX-License-Identifier: MIT
// Events are safe to read, whatever words are in them, and hold nothing of what is secret.
#include <support/lives.hpp>
#include <warden/telemetry/event_json.hpp>

#include <boost/json.hpp>

#include <iterator>

using namespace support;
using namespace std::chrono_literals;
using warden::Event;
using warden::EventKind;
using warden::SpawnOptions;
using warden::StopPlan;

namespace {

#if WARDEN_OS_WINDOWS
constexpr bool words_may_be_bytes = false;
constexpr std::size_t longest_word = 20'000;
const std::filesystem::path second_parser;
#else
constexpr bool words_may_be_bytes = true;
constexpr std::size_t longest_word = 100'000;
const std::filesystem::path second_parser = "/usr/bin/jq";
#endif

std::vector<std::string> log_lines(const std::filesystem::path& directory) {
    std::vector<std::string> lines;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        for (auto& line : split(read_file(entry.path()), '\n')) lines.push_back(std::move(line));
    }
    return lines;
}

}  // namespace

TEMPLATE_TEST_CASE("events: hostile words become one line of JSON each, in the log of events", "[events]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    std::string all_bytes;
    for (int c = 1; c < 256; ++c) all_bytes += static_cast<char>(c);
    struct Word {
        std::string text;
        bool is_utf8 = true;
    };
    const Word hostile[] = {
        {"two\nlines"},
        {"\"quoted\""},
        {"back\\slash\\"},
        {"\x1b[2J\x1b]0;title\x07"},
        {"\xe2\x80\xae"
         "reversed"},
        {"\r\n{\"event.name\":\"warden.process.exit\"}"},
        {"\xe2\x80\xa8line separator"},
        {"\x7f"},
        {""},
        {std::string(longest_word, 'x')},
        {"\xff\xfe not UTF-8", false},
        {"\xc0\xaf", false},
        {"\xed\xa0\x80", false},
        {all_bytes, false},
    };
    TestManager manager{TestType::mechanism};
    for (const auto& [text, is_utf8] : hostile) {
        const std::string word = is_utf8 || words_may_be_bytes ? text : "plain";
        const std::string start = text.substr(0, 200);
        SpawnOptions options;
        options.name = start;
        options.type = start;
        options.metadata = {{start, text}, {"plain", text}};
        options.environment.set("HOSTILE", word);
        CHECK(manager->run(play("exit", "0", word), options).success());
        static_cast<void>(failed_start(*manager, {nowhere + start, text}, options));
    }
    const auto events = manager.directory / "data" / "events";
    const auto names = [&](std::string_view name) {
        std::size_t found = 0;
        for (const auto& line : log_lines(events)) {
            boost::system::error_code ec;
            const auto value = boost::json::parse(line, ec);
            if (ec || !value.is_object()) continue;
            const auto* const event = value.as_object().if_contains("event.name");
            found += event && event->is_string() && event->as_string() == name ? 1 : 0;
        }
        return found;
    };
    REQUIRE(eventually([&] {
        return names("warden.process.exit") == std::size(hostile) &&
               names("warden.process.spawn_failed") == std::size(hostile);
    }));
    CHECK(names("warden.process.spawn") == std::size(hostile));
    std::string all;
    for (const auto& line : log_lines(events)) {
        boost::system::error_code ec;
        CHECK(boost::json::parse(line, ec).is_object());
        CHECK_FALSE(ec);
        CHECK(std::none_of(line.begin(), line.end(),
                           [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
        CHECK(line.find("\xe2\x80\xae") == std::string::npos);
        CHECK(line.size() < 4 * warden::max_event_bytes);
        all += line + '\n';
    }
    manager.directory.write("all.jsonl", all);
    if (std::filesystem::exists(second_parser)) {
        CHECK(manager->run({second_parser.string(), "-e", ".", (manager.directory / "all.jsonl").string()}).success());
    }
}

TEMPLATE_TEST_CASE("events: a secret in the environment is in no file and in no event", "[events]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string canary = "canary-in-the-environment-7d1f";
    TestManager manager{TestType::mechanism};
    Listener listener(*manager);
    SpawnOptions options;
    options.environment.set("SECRET", canary);
    options.stop_plan = StopPlan{}.terminate(20ms).kill(30s);
    CHECK(manager->run(play("variable", "SECRET"), options).out == canary);
    CHECK(manager->spawn(play("ignore", "stay"), options).stop().clean());
    manager->run(play("crash"), options);
    static_cast<void>(failed_start(*manager, {nowhere + "program"}, options));
    options.working_directory = nowhere + "directory";
    static_cast<void>(failed_start(*manager, play(), options));
    REQUIRE(eventually([&] { return listener.count(EventKind::spawn_failed) == 2; }));
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(manager.directory.path())) {
        if (!entry.is_regular_file()) continue;
        ++files;
        CHECK(read_file(entry.path()).find(canary) == std::string::npos);
    }
    CHECK(files >= 2);  // the log of events and that of a process, at least
    for (const Event& event : listener.events()) CHECK(to_json_line(event, false).find(canary) == std::string::npos);
}

TEMPLATE_TEST_CASE("events: what looks like a secret stays out of the log by itself", "[events]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Listener listener(*manager);
    CHECK(manager->run(play("exit", "0", "--password", "canary-of-secrets", "API_KEY=canary-of-secrets")).success());
    static_cast<void>(failed_start(*manager, {nowhere + "program", "http://me:canary-of-secrets@host/"}));
    const auto directory = manager.directory / "data" / "events";
    REQUIRE(
        eventually([&] { return listener.count(EventKind::spawn_failed) == 1 && log_lines(directory).size() >= 4; }));
    std::size_t redacted = 0;
    for (const auto& line : log_lines(directory)) {
        CHECK(line.find("canary-of-secrets") == std::string::npos);
        if (line.find("[redacted]") != std::string::npos) ++redacted;
    }
    CHECK(redacted >= 2);
}

TEMPLATE_TEST_CASE("events: arguments stay out of the log where that is configured", "[events]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.redact_arguments = true; }};
    Listener listener(*manager);
    CHECK(manager->run(play("exit", "0", "canary-of-arguments")).success());
    static_cast<void>(failed_start(*manager, {nowhere + "program", "canary-of-arguments"}));
    const auto directory = manager.directory / "data" / "events";
    REQUIRE(
        eventually([&] { return listener.count(EventKind::spawn_failed) == 1 && log_lines(directory).size() >= 4; }));
    for (const auto& line : log_lines(directory)) CHECK(line.find("canary-of-arguments") == std::string::npos);
}
