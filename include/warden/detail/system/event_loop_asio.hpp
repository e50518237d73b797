// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The event loop of the systems without epoll(7): a context of Asio.
///
/// Knows:         that it is to run for as long as nobody stops it, whether or not there is work.
/// Does not know: descriptors and handles; the objects of Asio are made with this context.
/// Thread-safety: see `RunsEvents`.

#include <warden/detail/base/job.hpp>

#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/require.hpp>

#include <utility>

namespace warden::detail {

/// See `RunsEvents`; `run` and `stop` are those of Asio.
class EventLoop : public boost::asio::io_context {
public:
    EventLoop() : io_context(1), work_(get_executor()) {}

    void post(Job job) {
        boost::asio::require(get_executor(), boost::asio::execution::blocking.never).execute(std::move(job));
    }

    void run_queued() {
        work_.reset();
        restart();
        poll();
    }

private:
    boost::asio::executor_work_guard<executor_type> work_;
};

}  // namespace warden::detail
