// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A descriptor that the loop waits for, which the loop forgets when it is closed, also while a forked copy of the
/// program holds the same file.
///
/// Knows:         that epoll(7) and kqueue(2) wait for the open file: Asio trusts that closing the descriptor ends
/// that,
///                but the copy's descriptor keeps the file open, and its events would come for whoever is next.
/// Does not know: what is waited for.
/// Thread-safety: on the loop only.

#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_POSIX
#include <boost/asio/posix/stream_descriptor.hpp>

namespace warden::detail {

class LoopDescriptor : public boost::asio::posix::stream_descriptor {
    using Base = boost::asio::posix::stream_descriptor;

public:
    using Base::Base;
    LoopDescriptor(LoopDescriptor&&) = delete;
    ~LoopDescriptor() { close(); }

    /// Cancels what waits, takes the descriptor from the loop, closes it. Does nothing if there is none.
    void close() {
        if (is_open()) const UniqueFd closed(release());
    }
};

}  // namespace warden::detail
#endif
