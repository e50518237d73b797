// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The handle of one process: whoever holds it decides how long the process, and all that it starts, may live.
///
/// Knows:         one process.
/// Does not know: how it is contained or watched.
/// Thread-safety: distinct objects: safe. One object: all const functions from any threads at once, also while another
///                thread moves on from a wait; moving or destroying the object needs that nobody else uses it.
///                Several threads may wait for one process; all get the same result. The end of a process is told
///                when its callbacks have seen its output, or the drain timeout is over; to a callback that waits for
///                that itself, by `wait`, `stop`, `communicate` or a destructor, without what it has not seen: that
///                comes when it returns.
/// Errors:        `error_code& ec` last, or system_error. An empty handle gives `errc::no_process`. In a forked copy of
///                the program every operation gives `errc::forked`, and destroying a handle does nothing.

#include <warden/detail/engine/async_initiate.hpp>
#include <warden/detail/engine/engine_api.hpp>
#include <warden/process_info.hpp>
#include <warden/stop_plan.hpp>
#include <warden/timeout.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// Move-only. The destructor stops the tree by its stop plan and returns when it is gone, or when the plan is over
/// (what is left then is reported as critical). It never throws. That of a detached process says who it is and ends
/// nothing; every other operation gives `errc::detached`.
class ManagedProcess {
public:
    /// Holds nothing.
    ManagedProcess() noexcept = default;
    ManagedProcess(ManagedProcess&&) noexcept = default;
    /// Stops what was held before.
    ManagedProcess& operator=(ManagedProcess&& other) noexcept;
    ~ManagedProcess() { end(); }

    /// Whether it holds a process, running or not.
    explicit operator bool() const noexcept { return static_cast<bool>(record_); }

    // -- what it is; an empty handle gives values without meaning
    // -------------------------------------------------------

    [[nodiscard]] Uuid uuid() const;
    /// The pid of the process that was started. Once it has ended the number may belong to somebody else.
    [[nodiscard]] Pid pid() const;
    [[nodiscard]] std::string name() const;
    [[nodiscard]] std::string type() const;
    [[nodiscard]] CommandLine command() const;
    [[nodiscard]] State state() const;
    [[nodiscard]] ProcessInfo info() const;
    [[nodiscard]] std::chrono::system_clock::time_point started_at() const;
    /// From the start to now, or to its end.
    [[nodiscard]] Nanoseconds runtime() const;
    /// Nothing while it runs.
    [[nodiscard]] std::optional<ExitStatus> exit_status() const;
    [[nodiscard]] ExitCause cause() const;
    /// Whether the process itself runs. Its descendants may outlive it: see `tree_alive`.
    [[nodiscard]] bool running() const { return check() == error_code{} && !exit_status(); }
    [[nodiscard]] bool tree_alive() const;
    /// The newest lines of its output; 0 to what `LogLimits` keeps.
    [[nodiscard]] std::vector<std::string> tail(std::size_t lines) const;
    [[nodiscard]] std::filesystem::path log_path() const;
    [[nodiscard]] std::filesystem::path error_log_path() const;
    /// The process and all that it has started, as far as they live; nobody once the tree is empty. `ec` says why there
    /// may be more.
    [[nodiscard]] std::vector<TreeMember> tree(error_code& ec) const;
    /// @throws system_error if there may be more, or if there is no process
    [[nodiscard]] std::vector<TreeMember> tree() const;
    /// More of one member of `tree()`. `errc::not_found` in `error` if it is no member, or none any more; not on POSIX
    /// systems other than Linux, where nobody tells: `operation_not_supported`.
    [[nodiscard]] MemberDetails inspect(Pid member) const;
    /// While it runs, the sum over its tree; `ec` says why there may be more. Once it has ended, what the system
    /// counted for it.
    [[nodiscard]] ResourceUsage usage(error_code& ec) const;
    /// @throws system_error if there may be more, or if there is no process
    [[nodiscard]] ResourceUsage usage() const;
    [[nodiscard]] ContainmentReport containment() const;

    // -- waiting for the process itself; what it started may live on
    // ----------------------------------------------------

    /// @throws system_error errc::no_process, errc::forked
    ExitStatus wait();
    ExitStatus wait(error_code& ec);

    /// Nothing if it still runs then. Any duration, saturating; zero or less looks and does not wait.
    template <class Rep, class Period>
    [[nodiscard]] std::optional<ExitStatus> wait_for(std::chrono::duration<Rep, Period> length) {
        return wait_until_steady(detail::deadline_after(SteadyTime::clock::now(), detail::saturated(length)));
    }
    template <class Clock, class Duration>
    [[nodiscard]] std::optional<ExitStatus> wait_until(std::chrono::time_point<Clock, Duration> time) {
        return wait_for(time - Clock::now());
    }

