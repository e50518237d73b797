// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Moves bytes between the pipes of one process and their ends in the program, on the I/O loop, by overlapped I/O.
///
/// Knows:         that there is always one read under way, with a buffer of its own; how to end it to look what is
/// there. Does not know: where output goes (the router does) or when the process ends. Thread-safety: on the loop,
/// after `start`.

#include <warden/detail/io_loop.hpp>
#include <warden/detail/output_router.hpp>
#include <warden/detail/windows/unique_handle.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_WINDOWS
#include <boost/asio/buffer.hpp>
#include <boost/asio/windows/overlapped_ptr.hpp>
#include <boost/asio/windows/stream_handle.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// Reads one output pipe into the router until its end.
class OutputPump : public std::enable_shared_from_this<OutputPump> {
public:
    OutputPump(IoLoop& loop, UniqueHandle pipe, Stream stream, std::shared_ptr<OutputRouter> router, std::size_t)
        : loop_(loop), pipe_(loop.context(), pipe.release()), stream_(stream), router_(std::move(router)) {}

    /// `closed` is called once, on the loop: at end of file, or by `close`.
    void start(std::function<void()> closed) {
        closed_ = std::move(closed);
        buffer_.resize(buffer_bytes);
        read();
    }

    /// Reads what is there now, and not much more: a writer that goes on cannot keep this going.
    void drain_now();

    /// Reads what is there and lets go of the pipe, though somebody may still hold its other end.
    void close() {
        drain_now();
        end();
    }

    [[nodiscard]] bool is_open() const noexcept { return pipe_.is_open(); }

    /// Reads on after a pause.
    void resume() {
        if (!paused_ || !pipe_.is_open() || router_->should_pause()) return;
        paused_ = false;
        read();
    }

    /// What both ends of a pipe have in common; Windows does not tell.
    [[nodiscard]] static std::uint64_t pipe_id() noexcept { return 0; }

private:
    static constexpr std::size_t buffer_bytes = std::size_t{64} * 1024;

    void read();
    void take_back_read();
    bool take(DWORD error, std::size_t size);
    bool read_now();
    void end();

    IoLoop& loop_;
    boost::asio::windows::stream_handle pipe_;
    const Stream stream_;
    const std::shared_ptr<OutputRouter> router_;
    std::function<void()> closed_;
    std::vector<char> buffer_;
    OVERLAPPED* under_way_ = nullptr;  // owned by Asio until its handler has been called
    std::uint64_t reads_ = 0;          // the number of the read whose handler may still act
    bool paused_ = false;
};

/// Writes one input pipe, as fast as the process reads.
class InputPump : public std::enable_shared_from_this<InputPump> {
public:
    using Done = std::function<void(const error_code&)>;

    InputPump(IoLoop& loop, UniqueHandle pipe, bool) : pipe_(loop.context(), pipe.release()) {}

    /// Queues `text`; `done` comes once all of it is in the pipe, or cannot be.
    void write(std::string text, Done done);

    /// Closes the pipe once everything queued is written.
    void close_when_written() {
        closing_ = true;
        if (queue_.empty()) close(errc::input_closed);
    }

    /// Closes the pipe now; what is queued fails with `reason`.
    void close(const error_code& reason);

    [[nodiscard]] bool is_open() const noexcept { return pipe_.is_open() && !closing_; }

private:
    struct Item {
        std::string text;
        Done done;
    };
    void write_next();

    boost::asio::windows::stream_handle pipe_;
    std::deque<std::shared_ptr<Item>> queue_;  // the first is being written
    bool closing_ = false;
};

// -- implementation ----------------------------------------------------------

/// Begins a read. Its handler does nothing if the read has been taken back by then.
inline void OutputPump::read() {
    boost::asio::windows::overlapped_ptr operation(
        loop_.context(), [self = shared_from_this(), number = ++reads_](const error_code& ec, std::size_t size) {
            if (number != self->reads_ || !self->pipe_.is_open()) return;
            self->under_way_ = nullptr;
            if (!self->take(static_cast<DWORD>(ec.value()), size)) return;
            if (self->router_->should_pause()) self->paused_ = true;
            else self->read();
        });
    under_way_ = operation.get();
    const BOOL done =
        ::ReadFile(pipe_.native_handle(), buffer_.data(), static_cast<DWORD>(buffer_.size()), nullptr, operation.get());
    const DWORD error = done ? ERROR_SUCCESS : ::GetLastError();
    if (error == ERROR_SUCCESS || error == ERROR_IO_PENDING) return static_cast<void>(operation.release());
    under_way_ = nullptr;
    operation.complete(system_code(static_cast<int>(error)), 0);
}

