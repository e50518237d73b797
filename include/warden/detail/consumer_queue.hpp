// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The bounded way from the I/O loop to one consumer of output that may be slow.
///
/// Knows:         bytes waiting, how many may wait, what was dropped.
/// Does not know: what the consumer does.
/// Thread-safety: `offer` on the loop; the consumer runs on the dispatcher, one call at a time, in order.

#include <warden/detail/dispatcher.hpp>
#include <warden/spawn_options.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace warden::detail {

class ConsumerQueue : public std::enable_shared_from_this<ConsumerQueue> {
public:
    /// Returns how many of the bytes it could not do anything with.
    using Consume = std::function<std::size_t(Stream, std::string_view)>;

    /// With `pause` it takes everything: who offers stops at `has_room`, so what waits is bounded by half of
    /// `most_bytes` and what was in the pipes.
    ConsumerQueue(Dispatcher& dispatcher, std::size_t most_bytes, SlowConsumer when_slow, Consume consume)
        : dispatcher_(dispatcher),
          strand_(dispatcher.strand()),
          most_bytes_(most_bytes),
          when_slow_(when_slow),
          consume_(std::move(consume)) {}

    /// Hands over `bytes`, or, if too much waits, counts what `payload` says is in them as dropped.
    void offer(Stream stream, std::string bytes, std::size_t payload) {
        const std::size_t waiting = waiting_.load(std::memory_order_acquire);
        if (when_slow_ == SlowConsumer::drop && waiting != 0 && waiting + bytes.size() > most_bytes_) {
            dropped_.fetch_add(payload, std::memory_order_relaxed);
            return;
        }
        waiting_.fetch_add(bytes.size(), std::memory_order_acq_rel);
        boost::asio::post(strand_, [self = shared_from_this(), stream, text = std::move(bytes)] {
            self->dispatcher_.run_guarded(
                [&] { self->dropped_.fetch_add(self->consume_(stream, text), std::memory_order_relaxed); });
            self->waiting_.fetch_sub(text.size(), std::memory_order_acq_rel);
            if (self->on_room_ && self->has_room()) self->on_room_();
        });
    }

    /// Runs `f` after everything that was offered.
    template <class F>
    void after_all(F&& f) {
        boost::asio::post(strand_, std::forward<F>(f));
    }

    /// Whether at least half of the queue is free.
    [[nodiscard]] bool has_room() const noexcept { return waiting_.load(std::memory_order_acquire) <= most_bytes_ / 2; }

    /// Called on the dispatcher whenever there is room after a call. Set it before the first `offer`.
    void on_room(std::function<void()> f) { on_room_ = std::move(f); }

    [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

private:
    Dispatcher& dispatcher_;
    Dispatcher::Strand strand_;
    const std::size_t most_bytes_;
    const SlowConsumer when_slow_;
    const Consume consume_;
    std::function<void()> on_room_;
    std::atomic<std::size_t> waiting_{0};
    std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace warden::detail
