// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What holds a process tree together, and what that promises, as data.
///
/// Knows:         the mechanisms by name, and their promises.
/// Does not know: how any of them works.
/// Thread-safety: values.

#include <warden/stream_output.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace warden {

/// The mechanisms. `automatic` takes the strongest that works here.
enum class Mechanism : std::uint8_t {
    automatic,
    cgroup,         ///< Linux control group v2, placed at birth, ended by `cgroup.kill`.
    keeper,         ///< Any Linux, no rights needed: a subreaper per tree that watches the host.
    process_group,  ///< Any POSIX system: `kill(2)` to the group.
    job_object,     ///< Windows Job Object, kill on close.
};

/// The name as it stands in `WARDEN_MECHANISM`; "auto" for `automatic`.
[[nodiscard]] constexpr std::string_view to_string(Mechanism mechanism) noexcept;

/// The mechanism in force and what it promises.
struct ContainmentReport {
    Mechanism mechanism = Mechanism::automatic;
    bool covers_setsid = false;       ///< Descendants that left the process group or session, also by double fork.
    bool covers_host_crash = false;   ///< Nothing lives on when the host ends, however it ends.
    bool covers_other_users = false;  ///< Members that run as another user (set-user-id helpers) are ended too.
    std::string why_not_stronger{};   ///< What kept a stronger mechanism away, and
                                      ///< how to get it; empty for the best.

    friend bool operator==(const ContainmentReport&, const ContainmentReport&) = default;
};

/// The least that a process demands of its containment. What is not available fails the start with
/// `errc::containment_unavailable`; nothing is weakened silently.
struct ContainmentDemand {
    Mechanism mechanism = Mechanism::automatic;  ///< This one and no other; `automatic` for any.
    bool covers_setsid = false;
    bool covers_host_crash = false;
    bool covers_other_users = false;

    friend bool operator==(const ContainmentDemand&, const ContainmentDemand&) = default;
};

/// Whether `report` promises all that `demand` asks for.
[[nodiscard]] constexpr bool meets(const ContainmentReport& report, const ContainmentDemand& demand) noexcept {
    return (demand.mechanism == Mechanism::automatic || demand.mechanism == report.mechanism) &&
           (report.covers_setsid || !demand.covers_setsid) && (report.covers_host_crash || !demand.covers_host_crash) &&
           (report.covers_other_users || !demand.covers_other_users);
}

// -- implementation ----------------------------------------------------------
namespace detail {
inline constexpr std::array<std::string_view, 5> mechanism_names{"auto", "cgroup", "keeper", "process_group",
                                                                 "job_object"};
static_assert(mechanism_names.size() == static_cast<std::size_t>(Mechanism::job_object) + 1);
}  // namespace detail

constexpr std::string_view to_string(Mechanism mechanism) noexcept {
    return detail::mechanism_names[static_cast<std::size_t>(mechanism)];
}

}  // namespace warden
