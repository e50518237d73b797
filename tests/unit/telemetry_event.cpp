// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/text/json_writer.hpp>
#include <warden/detail/text/rfc3339.hpp>
#include <warden/detail/text/utf8.hpp>
#include <warden/telemetry/event_json.hpp>

#include <boost/json.hpp>

#include <chrono>
#include <limits>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>

using namespace warden;
using namespace std::chrono_literals;

namespace {

constexpr std::array<std::string_view, 12> hostile_texts{
    "two\nlines\r\n",
    "a \"quote\" and a \\backslash\\",
    "\x1B[2J\x1B]0;title\x07",
    "\xE2\x80\xAE"
    "drawkcab",  // U+202E
    std::string_view("a\0b", 3),
    "\xFF\xFE",
    "\xED\xA0\x80 \xED\xBF\xBF",               // surrogates
    "\xC0\x80 \xE0\x80\xAF \xF0\x80\x80\x80",  // overlong
    "\xF4\x90\x80\x80 \xF8\x88\x80\x80\x80",   // above 10FFFF
    "cut \xE2\x82",
    "\x7F \xC2\x85 \xC2\x9B"
    "31m \xEF\xBB\xBF",                      // DEL, NEL, CSI, BOM
    "\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\x8B",  // U+2028, U+2029, U+200B
};

Event everywhere(const std::string& text) {
    Event event{.kind = EventKind::alert, .name = text, .type = text, .command = {text, text}, .message = text};
    event.metadata = {{text, text}, {"trace_id", text}};
    event.attributes = {{text, text}, {"n", 1}};
    return event;
}

/// The line without anything that a terminal, a reader of lines or a reader of UTF-8 could stumble over.
void check_is_safe(const std::string& line) {
    REQUIRE(line.size() > 1);
    REQUIRE(line.back() == '\n');
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(line[i]); };
    for (std::size_t i = 0; i + 1 < line.size(); ++i) {
        if (byte(i) < 0x20 || byte(i) == 0x7F || (byte(i) == 0xC2 && byte(i + 1) < 0xA0)) FAIL("control at " << i);
    }
    for (const std::string_view unseen :
         {"\xE2\x80\xAE", "\xE2\x80\xA8", "\xE2\x80\x8B", "\xEF\xBB\xBF", "\xE2\x81\xA6"}) {
        CHECK(line.find(unseen) == std::string::npos);
    }
}

boost::json::object parsed(const Event& event, bool redact_arguments = false) {
    const std::string line = to_json_line(event, redact_arguments);
    check_is_safe(line);
    return boost::json::parse(line).as_object();  // also refuses what is no UTF-8
}

std::string text_of(const boost::json::object& object, std::string_view key) {
    return std::string(object.at(key).as_string().c_str(), object.at(key).as_string().size());
}

bool is_utf8(std::string_view text) {
    for (; !text.empty();) {
        const auto sequence = detail::decode_utf8(text);
        if (sequence.length == 0) return false;
        text.remove_prefix(sequence.length);
    }
    return true;
}

}  // namespace

TEST_CASE("event: kinds and severities have names of their own") {
    std::set<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(EventKind::state); ++i) {
        const auto kind = static_cast<EventKind>(i);
        names.insert(to_string(kind));
        CHECK(event_name(kind).starts_with("warden."));
        CHECK(event_name(kind).ends_with(to_string(kind)));
    }
    CHECK(names.size() == static_cast<std::size_t>(EventKind::state) + 1);
    CHECK(to_string(EventKind::configuration) == "configuration");
    CHECK(to_string(EventKind::stop_step) == "stop_step");
    CHECK(event_name(EventKind::exit) == "warden.process.exit");
    CHECK(to_string(Severity::critical) == "critical");
    CHECK(usual_severity(EventKind::cleanup_failed) == Severity::critical);
}

