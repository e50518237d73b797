// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What killed programs have left beside the records: temporary files, sockets and requests of which there is no
/// record, locks that nobody holds. Each is of an hour ago, so that no file of a start that is under way is among them.
///
/// Does not know: records, which say themselves when they are stale.
/// Thread-safety: safe, also among processes.
/// Errors:        of the directory, by code. What cannot be removed stays.

#include <warden/detail/detached/name_lock_posix.hpp>
#include <warden/detail/detached/record_files.hpp>

#if WARDEN_OS_POSIX
#include <cstddef>
#include <ctime>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

/// Removes them. How many.
inline std::size_t remove_leftovers(const RecordFiles& files, error_code& ec);

// -- implementation ----------------------------------------------------------

/// Whether the file serves a process of which there is no record. An error of looking is "no".
[[nodiscard]] inline bool is_without_record(const RecordFiles& files, std::string_view name) {
    for (const std::string_view suffix : {RecordFiles::socket_suffix, RecordFiles::request_suffix}) {
        if (!name.ends_with(suffix)) continue;
        const std::string record = std::string(name.substr(0, name.size() - suffix.size())).append(RecordFiles::suffix);
        struct ::stat status {};
        return ::fstatat(files.descriptor(), record.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
    }
    return false;
}

inline std::size_t remove_leftovers(const RecordFiles& files, error_code& ec) {
    constexpr std::time_t patience = 3600;
    std::size_t removed = 0;
    ec = files.for_each_name([&](std::string_view entry) {
        const bool is_lock = entry.starts_with(RecordFiles::lock_prefix);
        if (!is_lock && !entry.starts_with(temporary_record_prefix) && !is_without_record(files, entry)) return true;
        const std::string name(entry);
        struct ::stat status {};
        const bool is_old = ::fstatat(files.descriptor(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                            status.st_mtime + patience < std::time(nullptr);
        if (!is_old) return true;
        error_code held;
        if (is_lock) removed += NameLock::acquire_file(files, name, SteadyTime::min(), held) ? 1 : 0;  // and lets go
        else removed += ::unlinkat(files.descriptor(), name.c_str(), 0) == 0 ? 1 : 0;
        return true;
    });
    return removed;
}

}  // namespace warden::detail
#endif
