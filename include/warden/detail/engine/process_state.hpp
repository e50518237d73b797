// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What is known of one process, and everybody who waits for it to change.
///
/// Knows:         state, status, cause, when; condition variable and callbacks for those who wait.
/// Does not know: how a process is watched or stopped.
/// Thread-safety: safe. Callbacks are called without the lock.

#include <warden/detail/base/job.hpp>
#include <warden/exit_status.hpp>
#include <warden/lifecycle.hpp>
#include <warden/process_info.hpp>
#include <warden/stop_plan.hpp>
#include <warden/timeout.hpp>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace warden::detail {

/// The changing part of a process, as one value.
struct ProcessFacts {
    State state = State::initialized;
    std::optional<ExitStatus> status;
    ExitCause cause = ExitCause::unknown;
    ResourceUsage usage;
    bool tree_alive = false;
    bool output_open = false;
    bool output_incomplete = false;
    SteadyTime started{};
    SteadyTime ended{};
    std::shared_ptr<const StopReport> last_stop;  ///< Of the last stop that is over; null if there was none.
};

class ProcessState {
public:
    [[nodiscard]] ProcessFacts facts() const {
        const std::lock_guard lock(mutex_);
        return facts_;
    }

    /// Changes the facts by `change(ProcessFacts&)`, then wakes all who wait. Callbacks whose condition is met now are
    /// called, without the lock.
    template <class F>
    void change(F f) {
        std::vector<Job> due;
        {
            const std::lock_guard lock(mutex_);
            f(facts_);
            for (auto at = callbacks_.begin(); at != callbacks_.end();) {
                if (!at->second.condition(facts_)) {
                    ++at;
                    continue;
                }
                due.push_back(std::move(at->second.call));
                at = callbacks_.erase(at);
            }
        }
        changed_.notify_all();
        for (auto& call : due) call();
    }

    /// Follows the lifecycle table. Where it led from, or nothing: then nothing has changed.
    [[nodiscard]] std::optional<State> advance(Transition happened) {
        std::optional<State> from;
        change([&](ProcessFacts& facts) {
            const auto to = next_state(facts.state, happened);
            if (!to) return;
            from = facts.state;
            facts.state = *to;
        });
        return from;
    }

    /// Waits until `condition(const ProcessFacts&)` holds; false if `deadline` came first.
    template <class Condition>
    bool wait_until(SteadyTime deadline, Condition condition) const {
        std::unique_lock lock(mutex_);
        if (deadline <= SteadyTime::clock::now()) return condition(facts_);
        if (deadline == SteadyTime::max()) {  // libraries overflow when they convert it, as they do far in the past
            changed_.wait(lock, [&] { return condition(facts_); });
            return true;
        }
        return changed_.wait_until(lock, deadline, [&] { return condition(facts_); });
    }

    /// Calls `call` once `condition` holds: at once, or later on the thread that changes the facts. 0 if at once; else
    /// a number to take it back with.
    [[nodiscard]] std::uint64_t when(UniqueFunction<bool(const ProcessFacts&)> condition, Job call) {
        {
            const std::lock_guard lock(mutex_);
            if (!condition(facts_)) {
                const std::uint64_t id = next_id_++;
                callbacks_.emplace(id, Callback{std::move(condition), std::move(call)});
                return id;
            }
        }
        call();
        return 0;
    }

    /// Whether the callback was still waiting; it will not be called any more.
    bool cancel(std::uint64_t id) {
        Job destroyed_without_lock;
        const std::lock_guard lock(mutex_);
        const auto at = callbacks_.find(id);
        if (at == callbacks_.end()) return false;
        destroyed_without_lock = std::move(at->second.call);
        callbacks_.erase(at);
        return true;
    }

private:
    struct Callback {
        UniqueFunction<bool(const ProcessFacts&)> condition;
        Job call;
    };

    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    ProcessFacts facts_;
    std::map<std::uint64_t, Callback> callbacks_;
    std::uint64_t next_id_ = 1;
};

[[nodiscard]] inline bool has_ended(const ProcessFacts& facts) noexcept { return facts.status.has_value(); }
[[nodiscard]] inline bool is_tree_empty(const ProcessFacts& facts) noexcept {
    return facts.status && !facts.tree_alive;
}
[[nodiscard]] inline bool is_output_complete(const ProcessFacts& facts) noexcept {
    return facts.status && !facts.output_open;
}

}  // namespace warden::detail
