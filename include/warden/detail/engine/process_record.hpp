// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// One process from its launch until nothing of it is left: tree, pipes, timeout, stop, and what is known of it.
///
/// Knows:         the order in which things end: output, then the exit, then the tree.
/// Does not know: other processes.
/// Thread-safety: safe. What touches the tree or the pipes is done on the loop.

#include <warden/detail/base/job.hpp>
#include <warden/detail/containment/tree.hpp>
#include <warden/detail/engine/escalation.hpp>
#include <warden/detail/engine/process_state.hpp>
#include <warden/detail/output/io_pump.hpp>
#include <warden/detail/output/log_collector.hpp>
#include <warden/detail/runtime/services.hpp>
#include <warden/detail/system/signal_numbers.hpp>
#include <warden/spawn_options.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

/// Why a stop began.
enum class StopReason : std::uint8_t { asked, timed_out, host_shutdown };

class ProcessRecord : public std::enable_shared_from_this<ProcessRecord> {
public:
    using StopDone = UniqueFunction<void(const StopReport&)>;

    ProcessRecord(std::shared_ptr<Services> services, const Uuid& id, CommandLine command, SpawnOptions options);
    ProcessRecord(const ProcessRecord&) = delete;
    ProcessRecord& operator=(const ProcessRecord&) = delete;

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
    Tree tree;
    std::shared_ptr<OutputRouter> output = std::make_shared<OutputRouter>();
    std::array<std::shared_ptr<OutputPump>, 2> pumps;
    std::shared_ptr<InputPump> input;
    std::shared_ptr<LogCollector> collector;
    TerminalEnd terminal;  ///< Its end of its terminal: a process that closes its own must not be hung up by that.
    Job on_leader_exit;    ///< Called on the loop before anybody who waits is woken.
    Job on_tree_empty;     ///< Called on the loop when nothing is left.
    /// Runs a command beside this process, for a stop plan. Called on the loop; does not wait. What it runs into is
    /// reported from any thread.
    using Report = std::function<void(std::string)>;
    UniqueFunction<void(CommandLine, Nanoseconds, Report)> run_beside;

    ProcessState state;

    /// Follows the lifecycle table. The event that tells so, of that kind; nothing if the table has no such row.
    [[nodiscard]] std::optional<Event> advanced(Transition happened, EventKind kind = EventKind::state);
    /// The same, and emits the event.
    void advance(Transition happened, EventKind kind = EventKind::state);

    /// On the loop: the launch succeeded; begin to watch, to read and to count the time.
    void activate();

    // -- from any thread
    [[nodiscard]] ProcessInfo info() const;
    [[nodiscard]] std::vector<TreeMember> tree_members();
    [[nodiscard]] MemberDetails inspect(Pid member);
    [[nodiscard]] ResourceUsage usage();

    /// Begins to stop the tree, or hurries a stop that is under way; `done` is called on the loop, at once if all is
    /// over.
    void stop(StopPlan plan, StopReason reason, StopDone done);

    [[nodiscard]] error_code signal_leader(int signal);
    /// Signals the whole tree; `terminate` counts as a request to stop, `kill` as a stop by force.
    [[nodiscard]] error_code signal_tree(int signal);

    void write(std::string text, InputPump::Done done);
    [[nodiscard]] error_code close_input();
    [[nodiscard]] error_code resize_terminal(const Terminal& size);

    /// What is captured of stdout, to be read by line; null if nothing is.
    [[nodiscard]] LineCapture* lines() noexcept {
        auto& capture = output->routes[0].capture;
        return capture ? &*capture : nullptr;
    }

    /// Takes what was captured, and gives up on pipes that somebody still holds.
    void finish_output(CompletedProcess& result);

    [[nodiscard]] Event event(EventKind kind) const;

    /// For output after the exit.
    [[nodiscard]] Nanoseconds drain_timeout() const {
        return options.drain_timeout.value_or(services_->config.drain_timeout);
    }

    /// What its logs say of whose they are.
    [[nodiscard]] LogOwner log_owner(bool only_errors) const {
        return {to_string(uuid), only_errors, started_at, options.name};
    }

    /// On the loop: lets go of everything, whatever state it is in. The tree is ended by that.
    void abandon();

private:
    // on the loop
    void leader_ended(const LeaderExit& end, bool tree_empty);
    void after_consumers(Job then);
    void note_tree_empty();
    void end_output();
    void settle(const LeaderExit& end);
    void tree_empty();
    void release_tree();
    void leave_table();
    [[nodiscard]] std::vector<Pid> members_here();
    [[nodiscard]] Pid pipe_holder();
    void begin_stop(StopPlan plan, StopReason reason);
    [[nodiscard]] std::string act(const StopStep& step);
    [[nodiscard]] Report step_report();
    void call_beside(const StopStep& step);
    void note(EventKind kind, std::string message);
    [[nodiscard]] ExitCause cause_of(const LeaderExit& end) const;
    void note_limit(const LeaderExit& end, ExitCause cause);
    void report_survivors(StopReport& report);
    [[nodiscard]] std::shared_ptr<const StopReport> last_stop() const;
    [[nodiscard]] StopReport former_stop() const;
    void tell_stopped(const StopReport& report);
    [[nodiscard]] error_code signal_tree_here(int signal);
    void note_signal(int signal);
    void resume_reading();

