// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What receives output as it comes, and where that runs.
///
/// Knows:         lines, chunks, executors by their `execute`.
/// Does not know: threads, Asio; the manager calls.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.

#include <warden/stream_output.hpp>

#include <concepts>
#include <cstdint>
#include <functional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace warden {

namespace detail {

/// Complete where Asio is: runs functions on an executor, and knows whether its execution context is there.
template <class E>
struct GuardedExecutor;

}  // namespace detail

/// Where callbacks run: any executor of Asio (`context.get_executor()`), or what has `execute(f)` like one.
class Executor {
public:
    /// The threads of the manager.
    Executor() = default;

    /// `is_guarded` is no argument: a unit without Asio has another constructor, by another name.
    template <class E, bool is_guarded = requires { sizeof(detail::GuardedExecutor<E>); }
    >
    requires(!std::same_as<std::remove_cvref_t<E>, Executor>) && requires(const E& executor, std::function<void()> f) {
        executor.execute(std::move(f));
    }
    Executor(E executor) {
        if constexpr (is_guarded) {
            execute_ = detail::GuardedExecutor<E>(std::move(executor));
        } else {
            execute_ = [executor = std::move(executor)](std::function<void()> f) {
                executor.execute(std::move(f));
                return true;
            };
        }
    }

    explicit operator bool() const noexcept { return static_cast<bool>(execute_); }
    /// Runs `f` there; at once, if an executor that is not of Asio does so. False, and nothing runs, if the execution
    /// context has been destroyed: what callbacks refer to may be gone with it.
    bool operator()(std::function<void()> f) const { return execute_(std::move(f)); }

private:
    std::function<bool(std::function<void()>)> execute_;
};

/// The two output streams of a process.
enum class Stream : std::uint8_t { stdout_, stderr_ };

[[nodiscard]] constexpr std::string_view to_string(Stream stream) noexcept {
    return stream == Stream::stdout_ ? "stdout" : "stderr";
}

/// A line of output, without its line end. `text` is valid during the call.
struct OutputLine {
    Stream stream = Stream::stdout_;
    std::string_view text;
    bool partial = false;  ///< A part of an over-long line; more of it follows.
};

/// A callback for lines: callable with `(const OutputLine&)`, `(Stream, std::string_view)` or `(std::string_view)`.
/// Runs on `SpawnOptions::executor`, never on the I/O loop; calls for one process come one at a time, in order.
class LineCallback {
public:
    LineCallback() = default;

    template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, LineCallback>) && std::invocable<F&, const OutputLine&> LineCallback(
                                                                         F f)
        : call_(std::move(f)) {}

    template <class F>
    requires(!std::invocable<F&, const OutputLine&>) && std::invocable<F&, Stream, std::string_view> LineCallback(F f)
        : call_([f = std::move(f)](const OutputLine& line) mutable { f(line.stream, line.text); }) {}

    template <class F>
    requires(!std::invocable<F&, const OutputLine&>) && std::invocable<F&, std::string_view> LineCallback(F f)
        : call_([f = std::move(f)](const OutputLine& line) mutable { f(line.text); }) {}

    explicit operator bool() const noexcept { return static_cast<bool>(call_); }
    void operator()(const OutputLine& line) const { call_(line); }

private:
    std::function<void(const OutputLine&)> call_;
};

/// A callback for output as it was read, in chunks of any size. The same promises as `LineCallback`.
using ChunkCallback = std::function<void(Stream, std::string_view)>;

/// What to do with a line or chunk callback, or a copy to the program's own output, that falls behind.
enum class OverflowPolicy : std::uint8_t {
    drop,   ///< Its queue is bounded; what does not fit is dropped and counted. Nobody waits.
    block,  ///< The pipe of this one process is not read meanwhile, so the child waits in `write(2)`. Nothing is lost.
};

}  // namespace warden
