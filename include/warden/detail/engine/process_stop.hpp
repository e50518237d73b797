// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of a process record that ends processes and talks to them: stops, signals, input, views of the tree.
///
/// Knows:         what each step of a stop plan does to a tree.
/// Thread-safety: see process_record.hpp, which includes this.

#include <warden/detail/engine/process_record.hpp>
#include <warden/detail/system/process_listing.hpp>
#include <warden/detail/system/signal_numbers.hpp>

#include <boost/asio/error.hpp>

namespace warden::detail {

inline void ProcessRecord::note_signal(int signal) {
    if (!leader_ended_ && signal >= 1 && signal <= 64) signals_sent_ |= std::uint64_t{1} << (signal - 1);
}

/// Sends `signal` to the whole tree and lets suspended members go on, so that they can obey.
inline error_code ProcessRecord::signal_tree_here(int signal) {
    return visit_tree(tree, error_code(errc::already_ended), [&](auto& held) {
        if (signal == signals::kill) return held.kill_tree();
        error_code ec = held.signal_tree(signal);
        if (signal == signals::terminate) static_cast<void>(held.signal_tree(signals::resume));
        return ec;
    });
}

inline error_code ProcessRecord::signal_leader(int signal) {
    if (signal < 1 || signal > 64) return errc::invalid_signal;
    return services_->loop.call([&] {
        if (leader_ended_) return error_code(errc::already_ended);
        note_signal(signal);
        const error_code ec =
            visit_tree(tree, error_code(errc::already_ended), [&](auto& held) { return held.signal_leader(signal); });
        // It has ended and was reaped; the news of that is on its way.
        return ec == boost::system::errc::no_such_process ? error_code(errc::already_ended) : ec;
    });
}

inline error_code ProcessRecord::signal_tree(int signal) {
    if (signal < 1 || signal > 64) return errc::invalid_signal;
    return services_->loop.call([&] {
        if (tree_empty_) return error_code(errc::already_ended);
        note_signal(signal);
        if (!leader_ended_ && (signal == signals::terminate || signal == signals::kill)) {
            if (!stop_reason_) stop_reason_ = StopReason::asked;
            killed_ = killed_ || signal == signals::kill;
            advance(Transition::stop_asked);
        }
        if (signal == signals::kill) services_->emit(event(EventKind::kill));
        return signal_tree_here(signal);
    });
}

inline void ProcessRecord::stop(StopPlan plan, StopReason reason, StopDone done) {
    services_->loop.post([self = shared_from_this(), plan = std::move(plan), reason, done = std::move(done)]() mutable {
        if (std::holds_alternative<std::monostate>(self->tree)) {
            if (done) done(self->former_stop());
            return;
        }
        if (done) self->stop_waiters_.push_back(std::move(done));
        if (self->tree_empty_) return;  // the news of that is on its way
        if (!self->escalation_) self->begin_stop(std::move(plan), reason);
        else if (deadline_after(SteadyTime::clock::now(), plan.deadline()) < self->escalation_->deadline()) {
            self->escalation_->replace_plan(std::move(plan));
        }
    });
}

/// Of what is all over: nothing outlived it.
inline StopReport ProcessRecord::former_stop() const {
    const auto former = last_stop();
    StopReport report = former ? *former : StopReport();
    report.survivors.clear();
    return report;
}

inline void ProcessRecord::tell_stopped(const StopReport& report) {
    for (auto waiters = std::exchange(stop_waiters_, {}); auto& done : waiters) done(report);
}

inline void ProcessRecord::begin_stop(StopPlan plan, StopReason reason) {
    if (!leader_ended_) {
        if (!stop_reason_ || reason != StopReason::asked) stop_reason_ = reason;
        advance(Transition::stop_asked);
    }
    Event began = event(EventKind::stop);
    constexpr std::array<std::string_view, 3> reasons{"asked for", "timed out", "the host shuts down"};
    began.attributes = {{"warden.stop.reason", std::string(reasons[static_cast<std::size_t>(reason)])}};
    const bool lists_cheaply = visit_tree(tree, false, [](const auto& held) { return held.lists_cheaply; });
    if (lists_cheaply)
        began.attributes.emplace_back("warden.tree.members", static_cast<std::int64_t>(members_here().size()));
    if (!plan.reason().empty()) began.attributes.emplace_back("warden.stop.because", plan.reason());
    services_->emit(std::move(began));
    auto self = shared_from_this();
    escalation_ = std::make_shared<Escalation>(
        services_->loop, std::move(plan), [self](const StopStep& step) { return self->act(step); },
        [self](const StopStep& step, const StopStepResult& record) {
            Event taken = self->event(EventKind::stop_step);
            taken.duration = record.duration;
            taken.attributes = {{"warden.stop.action", std::string(to_string(step.action))},
                                {"warden.stop.tree_exited", record.tree_exited},
                                {"warden.stop.error", record.error}};
            self->services_->emit(std::move(taken));
        },
        [self](StopReport report) {
            self->escalation_.reset();
            self->report_survivors(report);
            self->services_->metrics.stopped(report.duration);
            const auto over = std::make_shared<const StopReport>(std::move(report));
            self->state.change([&](ProcessFacts& facts) { facts.last_stop = over; });
            self->tell_stopped(*over);
        });
    const auto escalation = escalation_;  // it may be over before `start` returns
    escalation->start();
}

/// What the stop that is under way has done, if its tree is gone, or else the one before.
inline std::shared_ptr<const StopReport> ProcessRecord::last_stop() const {
    return escalation_ ? std::make_shared<const StopReport>(escalation_->report()) : state.facts().last_stop;
}

/// `{pid}` in the arguments becomes `pid`.
[[nodiscard]] inline CommandLine for_pid(const CommandLine& command, Pid pid) {
    std::vector<std::string> arguments = command.arguments();
    for (std::string& argument : arguments) {
        for (std::size_t at = 0; (at = argument.find("{pid}", at)) != std::string::npos;) {
            argument.replace(at, 5, std::to_string(pid));
        }
    }
    return {command.program(), std::move(arguments)};
}

/// Takes, from any thread, what the step under way ran into: into the report, or, once that step is over, as an event.
inline ProcessRecord::Report ProcessRecord::step_report() {
    return [self = shared_from_this(), weak = std::weak_ptr(escalation_),
            step = escalation_->current()](std::string words) {
        self->services_->loop.post([self, weak, step, words = std::move(words)] {
            const auto escalation = weak.lock();
            if (!escalation || !escalation->add_error(step, words)) self->note(EventKind::stop_step, words);
        });
    };
}

/// Calls the function of a step on a thread of the manager.
inline void ProcessRecord::call_beside(const StopStep& step) {
    services_->dispatcher.post(
        [self = shared_from_this(), report = step_report(), call = step.call, grace = step.grace] {
            std::string trouble;
            self->services_->dispatcher.run_guarded([&] {
                try {
                    trouble = call->run(self->pid, grace);
                } catch (const std::exception& thrown) {
                    trouble = std::string("it threw: ") + thrown.what();
                    throw;
                } catch (...) {
                    trouble = "it threw something that is no std::exception";
                    throw;
                }
            });
            if (!trouble.empty()) report(call->name + ": " + trouble);
        });
}

inline std::string ProcessRecord::act(const StopStep& step) {
    const auto in_words = [](const error_code& ec) {
        return ec && ec != boost::system::errc::no_such_process ? ec.message() : std::string();
    };
    switch (step.action) {
        case StopAction::close_stdin:
            if (input) input->close_when_written();
            return {};
        case StopAction::write_line:
            if (!input) return "its standard input is not a pipe";
            if (!input->is_open()) return "its standard input is closed";
            input->write(step.text + '\n', [](const error_code&) {});
            return {};
        case StopAction::run_command: run_beside(for_pid(step.command, pid), step.grace, step_report()); return {};
        case StopAction::call: call_beside(step); return {};
        case StopAction::signal:
            if (leader_ended_) return {};
            note_signal(step.signal_number);
            return in_words(
                visit_tree(tree, error_code{}, [&](auto& held) { return held.signal_leader(step.signal_number); }));
        case StopAction::terminate:
            note_signal(signals::terminate);
            return in_words(signal_tree_here(signals::terminate));
        case StopAction::freeze: return in_words(signal_tree_here(signals::stop));
        case StopAction::kill:
        case StopAction::last_resort: break;
    }
    killed_ = killed_ || !leader_ended_;
    note_signal(signals::kill);
    services_->emit(event(EventKind::kill));
    std::string trouble = in_words(signal_tree_here(signals::kill));
    if (step.action == StopAction::last_resort)
        static_cast<void>(visit_tree(tree, error_code{}, [](auto& held) { return held.last_resort(); }));
    return trouble;
}

inline void ProcessRecord::note(EventKind kind, std::string message) {
    Event noted = event(kind);
    noted.message = std::move(message);
    services_->emit(std::move(noted));
}

/// Reports that a resource limit ended the process. A limit that it inherited from the program has no value here.
inline void ProcessRecord::note_limit(const LeaderExit& end, ExitCause cause) {
    const ResourceLimits& limits = options.limits;
    const bool over_file_size = cause == ExitCause::crashed && end.status.signal() == signals::file_limit;
    const bool over_cpu = cause == ExitCause::cpu_limit;
    if (!over_file_size && !over_cpu && cause != ExitCause::memory_limit) return;
    Event hit = event(EventKind::limit);
    const auto set = [&](std::string_view key, auto value) {
        hit.attributes.emplace_back(key, static_cast<std::int64_t>(value));
    };
    hit.attributes.emplace_back("warden.limit.name", std::string(over_cpu         ? "cpu_time_ns"
                                                                 : over_file_size ? "file_bytes"
                                                                                  : "memory_bytes"));
    if (over_cpu) {
        set("warden.cpu_time_ns", (end.usage.user_time + end.usage.system_time).count());
        if (limits.cpu_time) set("warden.limit.value", limits.cpu_time->count());
    } else {
        const auto& value = over_file_size ? limits.file_bytes : limits.memory_bytes;
        if (value) set("warden.limit.value", *value);
    }
    services_->emit(std::move(hit));
}

inline void ProcessRecord::report_survivors(StopReport& report) {
    if (is_tree_empty(state.facts()) || std::holds_alternative<std::monostate>(tree)) return;
    for (const TreeMember& member : tree_members()) {
        if (member.state == 'Z' || member.state == 'X') continue;
        std::string reason = why_alive(member);
        Event failed = event(EventKind::cleanup_failed);
        failed.message = "pid " + std::to_string(member.pid) + " outlived the whole stop plan: " + reason;
        failed.attributes = {{"warden.survivor.pid", static_cast<std::int64_t>(member.pid)}};
        services_->emit(std::move(failed));
        services_->metrics.cleanup_failed();
        report.survivors.push_back({member.pid, member.command, std::move(reason)});
    }
    if (report.survivors.empty()) report.survivors.push_back({0, {}, "that its tree has ended was not seen"});
}

inline std::vector<Pid> ProcessRecord::members_here() {
    return visit_tree(tree, std::vector<Pid>{}, [](auto& held) { return held.members(); });
}

/// The words of a command as the system lists them.
[[nodiscard]] inline std::string joined(const CommandLine& command) {
    std::string text = command.program();
    for (const std::string& argument : command.arguments()) text += ' ' + argument;
    return text;
}

inline std::vector<TreeMember> ProcessRecord::tree_members() {
    std::vector<std::pair<Pid, bool>> found;  // and whether it has escaped
    services_->loop.call([&] {
        for (const Pid member : members_here()) {
            const bool escaped = visit_tree(tree, false, [&](const auto& held) { return held.has_escaped(member); });
            found.emplace_back(member, escaped);
        }
    });
    std::vector<TreeMember> members;
    for (const auto& [member_pid, escaped] : found) {
        if (auto member = detail::member(member_pid)) {
            member->escaped = escaped;
            // While a new program takes the place of the old one, and once it has ended, the system tells none.
            if (member_pid == pid && member->command.starts_with('[')) member->command = joined(command);
            members.push_back(std::move(*member));
        }
    }
    return members;
}

/// A member before and after, so not another process that has got its pid meanwhile.
inline MemberDetails ProcessRecord::inspect(Pid member) {
    return services_->loop.call([&] {
        const auto is_member = [&] {
            const auto members = members_here();
            return std::find(members.begin(), members.end(), member) != members.end();
        };
        MemberDetails details = is_member() ? member_details(member) : MemberDetails();
        return is_member() ? details : MemberDetails{.error = errc::not_found};
    });
}

inline ResourceUsage ProcessRecord::usage() {
    const ProcessFacts facts = state.facts();
    if (has_ended(facts)) return facts.usage;
    ResourceUsage sum;
    for (const TreeMember& member : tree_members()) {
        sum.user_time += member.user_time;
        sum.system_time += member.system_time;
        sum.max_resident_bytes += member.resident_bytes;
        sum.major_faults += member.major_faults;
    }
    return sum;
}

inline void ProcessRecord::write(std::string text, InputPump::Done done) {
    services_->loop.post([self = shared_from_this(), text = std::move(text), done = std::move(done)]() mutable {
        if (!self->input) return done(errc::input_closed);
        self->input->write(std::move(text), std::move(done));
    });
}

inline error_code ProcessRecord::close_input() {
    return services_->loop.call([&] {
        if (!input) return error_code(errc::input_closed);
        input->close_when_written();
        return error_code{};
    });
}

inline error_code ProcessRecord::resize_terminal(const Terminal& size) {
    if (!options.terminal || !size.is_valid()) return errc::invalid_options;
    return services_->loop.call([&] {
        if (!terminal) return error_code(errc::already_ended);
        return detail::resize_terminal(terminal, size);
    });
}

/// Who of the tree has one of our output pipes open for writing; 0 if nobody that may be looked at.
inline Pid ProcessRecord::pipe_holder() {
    const auto members = members_here();
    for (const auto& pump : pumps) {
        const Pid holder = pump && pump->is_open() ? pipe_writer(members, pump->pipe_id()) : 0;
        if (holder != 0) return holder;
    }
    return 0;
}

inline void ProcessRecord::resume_reading() {
    for (const auto& pump : pumps) {
        if (pump) pump->resume();
    }
}

inline void ProcessRecord::finish_output(CompletedProcess& result) {
    services_->loop.call([&] {
        for (const auto& pump : pumps) result.incomplete = result.incomplete || (pump && pump->is_open());
        if (result.incomplete) result.pipe_holder = pipe_holder();
        for (const auto& pump : pumps) {
            if (pump) pump->close();
        }
        const auto take = [&](Stream stream) {
            auto& capture = output->routes[static_cast<std::size_t>(stream)].capture;
            return capture ? capture->take(result.truncated) : std::string();
        };
        result.out = take(Stream::stdout_);
        result.err = take(Stream::stderr_);
    });
}

inline ProcessInfo ProcessRecord::info() const {
    const ProcessFacts facts = state.facts();
    ProcessInfo info;
    info.uuid = uuid;
    info.pid = pid;
    info.name = options.name;
    info.type = options.type;
    info.command = command;
    info.state = facts.state;
    info.exit_status = facts.status;
    info.cause = facts.cause;
    info.tree_alive = facts.tree_alive;
    info.started_at = started_at;
    info.runtime = (has_ended(facts) ? facts.ended : SteadyTime::clock::now()) - facts.started;
    info.log_path = log_path;
    info.error_log_path = error_log_path;
    info.containment = containment;
    info.output_incomplete = facts.output_incomplete;
    info.output_bytes = output->bytes();
    info.dropped_bytes = output->dropped();
    if (facts.last_stop) info.last_stop = *facts.last_stop;
    return info;
}

inline void ProcessRecord::release_tree() {
    end_output();
    services_->metrics.output_read(output->bytes());
    services_->metrics.logged(output->logged());
    services_->metrics.dropped(output->dropped());
    if (escalation_) escalation_->tree_gone();
    else tell_stopped(former_stop());
    tree.emplace<std::monostate>();
    leave_table();
}

/// Before its end is told: who has learnt of that finds it nowhere among the living.
inline void ProcessRecord::leave_table() {
    if (on_tree_empty) std::exchange(on_tree_empty, nullptr)();
}

}  // namespace warden::detail
