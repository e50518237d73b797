// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The one thread that does all I/O and waiting of a manager.
///
/// Knows:         an event loop, its thread, the timers, the buffer that all pipes are read into.
/// Does not know: what its handlers do. It sleeps until something happens; it never polls.
/// Thread-safety: `post`, `dispatch`, `call` and `now` from any thread; `read_buffer` on the loop only.
/// Errors:        system_error from the constructor: no thread, or no descriptor, is available.

#include <warden/detail/base/function_ref.hpp>
#include <warden/detail/runtime/loop_alarm.hpp>
#include <warden/detail/runtime/scheduler.hpp>
#include <warden/detail/system/event_loop.hpp>
#include <warden/detail/system/signal_mask.hpp>
#include <warden/detail/system/thread_cancellation.hpp>

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace warden::detail {

class IoLoop final : public Scheduler {
public:
    IoLoop();
    ~IoLoop() { stop(); }

    [[nodiscard]] EventLoop& context() noexcept { return context_; }
    [[nodiscard]] SteadyTime now() const noexcept override { return SteadyTime::clock::now(); }

    [[nodiscard]] bool is_loop_thread() const noexcept override {
        return std::this_thread::get_id() == thread_.get_id();
    }

    void post(Job job) override { context_.post(std::move(job)); }

    void dispatch(Job job) override;

    /// Everything that is read goes through here: one buffer serves any number of pipes.
    [[nodiscard]] std::vector<char>& read_buffer() {
        if (buffer_.empty()) buffer_.resize(std::size_t{1} << 20);
        return buffer_;
    }

    /// Ends the thread once the handler that it is in returns. What is queued still runs, here; timers do not. Not on
    /// the loop.
    void stop();

private:
    /// One call from another thread, on its stack.
    struct Call {
        FunctionRef<void()> function;
        std::mutex mutex;
        std::condition_variable done;
        bool is_done = false;
        std::exception_ptr thrown;

        void run() noexcept;
    };
    void run_and_wait(FunctionRef<void()> f) override;
    void run_due_timers();
    [[nodiscard]] Job arm(TimerEntry& entry, SteadyTime deadline, Job job) override;
    [[nodiscard]] Job disarm(TimerEntry& entry) noexcept override;
    void set_alarm();

    std::mutex timers_mutex_;  // before the context, whose handlers may hold timers
    TimerQueue timers_;
    SteadyTime alarm_at_ = SteadyTime::max();
    EventLoop context_;
    LoopAlarm alarm_;
    std::vector<char> buffer_;
    std::mutex mutex_;
    bool stopped_ = false;
    std::thread thread_;
};

// -- implementation ----------------------------------------------------------

inline IoLoop::IoLoop() : alarm_(context_, [this] { run_due_timers(); }) {
    const AllSignalsBlocked blocked;  // inherited by the thread: a signal of the host is never delivered there
    thread_ = std::thread([this] { context_.run(); });
}

inline void IoLoop::dispatch(Job job) {
    if (is_loop_thread()) return job();
    {
        const std::lock_guard lock(mutex_);
        if (!stopped_) return post(std::move(job));
    }
    job();
}

inline void IoLoop::Call::run() noexcept {
    try {
        function();
    } catch (...) {
        thrown = std::current_exception();
    }
    const std::lock_guard lock(mutex);  // until the one who waits has been told: then all of this is gone
    is_done = true;
    done.notify_one();
}

inline void IoLoop::run_and_wait(FunctionRef<void()> f) {
    if (is_loop_thread()) return f();
    const CancellationHeldOff held_off;
    Call call{f, {}, {}, false, nullptr};
    {
        std::unique_lock lock(mutex_);
        if (stopped_) {
            lock.unlock();
            return f();
        }
        post([&call] { call.run(); });
    }
    std::unique_lock lock(call.mutex);
    call.done.wait(lock, [&] { return call.is_done; });
    if (call.thrown) std::rethrow_exception(call.thrown);
}

inline void IoLoop::run_due_timers() {
    std::unique_lock lock(timers_mutex_);
    alarm_at_ = SteadyTime::max();
    const SteadyTime time = now();
    const auto mark = timers_.mark();
    while (Job job = timers_.take_due(time, mark)) {
        lock.unlock();
        job();
        job = nullptr;
        lock.lock();
    }
    set_alarm();
}

/// A system call only if nothing rings as early as that.
inline void IoLoop::set_alarm() {
    const SteadyTime next = timers_.next_deadline();
    if (next >= alarm_at_) return;
    alarm_at_ = next;
    alarm_.arm(next);
}

inline Job IoLoop::arm(TimerEntry& entry, SteadyTime deadline, Job job) {
    const std::lock_guard lock(timers_mutex_);
    timers_.arm(entry, deadline);
    set_alarm();
    return std::exchange(entry.job, std::move(job));
}

inline Job IoLoop::disarm(TimerEntry& entry) noexcept {
    const std::lock_guard lock(timers_mutex_);
    timers_.disarm(entry);
    return std::move(entry.job);
}

inline void IoLoop::stop() {
    context_.stop();
    if (!thread_.joinable()) return;
    thread_.join();
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    context_.run_queued();
    std::unique_lock lock(timers_mutex_);
    while (Job job = timers_.take_due(SteadyTime::max(), timers_.mark())) {  // it may hold what holds the loop
        lock.unlock();
        job = nullptr;
        lock.lock();
    }
}

}  // namespace warden::detail