TEST_CASE("event: a full one reads as documented") {
    Event event{.kind = EventKind::exit, .severity = Severity::warning};
    event.time = std::chrono::sys_days(std::chrono::year(2026) / 2 / 28) + 23h + 59min + 7s + 123456789ns;
    event.sequence = 12;
    event.instance.data[15] = 1;
    event.uuid.data[15] = 2;
    event.pid = 4711;
    event.parent_pid = 4710;
    event.name = "train";
    event.type = "generation";
    event.command = {"/usr/bin/python3", "-u", "train.py"};
    event.duration = 1500ms;
    event.exit_status = ExitStatus::from_code(3);
    event.cause = ExitCause::timed_out;
    event.from = State::stopping;
    event.to = State::stopped;
    event.message = "ended within the grace";
    event.metadata = {{"job", "7"}, {"trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"}, {"span_id", "00f067aa0ba902b7"}};
    event.attributes = {{"bytes", 5}, {"share", 0.5}, {"first", true}, {"stream", "stdout"}};
    const std::string expected =
        R"({"timestamp":"2026-02-28T23:59:07.123456789Z","severity_text":"WARNING","severity_number":13,)"
        R"("event.name":"warden.process.exit","service.instance.id":"00000000-0000-0000-0000-000000000001",)"
        R"("warden.sequence":12,"warden.process.uuid":"00000000-0000-0000-0000-000000000002",)"
        R"("warden.process.name":"train","warden.process.type":"generation","process.pid":4711,)"
        R"("process.parent_pid":4710,"process.exit.code":3,"warden.exit.cause":"timed_out",)"
        R"("warden.duration_ns":1500000000,"warden.state.from":"stopping","warden.state.to":"stopped",)"
        R"("body":"ended within the grace",)"
        R"("warden.attributes":{"bytes":5,"share":0.5,"first":true,"stream":"stdout"},)"
        R"("span_id":"00f067aa0ba902b7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","warden.metadata":{"job":"7"},)"
        R"("process.executable.name":"python3","process.command":"/usr/bin/python3","process.args_count":3,)"
        R"("process.command_args":["/usr/bin/python3","-u","train.py"]})"
        "\n";
    CHECK(to_json_line(event, false) == expected);
}

TEST_CASE("event: what is not known is left out") {
    const std::string line = to_json_line(Event{.kind = EventKind::health}, false);
    CHECK(line == R"({"timestamp":"1970-01-01T00:00:00.000000000Z","severity_text":"INFO","severity_number":9,)"
                  R"("event.name":"warden.manager.health"})"
                  "\n");
}

TEST_CASE("event: a signal and an unknown end are not an exit code") {
    const auto killed = parsed({.kind = EventKind::exit, .exit_status = ExitStatus::from_signal(9, true)});
    CHECK(killed.at("warden.exit.signal").as_int64() == 9);
    CHECK(killed.at("warden.exit.core_dumped").as_bool());
    CHECK_FALSE(killed.contains("process.exit.code"));
    const auto unknown = parsed({.kind = EventKind::exit, .exit_status = ExitStatus()});
    CHECK_FALSE(unknown.at("warden.exit.known").as_bool());
    CHECK_FALSE(unknown.contains("process.exit.code"));
    CHECK_FALSE(parsed({.kind = EventKind::exit}).contains("warden.exit.known"));
}

TEST_CASE("event: the time is UTC to the nanosecond, before 1970 and after 2038 too") {
    const auto stamp = [](std::chrono::system_clock::time_point time) {
        const auto text = detail::rfc3339(time);
        return std::string(text.data(), text.size());
    };
    const std::chrono::system_clock::time_point epoch;
    CHECK(stamp(epoch - 1ns) == "1969-12-31T23:59:59.999999999Z");
    CHECK(stamp(epoch + 1ns) == "1970-01-01T00:00:00.000000001Z");
    CHECK(stamp(std::chrono::sys_days(std::chrono::year(2038) / 1 / 19) + 3h + 14min + 8s) ==
          "2038-01-19T03:14:08.000000000Z");
    CHECK(stamp(std::chrono::sys_days(std::chrono::year(2024) / 2 / 29) + 12h) == "2024-02-29T12:00:00.000000000Z");
}

