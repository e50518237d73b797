// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The bounded way from the I/O loop to one consumer of output that may be slow.
///
/// Knows:         bytes waiting, how many may wait, what was dropped, who waits for it and is waited for by it.
/// Does not know: what the consumer does.
/// Thread-safety: `offer` on the loop; the consumer is called by one thread at a time, in order.

#include <warden/callbacks.hpp>
#include <warden/detail/base/job.hpp>
#include <warden/detail/runtime/dispatcher.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace warden::detail {

class ConsumerQueue;
/// Of one process; null where there is none.
using OutputQueues = std::array<ConsumerQueue*, 8>;

/// Whose code a consumer runs. Code of the library never waits behind code of the user.
enum class ConsumerCode : std::uint8_t { of_user, of_library };

class ConsumerQueue : public std::enable_shared_from_this<ConsumerQueue> {
public:
    /// Returns how many of the bytes it could not do anything with.
    using Consume = UniqueFunction<std::size_t(Stream, std::string_view)>;

    /// With `pause` it takes everything: who offers stops at `has_room`, so what waits is bounded by half of
    /// `max_bytes` and what was in the pipes. The consumer runs on `executor`, or, if that is none, on the threads of
    /// the dispatcher for such code.
    ConsumerQueue(std::shared_ptr<Dispatcher> dispatcher, Executor executor, std::size_t max_bytes,
                  OverflowPolicy when_slow, Consume consume, ConsumerCode code = ConsumerCode::of_user)
        : dispatcher_(std::move(dispatcher)),
          executor_(std::move(executor)),
          max_bytes_(max_bytes),
          when_slow_(when_slow),
          code_(code),
          consume_(std::move(consume)) {}

    /// Hands over `bytes`, or, if too much waits, counts what `payload` says is in them as dropped.
    void offer(Stream stream, std::string bytes, std::size_t payload) {
        const std::size_t waiting = waiting_.load(std::memory_order_acquire);
        if (when_slow_ == OverflowPolicy::drop && waiting != 0 && waiting + bytes.size() > max_bytes_) {
            dropped_.fetch_add(payload, std::memory_order_relaxed);
            return;
        }
        waiting_.fetch_add(bytes.size(), std::memory_order_acq_rel);
        enqueue({stream, std::move(bytes), nullptr});
    }

    /// Runs `f` after everything that was offered; at once while the queue is held up.
    void after_all(Job f) {
        enqueue({Stream::stdout_, {}, std::move(f)});
        complete_flush_if_paused();
    }

    /// Whether the caller is the consumer.
    [[nodiscard]] bool is_consuming_here() const {
        const std::lock_guard lock(mutex_);
        return consumer_ == std::this_thread::get_id();
    }

    /// Whether this one cannot go on while the consumer of `other` does not return. Two on an executor of the user:
    /// it may have one thread.
    [[nodiscard]] bool blocks_on(const ConsumerQueue& other) const noexcept {
        return this == &other || (executor_ && other.executor_);
    }

    /// Until `go_on`, nobody waits for what was offered: it cannot be consumed before that.
    void pause_flush() {
        {
            const std::lock_guard lock(mutex_);
            ++held_up_;
        }
        complete_flush_if_paused();
    }
    void resume_flush() {
        const std::lock_guard lock(mutex_);
        --held_up_;
    }

    /// Whether at least half of the queue is free.
    [[nodiscard]] bool has_room() const noexcept { return waiting_.load(std::memory_order_acquire) <= max_bytes_ / 2; }

    /// Called on the dispatcher whenever there is room after a call. Set it before the first `offer`.
    void on_room(Job f) { on_room_ = std::move(f); }

