// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the verbs about detached processes share: how such a process is found, and how it is shown.

#include <warden/detached/detached.hpp>

#include <CLI/App.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace wardenctl {

/// Those of the data directory that the environment names.
[[nodiscard]] warden::DetachedProcesses detached_processes();

/// By uuid, name or the beginning of a uuid. The error of a word that stands for none says where was looked, and of one
/// that may stand for several, which they are.
[[nodiscard]] warden::DetachedProcess find_detached(const std::string& word);

/// A process in words: "generate (uuid 0190f5f2, pid 4711)".
[[nodiscard]] std::string describe(const warden::DetachedInfo& info);

/// One JSON object, without a newline.
[[nodiscard]] std::string to_json(const warden::DetachedInfo& info);
[[nodiscard]] std::string to_json(const warden::StopReport& report, const warden::DetachedInfo& stopped);

/// What a stop did, one line a step; and what it left.
[[nodiscard]] std::string to_text(const warden::StopReport& report);

/// "3.2s", "5m 12s", "2h 05m", "3d 04h".
[[nodiscard]] std::string to_text(warden::Nanoseconds length);

/// As RFC 3339 has it, to the second, in UTC.
[[nodiscard]] std::string to_text(std::chrono::system_clock::time_point time);

/// A process's own words, safe on a terminal; the control characters in `kept` stay.
[[nodiscard]] std::string visible(std::string_view text, std::string_view kept = {});

/// All of `text` to stdout. Ends the program when nobody reads it.
void print(std::string_view text);

/// A line about what is waited for, on stderr, if a person reads that.
void show_progress(const std::string& line);

/// An option that is a duration such as 90s or 5m.
void add_duration(CLI::App& command, const std::string& name, const std::string& help,
                  std::function<void(warden::Nanoseconds)> set);

/// The usage line of a verb whose words are not options.
void set_usage(CLI::App& command, const std::string& usage);

}  // namespace wardenctl
