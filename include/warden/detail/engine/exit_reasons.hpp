// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What was done to a process while its leader ran, and what follows for why it ended.
///
/// Knows:         stops, signals and limits, and which of them outweighs which.
/// Does not know: how signals are sent.
/// Thread-safety: none.
/// Allocates:     never.

#include <warden/detail/containment/leader_exit.hpp>
#include <warden/detail/system/signal_numbers.hpp>
#include <warden/exit_status.hpp>
#include <warden/lifecycle.hpp>

#include <cstdint>
#include <optional>

namespace warden::detail {

/// Why a stop began.
enum class StopReason : std::uint8_t { asked, timed_out, host_shutdown, output_limit };

/// Windows: an exit code that is an error status of the system, such as 0xC0000005.
[[nodiscard]] constexpr bool is_crash_code(int code) noexcept { return static_cast<std::uint32_t>(code) >> 28 == 0xC; }

class ExitReasons {
public:
    /// A stop begins. A request does not replace a reason that is there; nothing replaces too much output.
    void stop_began(StopReason reason) noexcept {
        if (stop_reason_ == StopReason::output_limit) return;
        if (!stop_reason_ || reason != StopReason::asked) stop_reason_ = reason;
    }
    void signal_sent(int signal) noexcept {
        if (signal < 1 || signal > 64) return;
        signals_sent_ |= std::uint64_t{1} << (signal - 1);
    }
    /// By a request or by a step of a plan.
    void killed() noexcept { killed_ = true; }

    /// `limits_cpu`: the process had a limit of its CPU time.
    [[nodiscard]] ExitCause cause_of(const LeaderExit& end, bool limits_cpu) const noexcept;
    [[nodiscard]] bool was_forced(const ExitStatus& status) const noexcept {
        return killed_ && status.signaled() && status.signal() == signals::kill;
    }
    /// The row of the lifecycle that an end follows.
    [[nodiscard]] Transition transition_of(const ExitStatus& status) const noexcept;

private:
    std::optional<StopReason> stop_reason_;
    bool killed_ = false;
    std::uint64_t signals_sent_ = 0;  // bit n-1 for signal n
};

// -- implementation ----------------------------------------------------------

inline ExitCause ExitReasons::cause_of(const LeaderExit& end, bool limits_cpu) const noexcept {
    const ExitStatus& status = end.status;
    if (stop_reason_ == StopReason::timed_out) return ExitCause::timed_out;
    if (stop_reason_ == StopReason::host_shutdown) return ExitCause::host_shutdown;
    if (stop_reason_ == StopReason::output_limit) return ExitCause::output_limit;
    if (!status.known()) return ExitCause::unknown;
    if (stop_reason_) return killed_ && status.signaled() ? ExitCause::forced : ExitCause::stopped;
    if (end.limit) return *end.limit;
    if (status.exited()) return is_crash_code(status.code()) ? ExitCause::crashed : ExitCause::exited;
    if ((signals_sent_ >> (status.signal() - 1) & 1) != 0) return ExitCause::stopped;
    const bool over_cpu = status.signal() == signals::cpu_limit || (status.signal() == signals::kill && limits_cpu);
    return over_cpu ? ExitCause::cpu_limit : ExitCause::crashed;
}

inline Transition ExitReasons::transition_of(const ExitStatus& status) const noexcept {
    if (!status.known()) return Transition::lost;
    if (was_forced(status)) return Transition::ended_by_force;
    return status.success() ? Transition::ended_well : Transition::ended_badly;
}

}  // namespace warden::detail