TEST_CASE("event: a time that was written is read to the nanosecond, and no other text is one") {
    const std::chrono::system_clock::time_point epoch;
    for (const auto time : {epoch, epoch + 1ns, epoch + 20'000 * 24h + 23h + 59min + 59s + 999'999'999ns}) {
        const auto text = detail::rfc3339(time);
        CHECK(detail::parse_rfc3339({text.data(), text.size()}) == time);
    }
    for (const std::string_view text :
         {"", "2026-01-31T23:59:59Z", "2026-01-31T23:59:59.123456789z", "2026-01-31T24:00:00.000000000Z",
          "2026-01-31T23:60:00.000000000Z", "2026-02-29T00:00:00.000000000Z", "2026-00-01T00:00:00.000000000Z",
          "1969-12-31T23:59:59.999999999Z", "2262-01-01T00:00:00.000000000Z", "-026-01-31T23:59:59.123456789Z",
          "2026-01-31T23:59:59.12345678 Z", "2026-01-31 23:59:59.123456789Z", "2026-01-31T23:59:59.123456789Z "}) {
        INFO(text);
        CHECK_FALSE(detail::parse_rfc3339(text));
    }
}

TEST_CASE("event: hostile text gives one safe line, and comes back as it was where it is UTF-8") {
    for (const std::string_view hostile : hostile_texts) {
        const std::string text(hostile);
        std::string shown;
        detail::append_json_string(shown, text);
        INFO(shown);
        const auto object = parsed(everywhere(text));
        for (const char* key : {"body", "warden.process.name", "warden.process.type", "process.command"}) {
            if (is_utf8(text)) CHECK(text_of(object, key) == text);
            else CHECK(text_of(object, key).find("\xEF\xBF\xBD") != std::string::npos);
        }
        CHECK(object.at("process.command_args").as_array().size() == 2);
        CHECK_FALSE(object.contains("trace_id"));
    }
}

TEST_CASE("event: each invalid byte becomes one replacement character, what is around it stays") {
    const auto body = [](std::string text) { return text_of(parsed({.message = std::move(text)}), "body"); };
    CHECK(body("a\xFF"
               "b") ==
          "a\xEF\xBF\xBD"
          "b");
    CHECK(body("a\xE2\x82"
               "b") ==
          "a\xEF\xBF\xBD\xEF\xBF\xBD"
          "b");
    CHECK(body("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80") == "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80");
}

TEST_CASE("event: format characters beyond U+FFFF are escaped as a pair") {
    const std::string line = to_json_line({.message = "\xF3\xA0\x81\x81"}, false);  // U+E0041
    CHECK(line.find("\\udb40\\udc41") != std::string::npos);
    CHECK(text_of(parsed({.message = "\xF3\xA0\x81\x81"}), "body") == "\xF3\xA0\x81\x81");
}

TEST_CASE("event: the table of unseen characters is sorted, and holds the first and last of each range") {
    std::optional<char32_t> before;
    for (const auto& range : detail::unseen_code_points) {
        if (before) CHECK(*before < range.first);
        CHECK(range.first <= range.last);
        CHECK(detail::is_unseen(range.first));
        CHECK(detail::is_unseen(range.last));
        CHECK_FALSE(detail::is_unseen(range.last + 1));
        before = range.last;
    }
    CHECK_FALSE(detail::is_unseen('A'));
    CHECK_FALSE(detail::is_unseen(0x10FFFF));
}

TEST_CASE("event: random bytes always give one safe line that parses") {
    std::mt19937 random(20260131);
    std::uniform_int_distribution<int> any_byte(0, 255);
    std::uniform_int_distribution<std::size_t> any_hostile(0, hostile_texts.size() - 1);
    for (int round = 0; round < 3000; ++round) {
        std::string text;
        for (int i = round % 40; i > 0; --i) {
            if (any_byte(random) < 32) text += hostile_texts[any_hostile(random)];
            else text += static_cast<char>(any_byte(random));
        }
        const auto object = parsed(everywhere(text));
        if (!text.empty() && is_utf8(text)) CHECK(text_of(object, "body") == text);
    }
}

TEST_CASE("event: redacted, only the program and the number of arguments are there") {
    const Event event{.kind = EventKind::spawn, .command = {"/opt/tool", "--password", "canary-123", "canary-456"}};
    const std::string line = to_json_line(event, true);
    CHECK(line.find("canary") == std::string::npos);
    CHECK(line.find("--password") == std::string::npos);
    const auto object = parsed(event, true);
    CHECK(text_of(object, "process.command") == "/opt/tool");
    CHECK(text_of(object, "process.executable.name") == "tool");
    CHECK(object.at("process.args_count").as_int64() == 4);
    CHECK_FALSE(object.contains("process.command_args"));
}

TEST_CASE("event: what looks like a secret is written nowhere, unless all is to be written") {
    Event event{.kind = EventKind::spawn, .command = {"/opt/tool", "--password", "canary", "https://me:canary@host/"}};
    event.message = "'tool --token canary' exited with code 1";
    event.metadata = {{"api_key", "canary"}, {"purpose", "TOKEN=canary"}};
    event.attributes = {{"warden.stop.error", std::string("'curl -H Authorization: canary'")}};
    const std::string line = to_json_line(event, {});
    CHECK(line.find("canary") == std::string::npos);
    CHECK(line.find("\"--password\",\"[redacted]\",\"https://me:[redacted]@host/\"") != std::string::npos);
    CHECK(line.find("\"api_key\":\"[redacted]\"") != std::string::npos);
    const std::string all = to_json_line(event, {false, false});
    CHECK(all.find("[redacted]") == std::string::npos);
    CHECK(all.find("\"--password\",\"canary\"") != std::string::npos);
}

TEST_CASE("event: is bounded, and says so where it was cut") {
    Event event = everywhere(std::string(1 << 20, 'x'));
    event.command = CommandLine("program", std::vector<std::string>(100'000, "\xFF argument"));
    for (int i = 0; i < 100'000; ++i) event.metadata.emplace("key" + std::to_string(i), "");
    const std::string line = to_json_line(event, false);
    CHECK(line.size() < max_event_bytes * 8);
    const auto object = parsed(event);
    CHECK(object.at("warden.truncated").as_bool());
    CHECK(text_of(object, "body") == std::string(max_event_string_bytes, 'x'));
    CHECK(object.at("process.args_count").as_int64() == 100'001);
    CHECK_FALSE(parsed({.message = std::string(max_event_string_bytes, 'x')}).contains("warden.truncated"));
}

TEST_CASE("event: a cut is never inside a character") {
    for (std::size_t shift = 0; shift < 4; ++shift) {
        std::string text(shift, 'x');
        for (int i = 0; i < 2000; ++i) text += "\xF0\x9F\x98\x80";
        const std::string body = text_of(parsed({.message = text}), "body");
        CHECK(is_utf8(body));
        CHECK(body.size() > max_event_string_bytes - 4);
        CHECK(body.find("\xEF\xBF\xBD") == std::string::npos);
    }
}

TEST_CASE("event: numbers that JSON has no word for are null") {
    const auto attributes = parsed({.attributes = {{"nan", std::numeric_limits<double>::quiet_NaN()},
                                                   {"infinite", std::numeric_limits<double>::infinity()},
                                                   {"lowest", std::numeric_limits<std::int64_t>::min()}}})
                                .at("warden.attributes")
                                .as_object();
    CHECK(attributes.at("nan").is_null());
    CHECK(attributes.at("infinite").is_null());
    CHECK(attributes.at("lowest").as_int64() == std::numeric_limits<std::int64_t>::min());
}

TEST_CASE("event: of two attributes with one key the later one counts, and no key of ours can be taken") {
    const auto object = parsed({.attributes = {{"a", 1}, {"a", 2}, {"timestamp", "x"}}});
    CHECK(object.at("warden.attributes").as_object().at("a").as_int64() == 2);
    CHECK(text_of(object, "timestamp") == "1970-01-01T00:00:00.000000000Z");
}
