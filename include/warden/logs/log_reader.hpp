// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The newest lines of a log, from its files, also while another program writes and rotates them.
///
/// Knows:         that `path.1` is older than `path`, and so on.
/// Does not know: who writes them, or how they are bounded.
/// Thread-safety: functions without state.
/// Errors:        by code, or `system_error` from the overload without one.
/// Allocates:     what it returns, and a buffer of that size.

#include <warden/error.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace warden {

/// The newest `count` lines, oldest first, without their newlines; an unterminated last line counts. Goes on into the
/// rotated files if the active one has fewer. Reads from the end: the cost does not depend on the size of the log,
/// nor on the holes in it, which hold no text.
/// Refuses symbolic links (ELOOP), directories (EISDIR) and what is not a regular file (EINVAL); ENOENT if there is no
/// file at all. Unlike the writer, it may read the files of others.
[[nodiscard]] WARDEN_INLINE std::vector<std::string> tail_file(const std::filesystem::path& path, std::size_t count,
                                                               error_code& ec);
[[nodiscard]] WARDEN_INLINE std::vector<std::string> tail_file(const std::filesystem::path& path, std::size_t count);

}  // namespace warden

// -- implementation ----------------------------------------------------------
#if WARDEN_HAS_BODIES
#include <warden/detail/logs/log_files.hpp>
#include <warden/output/text_window.hpp>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace warden {

namespace detail {

/// As `tail_file`; nothing if the log was rotated meanwhile, so that a newer file could be taken for an older one,
/// unless that is no matter.
inline std::optional<std::vector<std::string>> tail_files(const std::filesystem::path& path, std::size_t count,
                                                          bool no_matter, error_code& ec) {
    std::vector<std::string> found;  // newest first
    OpenLog active = open_log_to_read(path, ec);
    const error_code active_error = ec;
    if (ec && ec != boost::system::errc::no_such_file_or_directory) return found;
    std::size_t left = max_tail_bytes;
    const auto take = [&](const OpenLog& log) {
        const std::size_t wanted = count - found.size();
        const std::string text = end_of_log(log, wanted, left, Holes::skip, ec);
        auto lines = newest_lines(text, wanted);
        std::move(lines.rbegin(), lines.rend(), std::back_inserter(found));
        left -= text.size();
    };
    if (!ec) take(active);
    bool any = !active_error;
    // While a rotation is under way, one name can be missing for an instant, and one file can be met twice.
    FileIdentity previous = active.status.identity;
    for (std::size_t i = 1, missing = 0; missing < 2 && found.size() < count && left > 0; ++i) {
        const OpenLog log = open_log_to_read(rotated_path(path, i), ec);
        missing = ec ? missing + 1 : 0;
        if (ec) continue;
        const LogStatus now = log_status(path, ec);
        const bool moved = any && (ec || now.identity != active.status.identity);
        ec.clear();
        if (moved && !no_matter) return std::nullopt;
        if (log.status.identity != previous) take(log);
        previous = log.status.identity;
        any = true;
    }
    ec = any ? error_code() : active_error;
    std::reverse(found.begin(), found.end());
    return found;
}

}  // namespace detail

WARDEN_INLINE std::vector<std::string> tail_file(const std::filesystem::path& path, std::size_t count, error_code& ec) {
    constexpr int max_attempts = 50;
    std::optional<std::vector<std::string>> lines;
    for (int attempt = 1; !lines; ++attempt) lines = detail::tail_files(path, count, attempt == max_attempts, ec);
    return *lines;
}

WARDEN_INLINE std::vector<std::string> tail_file(const std::filesystem::path& path, std::size_t count) {
    error_code ec;
    auto lines = tail_file(path, count, ec);
    if (ec) throw system_error(ec, "cannot read the log " + path.string());
    return lines;
}

}  // namespace warden
#endif
