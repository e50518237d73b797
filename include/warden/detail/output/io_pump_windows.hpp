// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Moves bytes between the pipes of one process and their ends in the program, on the I/O loop, by overlapped I/O.
///
/// Knows:         that there is always one operation under way, with a buffer of its own; how to take it back, to learn
///                what it has done by then.
/// Does not know: where output goes (the router does) or when the process ends.
/// Thread-safety: on the loop, after `start`.

#include <warden/detail/base/job.hpp>
#include <warden/detail/output/output_router.hpp>
#include <warden/detail/runtime/io_loop.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_WINDOWS
#include <boost/asio/windows/overlapped_ptr.hpp>
#include <boost/asio/windows/stream_handle.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// A read or a write of a pipe that is under way, if there is one.
class PipeOperation {
public:
    struct Outcome {
        DWORD error;
        std::size_t size;
    };

    /// `begin(OVERLAPPED*)` calls ReadFile or WriteFile; what that uses, `done` keeps alive. `done(Outcome)` is called
    /// on the loop, unless the operation is taken back or forgotten before.
    template <class Begin, class Done>
    void start(boost::asio::io_context& context, Begin begin, Done done);

    /// Ends what is under way, and says what it has come to.
    [[nodiscard]] std::optional<Outcome> take_back(HANDLE pipe);

    /// For when the pipe was closed.
    void release() noexcept {
        ++number_;
        under_way_ = nullptr;
    }

private:
    OVERLAPPED* under_way_ = nullptr;  // owned by Asio until its handler has been called
    std::uint64_t number_ = 0;         // of the operation whose handler may still act
};

/// Reads one output pipe into the router until its end.
class OutputPump : public std::enable_shared_from_this<OutputPump> {
public:
    OutputPump(IoLoop& loop, UniqueHandle pipe, Stream stream, std::shared_ptr<OutputRouter> router, std::size_t)
        : loop_(loop), pipe_(loop.context(), pipe.release()), stream_(stream), router_(std::move(router)) {}

    /// `closed` is called once, on the loop: at end of file, or by `close`.
    void start(Job closed) {
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

    /// Whether reading failed, so that not all that was written arrived.
    [[nodiscard]] bool has_failed() const noexcept { return has_failed_; }

    /// Reads on after a pause.
    void resume() {
        if (!paused_ || !pipe_.is_open() || router_->should_pause(stream_)) return;
        paused_ = false;
        read();
    }

    /// What both ends of a pipe have in common; Windows does not tell.
    [[nodiscard]] static std::uint64_t pipe_id() noexcept { return 0; }

private:
    static constexpr std::size_t buffer_bytes = std::size_t{64} * 1024;

    void read();
    bool take(PipeOperation::Outcome outcome);
    bool read_now();
    void end();

    IoLoop& loop_;
    boost::asio::windows::stream_handle pipe_;
    const Stream stream_;
    const std::shared_ptr<OutputRouter> router_;
    Job closed_;
    std::vector<char> buffer_;
    PipeOperation read_;
    bool paused_ = false;
    bool has_failed_ = false;
};

/// Writes one input pipe, as fast as the process reads.
class InputPump : public std::enable_shared_from_this<InputPump> {
public:
    using Done = UniqueFunction<void(const error_code&)>;

    InputPump(IoLoop& loop, UniqueHandle pipe, bool) : loop_(loop), pipe_(loop.context(), pipe.release()) {}

    /// Queues `text`; `done` comes once all of it is in the pipe, or cannot be.
    void write(std::string text, Done done);

    /// Closes the pipe once everything queued is written.
    void close_when_written() {
        closing_ = true;
        if (queue_.empty()) close(errc::input_closed);
    }

    /// Closes the pipe now; what is not in it yet fails with `reason`.
    void close(const error_code& reason);

    [[nodiscard]] bool is_open() const noexcept { return pipe_.is_open() && !closing_; }

    /// Whether `close_when_written` was called: what is written now would be dropped.
    [[nodiscard]] bool is_closing() const noexcept { return closing_; }

private:
    struct Item {
        std::string text;
        Done done;
        std::size_t written = 0;
    };
    void write_next();
    bool take(PipeOperation::Outcome outcome);

