// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Takes the lines of a log file apart that `LogFormat` has put together. Not part of <warden/warden.hpp>: it brings
/// the parser of Boost.JSON.
///
/// Knows:         the formats; every byte of every line comes back.
/// Does not know: files.
/// Thread-safety: a pure function.
/// Errors:        what is no line of the format is nothing.
/// Allocates:     strings, and what Boost.JSON takes, whose depth is bounded.

#include <warden/output/log_format.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include <cstddef>
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

/// What `append_log_line` has written.
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
