// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// One process from its launch until nothing of it is left: who it is, what is known of it, what is reported of it.
///
/// Knows:         the order in which things end: output, then the exit, then the tree.
/// Does not know: other processes; how its tree is stopped (`TreeControl`) or its output read (`ProcessOutput`).
/// Thread-safety: safe. What touches the tree or the pipes is done on the loop.

#include <warden/detail/engine/process_state.hpp>
#include <warden/detail/engine/tree_control.hpp>
#include <warden/detail/output/process_output.hpp>
#include <warden/detail/runtime/manager_context.hpp>
#include <warden/spawn_options.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

class ProcessRecord;

/// The engine, as its processes see it. Called on the loop; does not wait.
class ProcessOwner {
public:
    /// Before anybody who waits is woken.
    virtual void leader_exited() = 0;
    /// Nothing is left of it. Called once, and nothing after it.
    virtual void tree_emptied(const std::shared_ptr<ProcessRecord>& record) = 0;
    /// Runs a command of a stop plan. What it runs into is reported from any thread.
    virtual void run_beside(CommandLine command, Nanoseconds grace, StepReport report) = 0;

protected:
    ProcessOwner() = default;
    ProcessOwner(const ProcessOwner&) = default;
    ProcessOwner& operator=(const ProcessOwner&) = default;
    ~ProcessOwner() = default;
};

class ProcessRecord final : public std::enable_shared_from_this<ProcessRecord>, private TreeOwner {
public:
    ProcessRecord(std::shared_ptr<ManagerContext> context, const Uuid& id, CommandLine command, SpawnOptions options);

    // -- set by the start, constant from `activate` on
    const Uuid uuid;
    const CommandLine command;
    const SpawnOptions options;
    Timeout timeout = no_timeout;
    StopPlan stop_plan;
    ContainmentReport containment;
    std::chrono::system_clock::time_point started_at{};
    Pid pid = 0;
    std::filesystem::path log_path;
    std::filesystem::path error_log_path;
    ProcessOutput output;
    std::shared_ptr<InputPump> input;
    TerminalEnd terminal;  ///< Its end of its terminal: a process that closes its own must not be hung up by that.
    TreeControl control;
    ProcessState state;

    /// Follows the lifecycle table. The event that says so, of that kind; nothing if the table has no such row.
    [[nodiscard]] std::optional<Event> advanced(Transition happened, EventKind kind = EventKind::state);
    /// The same, and emits the event.
    void advance(Transition happened, EventKind kind = EventKind::state);

    /// On the loop: it was shown to be ready, as `how` says in words. Nothing unless it is running.
    void became_ready(std::string how);

    /// The launch succeeded: it belongs to `owner` now, who outlives its tree.
    void launched(ProcessOwner& owner);
    /// On the loop, after `launched`: begins to watch, to read and to count the time.
    void activate();

    // -- from any thread
    [[nodiscard]] ProcessInfo info() const;
    /// `ec` says why there may be more.
    [[nodiscard]] std::vector<TreeMember> tree_members(error_code& ec);
    [[nodiscard]] MemberDetails inspect(Pid member);
    [[nodiscard]] ResourceUsage usage(error_code& ec);

    /// Begins to stop the tree, or hurries a stop that is under way; `done` is called on the loop, at once if all is
    /// over.
    void stop(StopPlan plan, StopReason reason, StopDone done);
    [[nodiscard]] error_code signal_leader(int signal);
    /// Signals the whole tree; `terminate` counts as a request to stop, `kill` as a stop by force.
    [[nodiscard]] error_code signal_tree(int signal);

    void write(std::string text, InputPump::Done done);
    [[nodiscard]] error_code close_input();
    [[nodiscard]] error_code close_output(Stream stream);
    [[nodiscard]] error_code resize_terminal(const Terminal& size);

    /// What is captured of a stream, to be read while it comes; null if nothing is.
    [[nodiscard]] LineCapture* capture_of(Stream stream) noexcept {
        auto& capture = output.router->routes[static_cast<std::size_t>(stream)].capture;
        return capture ? &*capture : nullptr;
    }

    /// Takes what was captured, and gives up on pipes that somebody still holds.
    void finish_output(CompletedProcess& result);

    [[nodiscard]] Event event(EventKind kind) const override;

    /// For output after the exit.
    [[nodiscard]] Nanoseconds drain_timeout() const {
        return options.drain_timeout.value_or(context_->config.drain_timeout);
    }

    /// What its logs say of whose they are.
    [[nodiscard]] LogOwner log_owner(bool only_errors) const {
        return {to_string(uuid), only_errors, started_at, options.name};
    }

