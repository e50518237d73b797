// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The threads of a manager beside its loop: some for callbacks of the user, one for the library's own slow work, and
/// some that look through output, which are made when they are first needed.
///
/// Knows:         that user code may be slow, block, throw, come back in, or destroy the manager.
/// Does not know: what runs. Callbacks that block never hold up the library's own work: no user code runs there.
/// Thread-safety: safe.
/// Errors:        an `error_code` from `start`; a further thread that is refused later is done without.

#include <warden/detail/base/job.hpp>
#include <warden/detail/runtime/callback_executor.hpp>
#include <warden/detail/system/signal_mask.hpp>
#include <warden/error.hpp>
#include <warden/telemetry/metrics.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace warden::detail {

class Dispatcher final : public JobRunner {
public:
    /// Threads for callbacks: so many from the start, and so many if callbacks block.
    static constexpr std::size_t first_threads = 2;
    static constexpr std::size_t max_threads = 16;
    /// Threads that look through output, at most.
    static constexpr std::size_t max_output_threads = 2;
    /// A callback that waits while all threads are busy and none takes another one for so long gets a further thread.
    static constexpr std::chrono::milliseconds patience{10};

    /// What user code throws is counted in `metrics`.
    explicit Dispatcher(Metrics& metrics) : metrics_(metrics) {}
    ~Dispatcher() { stop(); }

    /// Makes the threads, with all signals blocked. Before that, jobs wait.
    [[nodiscard]] error_code start();

    /// Runs `job`, which may be user code, on one of the threads for callbacks.
    void post(Job job) override;
    /// Runs `job` on the library's own thread, one after the other, in order. It calls no user code.
    void post_internal(Job job);
    /// Runs `job`, which looks through output, on one of the threads for that. It calls no user code and does not wait.
    void post_output(Job job);

    [[nodiscard]] CallbackExecutor executor() noexcept { return CallbackExecutor(*this); }

    /// Runs user code; what it throws is counted and goes no further.
    template <class F>
    void run_guarded(F&& f) noexcept {
        try {
            std::forward<F>(f)();
        } catch (...) {
            metrics_.callback_threw();
        }
    }

    /// Whether the caller runs on one of these threads.
    [[nodiscard]] bool is_dispatcher_thread() const;
    /// How many threads there are for callbacks.
    [[nodiscard]] std::size_t callback_threads() const;

    /// From `stop` on: who has much left to hand out drops it.
    [[nodiscard]] bool is_closing() const noexcept { return is_closing_.load(std::memory_order_relaxed); }

    /// Lets what is queued, and what outstanding work will post, finish, then ends the threads. Not from one of them.
    void stop();

    void begin_work() noexcept override {
        const std::lock_guard lock(mutex_);
        ++outstanding_;
    }
    void end_work() noexcept override;

private:
    using Lock = std::unique_lock<std::mutex>;

    void run_callbacks();
    void run_internal();
    void run_output();
    void add_output_thread();
    void add_callback_thread();
    [[nodiscard]] bool is_short_of_threads() const noexcept;
    [[nodiscard]] bool is_finished() const noexcept { return is_closing() && outstanding_ == 0; }
    static void run_first(std::deque<Job>& queue, Lock& lock);

    Metrics& metrics_;
    std::atomic<bool> is_closing_{false};  // to true: under the mutex
    mutable std::mutex mutex_;
    std::condition_variable callback_wanted_;
    std::condition_variable internal_wanted_;
    std::deque<Job> callbacks_;
    std::deque<Job> internal_;
    std::condition_variable output_wanted_;
    std::deque<Job> output_;
    std::size_t output_idle_ = 0;
    std::size_t output_running_ = 0;  // threads that look through output, and may post callbacks
    std::size_t outstanding_ = 0;
    std::size_t idle_ = 0;        // threads for callbacks that wait
    std::uint64_t taken_ = 0;     // callbacks so far
    bool is_supervised_ = false;  // the library's own thread looks after the callbacks that wait
    std::vector<std::thread> callback_threads_;
    std::thread internal_thread_;
    std::vector<std::thread> output_threads_;
    std::vector<std::thread::id> ids_;  // of all of them, also while they are joined
};

/// Jobs on the threads for callbacks that run one at a time, in order.
class SerialQueue {
public:
    explicit SerialQueue(Dispatcher& dispatcher) : state_(std::make_shared<State>(dispatcher)) {}

    /// What is posted runs though this object is gone by then.
    void post(Job job) const;

private:
    struct State {
        explicit State(Dispatcher& runs_on) : dispatcher(runs_on) {}
        Dispatcher& dispatcher;
        std::mutex mutex;
        std::deque<Job> jobs;
        bool is_running = false;
    };
    static void run_next(std::shared_ptr<State> state);

    std::shared_ptr<State> state_;
};

// -- implementation ----------------------------------------------------------

inline error_code Dispatcher::start() {
    const AllSignalsBlocked blocked;  // inherited by the threads
    const std::lock_guard lock(mutex_);
    try {
        callback_threads_.reserve(max_threads);
        output_threads_.reserve(max_output_threads);
        ids_.reserve(max_threads + max_output_threads + 1);
        internal_thread_ = std::thread([this] { run_internal(); });
        ids_.push_back(internal_thread_.get_id());
        while (callback_threads_.size() < first_threads) add_callback_thread();
    } catch (const std::system_error& e) {  // the threads that were made end with `stop`
        return e.code();
    } catch (const std::bad_alloc&) {
        return boost::system::errc::make_error_code(boost::system::errc::not_enough_memory);
    }
    return {};
}

