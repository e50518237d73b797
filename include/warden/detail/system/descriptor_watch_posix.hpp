// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A descriptor whose readiness a loop waits for: the one place where Asio's descriptors are used.
///
/// Knows:         that the registration with the loop can be refused (epoll_ctl(2): ENOMEM, ENOSPC, EPERM).
/// Does not know: what is read or written.
/// Thread-safety: distinct objects: safe. One object: on the loop, or by who alone has it.
/// Errors:        an `error_code`; a descriptor that is refused is closed.

#include <warden/detail/base/unique_function.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_POSIX
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_descriptor.hpp>

#include <utility>

namespace warden::detail {

class DescriptorWatch {
public:
    using Done = UniqueFunction<void(const error_code&)>;

    /// Watches nothing yet.
    explicit DescriptorWatch(boost::asio::io_context& loop) : descriptor_(loop.get_executor()) {}

    /// Takes over `descriptor` and registers it. What was open before is closed.
    [[nodiscard]] error_code open(UniqueFd descriptor);

    /// `done` is called on the loop once: when the descriptor is ready, or with an error, `operation_aborted` when it
    /// is closed first. An end of file or an error of the descriptor is readiness.
    void wait_readable(Done done) { wait(Descriptor::wait_read, std::move(done)); }
    void wait_writable(Done done) { wait(Descriptor::wait_write, std::move(done)); }

    [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
    /// The descriptor; -1 if none is open.
    [[nodiscard]] int get() noexcept { return descriptor_.is_open() ? descriptor_.native_handle() : -1; }

    /// Takes the descriptor off the loop and closes it. Does nothing if none is open.
    void close() noexcept;
    /// Takes the descriptor off the loop, and gives it back open.
    [[nodiscard]] UniqueFd release() { return UniqueFd(descriptor_.is_open() ? descriptor_.release() : -1); }

private:
    struct Descriptor : boost::asio::posix::basic_descriptor<boost::asio::io_context::executor_type> {
        using basic_descriptor::basic_descriptor;
    };
    struct Handler {
        Done done;
        void operator()(const error_code& ec) { done(ec); }
    };
    void wait(Descriptor::wait_type what, Done done);

    Descriptor descriptor_;
};

// -- implementation ----------------------------------------------------------

inline error_code DescriptorWatch::open(UniqueFd descriptor) {
    close();
    error_code ec;
    descriptor_.assign(descriptor.get(), ec);
    if (!ec) static_cast<void>(descriptor.release());
    return ec;
}

inline void DescriptorWatch::wait(Descriptor::wait_type what, Done done) {
    descriptor_.async_wait(what, Handler{std::move(done)});
}

inline void DescriptorWatch::close() noexcept {
    error_code ignored;
    if (descriptor_.is_open()) descriptor_.close(ignored);
}

}  // namespace warden::detail
#endif
