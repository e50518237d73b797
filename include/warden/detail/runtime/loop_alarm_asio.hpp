// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What wakes a loop at a time: one timer of Asio, for the systems without timerfd(2).
///
/// Does not know: who waits for which deadline.
/// Thread-safety: `arm` from any thread: the timer itself is set on the loop.

#include <warden/detail/base/job.hpp>
#include <warden/error.hpp>
#include <warden/timeout.hpp>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <utility>

namespace warden::detail {

class LoopAlarm {
    using Context = boost::asio::io_context;  // of which the EventLoop of these systems is one

public:
    /// `ring` is called on the loop whenever an armed deadline has passed, and perhaps without one.
    LoopAlarm(Context& loop, Job ring) : loop_(loop), timer_(loop.get_executor()), ring_(std::move(ring)) {}

    /// Rings at `deadline`, instead of at the deadline before.
    void arm(SteadyTime deadline) {
        loop_.get_executor().execute([this, deadline] {
            timer_.expires_at(deadline);
            timer_.async_wait([this](const error_code& ec) {
                if (!ec) ring_();
            });
        });
    }

private:
    using Clock = SteadyTime::clock;
    Context& loop_;
    boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, Context::executor_type> timer_;
    Job ring_;
};

}  // namespace warden::detail
