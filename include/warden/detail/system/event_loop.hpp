// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `EventLoop`, which runs jobs on one thread and wakes it when a descriptor is ready, as this system does it.
///
/// Knows:         which system this is. Linux: epoll(7); elsewhere: the context of Asio.
/// Does not know: time; what its jobs do.

#include <warden/detail/base/job.hpp>
#include <warden/platform.hpp>

#include <concepts>

#if WARDEN_OS_LINUX
#include <warden/detail/system/event_loop_linux.hpp>
#else
#include <warden/detail/system/event_loop_asio.hpp>
#endif

namespace warden::detail {

template <class Loop>
concept RunsEvents = std::default_initializable<Loop> && requires(Loop& loop, Job job) {
    // From any thread: runs `job` later, after what was posted before.
    loop.post(static_cast<Job&&>(job));

    // Runs jobs and handlers until `stop`, in the calling thread.
    loop.run();

    // From any thread: `run` returns once the handler that it is in returns.
    loop.stop();

    // After `run` has returned: runs what is queued or ready by now, and what that posts.
    loop.run_queued();
};
static_assert(RunsEvents<EventLoop>);

}  // namespace warden::detail
