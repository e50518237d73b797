// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a restart policy says of one service: fed with launches and ends, it answers what follows.
///
/// Knows:         how long the runs were, and when the restarts.
/// Does not know: clocks, random numbers: both are arguments.
/// Thread-safety: none.
/// Allocates:     the times of at most `max_restarts` restarts.

#include <warden/exit_status.hpp>
#include <warden/supervision/restart_policy.hpp>
#include <warden/timeout.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace warden::detail {

/// What follows the end of a run.
enum class RestartVerdict : std::uint8_t {
    completed,  ///< A success; nothing follows.
    failed,     ///< A failure; nothing follows.
    given_up,   ///< It was restarted too often; nothing follows.
    restart,    ///< The next launch, not before a time.
};

struct RestartDecision {
    RestartVerdict verdict = RestartVerdict::completed;
    SteadyTime at{};  ///< For `restart`.

    friend bool operator==(const RestartDecision&, const RestartDecision&) = default;
};

class RestartTracker {
public:
    explicit RestartTracker(RestartPolicy policy) : policy_(std::move(policy)) {}

    /// A launch begins; each but the first is a restart.
    void launches(SteadyTime now);
    /// The run that was launched last has ended by itself. `random` is at least 0 and below 1.
    [[nodiscard]] RestartDecision ended(SteadyTime now, const ExitStatus& status, double random);
    /// It failed whatever its exit code: a limit, a probe, or a launch that failed.
    [[nodiscard]] RestartDecision failed(SteadyTime now, double random);

    /// Somebody asks for a start: what was before does not count.
    void reset();

    [[nodiscard]] const RestartPolicy& policy() const noexcept { return policy_; }

private:
    [[nodiscard]] RestartDecision restart(SteadyTime now, double random);
    [[nodiscard]] bool is_at_limit(SteadyTime now) const noexcept;

    RestartPolicy policy_;
    SteadyTime launched_{};
    bool is_first_ = true;
    std::size_t short_runs_ = 0;       // in a row
    std::deque<SteadyTime> restarts_;  // the newest; none if there is no limit
};

// -- implementation ----------------------------------------------------------

inline void RestartTracker::launches(SteadyTime now) {
    launched_ = now;
    if (std::exchange(is_first_, false) || !policy_.max_restarts) return;
    restarts_.push_back(now);
    if (restarts_.size() > *policy_.max_restarts) restarts_.pop_front();
}

inline RestartDecision RestartTracker::ended(SteadyTime now, const ExitStatus& status, double random) {
    if (!policy_.is_success(status)) {
        if (status.exited() && has_code(policy_.no_restart_codes, status.code())) return {RestartVerdict::failed, {}};
        return failed(now, random);
    }
    if (policy_.mode != RestartMode::always) return {RestartVerdict::completed, {}};
    return restart(now, random);
}

inline RestartDecision RestartTracker::failed(SteadyTime now, double random) {
    if (policy_.mode == RestartMode::never) return {RestartVerdict::failed, {}};
    return restart(now, random);
}

inline RestartDecision RestartTracker::restart(SteadyTime now, double random) {
    if (is_at_limit(now)) return {RestartVerdict::given_up, {}};
    if (now - launched_ >= policy_.stable_after) short_runs_ = 0;
    return {RestartVerdict::restart, deadline_after(now, policy_.delay(++short_runs_, random))};
}

inline bool RestartTracker::is_at_limit(SteadyTime now) const noexcept {
    return policy_.max_restarts && restarts_.size() >= *policy_.max_restarts &&
           now - restarts_.front() < policy_.window;
}

inline void RestartTracker::reset() {
    is_first_ = true;
    short_runs_ = 0;
    restarts_.clear();
}

}  // namespace warden::detail
