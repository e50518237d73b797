// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/output/line_format.hpp>
#include <warden/output/log_line.hpp>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using warden::LineSplitter;
using warden::LineView;
using warden::LogFormat;
using warden::LogLine;
using warden::parse_log_line;

constexpr std::string_view time_text = "2026-01-31T23:59:59.123456789Z";

std::string formatted(LogFormat format, const LineView& line) {
    std::string text;
    warden::detail::append_log_line(text, format, time_text, "stderr", line);
    return text;
}

/// What a process wrote, as the lines of a file in `format`, back again.
std::string through(LogFormat format, const std::string& text, std::size_t most, std::size_t chunk) {
    std::string file;
    LineSplitter splitter(most);
    const auto add = [&](const LineView& line) {
        warden::detail::append_log_line(file, format, time_text, "stdout", line);
    };
    for (std::size_t at = 0; at < text.size(); at += chunk)
        splitter.feed(std::string_view(text).substr(at, chunk), add);
    splitter.finish(add);
    std::string back;
    for (std::string_view rest = file; !rest.empty();) {
        const auto end = rest.find('\n');
        REQUIRE(end != rest.npos);
        const auto line = parse_log_line(format, rest.substr(0, end));
        REQUIRE(line);
        CHECK(line->time == time_text);
        CHECK(line->stream == "stdout");
        back += line->text;
        if (!line->partial) back += '\n';
        rest.remove_prefix(end + 1);
    }
    return back;
}

}  // namespace

TEST_CASE("line format: prefixed lines are those of the Container Runtime Interface") {
    const auto line = [](const LineView& view) { return formatted(LogFormat::prefixed, view); };
    CHECK(line({"hello", "\n", 0, false}) == "2026-01-31T23:59:59.123456789Z stderr F hello\n");
    CHECK(line({"", "\n", 0, false}) == "2026-01-31T23:59:59.123456789Z stderr F \n");
    CHECK(line({"a ", "\r\n", 0, false}) == "2026-01-31T23:59:59.123456789Z stderr F a \r\n");
    CHECK(line({"part", "", 0, true}) == "2026-01-31T23:59:59.123456789Z stderr P part\n");
    CHECK(line({"no end", "", 3, false}) == "2026-01-31T23:59:59.123456789Z stderr P no end\n");
}

TEST_CASE("line format: JSON lines are objects, bytes that are no UTF-8 an array") {
    const auto line = [](const LineView& view) { return formatted(LogFormat::json_lines, view); };
    const std::string head = R"({"time":"2026-01-31T23:59:59.123456789Z","stream":"stderr",)";
    CHECK(line({"say \"hi\"\t", "\n", 0, false}) == head + R"("text":"say \"hi\"\t"})"
                                                           "\n");
    CHECK(line({"\xff\x0a", "", 0, true}) == head + R"("partial":true,"text":[255,10]})"
                                                    "\n");
    CHECK(line({"\xff", "\r\n", 0, false}) == head + R"("text":[255,13]})"
                                                     "\n");
}

TEST_CASE("line format: whatever a process writes comes back byte for byte") {
    std::mt19937 random(20260131);
    constexpr std::string_view hostile = "ab \"{}\\\n\r\xc3\xa4P F";
    for (int round = 0; round < 300; ++round) {
        std::string text(random() % 400, '\0');
        const bool wild = round % 3 == 0;
        for (char& c : text) c = wild ? static_cast<char>(random()) : hostile[random() % hostile.size()];
        const std::size_t most = 4 + random() % 40;
        const std::size_t chunk = 1 + random() % 50;
        for (const auto format : {LogFormat::prefixed, LogFormat::json_lines})
            CHECK((through(format, text, most, chunk) == text));
    }
}

TEST_CASE("line format: what is no line of the format is nothing") {
    for (const char* text :
         {"", "x", "time", "time stdout", "time stdout F", "time stdout X text", "time stdout FF text"})
        CHECK_FALSE(parse_log_line(LogFormat::prefixed, text));
    for (const char* text :
         {"", "{", "[]", "7", "{}", R"({"time":"t","stream":"s"})", R"({"time":"t","stream":"s","text":7})",
          R"({"time":"t","stream":"s","text":[256]})", R"({"time":"t","stream":"s","text":["a"]})"})
        CHECK_FALSE(parse_log_line(LogFormat::json_lines, text));
    CHECK(parse_log_line(LogFormat::raw, "time stdout F x\n")->text == "time stdout F x");
    CHECK(to_string(LogFormat::json_lines) == "json_lines");
}
