// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Who a process is, by pidfds, the kernel's file system of pidfds, /proc and namespaces; see process_identity.hpp.
///
/// Thread-safety: safe.
/// Errors:        as answers.

#include <warden/detail/detached/process_identity.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_LINUX
#include <warden/detail/containment/cgroup_hierarchy_linux.hpp>
#include <warden/detail/containment/leader_table_linux.hpp>
#include <warden/detail/containment/pidfd_linux.hpp>
#include <warden/detail/launch/child_linux.hpp>
#include <warden/detail/system/procfs_linux.hpp>

#include <cerrno>
#include <string>
#include <utility>

#include <unistd.h>

namespace warden::detail {

inline PidSpace own_pid_space() {
    std::string boot = procfs::read_file("/proc/sys/kernel/random/boot_id");
    while (boot.ends_with('\n')) boot.pop_back();
    return {std::move(boot), own_namespaces()};
}

inline ProcessIdentity identify(const PidSpace& space, Pid pid, int pidfd) {
    const auto stat = procfs::read_stat(pid);
    return {pid, stat ? stat->start_ticks : 0, pidfs_number(pidfd), space.namespaces, space.boot_id};
}

inline ProcessIdentity own_identity() {
    const Pid self = ::getpid();
    const UniqueFd pidfd(static_cast<int>(raw(SYS_pidfd_open, self, 0)));
    return identify(own_pid_space(), self, pidfd.get());
}

/// Of a process that has the number, held by a pidfd, or not where a filter refuses those.
inline Sighting compare(const ProcessIdentity& wanted, UniqueFd pidfd) {
    const std::uint64_t inode = pidfs_number(pidfd.get());
    if (wanted.pidfs_inode != 0 && inode != 0) {
        if (inode != wanted.pidfs_inode) return {Presence::ended, {}, {}};
    } else {
        const auto stat = procfs::read_stat(wanted.pid);
        if (pidfd && has_ended_pidfd(pidfd.get())) return {Presence::ended, {}, {}};
        if (!stat || stat->start_ticks == 0 || wanted.start_ticks == 0)
            return {Presence::unknown, {}, "nothing tells it from another process with its number"};
        if (stat->start_ticks != wanted.start_ticks || (!pidfd && procfs::has_ended(*stat)))
            return {Presence::ended, {}, {}};
    }
    if (pidfd && has_ended_pidfd(pidfd.get())) return {Presence::ended, {}, {}};
    return {Presence::alive, std::move(pidfd), {}};
}

inline Sighting look_for(const PidSpace& space, const ProcessIdentity& wanted) {
    if (wanted.pid <= 0) return {Presence::unknown, {}, "its pid is not known"};
    if (space.boot_id.empty() || wanted.boot_id.empty())
        return {Presence::unknown, {}, "it is not known which start of the system its pid is of"};
    if (space.boot_id != wanted.boot_id) return {Presence::other_boot, {}, {}};
    if (space.namespaces == 0 || wanted.namespaces == 0)
        return {Presence::unknown, {}, "it is not known which namespace its pid is of"};
    if (space.namespaces != wanted.namespaces) return {Presence::other_namespace, {}, {}};
    const long opened = raw(SYS_pidfd_open, wanted.pid, 0);
    if (opened >= 0) return compare(wanted, UniqueFd(static_cast<int>(opened)));
    const int error = static_cast<int>(-opened);
    if (error == ESRCH || error == EINVAL || error == ENOENT) return {Presence::ended, {}, {}};  // nobody, or a thread
    if (error == EPERM || error == ENOSYS) return compare(wanted, {});                           // a filter
    return {Presence::unknown, {}, "pid " + std::to_string(wanted.pid) + ": " + system_code(error).message()};
}

}  // namespace warden::detail
#endif
