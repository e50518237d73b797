// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Waits in an event loop for what a `PathWatch` tells of.
///
/// Knows:         its descriptor.
/// Does not know: what happened.
/// Thread-safety: on the loop, after `assign`.
/// Allocates:     as the loop does.

#include <warden/detail/system/descriptor_watch.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/error.hpp>

#include <utility>

namespace warden::detail {

/// See `WaitsInLoop`.
class LoopWait {
public:
    explicit LoopWait(EventLoop& loop) : watch_(loop) {}
    LoopWait(const LoopWait&) = delete;
    ~LoopWait() { close(); }

    void assign(int handle, error_code& ec) { ec = watch_.borrow(handle); }

    [[nodiscard]] bool is_open() const { return watch_.is_open(); }

    template <class Look>
    void async_wait(Look look) {
        watch_.wait_readable([look = std::move(look)](const error_code& ec) mutable {
            if (!ec) look();
        });
    }

    void close() { watch_.close(); }

private:
    DescriptorWatch watch_;
};

}  // namespace warden::detail
#endif
