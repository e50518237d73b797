// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The clock, the order of jobs and the timers of everything that happens on one loop.
///
/// Knows:         what a part of the engine may ask of the loop that it lives on.
/// Does not know: how the loop waits, or whether the clock is the real one: tests advance a virtual one.
/// Thread-safety: all but the timers from any thread; a timer is used on the loop only, or by who alone has it.

#include <warden/detail/base/function_ref.hpp>
#include <warden/detail/base/job.hpp>
#include <warden/detail/runtime/timer_queue.hpp>
#include <warden/timeout.hpp>

#include <optional>
#include <type_traits>
#include <utility>

namespace warden::detail {

class Scheduler {
public:
    [[nodiscard]] virtual SteadyTime now() const noexcept = 0;

    /// Runs `job` on the loop, later, after what was posted before.
    virtual void post(Job job) = 0;

    /// Runs `job` on the loop: at once if the caller is the loop, or there is none any more, else later.
    virtual void dispatch(Job job) = 0;

    /// Whether the caller is the loop.
    [[nodiscard]] virtual bool is_loop_thread() const noexcept = 0;

    /// Runs `f` on the loop and waits for its result; what it throws is thrown here. At once where `dispatch` runs a
    /// job at once. The calling thread cannot be cancelled meanwhile.
    template <class F>
    auto call(F f) -> std::invoke_result_t<F&> {
        using Result = std::invoke_result_t<F&>;
        if constexpr (std::is_void_v<Result>) {
            run_and_wait(f);
        } else {
            std::optional<Result> result;
            run_and_wait([&] { result.emplace(f()); });
            return std::move(*result);
        }
    }

protected:
    Scheduler() = default;
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;
    ~Scheduler() = default;

private:
    friend class Timer;
    virtual void run_and_wait(FunctionRef<void()> f) = 0;
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
