// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Who a process is, on POSIX systems without pidfds: only that a number is not in use can be proven; see
/// process_identity.hpp.
///
/// Thread-safety: safe.
/// Errors:        as answers.

#include <warden/detail/detached/process_identity.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <cerrno>
#include <csignal>

#include <unistd.h>

namespace warden::detail {

inline PidSpace own_pid_space() { return {}; }

inline ProcessIdentity identify(const PidSpace&, Pid pid, int) {
    ProcessIdentity identity;
    identity.pid = pid;
    return identity;
}

inline ProcessIdentity own_identity() { return identify({}, static_cast<Pid>(::getpid()), -1); }

inline Sighting look_for(const PidSpace&, const ProcessIdentity& wanted) {
    if (wanted.pid <= 0) return {Presence::unknown, {}, "its pid is not known"};
    if (::kill(wanted.pid, 0) != 0 && errno == ESRCH) return {Presence::ended, {}, {}};
    return {Presence::unknown, {}, "nothing tells it from another process with its number"};
}

}  // namespace warden::detail
#endif
