// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The code of ProcessManager: what it asks of its engine, and the one that the program shares.
///
/// Knows:         the engine.
/// Thread-safety: see process_manager.hpp.

#include <warden/detail/engine/engine.hpp>
#include <warden/impl/managed_process.hpp>
#include <warden/process_manager.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace warden {
namespace detail {

/// What `configure` and `instance` share.
struct InstanceSlot {
    std::mutex mutex;
    std::optional<ManagerConfig> config;
    ProcessManager* manager = nullptr;  // never destroyed: handles in static objects may outlive its cleanup
};

WARDEN_ONE_PER_PROGRAM inline InstanceSlot& instance_slot() {
    static auto* const slot = new InstanceSlot;
    return *slot;
}

WARDEN_INLINE void throw_if_mistaken(const ManagerConfig& config) {
    auto mistakes = config.validate();
    add_missing(mistakes, alert_mistakes(config.alerts.rules));
    if (!mistakes.empty()) throw system_error(errc::invalid_configuration, invalid("configuration", mistakes));
}

/// The options of `run`: unless something else is said, both outputs are collected.
/// @throws SpawnError if there is input, and standard input is something else than a pipe.
WARDEN_INLINE SpawnOptions options_for_run(const CommandLine& command, SpawnOptions options, bool has_input) {
    if (has_input && !options.stdin_.is(Input::null) && !options.stdin_.is(Input::pipe)) {
        fail_start(command, errc::invalid_options, SpawnStep::validation, {},
                   "input is given, and stdin_ comes from elsewhere; leave one of them out");
    }
    options.stdout_ = options.stdout_.value_or(Output::capture);
    if (!options.terminal) options.stderr_ = options.stderr_.value_or(Output::capture);
    if (has_input) options.stdin_ = Input::pipe;
    return options;
}

/// The process lives as long as the operation: a cancellation stops it, and what it leaves running is stopped.
WARDEN_INLINE Cancel begin_run(const std::shared_ptr<Engine>& engine, CommandLine command, SpawnOptions options,
                               std::string input, Done<CompletedProcess> done) {
    Record record;
    try {
        options = options_for_run(command, std::move(options), !input.empty());
        record = engine->spawn(std::move(command), std::move(options), Output::capture, nullptr);
    } catch (const SpawnError& error) {
        done(error.code(), {});
        return {};
    }
    auto cancelled = std::make_shared<std::atomic<bool>>(false);
    auto stopped = [engine, record, done = std::move(done), cancelled](const error_code& ec, CompletedProcess result) {
        record->stop(record->stop_plan, StopReason::asked, [=, result = std::move(result)](const StopReport&) mutable {
            engine->table.remove(record->uuid);
            done(*cancelled ? aborted() : ec, std::move(result));
        });
    };
    static_cast<void>(begin_communicate(*engine, record, std::move(input), no_timeout, std::move(stopped)));
    return [cancelled, weak = std::weak_ptr(record)] {
        *cancelled = true;
        if (const auto held = weak.lock()) held->stop(held->stop_plan, StopReason::asked, {});
    };
}

}  // namespace detail

WARDEN_INLINE ProcessManager::ProcessManager(ManagerConfig config) {
    detail::throw_if_mistaken(config);
    detail::occupy_standard_descriptors();
    engine_ = std::make_shared<detail::Engine>(std::move(config));
    engine_->set_up();
}

WARDEN_INLINE ProcessManager::~ProcessManager() {
    if (engine_->services->is_owner()) engine_->shut_down();
    else detail::leave_to_owner(std::move(engine_));
}

WARDEN_INLINE detail::Engine& ProcessManager::engine() const {
    if (!engine_->services->is_owner()) throw system_error(errc::forked);
    return *engine_;
}

WARDEN_INLINE ProcessManager& ProcessManager::instance() {
    auto& slot = detail::instance_slot();
    const std::lock_guard lock(slot.mutex);
    if (!slot.manager) {
        slot.manager = new ProcessManager(slot.config ? *slot.config : ManagerConfig::from_environment());
        const auto clean_up = [] { detail::instance_slot().manager->engine_->shut_down(); };
        detail::call_at_exit(clean_up);
    }
    return *slot.manager;
}

WARDEN_INLINE void ProcessManager::configure(ManagerConfig config) {
    detail::throw_if_mistaken(config);
    auto& slot = detail::instance_slot();
    const std::lock_guard lock(slot.mutex);
    if (slot.manager || slot.config) throw system_error(errc::already_configured);
    slot.config = std::move(config);
}

WARDEN_INLINE void Subscription::end() noexcept {
    if (!engine_) return;
    if (engine_->services->is_owner()) engine_->services->unsubscribe(id_);
    else detail::leave_to_owner(std::move(engine_));
    engine_.reset();
}

WARDEN_INLINE ContainmentReport ProcessManager::containment() const { return engine_->containment(); }
WARDEN_INLINE MetricsSnapshot ProcessManager::metrics() const { return engine_->services->metrics.snapshot(); }
WARDEN_INLINE HealthReport ProcessManager::health() const { return engine().health(); }
WARDEN_INLINE const ManagerConfig& ProcessManager::config() const noexcept { return engine_->services->config; }
WARDEN_INLINE Uuid ProcessManager::instance_id() const noexcept { return engine_->services->instance_id; }
WARDEN_INLINE Pid ProcessManager::guardian_pid() const { return engine_->guardian_pid(); }