    /// Completes with `void(error_code, ExitStatus)`.
    ///
    /// All asynchronous operations take any completion token of Asio. The handler runs on its associated executor; one
    /// that has none runs on a thread of the manager. A cancellation completes the operation with `operation_aborted`;
    /// the process, or a stop that was begun, goes on.
    template <class Token>
    auto async_wait(Token&& token);

    /// Waits until it is ready: `AlertAction::ready` says so. `errc::already_ended` if it ends before that,
    /// `errc::timed_out`, `errc::invalid_timeout`; `errc::invalid_options` if no rule for its output says so.
    void wait_ready(Timeout timeout = no_timeout);
    void wait_ready(Timeout timeout, error_code& ec);
    /// Completes with `void(error_code)`.
    template <class Token>
    auto async_wait_ready(Token&& token);

    // -- talking to it
    // --------------------------------------------------------------------------------------------------

    /// Writes to its standard input; needs `Input::pipe`. Returns when all of it is in the pipe: the process reads, or
    /// ends. `errc::input_closed`, EPIPE once it does not read any more.
    void write(std::string_view text);
    void write(std::string_view text, error_code& ec);
    /// Completes with `void(error_code)` when all of it is in the pipe. Writes follow one another in the order of their
    /// calls. What was given is held until it is written, also after a cancellation: await one before the next.
    template <class Token>
    auto async_write(std::string text, Token&& token);
    /// End of file for its standard input, after what was written. Twice is once. Never waits. A forked copy of the
    /// program that holds the pipe too keeps the end from the process; for a terminal see `SpawnOptions::terminal`.
    void close_stdin();
    void close_stdin(error_code& ec);

    /// Gives its terminal another size, of which its foreground processes are told by SIGWINCH. `errc::invalid_options`
    /// for no rows or columns, or if it has no terminal; `errc::already_ended`.
    void resize_terminal(const Terminal& size);
    void resize_terminal(const Terminal& size, error_code& ec);

    /// Feeds `input`, closes the standard input, collects what `Output::capture` asked for, waits. Nothing within
    /// `timeout`: `errc::timed_out`; the process runs on, and a further call without input goes on where this one
    /// stopped. `errc::input_closed` if there is input, and stdin is no pipe or was closed, as a former call does. A
    /// process that ends, or stops reading, before it has read all of `input` is no error.
    CompletedProcess communicate(std::string_view input = {}, Timeout timeout = no_timeout);
    CompletedProcess communicate(std::string_view input, Timeout timeout, error_code& ec);
    /// Completes with `void(error_code, CompletedProcess)`.
    template <class Token>
    auto async_communicate(std::string input, Timeout timeout, Token&& token);

    /// Completes with `void(error_code, std::string)`: the next line of what `Output::capture` collects of stdout,
    /// without its line end; `boost::asio::error::eof` after the last one. Several reads get one line each, in the
    /// order of their calls; one that is cancelled takes none. A line that is there comes without another thread's
    /// help. Nothing is lost: from the first read on, once `SpawnOptions::capture_bytes` are unread, the process waits,
    /// in `write(2)`, until half of that is read; a line longer than that comes in parts. `communicate` and `run`
    /// return what was not read. `errc::invalid_options` if stdout is not captured.
    template <class Token>
    auto async_read_line(Token&& token) {
        return async_read(Stream::stdout_, CapturePart::line, std::forward<Token>(token));
    }
    /// The same of either stream; of stderr where that is captured.
    template <class Token>
    auto async_read_line(Stream stream, Token&& token) {
        return async_read(stream, CapturePart::line, std::forward<Token>(token));
    }
    /// The same with many lines at a time: all whole lines that are there, one or more, as the process wrote them, each
    /// with its line end; the last line of the output may have none.
    template <class Token>
    auto async_read_lines(Stream stream, Token&& token) {
        return async_read(stream, CapturePart::lines, std::forward<Token>(token));
    }
    /// The same with all bytes that are there, one or more.
    template <class Token>
    auto async_read_bytes(Stream stream, Token&& token) {
        return async_read(stream, CapturePart::bytes, std::forward<Token>(token));
    }

    /// Reads what is in the pipe of a stream now, and no more: the process gets SIGPIPE, or EPIPE, if it writes there.
    /// What reads of it ends. Twice is once. `errc::invalid_options` if this program does not read the stream by a pipe
    /// of its own: not for a terminal, nor for a stderr that is merged.
    void close_output(Stream stream);
    void close_output(Stream stream, error_code& ec);

    // -- ending it; for one that has ended, these do nothing and are no error
    // --------------------------------------------

