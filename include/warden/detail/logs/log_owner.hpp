// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Whose output a log file holds, written on the file itself, so that any program can find it.
///
/// Knows:         extended attributes (xattr(7)).
/// Does not know: directories, who asks.
/// Thread-safety: pure functions.
/// Errors:        none: what cannot be written on a file, or is no such text, is not there.
/// Allocates:     strings.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace warden::detail {

/// The process that a log is of, or, of a log that several share, the one that began last. It is kept with the file:
/// "<uuid> <stdout or stderr> <start, milliseconds since 1970> <name>".
struct LogOwner {
    /// What a file system has room for is not much: of a longer name, this is its beginning.
    static constexpr std::size_t longest_name = 256;

    std::string uuid{};
    bool only_errors = false;  ///< The log of stderr, where stdout has one of its own.
    std::chrono::system_clock::time_point started{};
    std::string name{};  ///< Any bytes.

    friend bool operator==(const LogOwner&, const LogOwner&) = default;
};

[[nodiscard]] inline std::string to_text(const LogOwner& owner);
[[nodiscard]] inline std::optional<LogOwner> parse_log_owner(std::string_view text);

/// Whether `text` is a uuid as warden writes it, or, if it has fewer bytes, the beginning of one.
[[nodiscard]] inline bool begins_uuid(std::string_view text) noexcept;

// -- implementation ----------------------------------------------------------
inline constexpr std::size_t uuid_chars = 36;

inline bool begins_uuid(std::string_view text) noexcept {
    constexpr std::string_view shape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    static_assert(shape.size() == uuid_chars);
    if (text.size() > shape.size()) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool is_digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
        if (shape[i] == 'x' ? !is_digit : text[i] != '-') return false;
    }
    return true;
}

inline std::string to_text(const LogOwner& owner) {
    const auto started = std::chrono::floor<std::chrono::milliseconds>(owner.started.time_since_epoch());
    return owner.uuid + (owner.only_errors ? " stderr " : " stdout ") + std::to_string(started.count()) + ' ' +
           owner.name.substr(0, LogOwner::longest_name);
}

inline std::optional<LogOwner> parse_log_owner(std::string_view text) {
    LogOwner owner;
    const auto word = [&text] {
        const std::string_view found = text.substr(0, text.find(' '));
        text.remove_prefix(std::min(found.size() + 1, text.size()));
        return found;
    };
    owner.uuid = word();
    const std::string_view stream = word();
    const std::string_view started = word();
    owner.only_errors = stream == "stderr";
    std::int64_t milliseconds = 0;
    const auto [end, failed] = std::from_chars(started.data(), started.data() + started.size(), milliseconds);
    constexpr std::int64_t most = 4'102'444'800'000;  // the year 2100; a time point holds more
    const bool good = failed == std::errc{} && end == started.data() + started.size() && milliseconds >= 0 &&
                      milliseconds <= most && (owner.only_errors || stream == "stdout") &&
                      owner.uuid.size() == uuid_chars && begins_uuid(owner.uuid) && !text.empty() &&
                      text.size() <= LogOwner::longest_name;
    if (!good) return std::nullopt;
    owner.started = std::chrono::system_clock::time_point(std::chrono::milliseconds(milliseconds));
    owner.name = text;
    return owner;
}

}  // namespace warden::detail
