// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What wakes a loop at a time: one timerfd(2).
///
/// Knows:         that std::chrono::steady_clock is CLOCK_MONOTONIC here.
/// Does not know: who waits for which deadline.
/// Thread-safety: none, except that the alarm rings on the loop while another thread arms it.
/// Errors:        system_error from the constructor: too many descriptors.

#include <warden/detail/base/job.hpp>
#include <warden/detail/system/descriptor_watch.hpp>
#include <warden/timeout.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <utility>

#include <sys/timerfd.h>
#include <unistd.h>

namespace warden::detail {

class LoopAlarm {
public:
    /// `ring` is called on the loop whenever an armed deadline has passed, and perhaps without one.
    LoopAlarm(EventLoop& loop, Job ring);

    /// Rings at `deadline`, instead of at the deadline before.
    void arm(SteadyTime deadline) noexcept;

private:
    void listen();

    DescriptorWatch watch_;
    const int descriptor_;  // of the watch: it is armed from other threads
    Job ring_;
};

// -- implementation ----------------------------------------------------------

inline LoopAlarm::LoopAlarm(EventLoop& loop, Job ring)
    : watch_(loop), descriptor_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)), ring_(std::move(ring)) {
    if (descriptor_ < 0) throw system_error(system_code(errno), "timerfd_create");
    if (const error_code ec = watch_.open(UniqueFd(descriptor_))) throw system_error(ec, "epoll_ctl");
    listen();
}

inline void LoopAlarm::arm(SteadyTime deadline) noexcept {
    // A time of zero would disarm it.
    const Nanoseconds since_boot = std::max<Nanoseconds>(deadline.time_since_epoch(), Nanoseconds(1));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
    itimerspec at{};
    at.it_value.tv_sec = static_cast<time_t>(seconds.count());
    at.it_value.tv_nsec = static_cast<long>((since_boot - seconds).count());
    ::timerfd_settime(descriptor_, TFD_TIMER_ABSTIME, &at, nullptr);
}

inline void LoopAlarm::listen() {
    watch_.wait_readable([this](const error_code& ec) {
        if (ec) return;
        std::uint64_t expirations = 0;
        static_cast<void>(::read(descriptor_, &expirations, sizeof expirations));
        listen();
        ring_();
    });
}

}  // namespace warden::detail
#endif
