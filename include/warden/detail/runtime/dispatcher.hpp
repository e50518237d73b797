// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Where callbacks of the user run: two threads, made when the first one is needed, never the I/O loop.
///
/// Knows:         that user code may be slow, throw, come back in, or destroy the manager.
/// Thread-safety: safe.

#include <warden/detail/system/signal_mask.hpp>
#include <warden/telemetry/metrics.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

namespace warden::detail {

class Dispatcher {
public:
    using Executor = boost::asio::thread_pool::executor_type;
    using Strand = boost::asio::strand<Executor>;

    /// What user code throws is counted in `metrics`.
    explicit Dispatcher(Metrics& metrics) : metrics_(metrics) {}
    ~Dispatcher() { stop(); }

    [[nodiscard]] Executor executor() {
        std::call_once(made_, [this] {
            const AllSignalsBlocked blocked;
            pool_ = std::make_unique<boost::asio::thread_pool>(2);
        });
        return pool_->get_executor();
    }

    /// One after the other, in order.
    [[nodiscard]] Strand strand() { return boost::asio::make_strand(executor()); }

    /// Runs user code; what it throws is counted and goes no further.
    template <class F>
    void run_guarded(F&& f) noexcept {
        try {
            std::forward<F>(f)();
        } catch (...) {
            metrics_.callback_threw();
        }
    }

    /// Whether the caller is user code that runs here.
    [[nodiscard]] bool is_dispatcher_thread() const { return pool_ && pool_->get_executor().running_in_this_thread(); }

    /// From `stop` on: who has much left to hand out drops it.
    [[nodiscard]] bool is_closing() const noexcept { return is_closing_.load(std::memory_order_relaxed); }

    /// Lets what is queued finish, then ends the threads. Not from one of them.
    void stop() {
        is_closing_.store(true, std::memory_order_relaxed);
        if (pool_) pool_->join();
    }

private:
    Metrics& metrics_;
    std::atomic<bool> is_closing_{false};
    std::once_flag made_;
    std::unique_ptr<boost::asio::thread_pool> pool_;
};

}  // namespace warden::detail