    const std::shared_ptr<Services> services_;
    Timer timeout_timer_;
    Timer flush_timer_;
    std::shared_ptr<Escalation> escalation_;
    std::vector<StopDone> stop_waiters_;
    std::optional<StopReason> stop_reason_;
    bool killed_ = false;
    std::uint64_t signals_sent_ = 0;  // bit n-1 for signal n
    Job after_flush_;
    bool leader_ended_ = false;  // from here on, what is done to the tree is not why it ended; nobody was told yet
    bool tree_empty_ = false;
};

// -- implementation ----------------------------------------------------------

inline ProcessRecord::ProcessRecord(std::shared_ptr<Services> services, const Uuid& id, CommandLine words,
                                    SpawnOptions wanted)
    : uuid(id),
      command(std::move(words)),
      options(std::move(wanted)),
      services_(std::move(services)),
      timeout_timer_(services_->loop),
      flush_timer_(services_->loop) {}

inline Event ProcessRecord::event(EventKind kind) const {
    Event event;
    event.kind = kind;
    event.severity = usual_severity(kind);
    event.uuid = uuid;
    event.pid = pid;
    event.parent_pid = services_->owner;
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
    if (auto changed = advanced(happened, kind)) services_->emit(std::move(*changed));
}

inline void ProcessRecord::activate() {
    auto self = shared_from_this();
    for (const auto& log : output->logs)  // one that is shared says who came last
        log->set_owner(to_text(log_owner(output->routes[0].log && output->routes[0].log != log.get())));
    output->on_room([weak = weak_from_this()] {
        const auto locked = weak.lock();
        if (!locked) return;
        locked->services_->loop.post([locked] { locked->resume_reading(); });
    });
    output->on_log_state([weak = weak_from_this()](const LogSink& log) {
        const auto locked = weak.lock();
        if (!locked) return;
        const LogSinkStats stats = log.stats();
        Event changed = locked->event(stats.degraded ? EventKind::log_degraded : EventKind::log_recovered);
        changed.attributes = {{"log.file.path", log.path().string()},
                              {"error.message", stats.last_error.message()},
                              {"warden.log.dropped_bytes", static_cast<std::int64_t>(stats.dropped_bytes)}};
        locked->services_->emit(std::move(changed));
    });
    for (const auto& pump : pumps) {
        if (!pump) continue;
        pump->start([self] {
            const bool open = self->pumps[0] && self->pumps[0]->is_open();
            const bool other_open = self->pumps[1] && self->pumps[1]->is_open();
            if (!open && !other_open) self->state.change([](ProcessFacts& facts) { facts.output_open = false; });
        });
    }
    if (collector) collector->start();
    if (!timeout.is_never()) {
        timeout_timer_.arm(deadline_after(services_->loop.now(), timeout.length()), [self] {
            if (self->tree_empty_) return;
            self->services_->metrics.timed_out();
            self->services_->emit(self->event(EventKind::timeout));
            self->stop(self->stop_plan, StopReason::timed_out, {});
        });
    }
    LeaderExitHandler ended = [self](const LeaderExit& end, bool gone) { self->leader_ended(end, gone); };
    Job empty = [self] { self->tree_empty(); };
    const error_code unwatched = visit_tree(tree, error_code{}, [&](auto& held) {
        return held.watch(services_->loop, std::move(ended), std::move(empty));
    });
    if (!unwatched) return;
    // Its end would never be noticed: it is ended now, and how it ended is not known.
    note(EventKind::kill, "the system refuses to watch it: " + unwatched.message());
    static_cast<void>(visit_tree(tree, error_code{}, [](auto& held) { return held.kill_tree(); }));
    leader_ended({}, true);
}

inline void ProcessRecord::leader_ended(const LeaderExit& end, bool gone) {
    leader_ended_ = true;
    if (gone) note_tree_empty();
    terminal.reset();
    if (gone) {
        end_output();
    } else {
        for (const auto& pump : pumps) {
            if (pump) pump->drain_now();
        }
        if (collector) collector->drain_now();
    }
    if (input) input->close(errc::already_ended);
    after_consumers([self = shared_from_this(), end] { self->settle(end); });
}

/// Runs `then` once the consumers have seen all output, or the drain budget is over.
inline void ProcessRecord::after_consumers(Job then) {
    const auto all = output->queues();
    std::vector<ConsumerQueue*> queues(all.begin(), all.end());
    std::erase(queues, nullptr);
    if (queues.empty()) return then();
    after_flush_ = std::move(then);
    const auto flushed = [self = shared_from_this()] {
        if (auto next = std::exchange(self->after_flush_, nullptr)) {
            self->flush_timer_.cancel();
            next();
        }
    };
    auto left = std::make_shared<std::atomic<std::size_t>>(queues.size());
    for (auto* queue : queues) {
        queue->after_all([left, flushed, self = shared_from_this()] {
            if (left->fetch_sub(1) == 1) self->services_->loop.post(flushed);
        });
    }
    flush_timer_.arm(deadline_after(services_->loop.now(), drain_timeout()), flushed);
}

