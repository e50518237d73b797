// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The one thread that does all I/O and waiting of a manager.
///
/// Knows:         an Asio context, its thread, the buffer that all pipes are read into.
/// Does not know: what its handlers do. It sleeps in epoll_wait(2) until something happens; it never polls.
/// Thread-safety: `post` and `call` from any thread; `read_buffer` on the loop only.

#include <warden/detail/system/signal_mask.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <cstddef>
#include <future>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace warden::detail {

class IoLoop {
public:
    /// @throws system_error if no thread is available.
    IoLoop() : work_(context_.get_executor()) {
        const AllSignalsBlocked blocked;  // inherited by the thread: a signal of the host is never delivered there
        thread_ = std::thread([this] { context_.run(); });
    }
    ~IoLoop() { stop(); }
    IoLoop(const IoLoop&) = delete;
    IoLoop& operator=(const IoLoop&) = delete;

    [[nodiscard]] boost::asio::io_context& context() noexcept { return context_; }

    [[nodiscard]] bool is_loop_thread() const noexcept { return std::this_thread::get_id() == thread_.get_id(); }

    /// Runs `f` on the loop, later. What must not be copied is moved.
    template <class F>
    void post(F&& f) {
        boost::asio::post(context_, std::forward<F>(f));
    }

    /// Runs `f` on the loop: at once if this is the loop, or after `stop`, else later.
    template <class F>
    void dispatch(F&& f) {
        if (is_loop_thread()) return std::forward<F>(f)();
        std::unique_lock lock(mutex_);
        if (!stopped_) return post(std::forward<F>(f));
        lock.unlock();
        std::forward<F>(f)();
    }

    /// Runs `f` on the loop and waits for its result. On the loop itself, and after `stop`, runs it at once.
    template <class F>
    auto call(F f) -> std::invoke_result_t<F> {
        if (is_loop_thread()) return f();
        std::packaged_task<std::invoke_result_t<F>()> task(std::move(f));
        auto result = task.get_future();
        std::unique_lock lock(mutex_);
        if (!stopped_) post([&task] { task(); });
        const bool run_here = stopped_;
        lock.unlock();
        if (run_here) task();
        return result.get();
    }

    /// Everything that is read goes through here: one buffer serves any number of pipes.
    [[nodiscard]] std::vector<char>& read_buffer() {
        if (buffer_.empty()) buffer_.resize(std::size_t{1} << 20);
        return buffer_;
    }

    /// Ends the thread once the handler that it is in returns. What `call` has queued still runs, here. Not on the
    /// loop.
    void stop() {
        work_.reset();
        context_.stop();
        if (!thread_.joinable()) return;
        thread_.join();
        {
            const std::lock_guard lock(mutex_);
            stopped_ = true;
        }
        context_.restart();
        context_.poll();
    }

private:
    boost::asio::io_context context_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    std::vector<char> buffer_;
    std::mutex mutex_;
    bool stopped_ = false;
    std::thread thread_;
};

}  // namespace warden::detail
