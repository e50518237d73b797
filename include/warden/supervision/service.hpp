// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A service: a process with a name, what it depends on, and what follows when it ends. A `ServiceGroup` runs it.
///
/// Does not know: processes, clocks, other services but by name.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.

#include <warden/command_line.hpp>
#include <warden/spawn_options.hpp>
#include <warden/supervision/probe.hpp>
#include <warden/supervision/restart_policy.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// What must be true of a service before one that depends on it is started.
enum class DependencyCondition : std::uint8_t {
    started,         ///< It has been launched.
    ready,           ///< It is ready: see `Service::readiness`.
    completed,       ///< It has ended by itself, and is not restarted.
    completed_well,  ///< The same, with success.
};

/// What the failure of a service does to the others: that it ended without success and is not restarted.
enum class FailureAction : std::uint8_t {
    ignore,           ///< Nothing; a service that waits for it is not started.
    stop_dependants,  ///< Stops those that need it started or ready, and those that need these.
    stop_all,         ///< Stops the whole group.
};

/// The name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(DependencyCondition condition) noexcept;
[[nodiscard]] constexpr std::string_view to_string(FailureAction action) noexcept;

struct Dependency {
    std::string service{};  ///< Its name.
    DependencyCondition condition = DependencyCondition::ready;

    friend bool operator==(const Dependency&, const Dependency&) = default;
};

struct Service {
    std::string name{};  ///< Of one group, no two have the same. The process has it too.
    CommandLine command{};
    /// As for `ProcessManager::spawn`, with two differences: the default of `timeout` is none, and `name` is left
    /// empty.
    SpawnOptions options = SpawnOptions();
    RestartPolicy restart = RestartPolicy();
    /// What shows that it is ready; without one, a rule of AlertAction::ready in `options` says so, or else it is ready
    /// once it is launched. A failure is one of the service.
    std::optional<Probe> readiness{};
    /// What shows, once it is ready, that it still does its work. On a failure it is stopped by its plan.
    std::optional<Probe> liveness{};
    std::vector<Dependency> depends_on{};
    FailureAction on_failure = FailureAction::stop_dependants;

    /// What is wrong with it alone, each with what to write; empty if nothing is. `ServiceGroup::validate` looks at all
    /// services together.
    [[nodiscard]] std::vector<std::string> validate() const;
};

// -- implementation ----------------------------------------------------------
namespace detail {
inline constexpr std::array<std::string_view, 4> dependency_condition_names{"started", "ready", "completed",
                                                                            "completed_well"};
static_assert(dependency_condition_names.size() == static_cast<std::size_t>(DependencyCondition::completed_well) + 1);
inline constexpr std::array<std::string_view, 3> failure_action_names{"ignore", "stop_dependants", "stop_all"};
static_assert(failure_action_names.size() == static_cast<std::size_t>(FailureAction::stop_all) + 1);
}  // namespace detail

constexpr std::string_view to_string(DependencyCondition condition) noexcept {
    return detail::dependency_condition_names[static_cast<std::size_t>(condition)];
}

constexpr std::string_view to_string(FailureAction action) noexcept {
    return detail::failure_action_names[static_cast<std::size_t>(action)];
}

inline std::vector<std::string> Service::validate() const {
    std::vector<std::string> found;
    const auto append = [&](std::vector<std::string> more) {
        for (auto& mistake : more) found.push_back(std::move(mistake));
    };
    if (name.empty()) found.emplace_back("it has no name; write one");
    if (const error_code ec = command.validate()) found.push_back(ec.message() + "; write {\"program\", \"argument\"}");
    if (!options.name.empty()) found.emplace_back("options.name is set; the name of the service is used, leave it");
    if (options.detached) found.emplace_back("options.detached is set; a service belongs to its group, leave it");
    SpawnOptions named = options;
    named.name = name;
    append(named.validate());
    append(restart.validate());
    const auto append_probe = [&](const char* which, const std::optional<Probe>& probe) {
        if (!probe) return;
        for (const std::string& mistake : probe->validate()) found.push_back(std::string(which) + ": " + mistake);
    };
    append_probe("readiness", readiness);
    append_probe("liveness", liveness);
    if (readiness && !readiness->can_say_ready())
        found.emplace_back("readiness: nothing in it says that the service is ready; write another probe beside it");
    return found;
}

}  // namespace warden
