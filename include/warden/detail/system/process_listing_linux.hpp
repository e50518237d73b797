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

inline std::optional<TreeMember> member(Pid pid, error_code& ec) { return procfs::member(pid, ec); }

inline std::vector<Pid> children(Pid pid, error_code& ec) { return procfs::children(pid, ec); }

inline Pid pipe_writer(const std::vector<Pid>& pids, std::uint64_t pipe) { return procfs::pipe_writer(pids, pipe); }

inline MemberDetails member_details(Pid pid) {
    MemberDetails details;
    const std::string directory = "/proc/" + std::to_string(pid);
    const auto target = [&](const char* link) {
        std::error_code failed;
        auto path = std::filesystem::read_symlink(directory + link, failed);
        if (failed) details.error = system_code(failed.value());
        return path;
    };
    details.executable = target("/exe");
    details.directory = target("/cwd");
    if (::access((directory + "/environ").c_str(), R_OK) != 0) details.error = system_code(errno);
    constexpr std::size_t max_environment_bytes = std::size_t{8} << 20;
    const std::string text = procfs::read_file(directory + "/environ", max_environment_bytes);
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\0', begin), text.size());
        if (end > begin) details.environment.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return details;
}

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
