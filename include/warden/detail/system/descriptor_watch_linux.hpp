// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `DescriptorWatch` as one registration with the event loop of Linux.
///
/// Knows:         its place in the loop's list of registrations.
/// Thread-safety: see descriptor_watch.hpp.

#include <warden/detail/system/event_loop.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_LINUX
#include <cstdint>
#include <utility>

namespace warden::detail {

/// See `WatchesDescriptor`.
class DescriptorWatch {
public:
    using Done = EventLoop::Done;

    explicit DescriptorWatch(EventLoop& loop) noexcept : loop_(loop) {}
    DescriptorWatch(const DescriptorWatch&) = delete;
    DescriptorWatch& operator=(const DescriptorWatch&) = delete;
    ~DescriptorWatch() { close(); }

    [[nodiscard]] error_code open(UniqueFd&& descriptor);
    [[nodiscard]] error_code borrow(int descriptor);

    void wait_readable(Done done) { loop_.wait(place_, EventLoop::readable, std::move(done)); }
    void wait_writable(Done done) { loop_.wait(place_, EventLoop::writable, std::move(done)); }
    void wait_error(Done done) { loop_.wait(place_, EventLoop::exceptional, std::move(done)); }

    [[nodiscard]] bool is_open() const noexcept { return descriptor_ >= 0; }
    [[nodiscard]] int get() const noexcept { return descriptor_; }

    void close() noexcept;

private:
    EventLoop& loop_;
    int descriptor_ = -1;
    std::uint32_t place_ = 0;
    UniqueFd owned_;
};

// -- implementation ----------------------------------------------------------

inline error_code DescriptorWatch::open(UniqueFd&& descriptor) {
    const error_code ec = borrow(descriptor.get());
    if (!ec) owned_ = std::move(descriptor);
    return ec;
}

inline error_code DescriptorWatch::borrow(int descriptor) {
    close();
    const error_code ec = loop_.add(descriptor, place_);
    if (!ec) descriptor_ = descriptor;
    return ec;
}

inline void DescriptorWatch::close() noexcept {
    if (std::exchange(descriptor_, -1) < 0) return;
    // Closing it would not end the registration: a forked copy of the program may hold the same file open.
    loop_.remove(place_);
    owned_.reset();
}

}  // namespace warden::detail
#endif
