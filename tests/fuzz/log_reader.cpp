// SPDX-License-Identifier: MIT
// Log files with any content: `tail_file` finds the lines that a naive reader finds, `parse_log_line` takes any bytes.
//   input: t, how many lines, how often each text, then files that end with `|`, the active one first, `-` for none;
//          p, j, r and a line in this format; or anything, the longest line, and what a process writes
#include "fuzz.hpp"
#include <warden/detail/output/line_format.hpp>
#include <warden/logs/log_reader.hpp>
#include <warden/output/log_line.hpp>

#include <algorithm>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using fuzz::require;
using warden::LineView;
using warden::LogFormat;

constexpr std::string_view time_text = "2026-01-31T23:59:59.123456789Z";

void check_tail(fuzz::Input input) {
    const std::size_t count = input.number();
    const std::size_t root = input.number() % 64;
    const auto path = fuzz::scratch() / "a.log";
    std::vector<std::vector<std::string>> files;  // newest first
    std::size_t missing = 0;
    bool any = false;
    bool ended = false;  // two in a row are not there
    for (std::size_t i = 0; i < 8; ++i) {
        const std::string name = i == 0 ? path.native() : path.native() + '.' + std::to_string(i);
        const bool exists = !input.empty() && input.rest().substr(0, input.rest().find('|')) != "-";
        const std::string_view piece = input.piece();
        std::filesystem::remove(name);
        missing = exists || i == 0 ? 0 : missing + 1;
        ended = ended || missing == 2;
        if (!exists) continue;
        std::string text;
        for (std::size_t k = 0; k < 1 + root * root && text.size() < (std::size_t{1} << 16); ++k) text += piece;
        std::ofstream(name, std::ios::binary) << text;
        if (!ended) files.push_back(fuzz::lines_of(text));
        any = any || !ended;
    }
    std::vector<std::string> expected;
    for (auto file = files.rbegin(); file != files.rend(); ++file)
        expected.insert(expected.end(), file->begin(), file->end());
    if (expected.size() > count) expected.erase(expected.begin(), expected.end() - static_cast<std::ptrdiff_t>(count));
    warden::error_code ec;
    const auto seen = warden::tail_file(path, count, ec);
    require(any || count == 0 || ec == warden::detail::system_code(ENOENT), "a log that is not there is ENOENT");
    require(!any || count == 0 || !ec, "a log that is there can be read", ec.message());
    require(seen == expected, "the newest lines are those of a naive reader");
}

std::string formatted(LogFormat format, const LineView& line) {
    std::string text;
    warden::detail::append_log_line(text, format, time_text, "stdout", line);
    return text;
}

void check_parse(LogFormat format, std::string_view line) {
    const auto parsed = warden::parse_log_line(format, line);
    require(parsed || format != LogFormat::raw, "any line is a raw one");
    if (!parsed) return;
    if (line.ends_with('\n')) line.remove_suffix(1);
    if (format == LogFormat::raw) require(parsed->text == line, "a raw line is all text", parsed->text);
    if (format == LogFormat::prefixed) {
        const std::string flag = parsed->partial ? " P " : " F ";
        require(parsed->time + ' ' + parsed->stream + flag + parsed->text == line, "the fields are the line again",
                line);
    }
    if (format == LogFormat::json_lines) {
        const std::string_view separator = parsed->partial ? "" : "\n";
        const auto again = warden::parse_log_line(format, formatted(format, {parsed->text, separator, 0, false}));
        require(again && again->text == parsed->text && again->partial == parsed->partial,
                "a line that was parsed and written is the same again", parsed->text);
    }
}

void check_round_trip(LogFormat format, std::size_t most, std::string_view written) {
    std::string file;
    warden::LineSplitter splitter(most);
    const auto add = [&](const LineView& line) { file += formatted(format, line); };
    splitter.feed(written, add);
    splitter.finish(add);
    std::string back;
    for (const std::string& line : fuzz::lines_of(file)) {
        const auto parsed = warden::parse_log_line(format, line);
        require(parsed.has_value(), "a line that was written can be parsed", line);
        require(parsed->time == time_text && parsed->stream == "stdout", "time and stream are what they were", line);
        back += parsed->text;
        if (!parsed->partial) back += '\n';
    }
    require(back == written, "what was written comes back", back);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    switch (input.byte()) {
        case 't': check_tail(input); break;
        case 'p': check_parse(LogFormat::prefixed, input.rest()); break;
        case 'j': check_parse(LogFormat::json_lines, input.rest()); break;
        case 'r': check_parse(LogFormat::raw, input.rest()); break;
        default: {
            const std::size_t most = input.number() % 64;
            check_round_trip(LogFormat::prefixed, most, input.rest());
            check_round_trip(LogFormat::json_lines, most, input.rest());
        }
    }
    return 0;
}
