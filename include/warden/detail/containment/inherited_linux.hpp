// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a child inherits from its parent besides descriptors, so that a child of a keeper gets it from the host
/// instead.
///
/// Knows:         resource limits, nice value, umask, user and groups; as they are at this moment, not as they were at
/// the guardian's fork. Does not know: scheduling policies, affinities, namespaces: those are of the moment when the
/// manager was made. Thread-safety: safe.

#include <warden/detail/system/procfs_linux.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include <grp.h>
#include <sys/resource.h>
#include <unistd.h>

namespace warden::detail {

struct InheritedAttributes {
    std::array<struct rlimit, RLIM_NLIMITS> limits{};
    std::int32_t nice = 0;
    std::int32_t umask = -1;  ///< -1: unknown, for want of /proc.
    uid_t user = 0;           ///< Effective, as are the groups: a host that gave up rights does not get them back so.
    gid_t group = 0;
    std::vector<gid_t> groups;
};

[[nodiscard]] inline InheritedAttributes read_inherited() {
    InheritedAttributes now;
    for (std::size_t i = 0; i < now.limits.size(); ++i) {
        ::getrlimit(static_cast<decltype(RLIMIT_CPU)>(i), &now.limits[i]);
    }
    now.nice = ::getpriority(PRIO_PROCESS, 0);
    now.user = ::geteuid();
    now.group = ::getegid();
    now.groups.resize(64);
    int count = ::getgroups(64, now.groups.data());
    if (count < 0) {
        now.groups.resize(static_cast<std::size_t>(::getgroups(0, nullptr)));
        count = ::getgroups(static_cast<int>(now.groups.size()), now.groups.data());
    }
    now.groups.resize(static_cast<std::size_t>(std::max(count, 0)));
    const std::string status = procfs::read_file("/proc/self/status", 128);
    if (const auto at = status.find("\nUmask:\t"); at != std::string::npos) {
        now.umask = static_cast<std::int32_t>(std::strtol(status.c_str() + at + 8, nullptr, 8));
    }
    return now;
}

}  // namespace warden::detail
#endif
