// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How an asynchronous operation of Asio begins, is cancelled, and completes: exactly once, whoever comes first.
///
/// Knows:         completion tokens, the handler's executor, which it keeps busy until then, its cancellation slot.
/// Thread-safety: safe.
/// Allocates:     the handler's place, and what posting takes.

#include <warden/detail/engine/engine_api.hpp>
#include <warden/error.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
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
/// The handler runs on its own executor, or, if it has none, on a thread of the manager. With `refused` nothing starts.
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
class OneShot {
public:
    /// A handler without an executor of its own is called on `fallback`.
    OneShot(Handler handler, const Fallback& fallback)
        : handler_(std::move(handler)),
          work_(std::in_place, boost::asio::get_associated_executor(*handler_, fallback)) {}

    /// Posts the handler with these arguments, unless it has been already.
    template <class... Args>
    void complete(Args... args) {
        if (done_.exchange(true)) return;
        // Nothing here touches the executor after the post: the handler may end its context.
        auto work = std::move(*work_);
        auto call = [handler = std::move(*handler_), arguments = std::make_tuple(std::move(args)...)]() mutable {
            std::apply(std::move(handler), std::move(arguments));
        };
        work_.reset();
        handler_.reset();
        const auto executor = work.get_executor();
        boost::asio::post(executor, [call = std::move(call), work = std::move(work)]() mutable {
            work.reset();
            call();
        });
    }

private:
    using Executor = boost::asio::associated_executor_t<Handler, Fallback>;

    std::optional<Handler> handler_;
    std::optional<boost::asio::executor_work_guard<Executor>> work_;
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
                OneShot<Handler, boost::asio::system_executor>(std::move(handler), {}).complete(ec, Results{}...);
                return;
            }
            auto slot = boost::asio::get_associated_cancellation_slot(handler);
            auto shot =
                std::make_shared<OneShot<Handler, CallbackExecutor>>(std::move(handler), callback_executor(*by));
            std::shared_ptr<Canceller> canceller;
            if (slot.is_connected()) {  // before the start: the handler may run, and end the slot, before that returns
                canceller = std::make_shared<Canceller>();
                slot.assign([canceller](boost::asio::cancellation_type) { canceller->ask(); });
            }
            std::function<void()> cancel = start([shot](const error_code& result, Results... results) {
                shot->complete(result, std::move(results)...);
            });
            if (canceller) canceller->set(std::move(cancel));
        },
        token, engine, refused, std::move(begin));
}

}  // namespace warden::detail