    IoLoop& loop_;
    boost::asio::windows::stream_handle pipe_;
    std::deque<Item> queue_;  // the first is being written
    PipeOperation write_;
    bool closing_ = false;
};

// -- implementation ----------------------------------------------------------

template <class Begin, class Done>
void PipeOperation::start(boost::asio::io_context& context, Begin begin, Done done) {
    boost::asio::windows::overlapped_ptr operation(
        context, [this, number = ++number_, done = std::move(done)](const error_code& ec, std::size_t size) {
            if (number != number_) return;
            under_way_ = nullptr;
            done(Outcome{static_cast<DWORD>(ec.value()), size});
        });
    under_way_ = operation.get();
    const DWORD error = begin(operation.get()) ? ERROR_SUCCESS : ::GetLastError();
    if (error == ERROR_SUCCESS || error == ERROR_IO_PENDING) return static_cast<void>(operation.release());
    under_way_ = nullptr;
    operation.complete(system_code(static_cast<int>(error)), 0);
}

inline std::optional<PipeOperation::Outcome> PipeOperation::take_back(HANDLE pipe) {
    OVERLAPPED* const operation = std::exchange(under_way_, nullptr);
    if (!operation) return std::nullopt;
    ++number_;
    ::CancelIoEx(pipe, operation);
    DWORD size = 0;
    const BOOL done = ::GetOverlappedResult(pipe, operation, &size, TRUE);
    return Outcome{done ? ERROR_SUCCESS : ::GetLastError(), size};
}

inline void OutputPump::read() {
    read_.start(
        loop_.context(),
        [this](OVERLAPPED* operation) {
            const auto size = static_cast<DWORD>(buffer_.size());
            return ::ReadFile(pipe_.native_handle(), buffer_.data(), size, nullptr, operation);
        },
        [self = shared_from_this()](PipeOperation::Outcome outcome) {
            if (!self->take(outcome)) return;
            if (self->router_->should_pause(self->stream_)) self->paused_ = true;
            else self->read();
        });
}

/// What a read has brought; false at the end of the stream.
inline bool OutputPump::take(PipeOperation::Outcome outcome) {
    if (outcome.size > 0) router_->write(stream_, {buffer_.data(), outcome.size});
    const bool goes_on =
        outcome.error == ERROR_SUCCESS || outcome.error == ERROR_MORE_DATA || outcome.error == ERROR_OPERATION_ABORTED;
    if (goes_on) return true;
    has_failed_ = outcome.error != ERROR_BROKEN_PIPE && outcome.error != ERROR_HANDLE_EOF;
    end();
    return false;
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
    return take({done ? ERROR_SUCCESS : ::GetLastError(), size});
}

inline void OutputPump::drain_now() {
    if (!pipe_.is_open()) return;
    if (const auto outcome = read_.take_back(pipe_.native_handle()); outcome && !take(*outcome)) return;
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
    read_.release();
    error_code ignored;
    pipe_.close(ignored);
    router_->finish(stream_);
    if (auto closed = std::exchange(closed_, nullptr)) closed();
}

inline void InputPump::write(std::string text, Done done) {
    if (!is_open()) return done(errc::input_closed);
    queue_.push_back({std::move(text), std::move(done)});
    if (queue_.size() == 1) write_next();
}

/// What a program has read may be all of the text, though it has ended before that was told here.
inline void InputPump::close(const error_code& reason) {
    if (!pipe_.is_open()) return;
    if (const auto outcome = write_.take_back(pipe_.native_handle())) static_cast<void>(take(*outcome));
    write_.release();
    error_code ignored;
    pipe_.close(ignored);
    for (auto queue = std::exchange(queue_, {}); auto& item : queue) item.done(reason);
}

/// An empty text is never written: it would look like the end of the stream to the program.
inline void InputPump::write_next() {
    while (!queue_.empty() && queue_.front().text.empty()) static_cast<void>(take({ERROR_SUCCESS, 0}));
    if (queue_.empty()) {
        if (closing_) close(errc::input_closed);
        return;
    }
    write_.start(
        loop_.context(),
        [this](OVERLAPPED* operation) {
            constexpr std::size_t most = std::size_t{1} << 30;  // the size is a DWORD
            const Item& item = queue_.front();
            const std::string_view rest = std::string_view(item.text).substr(item.written, most);
            return ::WriteFile(pipe_.native_handle(), rest.data(), static_cast<DWORD>(rest.size()), nullptr, operation);
        },
        [self = shared_from_this()](PipeOperation::Outcome outcome) {
            if (!self->take(outcome)) return self->close(system_code(static_cast<int>(outcome.error)));
            if (self->pipe_.is_open()) self->write_next();
        });
}

/// What a write has come to; false if it failed.
inline bool InputPump::take(PipeOperation::Outcome outcome) {
    Item& item = queue_.front();
    item.written += outcome.size;
    if (item.written == item.text.size()) {
        const Done done = std::move(item.done);
        queue_.pop_front();
        done({});
    }
    return outcome.error == ERROR_SUCCESS;
}

}  // namespace warden::detail
#endif
