// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What is recorded of a detached process, so that any later program of the same user finds it: values.
///
/// Knows:         the fields, and which of them say who a process is.
/// Does not know: files, JSON, whether the process lives.
/// Thread-safety: values.

#include <warden/command_line.hpp>
#include <warden/containment.hpp>
#include <warden/exit_status.hpp>
#include <warden/fwd.hpp>
#include <warden/output/log_format.hpp>
#include <warden/output/log_limits.hpp>
#include <warden/process_info.hpp>
#include <warden/resource_limits.hpp>
#include <warden/stop_plan.hpp>
#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace warden {

/// The state of a detached process. A record holds one of the first four; the others are found by looking at it.
enum class DetachedState : std::uint8_t {
    starting,  ///< Its program has not been executed yet.
    running,
    stopping,  ///< A stop plan runs.
    exited,    ///< `DetachedRecord::exit` says how.
    lost,      ///< Its shim ended without recording how the process ended.
    gone,      ///< The system was restarted while it ran.
    corrupt,   ///< The record cannot be read, or contradicts itself.
    foreign,   ///< The record belongs to another user, another pid namespace or a newer version, or is no plain file.
};

/// The name of the enumerator, as it stands in records.
[[nodiscard]] constexpr std::string_view to_string(DetachedState state) noexcept;

/// The version of the records that this library writes, and the newest that it reads.
inline constexpr int detached_record_version = 1;

/// What tells a process from all others that had or will have its number. What is not known is 0, or empty.
struct ProcessIdentity {
    Pid pid = 0;
    std::uint64_t start_ticks = 0;  ///< `starttime` of proc(5): clock ticks after the system started.
    std::uint64_t pidfs_inode = 0;  ///< The inode of its pidfd, which no other process ever has (Linux 6.9).
    std::uint64_t namespaces = 0;   ///< Where the pid and the ticks hold: pid namespace, and above it time namespace.
    std::string boot_id{};          ///< `/proc/sys/kernel/random/boot_id`

    friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

/// How a detached process ended.
struct DetachedExit {
    ExitStatus status{};
    ExitCause cause = ExitCause::unknown;
    std::chrono::system_clock::time_point at{};
    ResourceUsage usage{};
    std::string reason{};        ///< That of the stop, if it had one; or why a start failed.
    std::string hook_problem{};  ///< How `SpawnOptions::end_hook` failed; empty if it did not, or still runs.

    friend bool operator==(const DetachedExit&, const DetachedExit&) = default;
};

/// One detached process. Values of the environment are never recorded here; what `restart` needs of them is beside the
/// record, in `<uuid>.request`.
struct DetachedRecord {
    int version = detached_record_version;
    Uuid uuid{};
    std::string type{};
    std::string name{};
    CommandLine command{};
    std::map<std::string, std::string> metadata{};
    std::filesystem::path working_directory{};
    DetachedState state = DetachedState::starting;
    ProcessIdentity starter{};  ///< The program that asked for the process.
    ProcessIdentity shim{};     ///< Who holds the process; pid 0 before that one has begun.
    ProcessIdentity process{};  ///< The leader; pid 0 before its program has been executed.
    /// What ends the tree if the shim is killed, and then ends itself; pid 0 if nothing does.
    ProcessIdentity guardian{};
    std::chrono::system_clock::time_point started_at{};
    std::filesystem::path log_path{};  ///< Absolute; empty if nothing is logged.
    std::filesystem::path error_log_path{};
    Mechanism mechanism = Mechanism::automatic;  ///< What holds the tree.
    std::string control_group{};                 ///< The absolute path of its control group; empty if it has none.
    Timeout timeout = no_timeout;
    StopPlan stop_plan = StopPlan::standard();  ///< Without steps of the kind `call`, which no other program can take.
    ResourceLimits limits{};
    LogLimits log_limits{};
    OnLimit on_limit{};
    LogFormat log_format = LogFormat::raw;
    bool survive_shim = false;  ///< The tree lives on if the shim is killed.
    std::optional<Uuid> restarted_from{};
    std::optional<DetachedExit> exit{};  ///< Set if, and only if, the state is `exited`.

    friend bool operator==(const DetachedRecord&, const DetachedRecord&) = default;
};

/// A record, and what could be found out about its process when it was looked at.
struct DetachedInfo {
    DetachedRecord record{};  ///< As far as it could be read.
    DetachedState state = DetachedState::corrupt;
    std::string problem{};       ///< Why it is lost, gone, corrupt or foreign; or what could not be checked.
    bool process_alive = false;  ///< It was proven that the leader lives; also of one that is `lost`.
    std::filesystem::path file{};

    /// Something of it may live: starting, running or stopping.
    [[nodiscard]] bool is_active() const noexcept { return state <= DetachedState::stopping; }

    /// From its start to `now` or to its end. Zero if its end is not known.
    [[nodiscard]] Nanoseconds runtime(std::chrono::system_clock::time_point now) const noexcept;
};

// -- implementation ----------------------------------------------------------
namespace detail {
inline constexpr std::array<std::string_view, 8> detached_state_names{"starting", "running", "stopping", "exited",
                                                                      "lost",     "gone",    "corrupt",  "foreign"};
static_assert(detached_state_names.size() == static_cast<std::size_t>(DetachedState::foreign) + 1);
}  // namespace detail

constexpr std::string_view to_string(DetachedState state) noexcept {
    return detail::detached_state_names[static_cast<std::size_t>(state)];
}

inline Nanoseconds DetachedInfo::runtime(std::chrono::system_clock::time_point now) const noexcept {
    if (!record.exit && !is_active() && !process_alive) return {};
    const auto end = record.exit ? record.exit->at : now;
    return std::max(Nanoseconds(end - record.started_at), Nanoseconds::zero());  // a clock that was set back
}

}  // namespace warden
