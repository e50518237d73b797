// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Who a process is, kept so that another program can prove later, also after the number of the process was given to
/// another one, that it found the same process. In doubt it is not the same.
///
/// Knows:         which system this is, and what each says of a process.
/// Does not know: records.
/// Thread-safety: safe.
/// Errors:        as answers: what cannot be proven is `unknown`, never "ended".

#include <warden/detached/record.hpp>
#include <warden/error.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/system/unique_fd_posix.hpp>

#include <cstdint>
#include <string>

namespace warden::detail {

/// What was found of a process.
enum class Presence : std::uint8_t {
    alive,            ///< It was proven to be the same process, which has not ended.
    ended,            ///< It has ended, or its number belongs to another process.
    other_boot,       ///< The system was started again since.
    other_namespace,  ///< Its number holds in another pid or time namespace.
    unknown,          ///< The system does not say.
};

struct Sighting {
    Presence presence = Presence::unknown;
    UniqueFd pidfd{};       ///< Of a process that is alive, where the system has pidfds: signal it by this only.
    std::string problem{};  ///< Why it is unknown.
};

/// What the numbers of processes mean here and now.
struct PidSpace {
    std::string boot_id{};
    std::uint64_t namespaces = 0;
};
[[nodiscard]] inline PidSpace own_pid_space();

/// The identity of a process that has not been reaped: this one, or a child. `pidfd` is one of it, or -1.
[[nodiscard]] inline ProcessIdentity identify(const PidSpace& space, Pid pid, int pidfd);
/// Of this process.
[[nodiscard]] inline ProcessIdentity own_identity();

/// Looks for the process. Signals nobody.
[[nodiscard]] inline Sighting look_for(const PidSpace& space, const ProcessIdentity& wanted);

}  // namespace warden::detail

#include <warden/detail/detached/process_identity_linux.hpp>
#include <warden/detail/detached/process_identity_portable.hpp>
#endif
