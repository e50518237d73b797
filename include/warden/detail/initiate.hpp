// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A completion handler of Asio that is called exactly once, whoever comes first.
///
/// Knows:         the handler's executor, which it keeps busy until then, as Asio's rules demand.
/// Thread-safety: safe.
/// Allocates:     itself, and what posting takes.

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <atomic>
#include <optional>
#include <tuple>
#include <utility>

namespace warden::detail {

template <class Handler, class Fallback>
class OneShot {
public:
    /// A handler without an executor of its own is called on `fallback`.
    OneShot(Handler handler, const Fallback& fallback)
        : handler_(std::move(handler)), work_(boost::asio::get_associated_executor(*handler_, fallback)) {}

    /// Posts the handler with these arguments; false if it has been already.
    template <class... Args>
    bool complete(Args... args) {
        if (done_.exchange(true)) return false;
        boost::asio::post(work_.get_executor(),
                          [handler = std::move(*handler_), arguments = std::make_tuple(std::move(args)...)]() mutable {
                              std::apply(std::move(handler), std::move(arguments));
                          });
        handler_.reset();
        work_.reset();
        return true;
    }

private:
    using Executor = boost::asio::associated_executor_t<Handler, Fallback>;

    std::optional<Handler> handler_;
    boost::asio::executor_work_guard<Executor> work_;
    std::atomic<bool> done_{false};
};

}  // namespace warden::detail
