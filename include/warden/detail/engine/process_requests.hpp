// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of a process record that serves requests: stops, signals, input, views of the tree, and the steps of a stop
/// plan that are taken beside the tree.
///
/// Thread-safety: see process_record.hpp, which includes this.

#include <warden/detail/engine/process_record.hpp>
#include <warden/detail/system/process_listing.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

inline void ProcessRecord::stop(StopPlan plan, StopReason reason, StopDone done) {
    context_->scheduler.post(
        [self = shared_from_this(), plan = std::move(plan), reason, done = std::move(done)]() mutable {
            self->control.stop(std::move(plan), reason, std::move(done));
        });
}

inline error_code ProcessRecord::signal_leader(int signal) {
    return context_->scheduler.call([&] { return control.signal_leader(signal); });
}

inline error_code ProcessRecord::signal_tree(int signal) {
    return context_->scheduler.call([&] { return control.signal_tree(signal); });
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

inline std::string ProcessRecord::take_step_beside(const StopStep& step, StepReport report) {
    if (step.action == StopAction::close_stdin) {
        if (input) input->close_when_written();
    } else if (step.action == StopAction::write_line) {
        if (!input) return "its standard input is not a pipe";
        if (!input->is_open()) return "its standard input is closed";
        input->write(step.text + '\n', [](const error_code&) {});
    } else if (step.action == StopAction::run_command) {
        if (owner_) owner_->run_beside(for_pid(step.command, pid), step.grace, std::move(report));
    } else {
        call_beside(step, std::move(report));
    }
    return {};
}

/// Calls the function of a step on a thread of the manager.
inline void ProcessRecord::call_beside(const StopStep& step, StepReport report) {
    context_->dispatcher.post(
        [self = shared_from_this(), report = std::move(report), call = step.call, grace = step.grace] {
            std::string trouble;
            self->context_->dispatcher.run_guarded([&] {
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

/// Reports that a resource limit ended the process. A limit that it inherited from the program has no value here.
inline void ProcessRecord::note_limit(const LeaderExit& end, ExitCause cause) {
    const ResourceLimits& limits = options.limits;
    const bool over_file_size = cause == ExitCause::crashed && end.status.signal() == signals::file_limit;
    const bool over_cpu = cause == ExitCause::cpu_limit;
    if (!over_file_size && !over_cpu && cause != ExitCause::memory_limit) return;
    Event hit = event(EventKind::limit);
    const auto set = [&](std::string_view key, std::int64_t value) { hit.attributes.emplace_back(key, value); };
    hit.attributes.emplace_back("warden.limit.name", std::string(over_cpu         ? "cpu_time_ns"
                                                                 : over_file_size ? "file_bytes"
                                                                                  : "memory_bytes"));
    if (over_cpu) {
        set("warden.cpu_time_ns", (end.usage.user_time + end.usage.system_time).count());
        if (limits.cpu_time) set("warden.limit.value", limits.cpu_time->count());
    } else {
        const auto& value = over_file_size ? limits.file_bytes : limits.memory_bytes;
        if (value) set("warden.limit.value", static_cast<std::int64_t>(*value));
    }
    context_->emit(std::move(hit));
}

/// It wrote more than it may: reported, and stopped by its plan.
inline void ProcessRecord::stop_for_output(Stream stream, std::uint64_t bound) {
    Event hit = event(EventKind::limit);
    hit.attributes = {{"warden.limit.name", std::string("output_bytes")},
                      {"warden.limit.value", static_cast<std::int64_t>(bound)},
                      {"log.iostream", std::string(to_string(stream))}};
    context_->emit(std::move(hit));
    control.note_output_limit();
    stop(stop_plan, StopReason::output_limit, {});
}

inline void ProcessRecord::add_survivors(StopReport& report) {
    if (is_tree_empty(state.facts()) || !control.tree) return;
    error_code unlisted;
    for (const TreeMember& member : tree_members(unlisted)) {
        if (member.state == 'Z' || member.state == 'X') continue;
        std::string reason = why_alive(member);
        Event failed = event(EventKind::cleanup_failed);
        failed.message = "pid " + std::to_string(member.pid) + " outlived the whole stop plan: " + reason;
        failed.attributes = {{"warden.survivor.pid", static_cast<std::int64_t>(member.pid)}};
        context_->emit(std::move(failed));
        context_->metrics.cleanup_failed();
        report.survivors.push_back({member.pid, member.command, std::move(reason)});
    }
    if (unlisted) report.survivors.push_back({0, {}, "not known: its tree cannot be listed: " + unlisted.message()});
    if (report.survivors.empty())
        report.survivors.push_back({0, {}, "not known: that its tree has ended was not seen"});
}

inline void ProcessRecord::stop_ended(const std::shared_ptr<const StopReport>& report) {
    context_->metrics.stopped(report->duration);
    state.change([&](ProcessFacts& facts) { facts.last_stop = report; });
}

/// The words of a command as the system lists them.
[[nodiscard]] inline std::string joined(const CommandLine& command) {
    std::string text = command.program();
    for (const std::string& argument : command.arguments()) text += ' ' + argument;
    return text;
}

inline std::vector<TreeMember> ProcessRecord::tree_members(error_code& ec) {
    std::vector<std::pair<Pid, bool>> found;  // and whether it has escaped
    context_->scheduler.call([&] {
        for (const Pid member : control.members(ec)) found.emplace_back(member, control.tree->has_escaped(member));
    });
    std::vector<TreeMember> members;
    for (const auto& [member_pid, escaped] : found) {
        error_code unreadable;
        auto member = detail::member(member_pid, unreadable);
        if (unreadable) ec = unreadable;
        if (!member) continue;
        member->escaped = escaped;
        // While a new program takes the place of the old one, and once it has ended, the system tells none.
        if (member_pid == pid && member->command.starts_with('[')) member->command = joined(command);
        members.push_back(std::move(*member));
    }
    return members;
}

/// A member before and after, so not another process that has got its pid meanwhile.
inline MemberDetails ProcessRecord::inspect(Pid member) {
    return context_->scheduler.call([&] {
        error_code unlisted;
        const auto is_member = [&] {
            const auto members = control.members(unlisted);
            return std::find(members.begin(), members.end(), member) != members.end();
        };
        MemberDetails details = is_member() ? member_details(member) : MemberDetails();
        return is_member() ? details : MemberDetails{.error = unlisted ? unlisted : error_code(errc::not_found)};
    });
}

inline ResourceUsage ProcessRecord::usage(error_code& ec) {
    ec.clear();
    const ProcessFacts facts = state.facts();
    if (has_ended(facts)) return facts.usage;
    ResourceUsage sum;
    for (const TreeMember& member : tree_members(ec)) {
        sum.user_time += member.user_time;
        sum.system_time += member.system_time;
        sum.max_resident_bytes += member.resident_bytes;
        sum.major_faults += member.major_faults;
    }
    return sum;
}

inline void ProcessRecord::write(std::string text, InputPump::Done done) {
    context_->scheduler.post([self = shared_from_this(), text = std::move(text), done = std::move(done)]() mutable {
        if (!self->input) return done(errc::input_closed);
        self->input->write(std::move(text), std::move(done));
    });
}

inline error_code ProcessRecord::close_output(Stream stream) {
    const auto& pump = output.pumps[static_cast<std::size_t>(stream)];
    if (!pump || options.terminal) return errc::invalid_options;
    return context_->scheduler.call([&] {
        pump->close();
        return error_code();
    });
}

inline error_code ProcessRecord::close_input() {
    return context_->scheduler.call([&] {
        if (!input) return error_code(errc::input_closed);
        input->close_when_written();
        return error_code{};
    });
}

inline error_code ProcessRecord::resize_terminal(const Terminal& size) {
    if (!options.terminal || !size.is_valid()) return errc::invalid_options;
    return context_->scheduler.call([&] {
        if (!terminal) return error_code(errc::already_ended);
        return detail::resize_terminal(terminal, size);
    });
}

inline void ProcessRecord::finish_output(CompletedProcess& result) {
    context_->scheduler.call([&] {
        if (output.is_open()) {
            result.incomplete = true;
            error_code unlisted;
            result.pipe_holder = output.holder(control.members(unlisted));
        }
        output.close_pipes();
        result.incomplete = result.incomplete || output.has_failed();
        result.out = output.take_capture(Stream::stdout_, result.truncated);
        result.err = output.take_capture(Stream::stderr_, result.truncated);
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
    info.runtime = (has_ended(facts) ? facts.ended : context_->scheduler.now()) - facts.started;
    info.log_path = log_path;
    info.error_log_path = error_log_path;
    info.containment = containment;
    info.output_incomplete = facts.output_incomplete;
    info.output_bytes = output.router->bytes();
    info.dropped_bytes = output.router->dropped();
    if (facts.last_stop) info.last_stop = *facts.last_stop;
    return info;
}

}  // namespace warden::detail