inline void Dispatcher::post(Job job) {
    const std::lock_guard lock(mutex_);
    callbacks_.push_back(std::move(job));
    if (idle_ > 0) callback_wanted_.notify_one();
    if (is_short_of_threads() && !std::exchange(is_supervised_, true)) internal_wanted_.notify_one();
}

inline void Dispatcher::post_internal(Job job) {
    const std::lock_guard lock(mutex_);
    internal_.push_back(std::move(job));
    internal_wanted_.notify_one();
}

inline void Dispatcher::post_output(Job job) {
    const std::lock_guard lock(mutex_);
    const bool is_short = output_.size() >= output_idle_ && output_threads_.size() < max_output_threads;
    if (is_short && !is_closing()) add_output_thread();
    if (output_running_ == 0) {  // the system refuses threads, or this is the end
        callbacks_.push_back(std::move(job));
        return callback_wanted_.notify_one();
    }
    output_.push_back(std::move(job));
    output_wanted_.notify_one();
}

/// Under the mutex. One that is refused is done without.
inline void Dispatcher::add_output_thread() {
    try {
        const AllSignalsBlocked blocked;  // inherited by the thread
        output_threads_.emplace_back([this] { run_output(); });
        ++output_running_;
        ids_.push_back(output_threads_.back().get_id());
    } catch (const std::exception&) {
        return;
    }
}

inline void Dispatcher::run_output() {
    Lock lock(mutex_);
    for (;;) {
        if (!output_.empty()) {
            run_first(output_, lock);
        } else if (is_finished()) {
            if (--output_running_ == 0) callback_wanted_.notify_all();
            return;
        } else {
            ++output_idle_;
            output_wanted_.wait(lock);
            --output_idle_;
        }
    }
}

inline bool Dispatcher::is_short_of_threads() const noexcept {
    return callbacks_.size() > idle_ && callback_threads_.size() < max_threads && !is_closing();
}

inline void Dispatcher::run_first(std::deque<Job>& queue, Lock& lock) {
    Job job = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
}

inline void Dispatcher::run_callbacks() {
    Lock lock(mutex_);
    for (;;) {
        if (!callbacks_.empty()) {
            ++taken_;
            run_first(callbacks_, lock);
        } else if (is_finished() && output_running_ == 0) {
            return;
        } else {
            ++idle_;
            callback_wanted_.wait(lock);
            --idle_;
        }
    }
}

/// The library's own work; and, only while callbacks wait for a thread, whether they get one.
inline void Dispatcher::run_internal() {
    auto delay = std::chrono::duration_cast<Nanoseconds>(patience);
    auto look_at = SteadyTime::max();
    std::uint64_t seen = 0;
    Lock lock(mutex_);
    for (;;) {
        if (!internal_.empty()) {
            run_first(internal_, lock);
        } else if (is_finished()) {
            return;
        } else if (!is_short_of_threads()) {
            is_supervised_ = false;
            look_at = SteadyTime::max();
            delay = patience;
            internal_wanted_.wait(lock);
        } else if (const SteadyTime now = SteadyTime::clock::now(); look_at == SteadyTime::max() || seen != taken_) {
            is_supervised_ = true;
            seen = taken_;
            look_at = now + delay;
        } else if (now < look_at) {
            internal_wanted_.wait_until(lock, look_at);
        } else {
            try {
                add_callback_thread();  // inherits that all signals are blocked
            } catch (const std::exception&) {
                delay = std::min<Nanoseconds>(delay * 2, std::chrono::seconds(1));
            }
            look_at = now + delay;
        }
    }
}

/// Under the mutex.
inline void Dispatcher::add_callback_thread() {
    callback_threads_.emplace_back([this] { run_callbacks(); });
    ids_.push_back(callback_threads_.back().get_id());
}

inline bool Dispatcher::is_dispatcher_thread() const {
    const auto self = std::this_thread::get_id();
    const std::lock_guard lock(mutex_);
    return std::find(ids_.begin(), ids_.end(), self) != ids_.end();
}

inline std::size_t Dispatcher::callback_threads() const {
    const std::lock_guard lock(mutex_);
    return callback_threads_.size();
}

inline void Dispatcher::end_work() noexcept {
    const std::lock_guard lock(mutex_);
    if (--outstanding_ > 0 || !is_closing()) return;
    callback_wanted_.notify_all();
    internal_wanted_.notify_one();
    output_wanted_.notify_all();
}

inline void Dispatcher::stop() {
    {
        const std::lock_guard lock(mutex_);
        is_closing_.store(true, std::memory_order_relaxed);  // from here on no thread is added
        callback_wanted_.notify_all();
        internal_wanted_.notify_one();
        output_wanted_.notify_all();
    }
    for (auto& thread : output_threads_) {
        if (thread.joinable()) thread.join();
    }
    for (auto& thread : callback_threads_) {
        if (thread.joinable()) thread.join();
    }
    if (internal_thread_.joinable()) internal_thread_.join();
}

inline void SerialQueue::post(Job job) const {
    {
        const std::lock_guard lock(state_->mutex);
        state_->jobs.push_back(std::move(job));
        if (std::exchange(state_->is_running, true)) return;
    }
    run_next(state_);
}

/// One job a turn: others get theirs.
inline void SerialQueue::run_next(std::shared_ptr<State> state) {
    Dispatcher& dispatcher = state->dispatcher;
    dispatcher.post([state = std::move(state)]() mutable {
        std::unique_lock lock(state->mutex);
        Job job = std::move(state->jobs.front());
        state->jobs.pop_front();
        lock.unlock();
        job();
        job = nullptr;
        lock.lock();
        state->is_running = !state->jobs.empty();
        const bool goes_on = state->is_running;
        lock.unlock();
        if (goes_on) run_next(std::move(state));
    });
}

}  // namespace warden::detail
