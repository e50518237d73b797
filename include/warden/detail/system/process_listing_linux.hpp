// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What Linux says of processes, by /proc; see process_listing.hpp.

#include <warden/detail/system/host_system.hpp>
#include <warden/detail/system/process_listing.hpp>
#include <warden/detail/system/procfs_linux.hpp>

#if WARDEN_OS_LINUX
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace warden::detail {

inline std::optional<TreeMember> member(Pid pid) { return procfs::member(pid); }

inline std::vector<Pid> children(Pid pid) { return procfs::children(pid); }

inline Pid pipe_writer(const std::vector<Pid>& pids, std::uint64_t pipe) { return procfs::pipe_writer(pids, pipe); }

inline std::string why_alive(const TreeMember& member) {
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
