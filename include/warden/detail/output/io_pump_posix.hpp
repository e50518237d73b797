// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Moves bytes between the pipes of one process and their ends in the program, on the I/O loop.
///
/// Knows:         readiness, end of file, how much may be read in one turn so that all get theirs.
/// Does not know: where output goes (the router does) or when the process ends.
/// Thread-safety: on the loop, after `start`.

#include <warden/detail/base/job.hpp>
#include <warden/detail/output/output_router.hpp>
#include <warden/detail/runtime/io_loop.hpp>
#include <warden/detail/system/descriptor_watch.hpp>
#include <warden/detail/system/pipe_posix.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_POSIX
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

namespace warden::detail {

/// Reads one output pipe into the router until its end.
class OutputPump : public std::enable_shared_from_this<OutputPump> {
public:
    OutputPump(IoLoop& loop, UniqueFd pipe, Stream stream, std::shared_ptr<OutputRouter> router, std::size_t pipe_bytes)
        : loop_(loop), pipe_(loop.context()), stream_(stream), router_(std::move(router)), pipe_bytes_(pipe_bytes) {
        if (const error_code ec = pipe_.open(std::move(pipe))) throw system_error(ec, "epoll_ctl");
    }

    /// `closed` is called once, on the loop: at end of file, or by `close`.
    void start(Job closed) {
        closed_ = std::move(closed);
        wait();
    }

    /// Reads what is there now, and not much more: a writer that goes on cannot keep this going.
    void drain_now();

    /// Reads what is there and lets go of the pipe, though somebody may still hold its other end.
    void close();

    [[nodiscard]] bool is_open() const noexcept { return pipe_.is_open(); }

    /// Whether reading failed, so that not all that was written arrived.
    [[nodiscard]] bool has_failed() const noexcept { return has_failed_; }

    /// Reads on after a pause.
    void resume() {
        if (paused_ && pipe_.is_open() && !router_->should_pause(stream_)) {
            paused_ = false;
            wait();
        }
    }

    /// What both ends of the pipe have in common: the inode.
    [[nodiscard]] std::uint64_t pipe_id() {
        struct stat status {};
        return ::fstat(pipe_.get(), &status) == 0 ? status.st_ino : 0;
    }

private:
    void wait();
    bool read_some(std::size_t at_most);
    void end();

    IoLoop& loop_;
    DescriptorWatch pipe_;
    const Stream stream_;
    const std::shared_ptr<OutputRouter> router_;
    const std::size_t pipe_bytes_;
    Job closed_;
    bool paused_ = false;
    bool has_failed_ = false;
    bool enlarged_ = false;
};

/// Writes one input pipe, as fast as the process reads.
class InputPump : public std::enable_shared_from_this<InputPump> {
public:
    using Done = UniqueFunction<void(const error_code&)>;

    InputPump(IoLoop& loop, UniqueFd pipe, bool is_terminal) : pipe_(loop.context()), is_terminal_(is_terminal) {
        if (const error_code ec = pipe_.open(std::move(pipe))) throw system_error(ec, "epoll_ctl");
    }

    /// Queues `text`; `done` comes once all of it is in the pipe, or cannot be.
    void write(std::string text, Done done);

    /// Closes the pipe once everything queued is written.
    void close_when_written();

    /// Closes the pipe now; what is queued fails with `reason`.
    void close(const error_code& reason);

    [[nodiscard]] bool is_open() const noexcept { return pipe_.is_open() && !closing_; }

    /// Whether `close_when_written` was called: what is written now would be dropped.
    [[nodiscard]] bool is_closing() const noexcept { return closing_; }

private:
    struct Item {
        std::string text;
        std::size_t written;
        Done done;
    };
    void pump();
    [[nodiscard]] std::string typed(const std::string& text);

