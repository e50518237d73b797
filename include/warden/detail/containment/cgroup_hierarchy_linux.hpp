// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The place of this program in the hierarchy of control groups v2, and the groups there that belong to managers.
///
/// Knows:         where the hierarchy is mounted; that the name of a manager's group says which process made it.
/// Does not know: version 1 hierarchies, and groups of others.
/// Thread-safety: safe.
/// Errors:        errno, where a descriptor is missing. Whose owner cannot be proven to have ended is left alone.

#include <warden/detail/containment/cgroup_files_linux.hpp>
#include <warden/detail/containment/leader_table_linux.hpp>
#include <warden/detail/system/procfs_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

/// Where the cgroup v2 hierarchy is mounted, from mountinfo; empty if it is not.
[[nodiscard]] inline std::string cgroup_mount();

/// What tells a process from all others that had or will have its number.
enum class IdentityKind : char {
    pidfs = 'p',  ///< The number of a pidfd of it in the kernel's file system of pidfds (Linux 6.9).
    start = 's',  ///< The tick of its start: where there is no such number, or a filter refuses pidfds.
};
/// 0 if it is not known.
[[nodiscard]] inline std::uint64_t process_identity(IdentityKind kind, Pid pid, int pidfd);

/// The name of a group of this process: `name`, this process, its identity, and the namespaces where they hold.
[[nodiscard]] inline std::string owned_group_name(const std::string& name);

/// Empties and removes the groups of managers that were killed before, or together with, their guardians. That the
/// owner has ended is taken from the name of the group, which stands from its birth on and cannot be changed.
inline void sweep_stale_groups(int parent, const std::string& path);

// -- implementation ----------------------------------------------------------

inline std::string cgroup_mount() {
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

inline std::uint64_t process_identity(IdentityKind kind, Pid pid, int pidfd) {
    if (kind == IdentityKind::pidfs) return pidfs_number(pidfd);
    const auto stat = procfs::read_stat(pid);
    return stat ? stat->start_ticks : 0;
}

/// The pid namespace of this process and its time namespace, which shifts the ticks, as a number; 0 if not known.
[[nodiscard]] inline std::uint64_t own_namespaces() noexcept {
    struct stat pids {};
    struct stat time {};
    if (::stat("/proc/thread-self/ns/pid", &pids) != 0) return 0;
    if (::stat("/proc/thread-self/ns/time", &time) != 0) time.st_ino = 0;  // before Linux 5.6 there are none
    return static_cast<std::uint64_t>(time.st_ino) << 32 | static_cast<std::uint32_t>(pids.st_ino);
}

inline std::string owned_group_name(const std::string& name) {
    const Pid self = ::getpid();
    const UniqueFd held(static_cast<int>(raw(SYS_pidfd_open, self, 0)));
    const IdentityKind kind = pidfs_number(held.get()) != 0 ? IdentityKind::pidfs : IdentityKind::start;
    char owner[80];
    std::snprintf(owner, sizeof owner, ".%lld.%c%llx.%llx", static_cast<long long>(self), static_cast<char>(kind),
                  static_cast<unsigned long long>(process_identity(kind, self, held.get())),
                  static_cast<unsigned long long>(own_namespaces()));
    return name + owner;
}

/// Whether the process that made the group of that name has surely ended.
[[nodiscard]] inline bool has_owner_ended(const std::string& name) {
    long long pid = 0;
    char letter = 0;
    unsigned long long identity = 0;
    unsigned long long space = 0;
    const auto at = name.find('.');
    if (at == std::string::npos ||
        std::sscanf(name.c_str() + at, ".%lld.%c%llx.%llx", &pid, &letter, &identity, &space) != 4)
        return false;
    const auto kind = static_cast<IdentityKind>(letter);
    if (kind != IdentityKind::pidfs && kind != IdentityKind::start) return false;
    if (space == 0 || space != own_namespaces() || identity == 0 || pid <= 0) return false;
    const long held = raw(SYS_pidfd_open, pid, 0);
    if (held == -ESRCH || held == -EINVAL || held == -ENOENT) return true;  // nobody, or a thread, has the number
    if (held < 0) return false;
    const UniqueFd holds(static_cast<int>(held));
    const std::uint64_t now = process_identity(kind, static_cast<Pid>(pid), static_cast<int>(held));
    if (now != 0 && now != identity) return true;
    struct pollfd ended = {static_cast<int>(held), POLLIN, 0};
    return ::poll(&ended, 1, 0) == 1;  // and nobody has reaped it yet
}

/// Empties the group; what takes long to die is left for the next who comes.
inline void end_stale_group(int parent, int group, const std::string& name) {
    const UniqueFd events(static_cast<int>(open_in_group(group, "cgroup.events", O_RDONLY)));
    for (int round = 0; round < 8; ++round) {
        kill_group(group);
        if (round > 0) kill_listed(group, name.c_str());
        remove_groups_below(group);
        if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0) return;
        char text[128];
        static_cast<void>(!::pread(events.get(), text, sizeof text, 0));  // arms the notification
        struct pollfd changed = {events.get(), POLLPRI, 0};
        ::poll(&changed, 1, 5);
    }
}

inline void sweep_stale_groups(int parent, const std::string& path) {
    procfs::for_each_entry(path, [&](std::string_view entry) {
        const std::string name(entry);
        if (name.rfind("warden-", 0) != 0) return;
        struct stat status {};
        if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode) ||
            status.st_uid != ::geteuid() || !has_owner_ended(name)) {
            return;
        }
        const UniqueFd directory(static_cast<int>(open_in_group(parent, name.c_str(), O_RDONLY | O_DIRECTORY)));
        if (directory) end_stale_group(parent, directory.get(), name);
    });
}

}  // namespace warden::detail
#endif
