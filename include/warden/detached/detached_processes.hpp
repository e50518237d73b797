// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The detached processes of a data directory: starts them, lists them, finds them.
///
/// Knows:         the settings of the manager that it was made by.
/// Does not know: the processes of that manager, and they do not know of these.
/// Thread-safety: safe.
/// Errors:        SpawnError from `spawn`; else system_error, or `error_code& ec` last.

#include <warden/command_line.hpp>
#include <warden/detached/detached_process.hpp>
#include <warden/detached/record.hpp>
#include <warden/manager_config.hpp>
#include <warden/spawn_options.hpp>

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

class DetachedProcesses {
public:
    /// `ProcessManager::detached()` gives those of a manager; a program without one makes its own.
    explicit DetachedProcesses(ManagerConfig config = ManagerConfig::from_environment()) : config_(std::move(config)) {}

    /// Starts a process that outlives this program. Returns when the program has been executed, and its record is on
    /// the disk. Options that need this program, such as callbacks, are refused (`errc::invalid_options`), each by
    /// name. With `if_running` set it waits at most a minute for other programs that start one of the name.
    /// @throws SpawnError: the step that failed, the path, the system's code. Then nothing of the attempt is left.
    [[nodiscard]] DetachedProcess spawn(CommandLine command, SpawnOptions options = {}) const;
    [[nodiscard]] DetachedProcess spawn(CommandLine command, SpawnOptions options, error_code& ec) const;

    /// All records, the newest first, each with what is true of it now.
    [[nodiscard]] std::vector<DetachedInfo> list() const;

    /// By uuid; by name, the newest that runs, or else the newest; or by the beginning of a uuid.
    /// @throws system_error errc::not_found; errc::ambiguous, naming the candidates.
    [[nodiscard]] DetachedProcess find(std::string_view word) const;
    [[nodiscard]] DetachedProcess find(const Uuid& uuid) const;

    /// Removes the records of processes that have ended: those that ended before `max_age`, and the oldest of what is
    /// more than `keep`. How many.
    std::size_t prune(std::size_t keep, Nanoseconds max_age) const;
    /// Removes what programs that were killed have left beside the records, an hour ago or earlier: files that were
    /// being written, sockets, locks. How many.
    std::size_t remove_leftovers() const;

private:
    ManagerConfig config_;
};

}  // namespace warden