WARDEN_INLINE ManagedProcess ProcessManager::start(CommandLine command, SpawnOptions options,
                                                   detail::LaunchExtension* extension) {
    auto record = options.detached ? engine_->spawn_detached(std::move(command), std::move(options), extension)
                                   : engine_->spawn(std::move(command), std::move(options), Output::log, extension);
    return {engine_, std::move(record)};
}

WARDEN_INLINE ManagedProcess ProcessManager::spawn(CommandLine command, SpawnOptions options, error_code& ec) {
    ec.clear();
    try {
        return spawn(std::move(command), std::move(options));
    } catch (const SpawnError& error) {
        ec = error.code();
        return {};
    }
}

WARDEN_INLINE CompletedProcess ProcessManager::run(CommandLine command, SpawnOptions options, std::string_view input) {
    options = detail::options_for_run(command, std::move(options), !input.empty());
    ManagedProcess process = spawn(std::move(command), std::move(options));
    return process.communicate(input);
}

WARDEN_INLINE CompletedProcess ProcessManager::run(CommandLine command, SpawnOptions options, std::string_view input,
                                                   error_code& ec) {
    ec.clear();
    try {
        return run(std::move(command), std::move(options), input);
    } catch (const system_error& error) {
        ec = error.code();
        return {};
    }
}

WARDEN_INLINE CompletedPipeline ProcessManager::pipeline(std::vector<CommandLine> commands, SpawnOptions options,
                                                         std::string_view input) {
    if (commands.empty()) throw system_error(errc::invalid_options, "a pipeline needs at least one command");
    options = detail::options_for_run(commands.front(), std::move(options), !input.empty());
    const Output out = *options.stdout_;
    std::vector<ManagedProcess> stages;
    for (CommandLine& command : commands) {
        const ProcessPipe to_next;
        options.stdout_ = stages.size() + 1 < commands.size() ? Output(to_next) : out;
        stages.push_back(spawn(std::move(command), options));
        options.stdin_ = to_next;
    }
    CompletedPipeline result;
    for (ManagedProcess& stage : stages) {
        result.stages.push_back(stage.communicate(result.stages.empty() ? input : std::string_view()));
    }
    return result;
}

WARDEN_INLINE std::vector<ProcessInfo> ProcessManager::list() const {
    std::vector<ProcessInfo> infos;
    for (const auto& record : engine().table.all()) infos.push_back(record->info());
    return infos;
}

WARDEN_INLINE std::vector<std::shared_ptr<detail::ProcessRecord>> ProcessManager::named(std::string_view key) const {
    auto found = engine().table.named(key);
    if (found.empty()) throw system_error(errc::not_found, "'" + std::string(key) + "'");
    return found;
}

WARDEN_INLINE std::optional<ProcessInfo> ProcessManager::find(std::string_view name_or_uuid) const {
    const auto found = engine().table.named(name_or_uuid);
    if (found.empty()) return std::nullopt;
    return found.front()->info();
}

WARDEN_INLINE LogFollower ProcessManager::follow(std::string_view name_or_uuid, LogFollower::From from) const {
    const auto path = named(name_or_uuid).front()->log_path;
    if (path.empty()) throw system_error(errc::not_found, "'" + std::string(name_or_uuid) + "' has no log");
    return LogFollower::open(path, from);
}

WARDEN_INLINE std::vector<Pid> ProcessManager::active_pids() const {
    std::vector<Pid> pids;
    for (const auto& record : engine().table.alive()) {
        if (!detail::has_ended(record->state.facts())) pids.push_back(record->pid);
    }
    return pids;
}

WARDEN_INLINE StopReport ProcessManager::stop(std::string_view name_or_uuid, std::optional<StopPlan> plan) {
    if (plan) detail::throw_if_mistaken(*plan);
    auto records = named(name_or_uuid);
    const auto is_over = [](const auto& record) { return detail::is_tree_empty(record->state.facts()); };
    if (!std::all_of(records.begin(), records.end(), is_over)) std::erase_if(records, is_over);
    const auto reports = engine().stop(
        records, [&](const detail::ProcessRecord& record) { return plan.value_or(record.stop_plan); },
        detail::StopReason::asked);
    StopReport all;
    for (const StopReport& report : reports) {
        all.steps.insert(all.steps.end(), report.steps.begin(), report.steps.end());
        all.survivors.insert(all.survivors.end(), report.survivors.begin(), report.survivors.end());
        all.duration = std::max(all.duration, report.duration);
    }
    return all;
}

WARDEN_INLINE ManagedProcess ProcessManager::restart(std::string_view name_or_uuid) {
    const auto record = named(name_or_uuid).front();
    static_cast<void>(stop(record->uuid));
    engine_->services->metrics.restarted();
    engine_->services->emit(record->event(EventKind::restart));
    return spawn(record->command, record->options);
}

WARDEN_INLINE std::map<Uuid, StopReport> ProcessManager::cleanup_all() { return engine().clean_up(); }

WARDEN_INLINE Subscription ProcessManager::subscribe(std::function<void(const Event&)> subscriber) {
    return {engine_, engine().services->subscribe(std::move(subscriber))};
}

}  // namespace warden
