// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What POSIX says of a process, for listings and reports, never as a proof of who is who: that it exists, its group
/// and its session.
///
/// Knows:         kill(2) with signal 0, getpgid(2), getsid(2).
/// Does not know: parents, commands, states, users, children, memory, who holds a pipe. No other program is asked.
/// Thread-safety: safe. What vanishes while it is looked at is left out.
/// Errors:        absent values.

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

/// The process by its pid alone, state '?'; nothing if it is gone. One that has ended and is not reaped still exists.
[[nodiscard]] inline std::optional<TreeMember> member(Pid pid);

/// Always empty.
[[nodiscard]] inline std::vector<Pid> children(Pid) { return {}; }

/// Always 0.
[[nodiscard]] inline Pid pipe_writer(const std::vector<Pid>&, std::uint64_t) { return 0; }

/// Words for a survivor: "exists, in process group 12 of session 12; this system tells no more".
[[nodiscard]] inline std::string why_alive(const TreeMember& member);

// -- implementation ----------------------------------------------------------

inline std::optional<TreeMember> member(Pid pid) {
    if (pid <= 0 || (::kill(pid, 0) != 0 && errno != EPERM)) return std::nullopt;
    TreeMember found;
    found.pid = pid;
    return found;
}

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
