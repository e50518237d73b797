// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How the lines of a log file look.
///
/// Knows:         the formats by name; the sink writes them, and `log_line.hpp` reads them.
/// Thread-safety: values.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace warden {

/// The format of a log file. In all but `raw` each line of the file is one line of output, or one part of an over-long
/// or unterminated one, and is written when its end has come.
enum class LogFormat : std::uint8_t {
    raw,         ///< The bytes as they come, at once.
    prefixed,    ///< `2026-01-31T23:59:59.123456789Z stdout F text`, as the Container Runtime Interface has it.
    json_lines,  ///< `{"time":"...","stream":"stdout","partial":true,"text":"..."}`, one object a line.
};

[[nodiscard]] constexpr std::string_view to_string(LogFormat format) noexcept;

// -- implementation ----------------------------------------------------------
namespace detail {
inline constexpr std::array<std::string_view, 3> log_format_names{"raw", "prefixed", "json_lines"};
static_assert(log_format_names.size() == static_cast<std::size_t>(LogFormat::json_lines) + 1);
}  // namespace detail

constexpr std::string_view to_string(LogFormat format) noexcept {
    return detail::log_format_names[static_cast<std::size_t>(format)];
}

}  // namespace warden