/// What a read has brought; false at the end of the stream.
inline bool OutputPump::take(DWORD error, std::size_t size) {
    if (size > 0) router_->write(stream_, {buffer_.data(), size});
    if (error == ERROR_SUCCESS || error == ERROR_MORE_DATA) return true;
    end();
    return false;
}

/// Ends the read that is under way; it has brought something, or nothing.
inline void OutputPump::take_back_read() {
    OVERLAPPED* const operation = std::exchange(under_way_, nullptr);
    if (!operation) return;
    ++reads_;
    ::CancelIoEx(pipe_.native_handle(), operation);
    DWORD size = 0;
    const BOOL done = ::GetOverlappedResult(pipe_.native_handle(), operation, &size, TRUE);
    const DWORD error = done ? ERROR_SUCCESS : ::GetLastError();
    static_cast<void>(take(error == ERROR_OPERATION_ABORTED ? ERROR_SUCCESS : error, size));
}

/// Reads once, of a pipe that has something, or is at its end. False at the end.
inline bool OutputPump::read_now() {
    const UniqueHandle event(::CreateEventW(nullptr, TRUE, FALSE, nullptr));
    OVERLAPPED operation{};
    // With its lowest bit set, nothing is queued to the completion port.
    operation.hEvent = reinterpret_cast<HANDLE>(reinterpret_cast<std::uintptr_t>(event.get()) | 1);
    DWORD size = 0;
    BOOL done =
        ::ReadFile(pipe_.native_handle(), buffer_.data(), static_cast<DWORD>(buffer_.size()), nullptr, &operation);
    if (done || ::GetLastError() == ERROR_IO_PENDING)
        done = ::GetOverlappedResult(pipe_.native_handle(), &operation, &size, TRUE);
    return take(done ? ERROR_SUCCESS : ::GetLastError(), size);
}

inline void OutputPump::drain_now() {
    if (!pipe_.is_open()) return;
    take_back_read();
    DWORD there = 0;
    bool is_first = true;
    for (std::size_t left = 0; pipe_.is_open();) {
        if (!::PeekNamedPipe(pipe_.native_handle(), nullptr, 0, nullptr, &there, nullptr)) return end();
        if (std::exchange(is_first, false)) left = there;
        if (there == 0 || left == 0) break;
        left -= std::min<std::size_t>(left, buffer_.size());
        if (!read_now()) return;
    }
    if (pipe_.is_open() && !paused_) read();
}

inline void OutputPump::end() {
    if (!pipe_.is_open()) return;
    ++reads_;
    under_way_ = nullptr;
    error_code ignored;
    pipe_.close(ignored);
    router_->finish(stream_);
    if (auto closed = std::exchange(closed_, nullptr)) closed();
}

inline void InputPump::write(std::string text, Done done) {
    if (!is_open()) return done(errc::input_closed);
    queue_.push_back(std::make_shared<Item>(Item{std::move(text), std::move(done)}));
    if (queue_.size() == 1) write_next();
}

inline void InputPump::close(const error_code& reason) {
    error_code ignored;
    if (pipe_.is_open()) pipe_.close(ignored);
    for (auto queue = std::exchange(queue_, {}); auto& item : queue) item->done(reason);
}

inline void InputPump::write_next() {
    const auto item = queue_.front();
    boost::asio::async_write(pipe_, boost::asio::buffer(item->text),
                             [self = shared_from_this(), item](const error_code& ec, std::size_t) {
                                 if (!self->pipe_.is_open() || self->queue_.empty()) return;
                                 if (ec) return self->close(ec);
                                 self->queue_.pop_front();
                                 item->done({});
                                 if (!self->pipe_.is_open()) return;
                                 if (!self->queue_.empty()) self->write_next();
                                 else if (self->closing_) self->close(errc::input_closed);
                             });
}

}  // namespace warden::detail
#endif
