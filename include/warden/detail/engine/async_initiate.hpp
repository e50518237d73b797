// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How an asynchronous operation of Asio begins, is cancelled, and completes: exactly once, whoever comes first.
///
/// Knows:         completion tokens, the handler's executor, which it keeps busy until then, its cancellation slot.
/// Thread-safety: safe.
/// Allocates:     the handler's place, and what posting takes.

#include <warden/detail/engine/engine_api.hpp>
#include <warden/detail/engine/pending_operations.hpp>
#include <warden/error.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/system_executor.hpp>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace warden::detail {

/// Starts `begin(done)`; `done(ec, results...)` may be called from any thread, also at once, and more than once: the
/// first call counts. What `begin` returns is called if the operation is cancelled; it should lead to a call of `done`.
/// The handler runs on its own executor, or, if it has none, on a thread of the manager, where what it throws is
/// counted. It is destroyed unrun if the execution context of its executor goes first. With `refused`, or
/// with a cancellation slot that was triggered already, nothing starts.
template <class... Results, class Token, class Begin>
auto initiate(Token&& token, const std::shared_ptr<Engine>& engine, const error_code& refused, Begin begin);

template <class Result>
inline constexpr bool is_void_or_future = std::is_void_v<Result>;
template <class T>
inline constexpr bool is_void_or_future<std::future<T>> = true;

struct AnyInitiation {
    template <class... Args>
    void operator()(Args&&...) const;
};

/// A token of which the operation begins at once, such as a callback; what other tokens make is for `co_await`.
template <class Token, class Signature>
concept BeginsAtOnce = is_void_or_future<decltype(boost::asio::async_initiate<Token, Signature>(
    std::declval<AnyInitiation>(), std::declval<Token&>()))>;

/// What is not options, so a token, where options may be left out.
template <class Token>
concept IsNoOptions = !std::is_same_v<std::remove_cvref_t<Token>, SpawnOptions>;

[[nodiscard]] inline error_code aborted() { return boost::asio::error::operation_aborted; }

// -- implementation ----------------------------------------------------------

template <class Handler, class Fallback>
class OneShot : public PendingOperation {
public:
    /// A handler without an executor of its own is called on `fallback`, and what it throws goes to `threw`.
    OneShot(Handler handler, const Fallback& fallback, std::function<void()> threw)
        : handler_(std::move(handler)),
          work_(std::in_place, boost::asio::get_associated_executor(*handler_, fallback)),
          threw_(std::move(threw)) {
        if constexpr (!has_fallback && boost::asio::can_query<Executor, boost::asio::execution::context_t>::value) {
            pending_ =
                PendingOperations::of(boost::asio::query(work_->get_executor(), boost::asio::execution::context));
        }
    }
    OneShot(const OneShot&) = delete;

    /// From now on the operation is dropped when the context of its handler goes.
    void follow_context(const std::shared_ptr<OneShot>& self) {
        if (pending_) pending_->add(self);
    }

    /// Posts the handler with these arguments, unless it has been already, or was dropped.
    template <class... Args>
    void complete(Args... args) {
        std::unique_lock<std::mutex> lock;
        if (pending_) lock = std::unique_lock(pending_->mutex);
        if ((pending_ && pending_->is_over) || done_.exchange(true)) return;
        if (pending_) pending_->all.erase(this);
        // Nothing here touches the executor after the post: the handler may end its context.
        auto work = std::move(*work_);
        auto call = [handler = std::move(*handler_), threw = std::move(threw_),
                     arguments = std::make_tuple(std::move(args)...)]() mutable {
            try {
                std::apply(std::move(handler), std::move(arguments));
            } catch (...) {
                if (!has_fallback) throw;
                threw();
            }
        };
        work_.reset();
        handler_.reset();
        const auto executor = work.get_executor();
        boost::asio::post(executor, [call = std::move(call), work = std::move(work)]() mutable {
            work.reset();
            call();
        });
    }

    void drop() noexcept override {
        if (done_.exchange(true)) return;
        handler_.reset();
        work_.reset();
    }

private:
    using Executor = boost::asio::associated_executor_t<Handler, Fallback>;
    /// Nobody but the manager can guard its threads against what a handler throws.
    static constexpr bool has_fallback = std::is_same_v<Executor, Fallback>;

    std::optional<Handler> handler_;
    std::optional<boost::asio::executor_work_guard<Executor>> work_;
    std::function<void()> threw_;
    std::shared_ptr<PendingOperations> pending_;
    std::atomic<bool> done_{false};
};

/// What to call for a cancellation, which may come before that is known.
class Canceller {
public:
    void set(std::function<void()> cancel) {
        {
            const std::lock_guard lock(mutex_);
            if (!asked_) cancel_ = std::exchange(cancel, nullptr);
        }
        if (cancel) cancel();
    }
    [[nodiscard]] bool is_asked() {
        const std::lock_guard lock(mutex_);
        return asked_;
    }
    void ask() {
        std::function<void()> cancel;
        {
            const std::lock_guard lock(mutex_);
            asked_ = true;
            cancel = std::exchange(cancel_, nullptr);
        }
        if (cancel) cancel();
    }

private:
    std::mutex mutex_;
    std::function<void()> cancel_;
    bool asked_ = false;
};

template <class... Results, class Token, class Begin>
auto initiate(Token&& token, const std::shared_ptr<Engine>& engine, const error_code& refused, Begin begin) {
    return boost::asio::async_initiate<Token, void(error_code, Results...)>(
        [](auto handler, const std::shared_ptr<Engine>& by, const error_code& ec, Begin start) {
            using Handler = decltype(handler);
            if (ec) {
                OneShot<Handler, boost::asio::system_executor>(std::move(handler), {}, [] {
                }).complete(ec, Results{}...);
                return;
            }
            auto slot = boost::asio::get_associated_cancellation_slot(handler);
            auto shot = std::make_shared<OneShot<Handler, CallbackExecutor>>(std::move(handler), callback_executor(*by),
                                                                             [weak = std::weak_ptr(by)] {
                                                                                 if (const auto held = weak.lock())
                                                                                     note_callback_threw(*held);
                                                                             });
            shot->follow_context(shot);
            std::shared_ptr<Canceller> canceller;
            if (slot.is_connected()) {  // before the start: the handler may run, and end the slot, before that returns
                canceller = std::make_shared<Canceller>();
                slot.assign([canceller](boost::asio::cancellation_type) { canceller->ask(); });
                if (canceller->is_asked()) return shot->complete(aborted(), Results{}...);
            }
            std::function<void()> cancel = start([shot](const error_code& result, Results... results) {
                shot->complete(result, std::move(results)...);
            });
            if (canceller) canceller->set(std::move(cancel));
        },
        token, engine, refused, std::move(begin));
}

}  // namespace warden::detail
