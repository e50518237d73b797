// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Something that happened to a process or to its manager, as a value.
///
/// Knows:         kinds and severities, by name.
/// Does not know: JSON, files, subscribers, clocks; it never sees an environment.
/// Thread-safety: values.

#include <warden/command_line.hpp>
#include <warden/exit_status.hpp>
#include <warden/fwd.hpp>
#include <warden/lifecycle.hpp>
#include <warden/process_info.hpp>
#include <warden/timeout.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace warden {

/// How bad it is.
enum class Severity : std::uint8_t { debug, info, warning, error, critical };

/// What happened.
enum class EventKind : std::uint8_t {
    configuration,      ///< The manager started, with these settings.
    spawn,              ///< A process was started.
    spawn_failed,       ///< It was not, and this is the step and the reason.
    ready,              ///< It showed that it is ready.
    exit,               ///< It ended, and how.
    tree_gone,          ///< The last of its descendants is gone too.
    timeout,            ///< Its time is over; it will be stopped.
    stop,               ///< A stop began, and why; its steps follow.
    stop_step,          ///< A step of a stop plan was taken.
    kill,               ///< The tree was ended by force.
    cleanup,            ///< Something was cleaned up, or was gone already.
    cleanup_failed,     ///< Something could not be cleaned up.
    limit,              ///< It ended because a resource limit was hit: which, and its value.
    restart,            ///< It is started again.
    alert,              ///< A rule or threshold wants somebody's attention.
    health,             ///< The regular look at everything.
    guardian_lost,      ///< The process that guards against a crash of this program is gone.
    output_incomplete,  ///< It ended while somebody else still held its output.
    log_degraded,       ///< Its log cannot be written at the moment.
    log_recovered,      ///< It can again.
    given_up,           ///< A service was restarted too often, and is not any more.
    phase,              ///< A service of a group went from one phase to another.
    state,              ///< Its state changed.
};

/// The name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(Severity severity) noexcept;
[[nodiscard]] constexpr std::string_view to_string(EventKind kind) noexcept;

/// The name as it stands in `event.name`: "warden.process.exit".
[[nodiscard]] constexpr std::string_view event_name(EventKind kind) noexcept;

/// The severity that events of this kind have unless something else is known.
[[nodiscard]] constexpr Severity usual_severity(EventKind kind) noexcept;

/// A figure or a word that belongs to an event.
using AttributeValue = std::variant<std::int64_t, double, bool, std::string>;

/// One event. What is empty, zero or nil is left out of its JSON.
struct Event {
    EventKind kind = EventKind::state;
    Severity severity = Severity::info;
    std::chrono::system_clock::time_point time{};
    std::uint64_t sequence = 0;  ///< Counts the events of one manager from 1: a gap is a drop, whatever the clock does.
    Uuid instance{};             ///< Of the manager.
    Uuid uuid{};                 ///< Of the process; nil if the event is not about one.
    Pid pid = 0;
    Pid parent_pid = 0;
    std::string name{};
    std::string type{};
    CommandLine command{};
    std::optional<Nanoseconds> duration{};
    std::optional<ExitStatus> exit_status{};
    std::optional<ExitCause> cause{};
    std::optional<State> from{};  ///< The state before, for `state`.
    std::optional<State> to{};    ///< The state after.
    std::string message{};        ///< One sentence for people. It is not redacted: no arguments in it.
    /// As in `SpawnOptions`. The keys `trace_id` (32 lower-case hexadecimal digits) and `span_id` (16) are the context
    /// of a trace that the process is part of.
    std::map<std::string, std::string> metadata{};
    std::vector<std::pair<std::string, AttributeValue>> attributes{};  ///< Of two with one key, the later one counts.

    friend bool operator==(const Event&, const Event&) = default;
};

// -- implementation ----------------------------------------------------------
namespace detail {

struct SeverityRow {
    Severity severity;
    std::string_view name;
    std::string_view text;
    int number;  // OpenTelemetry's log data model
};
inline constexpr std::array severity_rows{
    SeverityRow{Severity::debug, "debug", "DEBUG", 5},           SeverityRow{Severity::info, "info", "INFO", 9},
    SeverityRow{Severity::warning, "warning", "WARNING", 13},    SeverityRow{Severity::error, "error", "ERROR", 17},
    SeverityRow{Severity::critical, "critical", "CRITICAL", 21},
};

struct EventKindRow {
    EventKind kind;
    std::string_view event_name;  // after its last dot, the name of the enumerator
    Severity severity;
};
inline constexpr std::array event_kind_rows{
    EventKindRow{EventKind::configuration, "warden.manager.configuration", Severity::info},
    EventKindRow{EventKind::spawn, "warden.process.spawn", Severity::info},
    EventKindRow{EventKind::spawn_failed, "warden.process.spawn_failed", Severity::error},
    EventKindRow{EventKind::ready, "warden.process.ready", Severity::info},
    EventKindRow{EventKind::exit, "warden.process.exit", Severity::info},
    EventKindRow{EventKind::tree_gone, "warden.process.tree_gone", Severity::debug},
    EventKindRow{EventKind::timeout, "warden.process.timeout", Severity::warning},
    EventKindRow{EventKind::stop, "warden.process.stop", Severity::info},
    EventKindRow{EventKind::stop_step, "warden.process.stop_step", Severity::info},
    EventKindRow{EventKind::kill, "warden.process.kill", Severity::warning},
    EventKindRow{EventKind::cleanup, "warden.manager.cleanup", Severity::info},
    EventKindRow{EventKind::cleanup_failed, "warden.manager.cleanup_failed", Severity::critical},
    EventKindRow{EventKind::limit, "warden.process.limit", Severity::warning},
    EventKindRow{EventKind::restart, "warden.process.restart", Severity::warning},
    EventKindRow{EventKind::alert, "warden.manager.alert", Severity::warning},
    EventKindRow{EventKind::health, "warden.manager.health", Severity::info},
    EventKindRow{EventKind::guardian_lost, "warden.manager.guardian_lost", Severity::critical},
    EventKindRow{EventKind::output_incomplete, "warden.process.output_incomplete", Severity::warning},
    EventKindRow{EventKind::log_degraded, "warden.process.log_degraded", Severity::error},
    EventKindRow{EventKind::log_recovered, "warden.process.log_recovered", Severity::info},
    EventKindRow{EventKind::given_up, "warden.service.given_up", Severity::error},
    EventKindRow{EventKind::phase, "warden.service.phase", Severity::info},
    EventKindRow{EventKind::state, "warden.process.state", Severity::debug},
};

consteval bool is_total(const auto& rows, auto member, auto last) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (static_cast<std::size_t>(rows[i].*member) != i) return false;
    }
    return rows.size() == static_cast<std::size_t>(last) + 1;
}
static_assert(is_total(severity_rows, &SeverityRow::severity, Severity::critical), "a severity has no row of its own");
static_assert(is_total(event_kind_rows, &EventKindRow::kind, EventKind::state), "an event has no row of its own");
}  // namespace detail

constexpr std::string_view to_string(Severity severity) noexcept {
    return detail::severity_rows[static_cast<std::size_t>(severity)].name;
}

constexpr std::string_view to_string(EventKind kind) noexcept {
    const std::string_view name = event_name(kind);
    return name.substr(name.rfind('.') + 1);
}

constexpr std::string_view event_name(EventKind kind) noexcept {
    return detail::event_kind_rows[static_cast<std::size_t>(kind)].event_name;
}

constexpr Severity usual_severity(EventKind kind) noexcept {
    return detail::event_kind_rows[static_cast<std::size_t>(kind)].severity;
}

}  // namespace warden