    /// On the loop: lets go of everything, whatever state it is in. The tree is ended by that.
    void abandon();

private:
    [[nodiscard]] std::shared_ptr<void> hold() override { return shared_from_this(); }
    void emit(Event event) override { context_->emit(std::move(event)); }
    void stop_requested() override { advance(Transition::stop_asked); }
    [[nodiscard]] std::string take_step_beside(const StopStep& step, StepReport report) override;
    void add_survivors(StopReport& report) override;
    void stop_ended(const std::shared_ptr<const StopReport>& report) override;
    void leader_ended(const LeaderExit& end) override;
    void tree_emptied() override;

    // on the loop
    void watch_output();
    void arm_timeout();
    void log_changed(const LogSink& log);
    void stop_for_output(Stream stream, std::uint64_t bound);
    void settle(const LeaderExit& end);
    void note_limit(const LeaderExit& end, ExitCause cause);
    [[nodiscard]] Event exit_event(const LeaderExit& end, ExitCause cause, Transition happened, SteadyTime now) const;
    void release_tree();
    void leave_table();
    void call_beside(const StopStep& step, StepReport report);

    const std::shared_ptr<ManagerContext> context_;
    ProcessOwner* owner_ = nullptr;  // until it was told the last time
    Timer timeout_timer_;
};

// -- implementation ----------------------------------------------------------

inline ProcessRecord::ProcessRecord(std::shared_ptr<ManagerContext> context, const Uuid& id, CommandLine words,
                                    SpawnOptions wanted)
    : uuid(id),
      command(std::move(words)),
      options(std::move(wanted)),
      output(context->scheduler),
      control(context->scheduler, *this),
      context_(std::move(context)),
      timeout_timer_(context_->scheduler) {}

inline Event ProcessRecord::event(EventKind kind) const {
    Event event;
    event.kind = kind;
    event.severity = usual_severity(kind);
    event.uuid = uuid;
    event.pid = pid;
    event.parent_pid = context_->owner;
    event.name = options.name;
    event.type = options.type;
    event.command = command;
    event.metadata = options.metadata;
    return event;
}

inline std::optional<Event> ProcessRecord::advanced(Transition happened, EventKind kind) {
    const auto from = state.advance(happened);
    if (!from) return std::nullopt;
    Event changed = event(kind);
    changed.time = std::chrono::system_clock::now();
    changed.from = *from;
    changed.to = next_state(*from, happened);
    return changed;
}

inline void ProcessRecord::advance(Transition happened, EventKind kind) {
    if (auto changed = advanced(happened, kind)) context_->emit(std::move(*changed));
}

inline void ProcessRecord::became_ready(std::string how) {
    auto changed = advanced(Transition::became_ready, EventKind::ready);
    if (!changed) return;
    changed->message = std::move(how);
    context_->emit(std::move(*changed));
}

inline void ProcessRecord::launched(ProcessOwner& owner) {
    owner_ = &owner;
    const SteadyTime now = context_->scheduler.now();
    state.change([&](ProcessFacts& facts) {
        facts.started = now;
        facts.tree_alive = true;
        facts.output_open = output.pumps[0] || output.pumps[1];
    });
}

inline void ProcessRecord::activate() {
    watch_output();
    arm_timeout();
    control.watch();
}

inline void ProcessRecord::watch_output() {
    OutputRouter& router = *output.router;
    for (const auto& log : router.logs)  // one that is shared says who came last
        log->set_owner(to_text(log_owner(router.routes[0].log && router.routes[0].log != log.get())));
    router.on_room([weak = weak_from_this()] {
        const auto locked = weak.lock();
        if (!locked) return;
        locked->context_->scheduler.post([locked] { locked->output.resume(); });
    });
    router.on_log_state([weak = weak_from_this()](const LogSink& log) {
        if (const auto locked = weak.lock()) locked->log_changed(log);
    });
    router.on_limit([weak = weak_from_this()](Stream stream, std::uint64_t bound) {
        if (const auto locked = weak.lock()) locked->stop_for_output(stream, bound);
    });
    output.start(
        [self = shared_from_this()] { self->state.change([](ProcessFacts& facts) { facts.output_open = false; }); });
}

inline void ProcessRecord::log_changed(const LogSink& log) {
    const LogSinkStats stats = log.stats();
    Event changed = event(stats.degraded ? EventKind::log_degraded : EventKind::log_recovered);
    changed.attributes = {{"log.file.path", log.path().string()},
                          {"error.message", stats.last_error.message()},
                          {"warden.log.dropped_bytes", static_cast<std::int64_t>(stats.dropped_bytes)}};
    context_->emit(std::move(changed));
}

