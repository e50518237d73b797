// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Starts a detached process again: the same request to a shim, a new uuid.
///
/// Knows:         the request that the shim kept beside the record.
/// Does not know: how the old one was stopped.
/// Thread-safety: safe, also among processes: under the lock of the name.
/// Errors:        system_error in words; SpawnError of the start.

#include <warden/detail/detached/one_of_name_posix.hpp>
#include <warden/detail/detached/shim_launch_posix.hpp>

#include <boost/uuid/uuid_io.hpp>

#if WARDEN_OS_POSIX
#include <string>

namespace warden::detail {

/// What `uuid` was started by. @throws system_error errc::not_found if it was not kept; or what is wrong with it.
[[nodiscard]] inline ShimRequest kept_request(const Registry& registry, const Uuid& uuid) {
    const std::string name = RecordFiles::request_name_of(uuid);
    const RecordText found = registry.files().read(name, max_shim_line);
    const std::string path = "'" + (registry.files().path() / name).string() + "' ";
    if (found.kind == RecordText::Kind::none)
        throw system_error(errc::not_found, path + "is missing, by which it would be started again");
    if (found.kind != RecordText::Kind::text) throw system_error(system_code(EPERM), path + found.reason);
    ShimRequest request = read_request(found.text);
    if (request.uuid != uuid) throw system_error(errc::invalid_options, path + "is of another process");
    return request;
}

/// @throws system_error errc::timed_out if another program holds it for longer than `name_lock_patience`.
[[nodiscard]] inline NameLock lock_name(const Registry& registry, const std::string& name) {
    error_code ec;
    const SteadyTime deadline = deadline_after(SteadyTime::clock::now(), name_lock_patience);
    NameLock lock = NameLock::acquire(registry.files(), name, deadline, ec);
    if (ec) throw system_error(ec, "another program is starting a process of the name '" + name + "'");
    return lock;
}

/// @throws system_error errc::already_running if it was started again already, and that one runs.
inline void refuse_second_restart(const Registry& registry, const Uuid& uuid) {
    error_code ec;
    const auto successor = find_successor(registry, uuid, ec);
    if (ec) throw system_error(ec, "restart");
    if (successor)
        throw system_error(errc::already_running, "it was restarted as " + uuid_text(successor->record.uuid));
}

}  // namespace warden::detail
#endif