/// Windows: an exit code that is an error status of the system, such as 0xC0000005.
[[nodiscard]] constexpr bool is_crash_code(int code) noexcept { return static_cast<std::uint32_t>(code) >> 28 == 0xC; }

inline ExitCause ProcessRecord::cause_of(const LeaderExit& end) const {
    const ExitStatus& status = end.status;
    if (stop_reason_ == StopReason::timed_out) return ExitCause::timed_out;
    if (stop_reason_ == StopReason::host_shutdown) return ExitCause::host_shutdown;
    if (!status.known()) return ExitCause::unknown;
    if (stop_reason_) return killed_ && status.signaled() ? ExitCause::forced : ExitCause::stopped;
    if (end.limit) return *end.limit;
    if (status.exited()) return is_crash_code(status.code()) ? ExitCause::crashed : ExitCause::exited;
    if ((signals_sent_ >> (status.signal() - 1) & 1) != 0) return ExitCause::stopped;
    const bool over_cpu =
        status.signal() == signals::cpu_limit || (status.signal() == signals::kill && options.limits.cpu_time);
    return over_cpu ? ExitCause::cpu_limit : ExitCause::crashed;
}

/// A stop that is under way takes no further step, also while the news of the end waits for the consumers.
inline void ProcessRecord::note_tree_empty() {
    tree_empty_ = true;
    if (escalation_) escalation_->end_current_step();
}

/// What is there is read; that somebody outside of the tree holds a pipe is no matter then.
inline void ProcessRecord::end_output() {
    for (const auto& pump : pumps) {
        if (pump) pump->close();
    }
    if (collector) collector->finish();
}

inline void ProcessRecord::settle(const LeaderExit& end) {
    const bool gone = tree_empty_;
    if (gone) end_output();
    const ExitCause cause = cause_of(end);
    const bool by_force = killed_ && end.status.signaled() && end.status.signal() == signals::kill;
    const bool output_open = (pumps[0] && pumps[0]->is_open()) || (pumps[1] && pumps[1]->is_open());
    const Transition happened = !end.status.known()    ? Transition::lost
                                : by_force             ? Transition::ended_by_force
                                : end.status.success() ? Transition::ended_well
                                                       : Transition::ended_badly;
    const SteadyTime now = SteadyTime::clock::now();
    if (on_leader_exit) on_leader_exit();
    services_->metrics.ended(cause);
    if (by_force) services_->metrics.forced();
    note_limit(end, cause);
    Event exit = event(EventKind::exit);
    exit.duration = now - state.facts().started;
    exit.exit_status = end.status;
    exit.cause = cause;
    exit.from = state.facts().state;
    exit.to = next_state(*exit.from, happened);
    exit.attributes = {{"warden.tree_alive", !gone},
                       {"warden.output.bytes", static_cast<std::int64_t>(output->bytes())},
                       {"warden.output.dropped_bytes", static_cast<std::int64_t>(output->dropped())}};
    services_->emit(std::move(exit));
    if (output_open) {
        Event incomplete = event(EventKind::output_incomplete);
        incomplete.attributes = {{"warden.pipe_holder.pid", static_cast<std::int64_t>(pipe_holder())}};
        services_->emit(std::move(incomplete));
    }
    if (gone) {
        timeout_timer_.cancel();
        leave_table();
    }
    const auto stopped = gone ? last_stop() : state.facts().last_stop;
    state.change([&](ProcessFacts& facts) {
        facts.last_stop = stopped;
        facts.state = next_state(facts.state, happened).value_or(State::failed);
        facts.status = end.status;
        facts.cause = cause;
        facts.usage = end.usage;
        facts.ended = now;
        facts.tree_alive = !gone;
        facts.output_open = output_open;
        facts.output_incomplete = output_open;
    });
    if (gone) release_tree();
}

inline void ProcessRecord::tree_empty() {
    note_tree_empty();
    if (after_flush_) return;  // the exit has not been told yet
    end_output();
    timeout_timer_.cancel();
    services_->emit(event(EventKind::tree_gone));
    leave_table();
    const auto stopped = last_stop();
    state.change([&](ProcessFacts& facts) {
        facts.last_stop = stopped;
        facts.tree_alive = false;
        facts.output_open = false;
    });
    release_tree();
}

inline void ProcessRecord::abandon() {
    timeout_timer_.cancel();
    flush_timer_.cancel();
    if (input) input->close(errc::shut_down);
    if (!std::holds_alternative<std::monostate>(tree)) release_tree();
}

}  // namespace warden::detail

#include <warden/detail/engine/process_stop.hpp>
