// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Waits until a process is ready, or watches whether it still does its work, by a probe.
///
/// Knows:         one probe of one process.
/// Does not know: what to do about the answer: stop, restart, report.
/// Thread-safety: distinct objects: safe. One object: all const functions and `async_wait` from any threads at once.
/// Errors:        system_error from the two functions that begin; a ProbeOutcome after that.

#include <warden/detail/engine/async_initiate.hpp>
#include <warden/managed_process.hpp>
#include <warden/supervision/notify_socket.hpp>
#include <warden/supervision/probe.hpp>
#include <warden/supervision/probe_outcome.hpp>
#include <warden/timeout.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace warden {
namespace detail {
class ProbeRun;
using WatchDone = std::function<void(const error_code&, ProbeOutcome)>;
[[nodiscard]] Cancel begin_wait_for_probe(const std::shared_ptr<ProbeRun>& run, WatchDone done);
}  // namespace detail

/// A probe that is being made. Move-only; its end ends the probe, and who waits gets `operation_aborted`. The process
/// is left as it is.
class Readiness {
public:
    /// Holds nothing.
    Readiness() noexcept = default;
    Readiness(Readiness&&) noexcept = default;
    Readiness& operator=(Readiness&& other) noexcept;
    ~Readiness() { end(); }

    explicit operator bool() const noexcept { return static_cast<bool>(run_); }

    /// Nothing as long as it is not known.
    [[nodiscard]] std::optional<ProbeOutcome> outcome() const;
    /// What it waits for, and what the last attempts said; the STATUS= of the process, if it says one.
    [[nodiscard]] std::string progress() const;

    /// A process that ends, or the deadline of the probe, ends the wait. @throws system_error errc::no_process
    [[nodiscard]] ProbeOutcome wait() const;
    /// Nothing if it is not known then. Any duration, saturating; zero or less looks and does not wait.
    template <class Rep, class Period>
    [[nodiscard]] std::optional<ProbeOutcome> wait_for(std::chrono::duration<Rep, Period> length) const {
        return wait_until_steady(detail::deadline_after(SteadyTime::clock::now(), detail::saturated(length)));
    }
    template <class Clock, class Duration>
    [[nodiscard]] std::optional<ProbeOutcome> wait_until(std::chrono::time_point<Clock, Duration> time) const {
        return wait_for(time - Clock::now());
    }

    /// Completes with `void(error_code, ProbeOutcome)`; the code is that of the outcome. See
    /// `ManagedProcess::async_wait` for tokens and executors. A cancellation ends the waiting, not the probe.
    template <class Token>
    auto async_wait(Token&& token) const {
        return detail::initiate<ProbeOutcome>(std::forward<Token>(token), engine_, check(), [run = run_](auto done) {
            return detail::begin_wait_for_probe(run, std::move(done));
        });
    }

private:
    friend struct detail::HandleAccess;
    Readiness(std::shared_ptr<detail::Engine> engine, std::shared_ptr<detail::ProbeRun> run)
        : engine_(std::move(engine)), run_(std::move(run)) {}

    [[nodiscard]] error_code check() const;
    [[nodiscard]] std::optional<ProbeOutcome> wait_until_steady(SteadyTime deadline) const;
    void end() noexcept;

    std::shared_ptr<detail::Engine> engine_;
    std::shared_ptr<detail::ProbeRun> run_;
};

/// Begins to wait for the process to be ready; the deadline of the probe bounds it. When the probe says yes, the state
/// of the process becomes `State::ready`, with its event. `notify` is the socket that the process was started with, for
/// a probe that needs it.
/// @throws system_error errc::invalid_options, naming every mistake of the probe; errc::no_process, errc::detached,
/// errc::forked.
[[nodiscard]] Readiness watch_readiness(const ManagedProcess& process, Probe probe, const NotifySocket& notify = {});

/// Begins to watch whether the process does its work: the outcome comes when its failures in a row reach the threshold
/// of the probe, or when the process ends. Delays and lines that mean success say nothing here.
/// @throws system_error as `watch_readiness`.
[[nodiscard]] Readiness watch_liveness(const ManagedProcess& process, Probe probe, const NotifySocket& notify = {});

}  // namespace warden

// -- implementation ----------------------------------------------------------
#if WARDEN_HAS_BODIES
#include <warden/detail/supervision/handle_access.hpp>
#include <warden/detail/supervision/probe_run.hpp>
#include <warden/impl/managed_process.hpp>
#include <warden/impl/process_manager.hpp>

#include <string_view>
#include <vector>

