// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the parts of one manager share: the loop, the dispatcher, the settings, the figures, the way for events.
///
/// Thread-safety: safe, except `config`, which never changes.

#include <warden/detail/runtime/io_loop.hpp>
#include <warden/detail/runtime/manager_context.hpp>
#include <warden/telemetry/event_log.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

class Services final : public ManagerContext {
public:
    using Subscriber = std::function<void(const Event&)>;

    Services(ManagerConfig settings, const Uuid& id) : ManagerContext(std::move(settings), loop), instance_id(id) {}

    const Uuid instance_id;
    IoLoop loop;

    /// Whether this process is the one that made the manager, not a forked copy of it.
    [[nodiscard]] bool is_owner() const noexcept { return current_pid() == owner; }

    void emit(Event event) override;
    void emit(Event first, Event second) override;

    /// Called on the dispatcher, one event at a time. What falls behind by more than the queue is dropped and counted.
    [[nodiscard]] std::uint64_t subscribe(Subscriber subscriber);
    void unsubscribe(std::uint64_t id);

    /// Writes events there from now on. On the loop.
    void use_event_log(EventLog log) { event_log_.emplace(std::move(log)); }

private:
    struct Listener {
        explicit Listener(Subscriber subscriber) : call(std::move(subscriber)) {}
        const Subscriber call;
        std::recursive_mutex calling;  // a subscriber may end its own subscription
        bool over = false;
        std::atomic<std::size_t> waiting{0};  // events
    };
    struct Subscription {
        std::uint64_t id;
        std::shared_ptr<Listener> listener;
        SerialQueue queue;
    };
    static constexpr std::size_t max_waiting_events = 10'000;
    void record(Event event);
    void deliver(const std::shared_ptr<const Event>& event);

    std::optional<EventLog> event_log_;
    std::uint64_t sequence_ = 0;  // on the loop
    std::mutex mutex_;
    std::uint64_t next_id_ = 1;
    std::vector<Subscription> subscriptions_;
    std::atomic<bool> has_subscribers_{false};
};

// -- implementation ----------------------------------------------------------

inline void Services::emit(Event event) {
    if (event.time == std::chrono::system_clock::time_point{}) event.time = std::chrono::system_clock::now();
    if (loop.is_loop_thread()) return record(std::move(event));
    loop.post([this, event = std::move(event)]() mutable { record(std::move(event)); });
}

inline void Services::emit(Event first, Event second) {
    loop.post([this, first = std::move(first), second = std::move(second)]() mutable {
        record(std::move(first));
        record(std::move(second));
    });
}

inline void Services::record(Event event) {
    event.instance = instance_id;
    event.sequence = ++sequence_;
    metrics.event_made();
    if (event_log_) event_log_->write(event);
    if (has_subscribers_.load(std::memory_order_acquire)) deliver(std::make_shared<const Event>(std::move(event)));
}

inline void Services::deliver(const std::shared_ptr<const Event>& event) {
    const std::lock_guard lock(mutex_);
    for (auto& subscription : subscriptions_) {
        const bool is_last_word = event->kind == EventKind::exit || event->kind == EventKind::tree_gone;
        if (subscription.listener->waiting >= max_waiting_events && !is_last_word) {
            metrics.event_dropped();
            continue;
        }
        subscription.listener->waiting.fetch_add(1);
        subscription.queue.post([this, listener = subscription.listener, event] {
            const std::lock_guard calling(listener->calling);
            if (!listener->over) dispatcher.run_guarded([&] { listener->call(*event); });
            listener->waiting.fetch_sub(1);
        });
    }
}

inline std::uint64_t Services::subscribe(Subscriber subscriber) {
    const std::lock_guard lock(mutex_);
    has_subscribers_.store(true, std::memory_order_release);
    subscriptions_.push_back({next_id_, std::make_shared<Listener>(std::move(subscriber)), SerialQueue(dispatcher)});
    return next_id_++;
}

inline void Services::unsubscribe(std::uint64_t id) {
    std::shared_ptr<Listener> listener;
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(subscriptions_, [&](const Subscription& subscription) {
            if (subscription.id == id) listener = subscription.listener;
            return subscription.id == id;
        });
        has_subscribers_.store(!subscriptions_.empty(), std::memory_order_release);
    }
    if (!listener) return;
    const std::lock_guard calling(listener->calling);
    listener->over = true;
}

}  // namespace warden::detail
