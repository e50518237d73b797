// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Waits in an event loop for what a `PathWatch` tells of.
///
/// Knows:         its descriptor.
/// Does not know: what happened.
/// Thread-safety: on the loop, after `assign`.
/// Allocates:     as Asio does.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/error.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <utility>

namespace warden::detail {

/// See `WaitsInLoop`.
class LoopWait {
public:
    explicit LoopWait(boost::asio::io_context& loop) : descriptor_(loop) {}
    LoopWait(const LoopWait&) = delete;
    ~LoopWait() { close(); }

    void assign(int handle, error_code& ec) { descriptor_.assign(handle, ec); }

    [[nodiscard]] bool is_open() const { return descriptor_.is_open(); }

    template <class Look>
    void async_wait(Look look) {
        descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                               [look = std::move(look)](const error_code& ec) mutable {
                                   if (!ec) look();
                               });
    }

    void close() {
        if (descriptor_.is_open()) (void)descriptor_.release();
    }

private:
    boost::asio::posix::stream_descriptor descriptor_;
};

}  // namespace warden::detail
#endif
