// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Where the log files of a process are, what they are called, how long they may become, and how long they stay.
///
/// Knows:         naming schemes.
/// Does not know: files. Nothing here looks at the disk.
/// Thread-safety: values.
/// Allocates:     strings.

#include <warden/detail/text/file_name.hpp>
#include <warden/error.hpp>
#include <warden/output/log_format.hpp>
#include <warden/output/log_limits.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// How log files are named. A pattern with the fields `{name}`, `{type}`, `{uuid}`, `{stream}` (`stdout` or `stderr`)
/// and `{date}` (start, UTC, `YYYYMMDD_HHMMSS`), relative to the log directory; `/` makes folders.
class LogNaming {
public:
    /// `{name}.log`, and `{name}_error.log` for stderr. Two processes of one name share their files.
    [[nodiscard]] static LogNaming by_name() { return {"{name}.log", "{name}_error.log", true}; }
    /// `{type}/{type}-{uuid}.log`
    [[nodiscard]] static LogNaming by_type() { return {"{type}/{type}-{uuid}.log", {}, false}; }
    /// `{name}_{date}.log`. Two processes of one name that start in the same second share it.
    [[nodiscard]] static LogNaming dated() { return {"{name}_{date}.log", {}, false}; }
    /// Without `{stream}`, both streams go to one file.
    [[nodiscard]] static LogNaming pattern(std::string text) { return {std::move(text), {}, false}; }

    /// The same as `by_type`.
    LogNaming() : LogNaming(by_type()) {}

    [[nodiscard]] const std::string& pattern() const noexcept { return pattern_; }

    /// What is wrong with the pattern, in words; empty if nothing is.
    [[nodiscard]] std::vector<std::string> validate() const;

    friend bool operator==(const LogNaming&, const LogNaming&) = default;

private:
    friend struct LogPaths log_paths(const LogNaming& naming, const struct LogFacts& facts);

    LogNaming(std::string pattern, std::string error_pattern, bool plain_names)
        : pattern_(std::move(pattern)), error_pattern_(std::move(error_pattern)), plain_names_(plain_names) {}

    std::string pattern_;
    std::string error_pattern_;  // empty: `pattern_` serves both streams
    bool plain_names_;           // `{name}` may stand for several hostile names
};

/// What a naming scheme may use.
struct LogFacts {
    std::string_view name{};
    std::string_view type{};
    std::string_view uuid{};
    std::chrono::system_clock::time_point started{};
};

/// The log files of a process, relative to the log directory. The same file twice if the scheme has no other for
/// stderr.
struct LogPaths {
    std::filesystem::path stdout_{};
    std::filesystem::path stderr_{};

    [[nodiscard]] bool separate() const { return stdout_ != stderr_; }
    friend bool operator==(const LogPaths&, const LogPaths&) = default;
};

/// The paths that a naming without mistakes gives. Facts are made safe: none can leave the directory, and
/// different names that look alike when made safe are told apart by a fingerprint, except in `by_name`.
[[nodiscard]] LogPaths log_paths(const LogNaming& naming, const LogFacts& facts);

/// The log of one process.
struct LogOptions {
    std::optional<std::filesystem::path> directory{};  ///< If not set: the log directory of the manager.
    LogNaming naming{};
    LogLimits limits{};  ///< Of the file: what a format adds counts.
    OnLimit on_limit{};
    LogFormat format = LogFormat::raw;
    /// A log file that the program writes itself; relative to its working directory. What comes to it from the start on
    /// is followed, also when the program rotates it, and goes line by line to the log of stdout, to `tail` and to the
    /// alert rules. The file is not touched. It need not exist yet, but its directory must.
    std::filesystem::path collect{};

    /// What is wrong, in words; empty if nothing is.
    [[nodiscard]] std::vector<std::string> validate() const;

    friend bool operator==(const LogOptions&, const LogOptions&) = default;
};

/// Which logs stay. Each file counts, the rotated ones of one log too.
struct LogRetention {
    std::size_t max_files = 10'000;                            ///< 0: no bound.
    std::chrono::nanoseconds max_age = std::chrono::days(30);  ///< Since it was written last. 0: no bound.

    /// What is wrong, in words; empty if nothing is.
    [[nodiscard]] std::vector<std::string> validate() const;

    friend bool operator==(const LogRetention&, const LogRetention&) = default;
};

// -- implementation ----------------------------------------------------------
namespace detail {

inline constexpr std::array<std::string_view, 5> log_fields{"name", "type", "uuid", "stream", "date"};

/// Calls `literal` and `field` for what a pattern consists of; false if its braces do not match.
template <class Literal, class Field>
bool parse_pattern(std::string_view pattern, Literal literal, Field field) {
    while (!pattern.empty()) {
        const std::size_t brace = pattern.find_first_of("{}");
        literal(pattern.substr(0, brace));
        if (brace == pattern.npos) return true;
        const std::size_t close = pattern.find_first_of("{}", brace + 1);
        if (pattern[brace] == '}' || close == pattern.npos || pattern[close] == '{') return false;
        field(pattern.substr(brace + 1, close - brace - 1));
        pattern.remove_prefix(close + 1);
    }
    return true;
}

/// Seconds since the epoch as `YYYYMMDD_HHMMSS`, UTC.
inline std::string compact_date(std::chrono::system_clock::time_point time) {
    using namespace std::chrono;
    const auto day = floor<days>(time);
    const year_month_day date{day};
    const hh_mm_ss clock{floor<seconds>(time - day)};
    const auto padded = [](auto number, std::size_t width) {
        std::string digits = std::to_string(number);
        return digits.size() < width ? digits.insert(0, width - digits.size(), '0') : digits;
    };
    return padded(static_cast<int>(date.year()), 4) + padded(static_cast<unsigned>(date.month()), 2) +
           padded(static_cast<unsigned>(date.day()), 2) + '_' + padded(clock.hours().count(), 2) +
           padded(clock.minutes().count(), 2) + padded(clock.seconds().count(), 2);
}

}  // namespace detail

