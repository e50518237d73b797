// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The place of this program in the hierarchy of control groups v2, and the groups there that belong to managers.
///
/// Knows:         where the hierarchy is mounted; that a manager holds a lock on its group, and a dead one does not.
/// Does not know: version 1 hierarchies, and groups of others.
/// Thread-safety: safe.
/// Errors:        errno, where a descriptor is missing; the system's codes.

#include <warden/detail/containment/guardian_process_linux.hpp>
#include <warden/detail/system/procfs_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

/// Where the cgroup v2 hierarchy is mounted, from mountinfo; empty if it is not.
[[nodiscard]] inline std::string cgroup_mount() {
    const std::string text = procfs::read_file("/proc/thread-self/mountinfo", 1 << 20);
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find('\n', at), text.size());
        const std::string_view line(text.data() + at, end - at);
        at = end + 1;
        const auto separator = line.find(" - cgroup2 ");
        if (separator == std::string_view::npos) continue;
        std::size_t begin = 0;
        for (int field = 0; field < 4; ++field) begin = line.find(' ', begin) + 1;
        return std::string(line.substr(begin, line.find(' ', begin) - begin));
    }
    return {};
}

/// A new group that says by a lock, flock(2), that its owner lives: it is held as long as the manager or its guardian.
/// Without a descriptor, errno says why.
[[nodiscard]] inline UniqueFd make_owned_group(int parent, const std::string& name) {
    for (int tries = 0; tries < 4; ++tries) {
        if (::mkdirat(parent, name.c_str(), 0755) != 0) return {};
        UniqueFd directory(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (directory && ::flock(directory.get(), LOCK_SH | LOCK_NB) == 0 &&
            ::faccessat(parent, name.c_str(), F_OK, 0) == 0) {
            return directory;
        }
        ::unlinkat(parent, name.c_str(), AT_REMOVEDIR);  // somebody swept it before it was locked
    }
    return {};
}

/// Empties and removes the groups of managers that were killed before, or together with, their guardians.
inline void sweep_stale_groups(int parent, const std::string& path) {
    procfs::for_each_entry(path, [&](std::string_view entry) {
        const std::string name(entry);
        if (name.rfind("warden-", 0) != 0) return;
        const UniqueFd directory(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
        struct stat status {};
        if (!directory || ::fstat(directory.get(), &status) != 0 || status.st_uid != ::geteuid()) return;
        if (::flock(directory.get(), LOCK_EX | LOCK_NB) != 0) return;  // its owner lives
        kill_group(directory.get());
        remove_groups_below(directory.get());
        ::unlinkat(parent, name.c_str(), AT_REMOVEDIR);  // one that is not empty yet is for the next who comes
    });
}

/// The members of a group and of those beneath it, by descriptors alone: /proc/self is empty once the first thread of
/// the program has ended. What could not be read is said by `ec`; a group that has gone meanwhile has no members.
inline void collect_members(int directory, int depth, std::vector<Pid>& found, error_code& ec) {
    const UniqueFd file(::openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC));
    error_code failed = file ? error_code() : system_code(errno);
    const std::string text = file ? procfs::read_open(file.get(), 1 << 22, failed) : std::string();
    if (failed && failed.value() != ENOENT && failed.value() != ENODEV) ec = failed;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find('\n', at), text.size());
        if (const auto pid = procfs::to_number<Pid>(std::string_view(text).substr(at, end - at))) found.push_back(*pid);
        at = end + 1;
    }
    if (depth >= 32) return;
    const auto open_below = [directory](const char* name) {
        return UniqueFd(::openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    };
    UniqueFd listing = open_below(".");
    if (!listing) failed = system_code(errno);
    else
        failed = procfs::for_each_entry(std::move(listing), [&](std::string_view name) {
            if (name.find('.') != std::string_view::npos) return;  // interface files all have one
            if (const UniqueFd below = open_below(std::string(name).c_str()))
                collect_members(below.get(), depth + 1, found, ec);
        });
    if (failed && failed.value() != ENOENT) ec = failed;
}

}  // namespace warden::detail
#endif
