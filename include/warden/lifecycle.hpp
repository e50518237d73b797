// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The life of one process, written down as a table.
///
/// Knows:         which state may follow which, and on which event.
/// Does not know: pids, signals, clocks, threads, files.
/// Thread-safety: values and constexpr functions.
/// Allocates:     never.

#include <warden/stream_output.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace warden {

/// Where a process is in its life. The last four are final.
enum class State : std::uint8_t {
    initialized,   ///< Known, not started.
    starting,      ///< Being launched.
    running,       ///< The program is executing.
    ready,         ///< Its readiness probe said yes.
    stopping,      ///< The stop plan runs.
    completed,     ///< Ended by itself, with success.
    failed,        ///< Could not start, ended without success, or was lost.
    stopped,       ///< Ended on request, within the grace.
    force_killed,  ///< Ended on request, by force.
};
inline constexpr std::size_t state_count = 9;

/// What can happen to a process.
enum class Transition : std::uint8_t {
    start,           ///< A launch begins.
    launched,        ///< The program is executing.
    launch_failed,   ///< It is not, and will not be.
    became_ready,    ///< Readiness was shown.
    stop_asked,      ///< Somebody asked for its end.
    ended_well,      ///< The process ended, exit code 0.
    ended_badly,     ///< The process ended otherwise.
    ended_by_force,  ///< The process ended after it was killed by us.
    lost,            ///< Nobody can say what became of it.
};
inline constexpr std::size_t transition_count = 9;

/// The state that `happened` leads to from `from`; nothing if the table has no such row.
[[nodiscard]] constexpr std::optional<State> next_state(State from, Transition happened) noexcept;

/// Whether nothing follows `state`.
[[nodiscard]] constexpr bool is_final(State state) noexcept { return state >= State::completed; }

/// Whether a process in `state` counts against the limit of active processes.
[[nodiscard]] constexpr bool is_active(State state) noexcept { return state != State::initialized && !is_final(state); }

/// The name of the enumerator, as it stands in events.
[[nodiscard]] constexpr std::string_view to_string(State state) noexcept;

// -- implementation ----------------------------------------------------------
namespace detail {

struct TransitionRow {
    State from;
    Transition happened;
    State to;
};

inline constexpr std::array transition_rows{
    TransitionRow{State::initialized, Transition::start, State::starting},
    TransitionRow{State::starting, Transition::launched, State::running},
    TransitionRow{State::starting, Transition::launch_failed, State::failed},
    TransitionRow{State::starting, Transition::stop_asked, State::stopping},
    TransitionRow{State::running, Transition::became_ready, State::ready},
    TransitionRow{State::running, Transition::stop_asked, State::stopping},
    TransitionRow{State::running, Transition::ended_well, State::completed},
    TransitionRow{State::running, Transition::ended_badly, State::failed},
    TransitionRow{State::running, Transition::lost, State::failed},
    TransitionRow{State::ready, Transition::stop_asked, State::stopping},
    TransitionRow{State::ready, Transition::ended_well, State::completed},
    TransitionRow{State::ready, Transition::ended_badly, State::failed},
    TransitionRow{State::ready, Transition::lost, State::failed},
    TransitionRow{State::stopping, Transition::launch_failed, State::failed},
    TransitionRow{State::stopping, Transition::ended_well, State::stopped},
    TransitionRow{State::stopping, Transition::ended_badly, State::stopped},
    TransitionRow{State::stopping, Transition::ended_by_force, State::force_killed},
    TransitionRow{State::stopping, Transition::lost, State::failed},
};

consteval bool is_sound(const auto& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (is_final(rows[i].from)) return false;
        for (std::size_t j = i + 1; j < rows.size(); ++j) {
            if (rows[i].from == rows[j].from && rows[i].happened == rows[j].happened) return false;
        }
    }
    return true;
}
static_assert(is_sound(transition_rows), "a final state has an exit, or two rows disagree");

inline constexpr std::array<std::string_view, state_count> state_names{
    "initialized", "starting", "running", "ready", "stopping", "completed", "failed", "stopped", "force_killed"};

}  // namespace detail

constexpr std::optional<State> next_state(State from, Transition happened) noexcept {
    for (const auto& row : detail::transition_rows) {
        if (row.from == from && row.happened == happened) return row.to;
    }
    return std::nullopt;
}

constexpr std::string_view to_string(State state) noexcept {
    return detail::state_names[static_cast<std::size_t>(state)];
}

}  // namespace warden
