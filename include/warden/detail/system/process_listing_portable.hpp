// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What POSIX says of a process, by kill(2) with signal 0, getpgid(2) and getsid(2): that it exists, its group and its
/// session; see process_listing.hpp. No other program is asked.

#include <warden/detail/system/process_listing.hpp>
#include <warden/fwd.hpp>
#include <warden/platform.hpp>
#include <warden/process_info.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <signal.h>
#include <unistd.h>

namespace warden::detail {

inline std::vector<Pid> children(Pid, error_code& ec) {
    ec.clear();
    return {};
}

inline Pid pipe_writer(const std::vector<Pid>&, std::uint64_t) { return 0; }

inline MemberDetails member_details(Pid) {  // POSIX has no call that tells
    return {.error = make_error_code(boost::system::errc::operation_not_supported)};
}

/// The process by its pid alone, state '?'.
inline std::optional<TreeMember> member(Pid pid, error_code& ec) {
    ec.clear();
    if (pid <= 0 || (::kill(pid, 0) != 0 && errno != EPERM)) return std::nullopt;
    TreeMember found;
    found.pid = pid;
    return found;
}

/// "exists, in process group 12 of session 12; this system tells no more"
inline std::string why_alive(const TreeMember& member) {
    if (member.pid <= 0) return "gone by now";
    if (::kill(member.pid, 0) != 0) {
        return errno == EPERM ? "runs as another user, whom this program may not signal" : "gone by now";
    }
    std::string words = "exists";
    const pid_t group = ::getpgid(member.pid);
    const pid_t session = ::getsid(member.pid);
    if (group > 0) words += ", in process group " + std::to_string(group);
    if (group > 0 && session > 0) words += " of session " + std::to_string(session);
    return words + "; this system tells no more";
}

}  // namespace warden::detail
#endif
