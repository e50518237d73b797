// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A scheduler on a virtual clock: nothing happens until the test says that time passes.
///
/// Knows:         the order of posting, and of deadlines.
/// Thread-safety: none.

#include <warden/detail/runtime/scheduler.hpp>

#include <deque>
#include <utility>

namespace test {

class FakeScheduler final : public warden::detail::Scheduler {
public:
    using Job = warden::detail::Job;
    using TimerEntry = warden::detail::TimerEntry;
    using SteadyTime = warden::SteadyTime;

    /// One hour after the beginning of its time.
    [[nodiscard]] SteadyTime now() const noexcept override { return now_; }
    void post(Job job) override { jobs_.push_back(std::move(job)); }
    void dispatch(Job job) override { job(); }
    [[nodiscard]] bool is_loop_thread() const noexcept override { return true; }

    /// Runs what was posted, and what that posts, until nothing is left; the time stands still.
    void run_posted() {
        while (!jobs_.empty()) {
            Job job = std::move(jobs_.front());
            jobs_.pop_front();
            job();
        }
    }

    /// Lets time pass: each timer runs at its deadline, in order, with what was posted before it.
    void advance(warden::Nanoseconds length) {
        const SteadyTime until = warden::detail::deadline_after(now_, length);
        run_posted();
        while (timers_.next_deadline() <= until) {
            if (now_ < timers_.next_deadline()) now_ = timers_.next_deadline();
            timers_.take_due(now_, timers_.mark())();
            run_posted();
        }
        now_ = until;
    }

    /// The earliest deadline that is armed; the end of time if there is none.
    [[nodiscard]] SteadyTime next_deadline() const noexcept { return timers_.next_deadline(); }

private:
    void run_and_wait(warden::detail::FunctionRef<void()> f) override { f(); }
    Job arm(TimerEntry& entry, SteadyTime deadline, Job job) override {
        timers_.arm(entry, deadline);
        return std::exchange(entry.job, std::move(job));
    }
    Job disarm(TimerEntry& entry) noexcept override {
        timers_.disarm(entry);
        return std::move(entry.job);
    }

    SteadyTime now_{std::chrono::hours(1)};
    std::deque<Job> jobs_;
    warden::detail::TimerQueue timers_;
};

}  // namespace test
