// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The handle of a detached process, in any program of the same user: it ends nothing when it is destroyed.
///
/// Knows:         the uuid, and where the record is.
/// Does not know: the process itself; each call looks anew, and asks its shim.
/// Thread-safety: all const functions from any threads at once.
/// Errors:        `error_code& ec` last, or system_error: errc::no_process for an empty handle, errc::not_found if
/// there
///                is no record any more, errc::already_ended, errc::timed_out if the shim does not answer in time, or
///                what the shim answers. `operation_not_supported` on systems that have no shims yet.
/// Waits:         at most some seconds for an answer, unless it says otherwise.

#include <warden/detached/record.hpp>
#include <warden/exit_status.hpp>
#include <warden/logs/log_follower.hpp>
#include <warden/platform.hpp>
#include <warden/stop_plan.hpp>
#include <warden/timeout.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

class DetachedProcess {
public:
    /// Holds nothing.
    DetachedProcess() noexcept = default;
    /// Of the process with that uuid whose record is below `data_directory`; whether there is one, the calls say.
    DetachedProcess(std::filesystem::path data_directory, const Uuid& uuid)
        : data_directory_(std::move(data_directory)), uuid_(uuid) {}

    [[nodiscard]] explicit operator bool() const noexcept { return !uuid_.is_nil(); }
    [[nodiscard]] const Uuid& uuid() const noexcept { return uuid_; }

    /// Its record, and what is true of it now.
    [[nodiscard]] DetachedInfo info() const;
    [[nodiscard]] DetachedInfo info(error_code& ec) const;
    [[nodiscard]] DetachedState state() const { return info().state; }

    /// Waits until the process itself has ended; what it started may live on. Unknown if nobody can tell: it is lost,
    /// or the system was started again. No polling: its shim says when.
    ExitStatus wait() const;
    /// Nothing if it still runs then. Any duration, saturating.
    template <class Rep, class Period>
    [[nodiscard]] std::optional<ExitStatus> wait_for(std::chrono::duration<Rep, Period> length) const {
        return wait_until_steady(detail::deadline_after(SteadyTime::clock::now(), detail::saturated(length)));
    }

    /// The same without a thread: completes with `void(error_code, ExitStatus)`. Takes any completion token of Asio;
    /// what is waited for is watched by the context of `executor`, which somebody runs and which has the handler if
    /// that has no executor of its own. A cancellation completes it with `operation_aborted`; the process goes on.
    template <class Token>
    auto async_wait(const boost::asio::any_io_executor& executor, Token&& token) const;

    /// Stops the tree by its own stop plan, or by `plan`; returns when it is gone or the plan is over. Clean, without
    /// steps, if nothing of it lived.
    /// @throws system_error errc::invalid_options, naming every mistake of the plan, or a step that calls a function.
    StopReport stop() const;
    StopReport stop(const StopPlan& plan) const;
    /// By force, at once.
    StopReport force_stop() const { return stop(StopPlan::now()); }

    /// Sends a signal to the process itself.
    void signal(int number) const;
    void signal(int number, error_code& ec) const;
    /// Writes to its standard input; needs `Input::pipe`. Returns when all of it is in the pipe; `errc::timed_out` if
    /// that takes longer than ten seconds: it is written later then, as the process reads.
    void write(std::string_view text) const;
    void write(std::string_view text, error_code& ec) const;
    void close_stdin() const;
    void close_stdin(error_code& ec) const;

    /// The newest lines of its log, also after its end.
    [[nodiscard]] std::vector<std::string> tail(std::size_t lines) const;
    /// Empty if nothing is logged.
    [[nodiscard]] std::filesystem::path log_path() const { return info().record.log_path; }
    /// Its log as it grows. @throws system_error errc::not_found if nothing is logged; or why it cannot be read.
    [[nodiscard]] LogFollower follow(LogFollower::From from = LogFollower::From::beginning) const;

    /// Stops it as `stop` does, if something of it lives, and starts it again `pause` later, with the same command and
    /// options and another uuid; its record says from which. What is not set in the options, such as the rest of the
    /// environment, is that of this program. The checks of `preflight` are not made again. Nothing is started before
    /// nothing is left of the old tree. Waits at most a minute for another program that starts one of its name.
    /// @throws system_error errc::already_running: something of it is left, or it was restarted before, as one that
    /// runs; errc::not_found: no record, or it is of a version that kept no options. SpawnError if it cannot be started
    /// again: then it is stopped.
    [[nodiscard]] DetachedProcess restart(Nanoseconds pause = Nanoseconds::zero()) const {
        return restart_by(nullptr, pause);
    }
    [[nodiscard]] DetachedProcess restart(const StopPlan& plan, Nanoseconds pause = Nanoseconds::zero()) const {
        return restart_by(&plan, pause);
    }

    /// Removes the record of a process that has ended; its logs stay. `operation_in_progress` for one that has not.
    void remove() const;
    void remove(error_code& ec) const;

    friend bool operator==(const DetachedProcess&, const DetachedProcess&) = default;

private:
    struct Wait {
        std::function<void()> start, cancel;
    };
    [[nodiscard]] Wait prepare_wait(const boost::asio::any_io_executor& executor,
                                    std::function<void(const error_code&, const ExitStatus&)> done) const;
    [[nodiscard]] std::optional<ExitStatus> wait_until_steady(SteadyTime deadline) const;
    StopReport stop_by(const StopPlan* plan) const;
    [[nodiscard]] DetachedProcess restart_by(const StopPlan* plan, Nanoseconds pause) const;

    std::filesystem::path data_directory_;
    Uuid uuid_{};
};

// -- implementation ----------------------------------------------------------

template <class Token>
auto DetachedProcess::async_wait(const boost::asio::any_io_executor& executor, Token&& token) const {
    namespace asio = boost::asio;
    return asio::async_initiate<Token, void(error_code, ExitStatus)>(
        [](auto handler, const DetachedProcess& process, const asio::any_io_executor& by) {
            auto slot = asio::get_associated_cancellation_slot(handler);
            auto work = asio::make_work_guard(asio::get_associated_executor(handler, by));
            // Shared, for std::function wants a copy.
            const auto waiting =
                std::make_shared<std::pair<decltype(handler), decltype(work)>>(std::move(handler), std::move(work));
            Wait wait = process.prepare_wait(by, [waiting](const error_code& ec, const ExitStatus& status) {
                const auto own = waiting->second.get_executor();
                asio::post(own, [waiting, ec, status] {
                    waiting->second.reset();  // the handler may end its context
                    std::move(waiting->first)(ec, status);
                });
            });
            // Before the start: the handler may run, and end the slot, before that returns.
            if (slot.is_connected())
                slot.assign([cancel = std::move(wait.cancel)](asio::cancellation_type) { cancel(); });
            wait.start();
        },
        token, *this, executor);
}

}  // namespace warden
