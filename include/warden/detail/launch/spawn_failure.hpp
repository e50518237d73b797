// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The text of a start that failed.
///
/// Thread-safety: functions without state.
/// Errors:        SpawnError, which is its purpose.

#include <warden/command_line.hpp>
#include <warden/detail/text/visible_text.hpp>
#include <warden/error.hpp>
#include <warden/spawn_options.hpp>

#include <filesystem>
#include <string>
#include <system_error>

namespace warden::detail {

[[nodiscard]] inline std::string quoted(const std::string& text) { return "'" + text + "'"; }
[[nodiscard]] inline std::string quoted(const std::filesystem::path& path) { return quoted(path.string()); }

/// A start that failed, in the words that people get. What others may have chosen is made visible in them.
[[noreturn]] inline void fail_start(const CommandLine& command, const error_code& code, SpawnStep step,
                                    const std::filesystem::path& path = {}, const std::string& advice = {}) {
    std::string message = "cannot start '" + visible_text(command.program()) + "': " + std::string(to_string(step));
    if (!path.empty()) message += " '" + visible_text(path.string()) + "'";
    const bool is_list = advice.find('\n') != std::string::npos;
    const std::string shown = visible_text(advice, "\n");
    if (!advice.empty()) message += is_list ? ": " + shown : " (" + shown + ")";
    throw SpawnError(code, step, path, message);
}

/// Whether stderr goes to where stdout goes: it is merged, or both name the same file.
[[nodiscard]] inline bool is_joined(const Output& out, const Output& err) {
    std::error_code unlike;
    return err.is_only(Output::merge) ||
           (out.is_file() && err.is_file() && std::filesystem::equivalent(out.path(), err.path(), unlike));
}

}  // namespace warden::detail