    /// Asks the whole tree to end (SIGTERM, then SIGCONT so that suspended members can obey), and does not wait.
    void terminate();
    void terminate(error_code& ec);
    /// Ends the whole tree by force, and does not wait.
    void kill();
    void kill(error_code& ec);
    /// Sends a signal to the process itself. `errc::invalid_signal` unless it is 1 to 64; `errc::already_ended`.
    void signal(int number);
    void signal(int number, error_code& ec);
    /// Stops the whole tree from running (SIGSTOP), and lets it go on (SIGCONT).
    void suspend();
    void suspend(error_code& ec);
    void resume();
    void resume(error_code& ec);

    /// Stops the tree by its own stop plan, or by `plan`; returns when it is gone or the plan is over. A stop that is
    /// under way is joined; a plan that would be over earlier replaces it. If its timeout, an alert rule or cleanup has
    /// stopped it before, the report says what that did; so does `ProcessInfo::last_stop`.
    /// @throws system_error errc::invalid_options, naming every mistake of the plan.
    StopReport stop();
    StopReport stop(StopPlan plan);
    /// Completes with `void(error_code, StopReport)`. Without a plan by its own. A cancellation ends the waiting, not
    /// the stop.
    template <class Token>
    auto async_stop(StopPlan plan, Token&& token);
    template <class Token>
    auto async_stop(Token&& token) {
        return async_stop(own_plan(), std::forward<Token>(token));
    }

private:
    friend class ProcessManager;
    friend struct detail::HandleAccess;
    ManagedProcess(std::shared_ptr<detail::Engine> engine, std::shared_ptr<detail::ProcessRecord> record)
        : engine_(std::move(engine)), record_(std::move(record)) {}

    template <class Token>
    auto async_read(Stream stream, CapturePart part, Token&& token);
    [[nodiscard]] error_code check_held() const;
    [[nodiscard]] error_code check() const;
    [[nodiscard]] error_code check_ready() const;
    [[nodiscard]] StopPlan own_plan() const;
    [[nodiscard]] std::optional<ExitStatus> wait_until_steady(SteadyTime deadline);
    void signal_tree(int number, error_code& ec);
    void end() noexcept;
    template <class F>
    [[nodiscard]] auto read(F f) const -> std::invoke_result_t<F, detail::ProcessRecord&>;

    std::shared_ptr<detail::Engine> engine_;
    std::shared_ptr<detail::ProcessRecord> record_;
};

// -- implementation ----------------------------------------------------------

template <class Token>
auto ManagedProcess::async_wait(Token&& token) {
    return detail::initiate<ExitStatus>(std::forward<Token>(token), engine_, check(), [record = record_](auto done) {
        return detail::begin_wait(record, std::move(done));
    });
}

template <class Token>
auto ManagedProcess::async_wait_ready(Token&& token) {
    return detail::initiate<>(std::forward<Token>(token), engine_, check_ready(), [record = record_](auto done) {
        return detail::begin_wait_ready(record, std::move(done));
    });
}

template <class Token>
auto ManagedProcess::async_stop(StopPlan plan, Token&& token) {
    error_code refused = check();
    if (!refused && !plan.validate().empty()) refused = errc::invalid_options;
    return detail::initiate<StopReport>(std::forward<Token>(token), engine_, refused,
                                        [record = record_, plan = std::move(plan)](auto done) mutable {
                                            return detail::begin_stop(record, std::move(plan), std::move(done));
                                        });
}

template <class Token>
auto ManagedProcess::async_write(std::string text, Token&& token) {
    return detail::initiate<>(std::forward<Token>(token), engine_, check(),
                              [record = record_, text = std::move(text)](auto done) mutable {
                                  return detail::begin_write(record, std::move(text), std::move(done));
                              });
}

template <class Token>
auto ManagedProcess::async_read(Stream stream, CapturePart part, Token&& token) {
    return detail::initiate<std::string>(
        std::forward<Token>(token), engine_, check(), [record = record_, stream, part](auto done) {
            if (auto answer = detail::read_now(record, stream, part)) {  // without a thread in between
                done(answer->code, std::move(answer->line));
                return detail::Cancel();
            }
            return detail::begin_read(record, stream, part, std::move(done));
        });
}

template <class Token>
auto ManagedProcess::async_communicate(std::string input, Timeout timeout, Token&& token) {
    error_code refused = check();
    if (!refused && !timeout.is_valid()) refused = errc::invalid_timeout;
    return detail::initiate<CompletedProcess>(
        std::forward<Token>(token), engine_, refused,
        [engine = engine_, record = record_, input = std::move(input), timeout](auto done) mutable {
            return detail::begin_communicate(*engine, record, std::move(input), timeout, std::move(done));
        });
}

}  // namespace warden

#if !WARDEN_SEPARATE
#include <warden/impl/managed_process.hpp>
#endif