inline std::vector<std::string> LogNaming::validate() const {
    std::vector<std::string> found;
    const std::string quoted = "log naming \"" + pattern_ + "\": ";
    const auto bad_byte = [](char c) { return c == '\\' || static_cast<unsigned char>(c) < 32 || c == 127; };
    if (pattern_.empty()) found.push_back(quoted + "is empty; write for example \"{name}.log\"");
    if (std::any_of(pattern_.begin(), pattern_.end(), bad_byte)) {
        found.emplace_back("log naming: a backslash or control character is in the pattern; separate folders by \"/\"");
    }
    const bool parsed = detail::parse_pattern(
        pattern_, [](std::string_view) {},
        [&](std::string_view field) {
            if (std::find(detail::log_fields.begin(), detail::log_fields.end(), field) != detail::log_fields.end())
                return;
            found.push_back(quoted + "unknown field {" + std::string(field) +
                            "}; write {name}, {type}, {uuid}, {stream} or {date}");
        });
    if (!parsed) found.push_back(quoted + "a brace has no partner; write fields as {name}");
    if (pattern_.starts_with('/')) {
        found.push_back(quoted +
                        "is absolute; write a path relative to the log directory, and set LogOptions::directory");
    }
    for (std::size_t begin = 0; begin <= pattern_.size();) {
        const std::size_t end = std::min(pattern_.find('/', begin), pattern_.size());
        const std::string_view part = std::string_view(pattern_).substr(begin, end - begin);
        if (part == "..") found.push_back(quoted + "\"..\" would leave the log directory; leave it out");
        if (end == pattern_.size() && !pattern_.empty() && (part.empty() || part == ".")) {
            found.push_back(quoted + "ends in a folder; write a file name, for example \"{name}.log\"");
        }
        begin = end + 1;
    }
    return found;
}

inline LogPaths log_paths(const LogNaming& naming, const LogFacts& facts) {
    const auto expand = [&](const std::string& pattern, std::string_view stream, std::size_t most) {
        std::string path;
        detail::parse_pattern(
            pattern, [&](std::string_view literal) { path += literal; },
            [&](std::string_view field) {
                if (field == "stream") path += stream;
                if (field == "date") path += detail::compact_date(facts.started);
                if (field == "name" && naming.plain_names_) path += safe_file_name(facts.name);
                if (field == "name" && !naming.plain_names_) path += detail::distinct_file_name(facts.name, most);
                if (field == "type") path += detail::distinct_file_name(facts.type, most);
                if (field == "uuid") path += detail::distinct_file_name(facts.uuid, most);
            });
        return std::filesystem::path(path).relative_path().lexically_normal();
    };
    const auto fits = [](const std::filesystem::path& path) {
        return std::all_of(path.begin(), path.end(),
                           [](const auto& part) { return part.native().size() <= detail::longest_file_name; });
    };
    const auto shortened = [&](const std::string& pattern, std::string_view stream) {
        auto path = expand(pattern, stream, 120);
        return fits(path) ? path : expand(pattern, stream, 40);
    };
    const std::string& error_pattern = naming.error_pattern_.empty() ? naming.pattern_ : naming.error_pattern_;
    return {shortened(naming.pattern_, "stdout"), shortened(error_pattern, "stderr")};
}

inline std::vector<std::string> LogOptions::validate() const {
    std::vector<std::string> found = naming.validate();
    for (auto& mistake : limits.validate()) found.push_back(std::move(mistake));
    for (auto& mistake : on_limit.validate(limits)) found.push_back(std::move(mistake));
    if (directory && directory->empty()) {
        found.emplace_back("the log directory is empty; write a path, or leave it out for the manager's");
    }
    if (directory && detail::has_nul(directory->native())) found.emplace_back("a NUL byte is in the log directory");
    if (detail::has_nul(collect.native())) found.emplace_back("a NUL byte is in the path of the log to collect");
    return found;
}

inline std::vector<std::string> LogRetention::validate() const {
    std::vector<std::string> found;
    if (max_age < max_age.zero()) {
        found.emplace_back("max_age is negative; write how long logs are kept, for example 30 days, or 0 for no bound");
    }
    if (max_files > LogLimits::highest) {
        found.push_back("max_files is " + std::to_string(max_files) +
                        ", no bound at all (a negative number?); write a number, or 0 for no bound");
    }
    return found;
}

}  // namespace warden
