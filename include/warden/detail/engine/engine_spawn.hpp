// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of the engine that starts a process: validated, checked, contained, launched, watched; in this order.
///
/// Thread-safety: see engine.hpp, which includes this.
/// Errors:        SpawnError; then nothing of the attempt is left.

#include <warden/detail/engine/engine.hpp>

#include <boost/uuid/uuid_io.hpp>

namespace warden::detail {

inline void Engine::validate(const CommandLine& command, const SpawnOptions& options, const Output& out,
                             const Output& err) const {
    const auto refuse = [&](const error_code& ec, const std::string& advice = {}) {
        fail_start(command, ec, SpawnStep::validation, {}, advice);
    };
    if (const error_code ec = command.validate()) refuse(ec);
    if (const error_code ec = options.environment.validate()) refuse(ec);
    if (options.working_directory.native().find('\0') != std::string::npos)
        refuse(errc::invalid_command, "in the working directory");
    if (options.timeout && !options.timeout->is_valid()) refuse(errc::invalid_timeout);
    std::vector<std::string> mistakes = options.log.validate();
    if (options.stop_plan) {
        const auto more = options.stop_plan->validate();
        mistakes.insert(mistakes.end(), more.begin(), more.end());
    }
    if (!out.is_valid() || !err.is_valid())
        mistakes.emplace_back("null, merge, to_file and a ProcessPipe stand alone; they cannot be combined with |");
    if (out.has(Output::merge)) mistakes.emplace_back("merge is for stderr only");
    if (out.is_process_pipe() && out == err)
        mistakes.emplace_back("both streams cannot take the same end of a ProcessPipe: set stderr_ to merge");
    if (!options.log.collect.empty() && !out.has(Output::log))
        mistakes.emplace_back("what is collected goes to the log of stdout: set stdout_ to log");
    if (options.terminal) {
        if (!options.terminal->is_valid()) mistakes.emplace_back("a terminal has at least one column and one row");
        if (out.is_file() || out.is_process_pipe() || out.is_only(Output::inherit))
            mistakes.emplace_back("with a terminal stdout is null, or read: capture, log, or one of them with inherit");
        if (options.stderr_.value_or(Output::merge) != Output(Output::merge))
            mistakes.emplace_back("with a terminal stderr is stdout: leave it, or say merge");
        if (!options.stdin_.is(Input::null) && !options.stdin_.is(Input::pipe))
            mistakes.emplace_back("a terminal cannot inherit stdin; use pipe or null");
    }
    for (auto& mistake : alert_mistakes(options.alerts)) mistakes.push_back(std::move(mistake));
    if (options.identity.umask.value_or(0) > 0777) mistakes.emplace_back("umask must be between 0 and 0777");
    if (options.identity.nice && (*options.identity.nice < -20 || *options.identity.nice > 19))
        mistakes.emplace_back("nice must be between -20 and 19");
    if (!mistakes.empty()) refuse(errc::invalid_options, invalid("options", mistakes));
}

inline void Engine::check_preflight(const CommandLine& command, const SpawnOptions& options) const {
    std::vector<std::string> failures;
    for (const PreflightCheck& check : options.preflight) {
        std::optional<std::string> failure;
        try {
            failure = check.run ? check.run() : std::nullopt;
        } catch (const std::exception& thrown) {
            failure = thrown.what();
        } catch (...) {
            failure = "the check threw something that is no std::exception";
        }
        if (failure) failures.push_back(check.name + ": " + *failure);
    }
    if (!failures.empty()) fail_start(command, errc::preflight_failed, SpawnStep::preflight, {}, listed(failures));
}

/// Begins to follow a log file that the process will write itself.
inline void Engine::collect_log(ProcessRecord& record) {
    const SpawnOptions& options = record.options;
    if (options.log.collect.empty()) return;
    error_code ec;
    const std::filesystem::path path = options.working_directory / options.log.collect;
    LogFollower follower = LogFollower::open(path, LogFollower::From::end, ec);
    if (ec)
        fail_start(record.command, ec, SpawnStep::log_file, path,
                   "a log to collect is a regular file in a directory that exists");
    record.collector = std::make_shared<LogCollector>(services->loop, std::move(follower), record.output);
}

inline void Engine::open_logs(ProcessRecord& record, const Output& out, const Output& err) {
    auto& router = *record.output;
    router.use_limits(record.options.log.limits);
    const bool separate_err = err.has(Output::log);
    if (!out.has(Output::log) && !separate_err) return;
    const std::string uuid = to_string(record.uuid);
    const LogPaths paths =
        log_paths(record.options.log.naming, {record.options.name, record.options.type, uuid, record.started_at});
    const std::filesystem::path directory = record.options.log.directory.value_or(log_directory_);
    router.owns_logs = record.options.log.naming.pattern().find("{uuid}") != std::string::npos;
    const auto open = [&](const std::filesystem::path& relative, bool only_errors) {
        error_code ec;
        const auto path = directory / relative;
        auto sink = logs_.open(path, record.options.log, record.log_owner(only_errors), ec);
        if (ec) {
            fail_start(record.command, ec, SpawnStep::log_file, path,
                       "a log needs a regular file in a directory of this user");
        }
        return router.logs.emplace_back(std::move(sink)).get();
    };
    router.log_format = record.options.log.format;
    if (out.has(Output::log)) {
        record.log_path = directory / paths.stdout_;
        router.routes[0].log = open(paths.stdout_, false);
    }
    if (!separate_err) return;
    record.error_log_path = directory / paths.stderr_;
    if (record.log_path.empty()) record.log_path = record.error_log_path;
    LogSink* const common = paths.separate() ? nullptr : router.routes[0].log;
    router.routes[1].log = common ? common : open(paths.stderr_, router.routes[0].log != nullptr);
}

inline void Engine::connect_consumers(ProcessRecord& record, const Output& out, const Output& err) const {
    auto& router = *record.output;
    const SpawnOptions& options = record.options;
    const auto queue = [&](const Executor& executor, ConsumerQueue::Consume consume) {
        return std::make_shared<ConsumerQueue>(std::shared_ptr<Dispatcher>(services, &services->dispatcher), executor,
                                               services->config.consumer_queue_bytes, options.overflow_policy,
                                               std::move(consume));
    };
    const bool watches = !options.alerts.empty() || !services->config.alerts.rules.empty();
    router.pause_for_slow = options.overflow_policy == OverflowPolicy::block;
    const std::array<const Output*, 2> wanted{&out, &err};
    for (std::size_t i = 0; i < 2; ++i) {
        if (!is_read(*wanted[i])) continue;
        StreamRoute& route = router.routes[i];
        if (wanted[i]->has(Output::capture)) route.capture.emplace(options.capture_bytes);
        if (options.on_line || watches || (route.log && router.log_format != LogFormat::raw))
            route.lines.emplace(services->config.max_line_bytes);
        if (!wanted[i]->has(Output::inherit)) continue;
        const int to = static_cast<int>(i) + 1;
        route.tee = queue(Executor(), [to](Stream, std::string_view text) { return copy_to(to, text); });
    }
    if (options.on_line) {
        router.line_queue = queue(options.executor, [call = options.on_line, &dispatcher = services->dispatcher](
                                                        Stream stream, std::string_view packed) {
            PackedLines::unpack(packed, [&](std::string_view text, bool partial) {
                if (!dispatcher.is_closing()) dispatcher.run_guarded([&] { call({stream, text, partial}); });
            });
            return std::size_t{0};
        });
    }
    if (watches) {
        router.alert_queue =
            queue(options.executor, [watch = alert_watch(record)](Stream stream, std::string_view lines) {
                watch->look(stream, lines);
                return std::size_t{0};
            });
    }
    if (options.on_chunk) {
        router.chunk_queue = queue(options.executor, [call = options.on_chunk](Stream stream, std::string_view text) {
            call(stream, text);
            return std::size_t{0};
        });
    }
}

inline std::shared_ptr<AlertWatch> Engine::alert_watch(ProcessRecord& record) const {
    const auto& own = record.options.alerts;
    const auto set = own.empty() ? alerts_ : std::make_shared<const AlertSet>(*alerts_, own);
    const auto alert = [](ProcessRecord& of, const AlertRule& rule, std::string message) {
        Event event = of.event(EventKind::alert);
        event.message = std::move(message);
        event.attributes = {{"warden.alert.rule", rule.title()}};
        return event;
    };
    AlertWatch::Reactions reactions;
    reactions.tell = [alert, weak = record.weak_from_this(), &services = *services](const AlertRule& rule,
                                                                                    const Alert& told) {
        const auto of = weak.lock();
        if (!of) return;
        services.metrics.alerted();
        Event event = alert(*of, rule, "a line of " + told.stream + " matches the rule '" + rule.title() + "'");
        event.attributes.insert(event.attributes.end(),
                                {{"warden.alert.line", told.line},
                                 {"warden.alert.suppressed", static_cast<std::int64_t>(told.suppressed)},
                                 {"log.iostream", told.stream}});
        services.emit(std::move(event));
        if (rule.callback) services.dispatcher.run_guarded([&] { rule.callback(told); });
    };
    reactions.act = [weak = record.weak_from_this(), &services = *services](const AlertRule& rule) {
        const auto of = weak.lock();
        if (!of) return;
        if (rule.action == AlertAction::stop) return of->stop(of->stop_plan, StopReason::asked, {});
        services.loop.dispatch([of] { of->advance(Transition::became_ready, EventKind::ready); });
    };
    reactions.trouble = [alert, weak = record.weak_from_this(), &services = *services](const AlertRule& rule,
                                                                                       const std::string& words) {
        if (const auto of = weak.lock()) services.emit(alert(*of, rule, words));
    };
    return std::make_shared<AlertWatch>(set, std::move(reactions));
}

inline void Engine::launch(ProcessRecord& record, PreparedLaunch& prepared, LaunchExtension* extension) {
    error_code ec;
    std::string advice;
    record.containment = mechanisms_.place(record.tree, record.options.containment, advice, ec);
    if (ec) fail_start(record.command, ec, SpawnStep::containment, {}, advice);
    if (extension) {
        if (!visit_tree(record.tree, false, [](auto& held) { return held.launches_directly; })) {
            fail_start(record.command, errc::containment_unavailable, SpawnStep::containment, {},
                       "initializers need a direct launch, which a keeper cannot give; " +
                           record.containment.why_not_stronger);
        }
        prepared.extend(*extension);
    }
    ChildAnswer answer;
    record.pid = visit_tree(record.tree, Pid{0}, [&](auto& held) {
        held.launch(prepared.plan, answer);
        return held.pid();
    });
    if (answer.error == 0) return prepared.succeed(record.pid);
    record.tree.emplace<std::monostate>();
    prepared.fail(answer);
}

/// An alert when more than the threshold are active, once until they are fewer again.
inline void Engine::watch_count() {
    const std::size_t active = table.active();
    const bool over = active > services->config.alerts.active_processes;
    if (over_alert_threshold_.exchange(over) || !over) return;
    Event alert;
    alert.kind = EventKind::alert;
    alert.severity = Severity::warning;
    alert.message = std::to_string(active) + " processes are active";
    services->metrics.alerted();
    services->emit(std::move(alert));
}

inline std::shared_ptr<ProcessRecord> Engine::spawn(CommandLine command, SpawnOptions options,
                                                    const Output& default_output, LaunchExtension* extension) {
    const SteadyTime began = SteadyTime::clock::now();
    if (!services->is_owner()) fail_start(command, errc::forked, SpawnStep::setup);
    if (set_up_error_) fail_start(command, set_up_error_->code, SpawnStep::setup, {}, set_up_error_->message);
    occupy_standard_descriptors();
    if (options.name.empty()) options.name = std::filesystem::path(command.program()).filename().string();
    auto record = std::make_shared<ProcessRecord>(services, new_uuid(), std::move(command), std::move(options));
    const Output out = record->options.stdout_.value_or(default_output);
    const Output err = record->options.terminal ? Output::merge : record->options.stderr_.value_or(default_output);
    bool reserved = false;
    std::optional<Event> starting;  // told together with what came of it
    try {
        validate(record->command, record->options, out, err);
        if (const error_code ec =
                cleaning_up_ ? error_code(errc::shut_down) : table.reserve(services->config.max_processes)) {
            fail_start(record->command, ec, SpawnStep::process_limit, {},
                       "at most " + std::to_string(services->config.max_processes) + " may be active");
        }
        reserved = true;
        check_preflight(record->command, record->options);
        if (!meets(containment(), record->options.containment)) {
            const ContainmentReport in_force = containment();
            fail_start(record->command, errc::containment_unavailable, SpawnStep::containment, {},
                       "in force is '" + std::string(to_string(in_force.mechanism)) +
                           "', which does not meet the demand" +
                           (in_force.why_not_stronger.empty() ? "" : "; " + in_force.why_not_stronger));
        }
        record->started_at = std::chrono::system_clock::now();
        record->timeout = record->options.timeout.value_or(services->config.default_timeout);
        record->stop_plan = record->options.stop_plan.value_or(services->config.stop_plan);
        starting = record->advanced(Transition::start);
        open_logs(*record, out, err);
        connect_consumers(*record, out, err);
        collect_log(*record);
        PreparedLaunch prepared(record->command, record->options, out, err);
        launch(*record, prepared, extension);
        for (std::size_t i = 0; i < 2; ++i) {
            if (!prepared.outputs[i]) continue;
            record->pumps[i] =
                std::make_shared<OutputPump>(services->loop, std::move(prepared.outputs[i]), static_cast<Stream>(i),
                                             record->output, services->config.pipe_bytes);
        }
        record->terminal = std::move(prepared.terminal);
        if (prepared.input)
            record->input = std::make_shared<InputPump>(services->loop, std::move(prepared.input),
                                                        record->options.terminal.has_value());
    } catch (const SpawnError& error) {
        if (reserved) table.release();
        services->metrics.spawn_failed();
        if (starting) services->emit(std::move(*starting));
        Event failed = record->advanced(Transition::launch_failed, EventKind::spawn_failed)
                           .value_or(record->event(EventKind::spawn_failed));
        failed.attributes = {{"warden.spawn.step", std::string(to_string(error.step()))},
                             {"warden.spawn.path", error.path().string()},
                             {"error.message", error.code().message()}};
        services->emit(std::move(failed));
        throw;
    } catch (...) {
        if (reserved) table.release();
        throw;
    }
    const SteadyTime now = SteadyTime::clock::now();
    record->state.change([&](ProcessFacts& facts) {
        facts.started = now;
        facts.tree_alive = true;
        facts.output_open = record->pumps[0] || record->pumps[1];
    });
    record->on_leader_exit = [this] { table.leader_ended(); };
    record->on_tree_empty = [this, weak = std::weak_ptr(record)] {
        if (const auto gone = weak.lock()) table.tree_empty(gone);
        mechanisms_.tree_gone();
    };
    record->run_beside = [this](CommandLine beside, Nanoseconds grace) {
        services->dispatcher.post_internal([weak = weak_from_this(), beside = std::move(beside), grace] {
            const auto self = weak.lock();
            if (!self) return;
            self->services->dispatcher.run_guarded([&] {
                SpawnOptions quiet;
                quiet.stdout_ = quiet.stderr_ = Output::null;
                quiet.timeout = Timeout(std::max<Nanoseconds>(grace, std::chrono::seconds(1)));
                quiet.stop_plan = StopPlan::now();
                const auto helper = self->spawn(beside, quiet, Output::null, nullptr);
                static_cast<void>(helper);  // its timeout ends it; the table holds it until then
            });
        });
    };
    services->metrics.spawned(now - began);
    services->emit(std::move(*starting), *record->advanced(Transition::launched, EventKind::spawn));
    services->loop.post([record] { record->activate(); });  // before anybody can find it and ask for its stop
    table.add(record);
    watch_count();
    return record;
}

}  // namespace warden::detail
