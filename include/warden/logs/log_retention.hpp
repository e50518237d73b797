// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How long logs are kept, and how many: removes the old ones below a directory.
///
/// Knows:         the files that a `LogSink` wrote, by their mark; which of them are in use, by their locks.
/// Does not know: names, processes. Anything else in the directory is left alone.
/// Thread-safety: functions without state; also while logs are written, by this program or others.
/// Errors:        counted in the report; the rest of the work is done.
/// Allocates:     a path per log.

#include <warden/error.hpp>
#include <warden/output/log_options.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

namespace warden {

/// What became of the logs.
struct PruneReport {
    std::size_t found = 0;                 ///< Logs, before any was removed.
    std::size_t removed = 0;               ///< Logs.
    std::size_t removed_directories = 0;   ///< Those that became empty.
    std::uint64_t removed_bytes = 0;       ///< The sizes of what was removed.
    std::size_t in_use = 0;                ///< Logs that were to go, but somebody writes them.
    std::size_t failures = 0;              ///< Files and directories that could not be looked at or removed.
    error_code first_error{};              ///< `errc::invalid_options`: see `LogRetention::mistakes`.
    std::filesystem::path first_failed{};  ///< What it was about.
};

/// Removes the logs below `directory`, at most eight levels deep, that are older than `max_age`, and then the oldest
/// while there are more than `max_files`. A log is a regular file of this user with a single name and the mark of a
/// `LogSink`; so there are none where the file system has no place for marks. One that somebody writes stays, but
/// counts. What a crash left of a compaction goes first. Directories that become empty go too, except `directory`
/// itself. Never follows a symbolic link below `directory`.
WARDEN_INLINE PruneReport prune_logs(const std::filesystem::path& directory, const LogRetention& retention = {},
                                     std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

}  // namespace warden

// -- implementation ----------------------------------------------------------
#if WARDEN_HAS_BODIES
#include <warden/detail/logs/log_walk.hpp>
#include <warden/detail/logs/trusted_directory.hpp>

#include <algorithm>
#include <set>
#include <string_view>

namespace warden {

namespace detail {

struct StoredLog {
    std::vector<LogDirectory::Name> directories;  // that lead to it
    LogDirectory::Name name;
    StoredFile file;
};

/// One run over a directory.
class LogPruner {
public:
    explicit LogPruner(const std::filesystem::path& root) : root_(root), walk_(root) {}

    PruneReport run(const LogRetention& retention, std::chrono::system_clock::time_point now);

private:
    using Name = LogWalk::Name;
    using Directories = LogWalk::Directories;

    void remove(const StoredLog& log);
    void remove_empty(Directories directories);
    void fail(const Directories& directories, const Name& name, const error_code& error);
    /// The temporary file of a compaction or rotation, which a crash left if nobody holds it.
    [[nodiscard]] static bool is_leftover(const Name& name) {
        constexpr std::string_view end = ".tmp";
        return name.starts_with('.') && name.size() > end.size() && std::equal(end.rbegin(), end.rend(), name.rbegin());
    }

    const std::filesystem::path root_;
    LogWalk walk_;
    std::vector<StoredLog> logs_;
    PruneReport report_;
};

inline PruneReport LogPruner::run(const LogRetention& retention, std::chrono::system_clock::time_point now) {
    if (!why_not_trusted(root_).empty()) {  // what is removed there may be anything
        fail({}, {}, condition_code(boost::system::errc::operation_not_permitted));
        return report_;
    }
    walk_.run(
        [this](const LogDirectory& directory, const Directories& directories, const Name& name) {
            if (const auto file = directory.look_at(name); file && file->mark)
                logs_.push_back({directories, name, *file});
        },
        [this](const Directories& directories, const error_code& ec) { fail(directories, {}, ec); });
    report_.found = logs_.size();
    std::sort(logs_.begin(), logs_.end(), [](const auto& a, const auto& b) {
        const bool first = is_leftover(a.name);
        return first != is_leftover(b.name) ? first : a.file.written < b.file.written;
    });
    std::set<Directories> emptier;
    for (const StoredLog& log : logs_) {
        if (is_leftover(log.name)) {
            remove(log);
            continue;
        }
        const bool old = retention.max_age.count() > 0 && now - log.file.written > retention.max_age;
        const bool too_many = retention.max_files > 0 && report_.found - report_.removed > retention.max_files;
        if (!old && !too_many) break;
        const std::size_t before = report_.removed;
        remove(log);
        if (report_.removed > before) emptier.insert(log.directories);
    }
    for (const Directories& directories : emptier) remove_empty(directories);
    return report_;
}

inline void LogPruner::remove(const StoredLog& log) {
    using Removal = LogDirectory::Removal;
    error_code ec;
    const LogDirectory directory = walk_.open(log.directories, ec);
    if (!directory) return;  // it is gone, or something else is in its place
    const Removal result = directory.remove(log.name, log.file, ec);
    if (result == Removal::in_use) ++report_.in_use;
    if (result == Removal::failed) fail(log.directories, log.name, ec);
    if (result != Removal::removed) return;
    ++report_.removed;
    report_.removed_bytes += log.file.status.size;
}

/// From the inside out, as long as the next is empty.
inline void LogPruner::remove_empty(Directories directories) {
    while (!directories.empty()) {
        const Name name = directories.back();
        directories.pop_back();
        error_code ec;
        const LogDirectory above = walk_.open(directories, ec);
        if (!above || !above.remove_directory(name)) return;
        ++report_.removed_directories;
    }
}

inline void LogPruner::fail(const Directories& directories, const Name& name, const error_code& error) {
    if (report_.failures++ > 0) return;
    report_.first_error = error;
    report_.first_failed = walk_.path_of(directories);
    if (!name.empty()) report_.first_failed /= name;
}

}  // namespace detail

WARDEN_INLINE PruneReport prune_logs(const std::filesystem::path& directory, const LogRetention& retention,
                                     std::chrono::system_clock::time_point now) {
    if (retention.validate().empty()) return detail::LogPruner(directory).run(retention, now);
    PruneReport report;
    report.failures = 1;
    report.first_error = errc::invalid_options;
    return report;
}

}  // namespace warden
#endif
