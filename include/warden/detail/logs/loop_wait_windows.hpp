// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Waits in an event loop for what a `PathWatch` tells of.
///
/// Knows:         its event, and that it may be late: `PathWatch::look_interval`.
/// Does not know: what happened.
/// Thread-safety: on the loop, after `assign`.
/// Allocates:     as Asio does; a handler a wait.

#include <warden/detail/system/api_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <warden/detail/logs/path_watch.hpp>
#include <warden/detail/system/long_path_windows.hpp>
#include <warden/error.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/windows/object_handle.hpp>

#include <memory>
#include <utility>

namespace warden::detail {

/// See `WaitsInLoop`.
class LoopWait {
public:
    explicit LoopWait(boost::asio::io_context& loop) : event_(loop), timer_(loop) {}
    LoopWait(const LoopWait&) = delete;
    ~LoopWait() { close(); }

    void assign(PathWatch::Handle handle, error_code& ec) {
        HANDLE copy = nullptr;
        const HANDLE self = ::GetCurrentProcess();
        ec.clear();
        if (::DuplicateHandle(self, handle, self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS) == 0) ec = last_error();
        else event_.assign(copy, ec);
    }

    [[nodiscard]] bool is_open() const { return event_.is_open(); }

    template <class Look>
    void async_wait(Look look) {
        waiting_ = std::make_shared<bool>(true);
        auto handler = [this, waiting = waiting_, look = std::move(look)](const error_code& ec) mutable {
            if (ec || !std::exchange(*waiting, false)) return;
            error_code ignored;
            event_.cancel(ignored);
            timer_.cancel();
            look();
        };
        timer_.expires_after(PathWatch::look_interval);
        timer_.async_wait(handler);
        event_.async_wait(handler);
    }

    void close() {
        if (waiting_) *waiting_ = false;
        error_code ignored;
        event_.close(ignored);
        timer_.cancel();
    }

private:
    boost::asio::windows::object_handle event_;
    boost::asio::steady_timer timer_;
    std::shared_ptr<bool> waiting_;  // one of the two handlers is still to call
};

}  // namespace warden::detail
#endif
