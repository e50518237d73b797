// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Waits for the end of a detached process on an executor of the caller: no thread, no polling.
///
/// Knows:         the descriptors that `ShimWait` names, and the reactor of the executor's context.
/// Thread-safety: `cancel` from any thread; the rest runs on a strand of the executor.
/// Errors:        by code, to the completion, which is called once.

#include <warden/detail/detached/shim_wait_posix.hpp>

#if WARDEN_OS_POSIX
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include <fcntl.h>

namespace warden::detail {

class AsyncShimWait : public std::enable_shared_from_this<AsyncShimWait> {
public:
    using Done = std::function<void(const error_code&, const ExitStatus&)>;

    AsyncShimWait(const boost::asio::any_io_executor& executor, DetachedProcess process,
                  std::filesystem::path data_directory, Done done)
        : strand_(boost::asio::make_strand(executor)),
          descriptor_(strand_),
          process_(std::move(process)),
          wait_(std::move(data_directory), process_.uuid()),
          done_(std::move(done)) {}

    void start() {
        boost::asio::post(strand_, [self = shared_from_this()] { self->look(); });
    }
    void cancel() {
        boost::asio::post(strand_,
                          [self = shared_from_this()] { self->finish(boost::asio::error::operation_aborted); });
    }

private:
    void look();
    void await();
    void take(const error_code& failed);
    void finish(const error_code& ec, const ExitStatus& status = {}) {
        error_code ignored;
        descriptor_.close(ignored);
        if (const Done done = std::exchange(done_, nullptr)) done(ec, status);
    }

    boost::asio::strand<boost::asio::any_io_executor> strand_;
    boost::asio::posix::basic_stream_descriptor<boost::asio::strand<boost::asio::any_io_executor>> descriptor_;
    const DetachedProcess process_;
    ShimWait wait_;
    Done done_;
};

// -- implementation ----------------------------------------------------------

/// Reads the record, and finds what to wait for.
inline void AsyncShimWait::look() try {
    error_code ec;
    for (int fd = -1; done_ && fd < 0;) {
        const DetachedInfo now = process_.info(ec);
        if (ec || !now.is_active()) return finish(ec, now.record.exit ? now.record.exit->status : ExitStatus());
        fd = wait_.begin(now);
        if (fd < 0) continue;
        UniqueFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
        if (!own) return finish(system_code(errno));
        descriptor_.close(ec);
        descriptor_.assign(own.get(), ec);
        if (ec) return finish(ec);
        static_cast<void>(own.release());
        await();
    }
} catch (const system_error& error) {
    finish(error.code());
}

inline void AsyncShimWait::await() {
    descriptor_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                           [self = shared_from_this()](const error_code& ec) { self->take(ec); });
}

inline void AsyncShimWait::take(const error_code& failed) {
    if (!done_) return;
    if (failed) return finish(failed);
    const ShimWait::Step step = wait_.take();
    if (step.status) finish({}, *step.status);
    else if (step.is_incomplete) await();
    else look();
}

}  // namespace warden::detail
#endif
