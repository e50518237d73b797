// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How a line of output stands in a log file: as it came, with a prefix, or as JSON; and back again.
///
/// Knows:         both formats; every byte of every line survives in each.
/// Does not know: files, streams, clocks.
/// Thread-safety: values and pure functions.
/// Errors:        what is no line of the format is nothing.
/// Allocates:     strings.

#include <warden/detail/text/utf8.hpp>
#include <warden/output/line_splitter.hpp>
#include <warden/output/log_format.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace warden {

/// A line of a log file, taken apart.
struct LogLine {
    std::string time;      ///< RFC 3339, UTC: when warden read it.
    std::string stream;    ///< "stdout" or "stderr".
    bool partial = false;  ///< No newline followed: P in the prefix, otherwise F. More of the line may be in the next.
    std::string text;      ///< As the process wrote it, without the newline.

    friend bool operator==(const LogLine&, const LogLine&) = default;
};

/// Takes a line of a file in `format` apart; nothing if it is none. The texts of all lines of a stream, each with a
/// newline unless it is partial, are what the process wrote there. A `raw` line is all text.
[[nodiscard]] inline std::optional<LogLine> parse_log_line(LogFormat format, std::string_view line);

// -- implementation ----------------------------------------------------------
namespace detail {

/// A string, or, where the bytes are no UTF-8, an array of their values, as journald's JSON has it.
inline void append_json_text(std::string& to, std::string_view text) {
    if (is_utf8(text)) {
        to += boost::json::serialize(boost::json::string(text));
        return;
    }
    to += '[';
    for (const char c : text) to.append(std::to_string(static_cast<unsigned char>(c))).push_back(',');
    to.back() = ']';
}

/// Appends `line` in `format`, which is not raw, with its newline.
inline void append_log_line(std::string& to, LogFormat format, std::string_view time, std::string_view stream,
                            const LineView& line) {
    const bool partial = line.separator.empty();
    const std::string_view carriage_return = line.separator.size() > 1 ? line.separator.substr(0, 1) : "";
    if (format == LogFormat::prefixed) {
        to.append(time).append(" ").append(stream).append(partial ? " P " : " F ");
        to.append(line.text).append(carriage_return);
    } else {
        to.append(R"({"time":")").append(time).append(R"(","stream":")").append(stream).append("\",");
        if (partial) to.append(R"("partial":true,)");
        to.append(R"("text":)");
        append_json_text(to, carriage_return.empty() ? line.text : std::string(line.text).append(carriage_return));
        to += '}';
    }
    to += '\n';
}

/// What `append_json_text` has written.
[[nodiscard]] inline std::optional<std::string> json_text(const boost::json::value& value) {
    if (const auto* text = value.if_string()) return std::string(*text);
    const auto* bytes = value.if_array();
    if (!bytes) return std::nullopt;
    std::string text;
    for (const auto& byte : *bytes) {
        const auto* number = byte.if_int64();
        if (!number || *number < 0 || *number > 255) return std::nullopt;
        text.push_back(static_cast<char>(*number));
    }
    return text;
}

[[nodiscard]] inline std::optional<LogLine> parse_json_line(std::string_view line) {
    boost::json::error_code ec;
    const auto value = boost::json::parse(line, ec);
    const auto* object = ec ? nullptr : value.if_object();
    if (!object) return std::nullopt;
    const auto string_of = [object](std::string_view key) {
        const auto* found = object->if_contains(key);
        const auto* text = found ? found->if_string() : nullptr;
        return text ? std::optional<std::string>(*text) : std::nullopt;
    };
    auto time = string_of("time");
    auto stream = string_of("stream");
    const auto* text_value = object->if_contains("text");
    auto text = text_value ? json_text(*text_value) : std::nullopt;
    if (!time || !stream || !text) return std::nullopt;
    const auto* partial = object->if_contains("partial");
    return LogLine{std::move(*time), std::move(*stream), partial && *partial == true, std::move(*text)};
}

}  // namespace detail

inline std::optional<LogLine> parse_log_line(LogFormat format, std::string_view line) {
    if (line.ends_with('\n')) line.remove_suffix(1);
    if (format == LogFormat::raw) return LogLine{{}, {}, false, std::string(line)};
    if (format == LogFormat::json_lines) return detail::parse_json_line(line);
    const std::size_t stream = line.find(' ');
    const std::size_t flag = stream == line.npos ? line.npos : line.find(' ', stream + 1);
    if (flag == line.npos || line.size() < flag + 3 || line[flag + 2] != ' ') return std::nullopt;
    const char mark = line[flag + 1];
    if (mark != 'F' && mark != 'P') return std::nullopt;
    return LogLine{std::string(line.substr(0, stream)), std::string(line.substr(stream + 1, flag - stream - 1)),
                   mark == 'P', std::string(line.substr(flag + 3))};
}

}  // namespace warden
