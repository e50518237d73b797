// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The clock, the order of jobs and the timers of everything that happens on one loop.
///
/// Knows:         what a part of the engine may ask of the loop that it lives on.
/// Does not know: threads, or whether the clock is the real one: tests advance a virtual one.
/// Thread-safety: `post` and `now` from any thread; a timer is used on the loop only, or by who alone has it.

#include <warden/detail/base/job.hpp>
#include <warden/detail/runtime/timer_queue.hpp>
#include <warden/timeout.hpp>

#include <utility>

namespace warden::detail {

class Scheduler {
public:
    [[nodiscard]] virtual SteadyTime now() const noexcept = 0;

    /// Runs `job` on the loop, later, after what was posted before.
    virtual void post(Job job) = 0;

protected:
    Scheduler() = default;
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;
    ~Scheduler() = default;

private:
    friend class Timer;
    /// Arms `entry` with `job`, and gives back the job that it was armed with before.
    [[nodiscard]] virtual Job arm(TimerEntry& entry, SteadyTime deadline, Job job) = 0;
    /// Gives back the job that `entry` was armed with; an empty one if it was not.
    [[nodiscard]] virtual Job disarm(TimerEntry& entry) noexcept = 0;
};

/// One deadline at a time. A job whose timer is cancelled, armed anew or destroyed on the loop does not run any more;
/// it is destroyed before the call returns, with all that it holds.
class Timer {
public:
    explicit Timer(Scheduler& scheduler) noexcept : scheduler_(scheduler) {}
    ~Timer() { cancel(); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    /// Runs `job` on the loop at `deadline`, or soon if that is past. Replaces what was armed.
    void arm(SteadyTime deadline, Job job) { const Job former = scheduler_.arm(entry_, deadline, std::move(job)); }
    void cancel() noexcept {
        if (is_armed()) const Job former = scheduler_.disarm(entry_);
    }

    [[nodiscard]] bool is_armed() const noexcept { return entry_.index != TimerEntry::not_armed; }
    [[nodiscard]] Scheduler& scheduler() const noexcept { return scheduler_; }

private:
    Scheduler& scheduler_;
    TimerEntry entry_;
};

}  // namespace warden::detail
