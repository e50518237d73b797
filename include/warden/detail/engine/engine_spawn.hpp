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

/// Streams that an initializer sets although the options set them too: one of both would be ignored.
[[nodiscard]] inline std::vector<std::string> stream_conflicts(const SpawnOptions& options,
                                                               const std::array<bool, 3>& by_initializer) {
    const bool terminal = options.terminal.has_value();
    const std::array<bool, 3> by_options{terminal || !options.stdin_.is(Input::null),
                                         terminal || options.stdout_.has_value(),
                                         terminal || options.stderr_.has_value()};
    constexpr std::array<std::string_view, 3> names{"stdin_", "stdout_", "stderr_"};
    std::vector<std::string> found;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (!by_initializer[i] || !by_options[i]) continue;
        found.push_back("an initializer sets a stream for which the options have " +
                        std::string(terminal ? "a terminal" : names[i]) + "; leave one of them out");
    }
    return found;
}

/// @throws SpawnError that names every mistake. A single one that has a code of its own gives that code.
inline void refuse_mistakes(const CommandLine& command, const SpawnOptions& options, const Output& default_output,
                            const LaunchExtension* extension) {
    std::vector<std::string> mistakes = options.validate(default_output);
    if (extension) add_missing(mistakes, stream_conflicts(options, extension->streams()));
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

inline void check_preflight(const CommandLine& command, const SpawnOptions& options) {
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

inline void Engine::launch(ProcessRecord& record, PreparedLaunch& prepared, LaunchExtension* extension) {
    error_code ec;
    std::string advice;
    Tree& tree = record.control.tree;
    record.containment = mechanisms_.place(tree, record.options.containment, advice, ec);
    if (ec) fail_start(record.command, ec, SpawnStep::containment, {}, advice);
    if (extension) {
        if (!tree->launches_directly()) {
            fail_start(record.command, errc::containment_unavailable, SpawnStep::containment, {},
                       "initializers need a direct launch, which a keeper cannot give; " +
                           record.containment.why_not_stronger);
        }
        prepared.extend(*extension);
    }
    ChildAnswer answer;
    tree->launch(prepared.plan, answer);
    record.pid = tree->pid();
    if (answer.error == 0) return services->dispatcher.run_guarded([&] { prepared.succeed(record.pid); });
    tree.reset();
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

/// Once the process has ended: its callback, on its executor or a thread of the manager.
inline void Engine::call_on_exit(ProcessRecord& record) const {
    static_cast<void>(record.state.when(has_ended, [weak = record.weak_from_this(), services = services] {
        const auto ended = weak.lock();
        if (!ended) return;
        auto call = [ended, services] {
            if (services->dispatcher.is_closing()) return;
            services->dispatcher.run_guarded([&] { ended->options.on_exit(ended->info()); });
        };
        if (!ended->options.executor) return services->dispatcher.post(std::move(call));
        services->dispatcher.run_guarded([&] { static_cast<void>(ended->options.executor(std::move(call))); });
    }));
}

inline void Engine::run_beside(CommandLine command, Nanoseconds grace, StepReport report) {
    services->dispatcher.post_internal(
        [weak = weak_from_this(), command = std::move(command), grace, report = std::move(report)] {
            if (const auto self = weak.lock()) self->spawn_beside(command, grace, report);
        });
}

/// A command of a stop plan: quiet, and ended after its grace. Its timeout ends it; the table holds it until then.
inline void Engine::spawn_beside(const CommandLine& command, Nanoseconds grace, const StepReport& report) {
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

/// @throws SpawnError for a descriptor of the caller's that is none.
inline void check_natives(const ProcessRecord& record, const Output& out, const Output& err) {
    const Input& in = record.options.stdin_;
    if (in.is_native()) check_native(record.command, in.native_handle());
    for (const Output* output : {&out, &err}) {
        if (output->is_native()) check_native(record.command, output->native_handle());
    }
}

/// What must hold before a shim is asked, which makes the rest of the checks.
inline void check_detached(const CommandLine& command, const SpawnOptions& options, LaunchExtension* extension) {
    refuse_mistakes(command, options, Output::log, nullptr);
    if (extension) {
        fail_start(command, errc::invalid_options, SpawnStep::validation, {},
                   "initializers run in a child of this program; a detached process is none");
    }
    if (!detached_door()) {
        fail_start(command, errc::invalid_options, SpawnStep::validation, {},
                   "a detached process needs #include <warden/detached/detached.hpp> in this program");
    }
    check_preflight(command, options);
}

inline std::shared_ptr<ProcessRecord> Engine::spawn_detached(CommandLine command, SpawnOptions options,
                                                             LaunchExtension* extension) {
    if (!services->is_owner()) fail_start(command, errc::forked, SpawnStep::setup);
    check_detached(command, options, extension);
    if (options.name.empty()) options.name = std::filesystem::path(command.program()).filename().string();
    auto record = std::make_shared<ProcessRecord>(services, new_uuid(), std::move(command), std::move(options));
    auto starting = record->advanced(Transition::start);
    try {
        detached_door().load()(*record, services->config);
    } catch (const SpawnError& error) {
        report_failure(*record, std::move(starting), error);
        throw;
    }
    services->emit(std::move(*starting), *record->advanced(Transition::launched, EventKind::spawn));
    return record;
}

/// Takes a place in the table.
inline void Engine::admit(const ProcessRecord& record, const Output& default_output, const Output& out,
                          const Output& err, const LaunchExtension* extension) {
    refuse_mistakes(record.command, record.options, default_output, extension);
    if (record.options.detached) {
        fail_start(record.command, errc::invalid_options, SpawnStep::validation, {},
                   "a detached process is started by spawn, and nothing waits for it");
    }
    check_natives(record, out, err);
    const std::size_t limit = services->config.max_processes;
    const error_code ec = cleaning_up_ ? error_code(errc::shut_down) : table.reserve(limit);
    if (!ec) return;
    fail_start(record.command, ec, SpawnStep::process_limit, {}, "at most " + std::to_string(limit) + " may be active");
}

inline void Engine::check_containment(const ProcessRecord& record) const {
    const ContainmentReport in_force = containment();
    if (meets(in_force, record.options.containment)) return;
    fail_start(record.command, errc::containment_unavailable, SpawnStep::containment, {},
               "in force is '" + std::string(to_string(in_force.mechanism)) + "', which does not meet the demand" +
                   (in_force.why_not_stronger.empty() ? "" : "; " + in_force.why_not_stronger));
}

inline void Engine::report_failure(ProcessRecord& record, std::optional<Event> starting, const SpawnError& error) {
    services->metrics.spawn_failed();
    if (starting) services->emit(std::move(*starting));
    Event failed = record.advanced(Transition::launch_failed, EventKind::spawn_failed)
                       .value_or(record.event(EventKind::spawn_failed));
    failed.attributes = {{"warden.spawn.step", std::string(to_string(error.step()))},
                         {"warden.spawn.path", error.path().string()},
                         {"error.message", error.code().message()}};
    services->emit(std::move(failed));
}

inline void Engine::begin(const std::shared_ptr<ProcessRecord>& record, Event starting, SteadyTime began) {
    record->launched(*this);
    if (record->options.on_exit) call_on_exit(*record);
    services->metrics.spawned(services->loop.now() - began);
    services->emit(std::move(starting), *record->advanced(Transition::launched, EventKind::spawn));
    services->loop.post([record] { record->activate(); });  // before anybody can find it and ask for its stop
    table.add(record);
    watch_count();
}

inline std::shared_ptr<ProcessRecord> Engine::spawn(CommandLine command, SpawnOptions options,
                                                    const Output& default_output, LaunchExtension* extension,
                                                    const Uuid& uuid) {
    const SteadyTime began = services->loop.now();
    if (!services->is_owner()) fail_start(command, errc::forked, SpawnStep::setup);
    if (set_up_error_) fail_start(command, set_up_error_->code, SpawnStep::setup, {}, set_up_error_->message);
    occupy_standard_descriptors();
    if (options.name.empty() && !command.validate())
        options.name = std::filesystem::path(command.program()).filename().string();
    auto record = std::make_shared<ProcessRecord>(services, uuid, std::move(command), std::move(options));
    const Output out = record->options.stdout_.value_or(default_output);
    const Output err = record->options.terminal ? Output::merge : record->options.stderr_.value_or(default_output);
    bool reserved = false;
    std::optional<Event> starting;  // emitted together with what came of it
    try {
        admit(*record, default_output, out, err, extension);
        reserved = true;
        check_preflight(record->command, record->options);
        check_containment(*record);
        record->started_at = std::chrono::system_clock::now();
        record->timeout = record->options.timeout.value_or(services->config.default_timeout);
        record->stop_plan = record->options.stop_plan.value_or(services->config.stop_plan);
        starting = record->advanced(Transition::start);
        output_.connect(*record, out, err);
        PreparedLaunch prepared(record->command, record->options, out, err);
        output_.attach(*record, prepared);  // what may be refused comes before there is a process
        launch(*record, prepared, extension);
    } catch (const SpawnError& error) {
        if (reserved) table.release();
        report_failure(*record, std::move(starting), error);
        throw;
    } catch (...) {
        if (reserved) table.release();
        throw;
    }
    begin(record, std::move(*starting), began);
    return record;
}

}  // namespace warden::detail
