// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What Linux says of processes, for listings and reports: never a proof of who is who.
///
/// Thread-safety: safe. What vanishes while it is read is left out.

#include <warden/detail/system/host_system.hpp>
#include <warden/detail/system/procfs_linux.hpp>

#if WARDEN_OS_LINUX
#include <string>

namespace warden::detail {

using procfs::children;
using procfs::member;
using procfs::pipe_writer;

/// Why a process still lives though everything was done to end it.
[[nodiscard]] inline std::string why_alive(const TreeMember& member) {
    const std::string where = procfs::read_file("/proc/" + std::to_string(member.pid) + "/wchan", 256);
    if (member.escaped) return "escaped from its control group to " + procfs::control_group(member.pid);
    if (where.find("freeze") != std::string::npos || where.find("refrigerator") != std::string::npos)
        return "frozen by a control group (in " + where + ')';
    if (member.state == 'D') return "uninterruptible (D) in " + where;
    if (member.user != ::geteuid() && !is_superuser())
        return "runs as user " + std::to_string(member.user) + ", which this program may not signal";
    return "state " + std::string(1, member.state);
}

}  // namespace warden::detail
#endif