    DescriptorWatch pipe_;
    std::deque<Item> queue_;
    const bool is_terminal_;
    std::size_t line_bytes_ = 0;  // typed since the terminal last handed something over
    bool closing_ = false;
    bool waiting_ = false;
};

// -- implementation ----------------------------------------------------------

inline void OutputPump::wait() {
    pipe_.wait_readable([self = shared_from_this()](const error_code& ec) {
        if (ec || !self->pipe_.is_open()) return;
        if (!self->read_some(self->loop_.read_buffer().size())) return;
        if (self->router_->should_pause(self->stream_)) self->paused_ = true;
        else self->wait();
    });
}

/// Reads until the pipe is empty or the buffer is full, then routes it all at once. False at the end of the stream.
inline bool OutputPump::read_some(std::size_t at_most) {
    auto& buffer = loop_.read_buffer();
    at_most = std::min(at_most, buffer.size());
    std::size_t filled = 0;
    bool at_end = false;
    while (filled < at_most && !at_end) {
        const ssize_t size = ::read(pipe_.get(), buffer.data() + filled, at_most - filled);
        if (size > 0) filled += static_cast<std::size_t>(size);
        else if (size < 0 && errno == EINTR) continue;
        else if (size < 0 && errno == EAGAIN) break;
        else at_end = true;
        if (size < 0 && at_end) has_failed_ = errno != EIO || ::isatty(pipe_.get()) == 0;  // the end of a terminal
    }
    constexpr std::size_t default_pipe_bytes = std::size_t{64} * 1024;
    if (!enlarged_ && filled >= default_pipe_bytes) {  // it floods: fewer, larger reads
        enlarged_ = true;
        enlarge_pipe(pipe_.get(), pipe_bytes_);
    }
    if (filled > 0) router_->write(stream_, {buffer.data(), filled});
    if (at_end) end();
    return !at_end;
}

inline void OutputPump::drain_now() {
    int there = 0;
    if (!pipe_.is_open() || ::ioctl(pipe_.get(), FIONREAD, &there) != 0) return;
    constexpr std::size_t terminal_bytes = std::size_t{128} * 1024;  // a terminal tells only of the first 4 KiB
    // One more byte than is there, so that an end of the stream is seen now.
    for (auto left = std::max(static_cast<std::size_t>(there) + 1, terminal_bytes); left > 0;) {
        const std::size_t turn = std::min(left, loop_.read_buffer().size());
        if (!read_some(turn)) return;
        left -= turn;
    }
}

inline void OutputPump::close() {
    drain_now();
    end();
}

inline void OutputPump::end() {
    if (!pipe_.is_open()) return;
    pipe_.close();
    router_->finish(stream_);
    if (auto closed = std::exchange(closed_, nullptr)) closed();
}

inline void InputPump::write(std::string text, Done done) {
    if (!is_open()) return done(errc::input_closed);
    if (is_terminal_) text = typed(text);
    queue_.push_back({std::move(text), 0, std::move(done)});
    if (!waiting_) pump();
}

/// What is typed for `text`. A terminal that edits lines (termios(3), ICANON) holds one line of limited length and
/// drops what is too long: the end-of-file character hands over the line so far, so that a long one arrives in parts.
inline std::string InputPump::typed(const std::string& text) {
    constexpr std::size_t max_line_bytes = WARDEN_OS_LINUX ? 4000 : 1000;
    struct termios now {};
    const bool is_read = ::tcgetattr(pipe_.get(), &now) == 0;
    const auto hand_over = static_cast<char>(now.c_cc[VEOF]);
    std::string result;
    for (const char c : text) {
        result += c;
        const bool ends_line = c == '\n' || c == '\r' || c == hand_over || c == static_cast<char>(now.c_cc[VKILL]);
        line_bytes_ = ends_line ? 0 : line_bytes_ + 1;
        if (!is_read || (now.c_lflag & ICANON) == 0 || line_bytes_ < max_line_bytes) continue;
        result += hand_over;
        line_bytes_ = 0;
    }
    return result;
}

inline void InputPump::close_when_written() {
    // A terminal has no other end that could be closed. Ctrl-D hands over the line so far; an empty one is the end.
    if (is_terminal_ && is_open()) write(line_bytes_ == 0 ? "\4" : "\4\4", [](const error_code&) {});
    closing_ = true;
    if (queue_.empty()) close(errc::input_closed);
}

inline void InputPump::close(const error_code& reason) {
    pipe_.close();
    for (auto queue = std::exchange(queue_, {}); auto& item : queue) item.done(reason);
}

inline void InputPump::pump() {
    waiting_ = false;
    while (!queue_.empty()) {
        Item& item = queue_.front();
        while (item.written < item.text.size()) {
            const ssize_t size = ::write(pipe_.get(), item.text.data() + item.written, item.text.size() - item.written);
            if (size >= 0) {
                item.written += static_cast<std::size_t>(size);
                continue;
            }
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return close(system_code(errno));
            waiting_ = true;
            pipe_.wait_writable([self = shared_from_this()](const error_code& ec) {
                if (!ec && self->pipe_.is_open()) self->pump();
            });
            return;
        }
        const Done done = std::move(item.done);
        queue_.pop_front();
        done({});
        if (!pipe_.is_open()) return;
    }
    if (closing_) close(errc::input_closed);
}

}  // namespace warden::detail
#endif