inline void ProcessRecord::arm_timeout() {
    if (timeout.is_never()) return;
    timeout_timer_.arm(deadline_after(context_->scheduler.now(), timeout.length()), [self = shared_from_this()] {
        if (self->control.is_empty()) return;
        self->context_->metrics.timed_out();
        self->context_->emit(self->event(EventKind::timeout));
        self->stop(self->stop_plan, StopReason::timed_out, {});
    });
}

inline void ProcessRecord::leader_ended(const LeaderExit& end) {
    terminal.reset();
    // Once the tree is empty, it is no matter who outside of it holds a pipe.
    if (control.is_empty()) output.close();
    else output.drain_now();
    if (input) input->close(errc::already_ended);
    output.after_consumers(deadline_after(context_->scheduler.now(), drain_timeout()), hold(),
                           [this, end] { settle(end); });
}

inline Event ProcessRecord::exit_event(const LeaderExit& end, ExitCause cause, Transition happened,
                                       SteadyTime now) const {
    const ProcessFacts facts = state.facts();
    Event exit = event(EventKind::exit);
    exit.duration = now - facts.started;
    exit.exit_status = end.status;
    exit.cause = cause;
    exit.from = facts.state;
    exit.to = next_state(facts.state, happened);
    exit.attributes = {{"warden.tree_alive", !control.is_empty()},
                       {"warden.output.bytes", static_cast<std::int64_t>(output.router->bytes())},
                       {"warden.output.dropped_bytes", static_cast<std::int64_t>(output.router->dropped())}};
    return exit;
}

inline void ProcessRecord::settle(const LeaderExit& end) {
    const bool gone = control.is_empty();
    if (gone) output.close();
    const ExitCause cause = control.reasons().cause_of(end, options.limits.cpu_time.has_value());
    const Transition happened = control.reasons().transition_of(end.status);
    const bool output_open = output.is_open();
    const SteadyTime now = context_->scheduler.now();
    if (owner_) owner_->leader_exited();
    context_->metrics.ended(cause);
    if (control.reasons().was_forced(end.status)) context_->metrics.forced();
    note_limit(end, cause);
    context_->emit(exit_event(end, cause, happened, now));
    if (output_open || output.has_failed()) {
        Event incomplete = event(EventKind::output_incomplete);
        if (output.has_failed()) incomplete.message = "its output could not be read to the end";
        error_code unlisted;
        const Pid holder = output.holder(control.members(unlisted));
        incomplete.attributes = {{"warden.pipe_holder.pid", static_cast<std::int64_t>(holder)}};
        context_->emit(std::move(incomplete));
    }
    if (gone) {
        timeout_timer_.cancel();
        leave_table();
    }
    const auto stopped = gone ? control.last_stop() : state.facts().last_stop;
    state.change([&](ProcessFacts& facts) {
        facts.last_stop = stopped;
        facts.state = next_state(facts.state, happened).value_or(State::failed);
        facts.status = end.status;
        facts.cause = cause;
        facts.usage = end.usage;
        facts.ended = now;
        facts.tree_alive = !gone;
        facts.output_open = output_open;
        facts.output_incomplete = output_open || output.has_failed();
    });
    if (gone) release_tree();
}

inline void ProcessRecord::tree_emptied() {
    if (output.is_flushing()) return;  // the exit is not reported yet
    output.close();
    timeout_timer_.cancel();
    context_->emit(event(EventKind::tree_gone));
    leave_table();
    const auto stopped = control.last_stop();
    state.change([&](ProcessFacts& facts) {
        facts.last_stop = stopped;
        facts.tree_alive = false;
        facts.output_open = false;
    });
    release_tree();
}

inline void ProcessRecord::abandon() {
    timeout_timer_.cancel();
    output.cancel_flush();
    if (input) input->close(errc::shut_down);
    if (control.tree) release_tree();
}

inline void ProcessRecord::release_tree() {
    output.close();
    context_->metrics.output_read(output.router->bytes());
    context_->metrics.logged(output.router->logged());
    context_->metrics.dropped(output.router->dropped());
    control.release();
    leave_table();
}

/// Before its end is reported: who has learnt of that finds it nowhere among the living.
inline void ProcessRecord::leave_table() {
    if (auto* owner = std::exchange(owner_, nullptr)) owner->tree_emptied(shared_from_this());
}

}  // namespace warden::detail

#include <warden/detail/engine/process_requests.hpp>