namespace warden {
namespace detail {

WARDEN_INLINE Cancel begin_wait_for_probe(const std::shared_ptr<ProbeRun>& run, WatchDone done) {
    const std::uint64_t id = run->when_done([done](const ProbeOutcome& outcome) { done(outcome.code, outcome); });
    return [run, id, done = std::move(done)] {
        run->forget(id);
        done(aborted(), {});
    };
}

inline bool holds_kind(const Probe& probe, ProbeKind kind) {
    return probe.kind() == kind || std::any_of(probe.parts().begin(), probe.parts().end(),
                                               [kind](const Probe& part) { return holds_kind(part, kind); });
}

/// What is wrong with `probe` for this process.
[[nodiscard]] inline std::vector<std::string> probe_mistakes(const ProcessRecord& record, const Probe& probe,
                                                             ProbeUse use, bool has_notify) {
    auto found = probe.validate();
    if (use == ProbeUse::start_up && !probe.can_say_ready())
        found.push_back(probe.to_string() + ": it never says ready; put it beside another probe, in all_of");
    if (use == ProbeUse::liveness) {
        for (const ProbeKind kind : {ProbeKind::delay, ProbeKind::log_line}) {
            if (holds_kind(probe, kind))
                found.push_back(std::string(to_string(kind)) +
                                ": once true it stays so; for liveness probe what can fail, such as a port");
        }
    }
    const bool is_read = record.output.pumps[0] || record.output.pumps[1] || record.output.collector;
    if (!is_read && (holds_kind(probe, ProbeKind::log_line) || holds_kind(probe, ProbeKind::fails_on_line)))
        found.emplace_back("its output is not read; set stdout_ or stderr_ to log or capture");
    if (probe.needs_notify() && !has_notify)
        found.emplace_back("notify needs the NotifySocket that the process was started with; give it too");
    return found;
}

[[nodiscard]] WARDEN_INLINE Readiness HandleAccess::watch(const ManagedProcess& process, Probe probe, ProbeUse use,
                                                          std::shared_ptr<NotifySource> notify) {
    throw_if(process.check(), "watch");
    const auto mistakes = probe_mistakes(*process.record_, probe, use, notify != nullptr);
    if (!mistakes.empty()) throw system_error(errc::invalid_options, invalid("probe", mistakes));
    if (!probe.needs_notify()) notify = nullptr;
    auto run = std::make_shared<ProbeRun>(process.engine_, process.record_, std::move(probe), use, std::move(notify));
    run->start();
    return {process.engine_, std::move(run)};
}

}  // namespace detail

WARDEN_INLINE Readiness& Readiness::operator=(Readiness&& other) noexcept {
    if (this == &other) return *this;
    end();
    engine_ = std::move(other.engine_);
    run_ = std::move(other.run_);
    return *this;
}

WARDEN_INLINE error_code Readiness::check() const {
    if (!run_) return errc::no_process;
    return engine_->services->is_owner() ? error_code() : error_code(errc::forked);
}

WARDEN_INLINE void Readiness::end() noexcept {
    if (!run_) return;
    if (!engine_->services->is_owner()) {
        detail::leave_to_owner(std::move(run_));
        detail::leave_to_owner(std::move(engine_));
        return;
    }
    run_->cancel();
    run_.reset();
    engine_.reset();
}

WARDEN_INLINE std::optional<ProbeOutcome> Readiness::outcome() const {
    return check() ? std::nullopt : run_->outcome();
}

WARDEN_INLINE std::string Readiness::progress() const { return check() ? std::string() : run_->progress(); }

WARDEN_INLINE std::optional<ProbeOutcome> Readiness::wait_until_steady(SteadyTime deadline) const {
    detail::throw_if(check(), "wait");
    const detail::ReentrantWaitGuard waiting(run_->record().output.router->queues());
    if (!run_->wait_until(deadline)) return std::nullopt;
    return run_->outcome();
}

WARDEN_INLINE ProbeOutcome Readiness::wait() const { return wait_until_steady(SteadyTime::max()).value(); }

WARDEN_INLINE Readiness watch_readiness(const ManagedProcess& process, Probe probe, const NotifySocket& notify) {
    return detail::HandleAccess::watch(process, std::move(probe), detail::ProbeUse::start_up, notify.source());
}

WARDEN_INLINE Readiness watch_liveness(const ManagedProcess& process, Probe probe, const NotifySocket& notify) {
    return detail::HandleAccess::watch(process, std::move(probe), detail::ProbeUse::liveness, notify.source());
}

}  // namespace warden
#endif
