// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Whether something of a detached process is left, that is: of its tree, or of what holds that.
///
/// Knows:         that a shim ends when its tree is empty; that a guardian ends when it has ended what a killed shim
///                left; that a process group has its number until its last member has ended.
/// Does not know: members of a process group that left it, where nothing stronger held them.
/// Thread-safety: safe. Signals nobody.
/// Errors:        `errc::already_running` if something is left, or if it cannot be told; `why` says what.
/// Waits:         until the deadline that it is given.

#include <warden/detail/detached/process_identity.hpp>
#include <warden/detail/detached/shim_client_posix.hpp>

#if WARDEN_OS_POSIX
#include <cerrno>
#include <csignal>
#include <string>

namespace warden::detail {

/// Waits until nothing is left. Not of one that runs: until then it would wait for its end.
[[nodiscard]] inline error_code await_tree_end(const RecordFiles& files, const DetachedInfo& info, SteadyTime deadline,
                                               std::string& why);

// -- implementation ----------------------------------------------------------

/// Where the system has no pidfds: a shim removes its socket when nothing is left, and hangs up when it ends.
[[nodiscard]] inline bool await_hangup(const RecordFiles& files, const Uuid& uuid, SteadyTime deadline) {
    for (;;) {
        error_code ec;
        const UniqueFd socket = connect_at({files.descriptor(), files.path()}, RecordFiles::socket_name_of(uuid), ec);
        if (is_no_shim(ec)) return true;
        if (ec || await_ready(socket.get(), POLLIN, deadline)) return false;
    }
}

/// Waits for the end of one of those that have an identity in the record.
[[nodiscard]] inline error_code await_end_of(const PidSpace& space, const ProcessIdentity& identity, const char* what,
                                             SteadyTime deadline, std::string& why) {
    if (identity.pid == 0) return {};
    const Sighting seen = look_for(space, identity);
    if (seen.presence == Presence::ended || seen.presence == Presence::other_boot) return {};
    if (seen.presence == Presence::alive && seen.pidfd && !await_ready(seen.pidfd.get(), POLLIN, deadline)) return {};
    why = std::string(what) + ", pid " + std::to_string(identity.pid) + ',';
    if (seen.presence == Presence::alive) why += " still runs";
    else why += " could not be checked: " + (seen.problem.empty() ? "it is of another namespace" : seen.problem);
    return errc::already_running;
}

inline error_code await_tree_end(const RecordFiles& files, const DetachedInfo& info, SteadyTime deadline,
                                 std::string& why) {
    const DetachedRecord& record = info.record;
    const PidSpace space = own_pid_space();
    error_code ec = await_end_of(space, record.shim, "its shim, which holds something that it started", deadline, why);
    if (ec && await_hangup(files, record.uuid, deadline)) ec.clear();
    if (!ec) ec = await_end_of(space, record.guardian, "what ends the rest of it", deadline, why);
    if (!ec) ec = await_end_of(space, record.process, "its first process", deadline, why);
    if (ec || record.guardian.pid != 0 || record.process.pid == 0 || info.state == DetachedState::gone) return ec;
    if (::kill(static_cast<pid_t>(-record.process.pid), 0) != 0 && errno == ESRCH) return {};
    why = "its process group, " + std::to_string(record.process.pid) + ", is not empty";
    return errc::already_running;
}

}  // namespace warden::detail
#endif
