// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// When a service that has ended is started again, how long after, and how often: a value.
///
/// Knows:         modes, back-off, limits, exit codes, and which of them contradict each other.
/// Does not know: clocks, random numbers, processes: all are arguments.
/// Thread-safety: values.

#include <warden/exit_status.hpp>
#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// Which ends are followed by a restart.
enum class RestartMode : std::uint8_t {
    never,
    on_failure,  ///< Every end that is no success, and a start that failed for a reason that may pass.
    always,      ///< A success too.
};

/// The name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(RestartMode mode) noexcept;

/// A failure is an end whose exit code is no success, by a signal or by a limit; a probe that failed; a start that
/// failed.
struct RestartPolicy {
    RestartMode mode = RestartMode::never;
    /// The pause before the first restart; each further one is `factor` times as long, up to `max_delay`.
    Nanoseconds initial_delay = std::chrono::seconds(1);
    double factor = 2;
    Nanoseconds max_delay = std::chrono::minutes(1);
    /// 0 to 1: by up to this share a pause is shortened at random, so that services do not restart in step.
    double jitter = 0.1;
    /// After a run of this length the next pause is `initial_delay` again.
    Nanoseconds stable_after = std::chrono::minutes(1);
    /// A service that was restarted so often within `window`, and ends again, is given up. Nothing: no limit.
    std::optional<std::size_t> max_restarts = 5;
    Nanoseconds window = std::chrono::minutes(1);
    std::vector<int> success_codes{0};
    /// Exit codes after which no restart helps, such as that of a configuration that cannot be read.
    std::vector<int> no_restart_codes{};

    static constexpr std::size_t restart_limit = 10'000;  ///< For `max_restarts`.

    [[nodiscard]] static RestartPolicy never() { return {}; }
    [[nodiscard]] static RestartPolicy on_failure() { return {.mode = RestartMode::on_failure}; }
    [[nodiscard]] static RestartPolicy always() { return {.mode = RestartMode::always}; }

    [[nodiscard]] bool is_success(const ExitStatus& status) const noexcept;

    /// The pause before the restart that follows the end of `short_runs` runs in a row that were not stable; 1 is the
    /// first. `random` is at least 0 and below 1.
    [[nodiscard]] Nanoseconds delay(std::size_t short_runs, double random) const noexcept;

    /// All that is wrong, each with what to write; empty if nothing is.
    [[nodiscard]] std::vector<std::string> validate() const;

    friend bool operator==(const RestartPolicy&, const RestartPolicy&) = default;
};

// -- implementation ----------------------------------------------------------
namespace detail {

inline constexpr std::array<std::string_view, 3> restart_mode_names{"never", "on_failure", "always"};
static_assert(restart_mode_names.size() == static_cast<std::size_t>(RestartMode::always) + 1);

[[nodiscard]] inline bool has_code(const std::vector<int>& codes, int code) noexcept {
    return std::find(codes.begin(), codes.end(), code) != codes.end();
}

/// The shortest time from the first to the last of `max_restarts` restarts: of each pause the shortest.
[[nodiscard]] inline Nanoseconds shortest_storm(const RestartPolicy& policy) noexcept {
    const Nanoseconds after_reset = policy.delay(1, 1);
    Nanoseconds sum{};
    for (std::size_t i = 2; i <= policy.max_restarts.value_or(0); ++i) {
        Nanoseconds pause = policy.delay(i, 1);
        if (policy.stable_after < pause - after_reset) pause = policy.stable_after + after_reset;
        if (pause > Nanoseconds::max() - sum) return Nanoseconds::max();
        sum += pause;
    }
    return sum;
}

[[nodiscard]] inline std::string in_seconds(Nanoseconds length) {
    std::string text = std::to_string(std::chrono::duration<double>(length).count());
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
    return text + " s";
}

inline void add_delay_mistakes(const RestartPolicy& policy, std::vector<std::string>& found) {
    if (policy.initial_delay < Nanoseconds::zero())
        found.emplace_back("initial_delay is negative; write 0 or more, such as 1s");
    if (policy.max_delay < policy.initial_delay) {
        found.push_back("max_delay is " + in_seconds(policy.max_delay) + ", less than initial_delay, " +
                        in_seconds(policy.initial_delay) + "; write at least that");
    }
    if (!std::isfinite(policy.factor) || policy.factor < 1)
        found.emplace_back("factor is not 1 or more; write 1 for pauses of one length, or 2 to double them");
    if (!(policy.jitter >= 0 && policy.jitter <= 1))
        found.emplace_back("jitter is not from 0 to 1; write for example 0.1");
    if (policy.stable_after <= Nanoseconds::zero())
        found.emplace_back("stable_after is not positive; write for example 60s");
    if (policy.window <= Nanoseconds::zero()) found.emplace_back("window is not positive; write for example 60s");
}

/// What contradicts something though each value is in its range.
inline void add_limit_mistakes(const RestartPolicy& policy, std::vector<std::string>& found) {
    const auto& limit = policy.max_restarts;
    if (limit && *limit == 0) {
        found.emplace_back("max_restarts is 0; write RestartMode::never");
        return;
    }
    if (limit && *limit > RestartPolicy::restart_limit) {
        found.push_back("max_restarts is " + std::to_string(*limit) + "; write at most " +
                        std::to_string(RestartPolicy::restart_limit) + ", or nothing for no limit");
        return;
    }
    if (!limit && policy.initial_delay == Nanoseconds::zero()) {
        found.emplace_back(
            "initial_delay is 0 and max_restarts is not set, so that a service which ends at once would be restarted "
            "without pause or end; write an initial_delay, or max_restarts");
    }
    const Nanoseconds storm = shortest_storm(policy);
    if (limit && storm >= policy.window) {
        found.push_back("max_restarts cannot be reached: " + std::to_string(*limit) + " restarts take at least " +
                        in_seconds(storm) + " by their pauses, and window is " + in_seconds(policy.window) +
                        "; write a longer window, or fewer restarts");
    }
}

}  // namespace detail

constexpr std::string_view to_string(RestartMode mode) noexcept {
    return detail::restart_mode_names[static_cast<std::size_t>(mode)];
}

inline bool RestartPolicy::is_success(const ExitStatus& status) const noexcept {
    return status.exited() && detail::has_code(success_codes, status.code());
}

inline Nanoseconds RestartPolicy::delay(std::size_t short_runs, double random) const noexcept {
    const auto most = static_cast<double>(max_delay.count());
    auto length = static_cast<double>(initial_delay.count());
    for (std::size_t i = 1; i < short_runs && length < most && length > 0 && factor > 1; ++i) length *= factor;
    length = std::min(length, most) * (1 - jitter * random);
    return length >= static_cast<double>(Nanoseconds::max().count()) ? Nanoseconds::max()
                                                                     : Nanoseconds(static_cast<std::int64_t>(length));
}

inline std::vector<std::string> RestartPolicy::validate() const {
    std::vector<std::string> found;
    detail::add_delay_mistakes(*this, found);
    if (success_codes.empty())
        found.emplace_back("success_codes is empty, so that no end would be a success; write {0}");
    for (const int code : no_restart_codes) {
        if (!detail::has_code(success_codes, code)) continue;
        found.push_back("exit code " + std::to_string(code) +
                        " is in success_codes and in no_restart_codes; leave it in one of them");
    }
    if (mode == RestartMode::never && !no_restart_codes.empty())
        found.emplace_back("no_restart_codes has no meaning with RestartMode::never; write on_failure, or leave it");
    if (mode != RestartMode::never && found.empty()) detail::add_limit_mistakes(*this, found);
    return found;
}

}  // namespace warden
