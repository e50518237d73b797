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

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/posix/stream_mark.hpp>
#include <warden/detail/unique_handle.hpp>
#include <warden/error.hpp>
#include <warden/output/log_options.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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
/// `LogSink`; so there are none where the file system has no extended attributes. One that somebody writes stays, but
/// counts. What a crash left of a compaction goes first. Directories that become empty go too, except `directory`
/// itself. Never follows a symbolic link below `directory`.
inline PruneReport prune_logs(const std::filesystem::path& directory, const LogRetention& retention = {},
                              std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

// -- implementation ----------------------------------------------------------
namespace detail {

struct StoredLog {
    std::vector<std::string> directories;  // that lead to it
    std::string name;
    struct ::stat status {};

    [[nodiscard]] std::chrono::system_clock::time_point written() const noexcept {
        using namespace std::chrono;
        const auto since_epoch = seconds(status.st_mtim.tv_sec) + nanoseconds(status.st_mtim.tv_nsec);
        return system_clock::time_point(duration_cast<system_clock::duration>(since_epoch));
    }
};

/// One run over a directory.
class LogPruner {
public:
    explicit LogPruner(std::filesystem::path root) : root_(std::move(root)) {}

    PruneReport run(const LogRetention& retention, std::chrono::system_clock::time_point now);

private:
    static constexpr std::size_t most_levels = 8;
    static constexpr int directory_flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC;
    using Directories = std::vector<std::string>;

    [[nodiscard]] UniqueFd open_directory(const Directories& directories) const noexcept;
    void find(UniqueFd directory, Directories& directories);
    void look_at(int directory, const Directories& directories, const std::string& name);
    void remove(const StoredLog& log);
    void remove_empty(Directories directories);
    void fail(const Directories& directories, std::string_view name, int error);
    /// The temporary file of a compaction or rotation, which a crash left if nobody holds it.
    [[nodiscard]] static bool is_leftover(std::string_view name) noexcept {
        return name.starts_with('.') && name.ends_with(".tmp");
    }
    static UniqueFd open_log(int directory, const std::string& name, struct ::stat& status) noexcept;

    std::filesystem::path root_;
    std::vector<StoredLog> logs_;
    PruneReport report_;
};

inline PruneReport LogPruner::run(const LogRetention& retention, std::chrono::system_clock::time_point now) {
    Directories none;
    UniqueFd root = open_directory(none);
    if (!root) {
        fail(none, {}, errno);
        return report_;
    }
    find(std::move(root), none);
    report_.found = logs_.size();
    std::sort(logs_.begin(), logs_.end(), [](const auto& a, const auto& b) {
        const bool first = is_leftover(a.name);
        return first != is_leftover(b.name) ? first : a.written() < b.written();
    });
    std::set<Directories> emptier;
    for (const StoredLog& log : logs_) {
        if (is_leftover(log.name)) {
            remove(log);
            continue;
        }
        const bool old = retention.max_age.count() > 0 && now - log.written() > retention.max_age;
        const bool too_many = retention.max_files > 0 && report_.found - report_.removed > retention.max_files;
        if (!old && !too_many) break;
        const std::size_t before = report_.removed;
        remove(log);
        if (report_.removed > before) emptier.insert(log.directories);
    }
    for (const Directories& directories : emptier) remove_empty(directories);
    return report_;
}

/// Each level is opened from the one above it, so that no link leads away.
inline UniqueFd LogPruner::open_directory(const Directories& directories) const noexcept {
    UniqueFd directory(::open(root_.c_str(), directory_flags));
    for (const std::string& name : directories) {
        if (directory) directory.reset(::openat(directory.get(), name.c_str(), directory_flags | O_NOFOLLOW));
    }
    return directory;
}

inline void LogPruner::find(UniqueFd directory, Directories& directories) {
    const std::unique_ptr<::DIR, int (*)(::DIR*)> entries(::fdopendir(directory.get()), &::closedir);
    if (!entries) return fail(directories, {}, errno);
    const int fd = directory.release();
    while (const ::dirent* entry = ::readdir(entries.get())) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") look_at(fd, directories, name);
    }
}

inline void LogPruner::look_at(int directory, const Directories& directories, const std::string& name) {
    struct ::stat status {};
    if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return;  // it is gone
    if (S_ISDIR(status.st_mode) && directories.size() < most_levels) {
        Directories below = directories;
        below.push_back(name);
        UniqueFd fd(::openat(directory, name.c_str(), directory_flags | O_NOFOLLOW));
        if (fd) find(std::move(fd), below);
        else if (errno != ENOENT) fail(below, {}, errno);
    } else if (S_ISREG(status.st_mode)) {
        if (const UniqueFd log = open_log(directory, name, status)) logs_.push_back({directories, name, status});
    }
}

/// Nothing unless it is a log, which may be removed as far as can be seen.
inline UniqueFd LogPruner::open_log(int directory, const std::string& name, struct ::stat& status) noexcept {
    constexpr int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return {};
    if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || status.st_nlink != 1) return {};
    UniqueFd log(::openat(directory, name.c_str(), flags));
    if (!log || ::fstat(log.get(), &status) != 0 || !S_ISREG(status.st_mode) || !read_mark(log.get())) return {};
    return log;
}

inline void LogPruner::remove(const StoredLog& log) {
    struct ::stat status {};
    struct ::stat named {};
    const UniqueFd directory = open_directory(log.directories);
    if (!directory) return;  // it is gone, or something else is in its place
    const UniqueFd fd = open_log(directory.get(), log.name, status);
    const auto same = [](const struct ::stat& a, const struct ::stat& b) {
        return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    };
    if (!fd || !same(status, log.status)) return;
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        ++report_.in_use;
        return;
    }
    // Looked at once more under the lock: it may have been replaced, continued and left again meanwhile.
    if (::fstatat(directory.get(), log.name.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0 || !same(named, log.status) ||
        named.st_nlink != 1 || named.st_mtim.tv_sec != log.status.st_mtim.tv_sec ||
        named.st_mtim.tv_nsec != log.status.st_mtim.tv_nsec) {
        return;
    }
    if (::unlinkat(directory.get(), log.name.c_str(), 0) != 0) return fail(log.directories, log.name, errno);
    ++report_.removed;
    report_.removed_bytes += static_cast<std::uint64_t>(named.st_size);
}

/// From the inside out, as long as the next is empty.
inline void LogPruner::remove_empty(Directories directories) {
    while (!directories.empty()) {
        const std::string name = directories.back();
        directories.pop_back();
        const UniqueFd above = open_directory(directories);
        if (!above || ::unlinkat(above.get(), name.c_str(), AT_REMOVEDIR) != 0) return;
        ++report_.removed_directories;
    }
}

inline void LogPruner::fail(const Directories& directories, std::string_view name, int error) {
    if (report_.failures++ > 0) return;
    report_.first_error = system_code(error);
    report_.first_failed = root_;
    for (const std::string& part : directories) report_.first_failed /= part;
    if (!name.empty()) report_.first_failed /= name;
}

}  // namespace detail

inline PruneReport prune_logs(const std::filesystem::path& directory, const LogRetention& retention,
                              std::chrono::system_clock::time_point now) {
    if (retention.mistakes().empty()) return detail::LogPruner(directory).run(retention, now);
    PruneReport report;
    report.failures = 1;
    report.first_error = errc::invalid_options;
    return report;
}

}  // namespace warden
#endif
