// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A descriptor whose readiness a loop waits for: the one place where Asio's descriptors are used.
///
/// Knows:         that the registration with the loop can be refused (epoll_ctl(2): ENOMEM, ENOSPC, EPERM).
/// Does not know: what is read or written.
/// Thread-safety: distinct objects: safe. One object: on the loop, or by who alone has it.
/// Errors:        an `error_code`; a descriptor that is refused stays with the caller.

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

    ~DescriptorWatch() { close(); }

    /// Registers `descriptor` and takes it over. What was open before is closed. On error it stays with the caller.
    [[nodiscard]] error_code open(UniqueFd&& descriptor);
    /// Registers a descriptor that stays with its owner, who closes this watch first.
    [[nodiscard]] error_code borrow(int descriptor);

    /// `done` is called on the loop once: when the descriptor is ready, or with an error, `operation_aborted` when it
    /// is closed first. An end of file or an error of the descriptor is readiness.
    void wait_readable(Done done) { wait(Descriptor::wait_read, std::move(done)); }
    void wait_writable(Done done) { wait(Descriptor::wait_write, std::move(done)); }
    /// For files that tell their changes so, such as cgroup.events: POLLERR or POLLPRI.
    void wait_error(Done done) { wait(Descriptor::wait_error, std::move(done)); }

    [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
    /// The descriptor; -1 if none is open.
    [[nodiscard]] int get() noexcept { return descriptor_.is_open() ? descriptor_.native_handle() : -1; }

    /// Takes the descriptor off the loop, and closes it if it was taken over. Does nothing if none is open.
    void close() noexcept;

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
    bool is_borrowed_ = false;
};

// -- implementation ----------------------------------------------------------

inline error_code DescriptorWatch::open(UniqueFd&& descriptor) {
    const error_code ec = borrow(descriptor.get());
    if (ec) return ec;
    static_cast<void>(descriptor.release());
    is_borrowed_ = false;
    return {};
}

inline error_code DescriptorWatch::borrow(int descriptor) {
    close();
    error_code ec;
    descriptor_.assign(descriptor, ec);
    is_borrowed_ = true;
    return ec;
}

inline void DescriptorWatch::wait(Descriptor::wait_type what, Done done) {
    descriptor_.async_wait(what, Handler{std::move(done)});
}

inline void DescriptorWatch::close() noexcept {
    if (!descriptor_.is_open()) return;
    // Asio trusts that closing it ends the registration, but a forked copy of the program may hold the same file open.
    UniqueFd descriptor(descriptor_.release());
    if (is_borrowed_) static_cast<void>(descriptor.release());
}

}  // namespace warden::detail
#endif
