// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Writes a line of output as it stands in a log file that is not raw: with a prefix, or as JSON. `parse_log_line`
/// reads it.
///
/// Knows:         both formats; every byte of every line survives in each.
/// Does not know: files, streams, clocks.
/// Thread-safety: pure functions.
/// Allocates:     strings.

#include <warden/detail/text/json_writer.hpp>
#include <warden/detail/text/utf8.hpp>
#include <warden/output/line_splitter.hpp>
#include <warden/output/log_format.hpp>

#include <string>
#include <string_view>

namespace warden::detail {

/// A string, or, where the bytes are no UTF-8, an array of their values, as journald's JSON has it.
inline void append_json_text(std::string& to, std::string_view text) {
    if (is_utf8(text)) {
        append_json_string(to, text);
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

}  // namespace warden::detail
