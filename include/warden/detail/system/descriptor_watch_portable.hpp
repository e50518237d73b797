// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `DescriptorWatch` as a descriptor of Asio: the one place where those are used.
///
/// Thread-safety: see descriptor_watch.hpp.
/// Allocates:     as Asio does.

#include <warden/detail/base/unique_function.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_descriptor.hpp>

#include <utility>

namespace warden::detail {

/// See `WatchesDescriptor`.
class DescriptorWatch {
public:
    using Done = UniqueFunction<void(const error_code&)>;

    explicit DescriptorWatch(boost::asio::io_context& loop) : descriptor_(loop.get_executor()) {}
    DescriptorWatch(const DescriptorWatch&) = delete;
    DescriptorWatch& operator=(const DescriptorWatch&) = delete;
    ~DescriptorWatch() { close(); }

    [[nodiscard]] error_code open(UniqueFd&& descriptor);
    [[nodiscard]] error_code borrow(int descriptor);

    void wait_readable(Done done) { wait(Descriptor::wait_read, std::move(done)); }
    void wait_writable(Done done) { wait(Descriptor::wait_write, std::move(done)); }
    void wait_error(Done done) { wait(Descriptor::wait_error, std::move(done)); }

    [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
    [[nodiscard]] int get() noexcept { return descriptor_.is_open() ? descriptor_.native_handle() : -1; }

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
