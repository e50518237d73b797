// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The handle of one process: whoever holds it decides how long the process, and all that it starts, may live.
///
/// Knows:         one process.
/// Does not know: how it is contained or watched.
/// Thread-safety: distinct objects: safe. One object: all const functions from any threads at once, also while another
///                thread moves on from a wait; moving or destroying the object needs that nobody else uses it.
///                Several threads may wait for one process; all get the same result.
/// Errors:        `error_code& ec` last, or system_error. An empty handle gives `errc::no_process`. In a forked copy of
///                the program every operation gives `errc::forked`, and destroying a handle does nothing.

#include <warden/detail/engine_door.hpp>
#include <warden/detail/one_shot.hpp>
#include <warden/process_info.hpp>
#include <warden/stop_plan.hpp>
#include <warden/timeout.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/system_executor.hpp>

#include <atomic>
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
/// (what is left then is reported as critical). It never throws.
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
    [[nodiscard]] std::vector<TreeMember> tree() const;
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

    /// Completes with `void(error_code, ExitStatus)`. The handler runs on its associated executor; one that has none
    /// runs on a thread of the manager. Cancellation ends the wait with `operation_aborted`, not the process.
    template <class Token>
    auto async_wait(Token&& token);

    // -- talking to it
    // --------------------------------------------------------------------------------------------------

    /// Writes to its standard input; needs `Input::pipe`. Returns when all of it is in the pipe: the process reads, or
    /// ends. `errc::input_closed`, EPIPE once it does not read any more.
    void write(std::string_view text);
    void write(std::string_view text, error_code& ec);
    /// End of file for its standard input, after what was written. Twice is once.
    void close_stdin();
    void close_stdin(error_code& ec);

    /// Gives its terminal another size, of which its foreground processes are told by SIGWINCH. `errc::invalid_options`
    /// for no rows or columns, or if it has no terminal; `errc::already_ended`.
    void resize_terminal(const Terminal& size);
    void resize_terminal(const Terminal& size, error_code& ec);

    /// Feeds `input`, closes the standard input, collects what `Output::capture` asked for, waits. Nothing within
    /// `timeout`: `errc::timed_out`; the process runs on, and a further call goes on where this one stopped.
    CompletedProcess communicate(std::string_view input = {}, Timeout timeout = no_timeout);
    CompletedProcess communicate(std::string_view input, Timeout timeout, error_code& ec);

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
    /// under way is joined; a plan that would be over earlier replaces it.
    StopReport stop();
    StopReport stop(StopPlan plan);
    /// Completes with `void(error_code, StopReport)`, as `async_wait` does. Cancellation does not cancel the stop.
    template <class Token>
    auto async_stop(StopPlan plan, Token&& token);

private:
    friend class ProcessManager;
    ManagedProcess(std::shared_ptr<detail::Engine> engine, std::shared_ptr<detail::ProcessRecord> record)
        : engine_(std::move(engine)), record_(std::move(record)) {}

    [[nodiscard]] error_code check() const;
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
    return boost::asio::async_initiate<Token, void(error_code, ExitStatus)>(
        [](auto handler, const std::shared_ptr<detail::Engine>& engine,
           const std::shared_ptr<detail::ProcessRecord>& record, const error_code& ec) {
            using Handler = decltype(handler);
            if (ec) {
                detail::OneShot<Handler, boost::asio::system_executor>(std::move(handler), {})
                    .complete(ec, ExitStatus{});
                return;
            }
            auto slot = boost::asio::get_associated_cancellation_slot(handler);
            auto shot = std::make_shared<detail::OneShot<Handler, detail::CallbackExecutor>>(
                std::move(handler), detail::callback_executor(*engine));
            auto id = std::make_shared<std::atomic<std::uint64_t>>(0);
            if (slot.is_connected()) {
                slot.assign([shot, id, weak = std::weak_ptr(record)](boost::asio::cancellation_type) {
                    shot->complete(error_code(boost::asio::error::operation_aborted), ExitStatus{});
                    if (const auto held = weak.lock()) detail::forget_end(*held, *id);
                });
            }
            *id =
                detail::when_ended(record, [shot](const ExitStatus& status) { shot->complete(error_code{}, status); });
        },
        token, engine_, record_, check());
}

template <class Token>
auto ManagedProcess::async_stop(StopPlan plan, Token&& token) {
    return boost::asio::async_initiate<Token, void(error_code, StopReport)>(
        [](auto handler, const std::shared_ptr<detail::Engine>& engine,
           const std::shared_ptr<detail::ProcessRecord>& record, const StopPlan& steps, const error_code& ec) {
            using Handler = decltype(handler);
            if (ec) {
                detail::OneShot<Handler, boost::asio::system_executor>(std::move(handler), {})
                    .complete(ec, StopReport{});
                return;
            }
            auto shot = std::make_shared<detail::OneShot<Handler, detail::CallbackExecutor>>(
                std::move(handler), detail::callback_executor(*engine));
            detail::begin_stop(record, steps,
                               [shot](const StopReport& report) { shot->complete(error_code{}, report); });
        },
        token, engine_, record_, std::move(plan), check());
}

}  // namespace warden

#if !WARDEN_SEPARATE
#include <warden/impl/managed_process.hpp>
#endif
