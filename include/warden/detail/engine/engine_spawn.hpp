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

/// @throws SpawnError that names every mistake. A single one that has a code of its own gives that code.
inline void refuse_mistakes(const CommandLine& command, const SpawnOptions& options, const Output& default_output) {
    std::vector<std::string> mistakes = options.validate(default_output);
    add_missing(mistakes, alert_mistakes(options.alerts));
    const error_code bad_timeout =
        options.timeout && !options.timeout->is_valid() ? error_code(errc::invalid_timeout) : error_code();
    const std::array codes{command.validate(), options.environment.validate(), bad_timeout};
    if (codes[0]) mistakes.insert(mistakes.begin(), codes[0].message());
    if (mistakes.empty()) return;
    const auto own = std::find_if(codes.begin(), codes.end(), [](const error_code& ec) { return ec.failed(); });
    if (mistakes.size() == 1 && own != codes.end()) fail_start(command, *own, SpawnStep::validation);
    fail_start(command, errc::invalid_options, SpawnStep::validation, {}, invalid("options", mistakes));
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
            const std::string why = why_not_trusted(path.parent_path());
            fail_start(record.command, ec, SpawnStep::log_file, path,
                       why.empty() ? "a log needs a regular file in a directory of this user" : why);
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
        if (wanted[i]->has(Output::capture))
            route.capture.emplace(i == 1 ? options.stderr_capture_bytes.value_or(options.capture_bytes)
                                         : options.capture_bytes);
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
    if (answer.error == 0) return services->dispatcher.run_guarded([&] { prepared.succeed(record.pid); });
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

/// Once the process has ended: its callback, on its executor or a thread of the
/// manager.
inline void Engine::call_on_exit(ProcessRecord& record) const {
    static_cast<void>(record.state.when(has_ended, [weak = record.weak_from_this(), services = services] {
        const auto ended = weak.lock();
        if (!ended) return;
        auto call = [ended, services] {
            if (services->dispatcher.is_closing()) return;
            services->dispatcher.run_guarded([&] { ended->options.on_exit(ended->info()); });
        };
        if (ended->options.executor) ended->options.executor(std::move(call));
        else services->dispatcher.post(std::move(call));
    }));
}

/// A command of a stop plan: quiet, and ended after its grace. Its timeout ends it; the table holds it until then.
inline void Engine::run_beside(const CommandLine& command, Nanoseconds grace, const ProcessRecord::Report& report) {
    services->dispatcher.run_guarded([&] {
        SpawnOptions quiet;
        quiet.stdout_ = quiet.stderr_ = Output::null;
        quiet.timeout = Timeout(std::max<Nanoseconds>(grace, std::chrono::seconds(1)));
        quiet.stop_plan = StopPlan::now();
        try {
            const auto helper = spawn(command, std::move(quiet), Output::null, nullptr);
            static_cast<void>(helper->state.when(has_ended, [report, weak = std::weak_ptr(helper)] {
                const auto ended = weak.lock();
                const auto status = ended ? ended->state.facts().status : std::nullopt;
                if (!status || status->success()) return;
                report("'" + ended->command.to_string() + "' " + status->to_string());
            }));
        } catch (const SpawnError& error) {
            report(error.what());
        }
    });
}

inline std::shared_ptr<ProcessRecord> Engine::spawn(CommandLine command, SpawnOptions options,
                                                    const Output& default_output, LaunchExtension* extension) {
    const SteadyTime began = SteadyTime::clock::now();
    if (!services->is_owner()) fail_start(command, errc::forked, SpawnStep::setup);
    if (set_up_error_) fail_start(command, set_up_error_->code, SpawnStep::setup, {}, set_up_error_->message);
    occupy_standard_descriptors();
    if (options.name.empty() && !command.validate())
        options.name = std::filesystem::path(command.program()).filename().string();
    auto record = std::make_shared<ProcessRecord>(services, new_uuid(), std::move(command), std::move(options));
    const Output out = record->options.stdout_.value_or(default_output);
    const Output err = record->options.terminal ? Output::merge : record->options.stderr_.value_or(default_output);
    bool reserved = false;
    std::optional<Event> starting;  // told together with what came of it
    try {
        refuse_mistakes(record->command, record->options, default_output);
        if (record->options.stdin_.is_native()) check_native(record->command, record->options.stdin_.native_handle());
        for (const Output* output : {&out, &err}) {
            if (output->is_native()) check_native(record->command, output->native_handle());
        }
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
            record->pumps[i] = std::make_shared<OutputPump>(
                services->loop, std::move(prepared.outputs[i]), static_cast<Stream>(i), record->output,
                record->options.pipe_bytes.value_or(services->config.pipe_bytes));
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
    record->run_beside = [this](CommandLine beside, Nanoseconds grace, ProcessRecord::Report report) {
        services->dispatcher.post_internal(
            [weak = weak_from_this(), beside = std::move(beside), grace, report = std::move(report)] {
                if (const auto self = weak.lock()) self->run_beside(beside, grace, report);
            });
    };
    if (record->options.on_exit) call_on_exit(*record);
    services->metrics.spawned(now - began);
    services->emit(std::move(*starting), *record->advanced(Transition::launched, EventKind::spawn));
    services->loop.post([record] { record->activate(); });  // before anybody can find it and ask for its stop
    table.add(record);
    watch_count();
    return record;
}

}  // namespace warden::detail
