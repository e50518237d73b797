// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a child inherits from its parent besides descriptors, so that a child of a keeper gets it from the thread that
/// starts it instead.
///
/// Knows:         resource limits, nice value, umask, user, groups and processors, which go with the launch request;
/// and
///                what cannot go with it, so that a keeper is taken that has the same: see confinement_linux.hpp.
/// Does not know: keepers.
/// Thread-safety: safe.

#include <warden/detail/containment/confinement_linux.hpp>
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
    std::vector<unsigned long> processors;  ///< The mask of sched_setaffinity(2).
    Confinement confinement;
    error_code unreadable;  ///< Why not all of it is known; then nothing is to be launched by it.
};

/// Reads them, also after the program has changed its root directory.
class InheritedReader {
public:
    InheritedReader() : proc_(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC)) {
        common_filters_ = status_line(procfs::read_file_at(proc_.get(), "thread-self/status"), "Seccomp_filters:");
    }

    /// Those of the calling thread at this moment.
    [[nodiscard]] InheritedAttributes read() const;

private:
    UniqueFd proc_;
    std::string common_filters_;
};

// -- implementation ----------------------------------------------------------

inline InheritedAttributes InheritedReader::read() const {
    InheritedAttributes now;
    for (std::size_t i = 0; i < now.limits.size(); ++i) {
        if (::getrlimit(static_cast<decltype(RLIMIT_CPU)>(i), &now.limits[i]) != 0) now.unreadable = system_code(errno);
    }
    errno = 0;
    now.nice = ::getpriority(PRIO_PROCESS, 0);
    if (now.nice == -1 && errno != 0) now.unreadable = system_code(errno);
    now.user = ::geteuid();
    now.group = ::getegid();
    now.groups.resize(64);
    int count = ::getgroups(64, now.groups.data());
    if (count < 0) {
        now.groups.resize(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
        count = ::getgroups(static_cast<int>(now.groups.size()), now.groups.data());
    }
    if (count < 0) now.unreadable = system_code(errno);
    now.groups.resize(static_cast<std::size_t>(std::max(count, 0)));
    now.processors.resize(1024 / sizeof(unsigned long));  // 8,192 processors, the kernel's NR_CPUS at most
    const std::size_t mask_bytes = now.processors.size() * sizeof(unsigned long);
    const long used = raw(SYS_sched_getaffinity, 0, mask_bytes, now.processors.data());
    now.processors.resize(used > 0 ? static_cast<std::size_t>(used) / sizeof(unsigned long) : 0);
    const std::string status = procfs::read_file_at(proc_.get(), "thread-self/status");
    if (const auto line = status_line(status, "Umask:\t"); !line.empty()) {
        now.umask = static_cast<std::int32_t>(std::strtol(line.data() + 7, nullptr, 8));
    }
    now.confinement = read_confinement(proc_.get(), status, common_filters_);
    return now;
}

}  // namespace warden::detail
#endif