    [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

private:
    struct Item {
        Stream stream;
        std::string bytes;
        Job instead;  // of the consumer
    };

    void enqueue(Item item) {
        {
            const std::lock_guard lock(mutex_);
            items_.push_back(std::move(item));
            if (std::exchange(is_running_, true)) return;
        }
        run_next();
    }

    void complete_flush_if_paused() {
        std::vector<Job> due;
        {
            const std::lock_guard lock(mutex_);
            if (held_up_ == 0) return;
            for (Item& item : items_) {
                if (item.instead) due.push_back(std::exchange(item.instead, [] {}));
            }
        }
        for (const auto& f : due) f();
    }

    /// One item a turn: whoever shares the executor gets his.
    void run_next() {
        auto turn = [self = shared_from_this()] {
            if (self->take_turn()) self->run_next();
        };
        if (code_ == ConsumerCode::of_library) return dispatcher_->post_output(std::move(turn));
        if (!executor_) return dispatcher_->post(std::move(turn));
        if (!is_context_gone_.load()) post_to_executor();
        else dispatcher_->post(std::move(turn));
    }

    /// A turn on an executor of the user. One that nobody takes, since the context went with it or before it, is taken
    /// by the dispatcher, and calls no user code.
    struct Turn {
        explicit Turn(std::shared_ptr<ConsumerQueue> queue) noexcept : self(std::move(queue)) {}
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        ~Turn() {
            if (is_taken.load() || self->dispatcher_->is_closing()) return;
            self->is_context_gone_.store(true);
            self->run_next();
        }
        void take() {
            if (is_taken.exchange(true)) return;
            if (self->take_turn()) self->run_next();
        }

        const std::shared_ptr<ConsumerQueue> self;
        std::atomic<bool> is_taken{false};
    };

    /// An executor that throws may have taken the turn or not: who takes it first has it, else the dispatcher.
    void post_to_executor() {
        const auto turn = std::make_shared<Turn>(shared_from_this());
        bool is_answered = false;
        dispatcher_->run_guarded([&] {
            static_cast<void>(executor_([turn] { turn->take(); }));
            is_answered = true;
        });
        if (!is_answered) dispatcher_->post([turn] { turn->take(); });
    }

    /// Whether there is more to do.
    bool take_turn() {
        std::unique_lock lock(mutex_);
        const Item item = std::move(items_.front());
        items_.pop_front();
        consumer_ = std::this_thread::get_id();
        lock.unlock();
        if (item.instead) {
            item.instead();
        } else {
            const bool too_late = dispatcher_->is_closing() || is_context_gone_.load();
            std::size_t dropped = too_late ? item.bytes.size() : 0;
            if (!too_late) dispatcher_->run_guarded([&] { dropped = consume_(item.stream, item.bytes); });
            dropped_.fetch_add(dropped, std::memory_order_relaxed);
            waiting_.fetch_sub(item.bytes.size(), std::memory_order_acq_rel);
            if (on_room_ && has_room()) on_room_();
        }
        lock.lock();
        consumer_ = {};
        return is_running_ = !items_.empty();
    }

    const std::shared_ptr<Dispatcher> dispatcher_;
    const Executor executor_;
    const std::size_t max_bytes_;
    const OverflowPolicy when_slow_;
    const ConsumerCode code_;
    const Consume consume_;
    Job on_room_;
    std::atomic<bool> is_context_gone_{false};  // of the executor: what callbacks refer to may be gone too
    std::atomic<std::size_t> waiting_{0};
    std::atomic<std::uint64_t> dropped_{0};
    mutable std::mutex mutex_;
    std::deque<Item> items_;
    bool is_running_ = false;   // a turn is on its way
    std::thread::id consumer_;  // of the turn that is being taken
    int held_up_ = 0;
};

/// The end of a process is told when its output was consumed. Who waits for that end in a consumer of that output says
/// so by one of these: then it is told without what the consumer, which waits, cannot be given. On the stack of who
/// waits, not longer than the queues.
class ReentrantWaitGuard {
public:
    ReentrantWaitGuard() = default;
    explicit ReentrantWaitGuard(const OutputQueues& queues) { add(queues); }
    ReentrantWaitGuard(const ReentrantWaitGuard&) = delete;
    ~ReentrantWaitGuard() {
        for (auto* queue : held_up_) queue->resume_flush();
    }

    /// All consumers of one process; null where there is none.
    void add(const OutputQueues& queues) {
        for (const auto* mine : queues) {
            if (!mine || !mine->is_consuming_here()) continue;
            for (auto* queue : queues) {
                if (!queue || !queue->blocks_on(*mine)) continue;
                held_up_.push_back(queue);
                queue->pause_flush();
            }
        }
    }

private:
    std::vector<ConsumerQueue*> held_up_;
};

}  // namespace warden::detail
