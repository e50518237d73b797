// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The one way to start a process, and the view over all that were started.
///
/// Knows:         all processes of this manager.
/// Thread-safety: all functions from any thread, also from callbacks. No lock is held while anything is waited for.
/// Errors:        SpawnError from `spawn` and `run`; system_error elsewhere, or `error_code& ec` last. In a forked copy
///                of the program: `errc::forked`.

#include <warden/detail/engine.hpp>
#include <warden/detail/spawn.hpp>
#include <warden/managed_process.hpp>
#include <warden/manager_config.hpp>
#include <warden/telemetry/event.hpp>
#include <warden/telemetry/metrics.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <concepts>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// Ends a subscription when it is destroyed.
class Subscription {
public:
    Subscription() noexcept = default;
    Subscription(std::shared_ptr<detail::Engine> engine, std::uint64_t id) : engine_(std::move(engine)), id_(id) {}
    Subscription(Subscription&& other) noexcept = default;
    Subscription& operator=(Subscription&& other) noexcept {
        end();
        engine_ = std::move(other.engine_);
        id_ = other.id_;
        return *this;
    }
    ~Subscription() { end(); }

private:
    void end() noexcept {
        if (!engine_) return;
        if (engine_->services->is_owner()) engine_->services->unsubscribe(id_);
        else detail::leave_to_owner(std::move(engine_));
        engine_.reset();
    }
    std::shared_ptr<detail::Engine> engine_;
    std::uint64_t id_ = 0;
};

class ProcessManager {
public:
    /// The manager of the program: made on first use, with what `configure` gave, else from the environment. It cleans
    /// up when the program exits. One per program, also when several shared libraries include warden, as long as they
    /// do not hide its symbols from each other (-Bsymbolic, dlopen with RTLD_DEEPBIND).
    /// @throws system_error errc::invalid_configuration, naming every mistake.
    [[nodiscard]] static ProcessManager& instance();

    /// Settings for `instance()`. @throws system_error errc::already_configured after its first use or a former call;
    /// errc::invalid_configuration, naming every mistake.
    static void configure(ManagerConfig config);

    /// A manager of its own, for tests and for components that must not share. The destructor cleans up.
    /// @throws system_error errc::invalid_configuration, naming every mistake.
    explicit ProcessManager(ManagerConfig config);
    ProcessManager(const ProcessManager&) = delete;
    ProcessManager& operator=(const ProcessManager&) = delete;
    ~ProcessManager();

    /// Starts a process. Further arguments are initializers of Boost.Process v2; they need the mechanism `cgroup`.
    /// @throws SpawnError: the step that failed, the path, the system's code. Then nothing of the attempt is left.
    template <class... Initializers>
    [[nodiscard]] ManagedProcess spawn(CommandLine command, SpawnOptions options = {}, Initializers&&... initializers);
    /// The same; on error the handle is empty and `ec` is the code of the SpawnError.
    [[nodiscard]] ManagedProcess spawn(CommandLine command, SpawnOptions options, error_code& ec);

    /// Starts a command, feeds it `input`, collects both outputs within `SpawnOptions::capture_bytes`, and waits for
    /// it. What it left running is stopped. When its timeout is over it is stopped, and the cause says so: that is no
    /// error.
    /// @throws SpawnError.
    CompletedProcess run(CommandLine command, SpawnOptions options = {}, std::string_view input = {});
    CompletedProcess run(CommandLine command, SpawnOptions options, std::string_view input, error_code& ec);

    /// All processes of which anything lives, and those that have ended while their handle is held.
    [[nodiscard]] std::vector<ProcessInfo> list() const;
    /// By name or full uuid; a living one before one that has ended.
    [[nodiscard]] std::optional<ProcessInfo> find(std::string_view name_or_uuid) const;
    [[nodiscard]] std::optional<ProcessInfo> find(const Uuid& uuid) const { return find(to_string(uuid)); }
    /// Of the processes that run.
    [[nodiscard]] std::vector<Pid> active_pids() const;

    /// Stops all processes of that name, or the one with that uuid, at the same time; by their own plans or by `plan`.
    /// @throws system_error errc::not_found
    StopReport stop(std::string_view name_or_uuid, std::optional<StopPlan> plan = {});
    StopReport stop(const Uuid& uuid, std::optional<StopPlan> plan = {}) {
        return stop(to_string(uuid), std::move(plan));
    }
    /// By force, at once.
    StopReport force_stop(std::string_view name_or_uuid) { return stop(name_or_uuid, StopPlan::now()); }
    /// Stops a process and starts the same command with the same options again. The former handle keeps the former
    /// process.
    /// @throws system_error errc::not_found; SpawnError.
    [[nodiscard]] ManagedProcess restart(std::string_view name_or_uuid);

    /// Stops everything at the same time, within `graceful_timeout`, then by force. What each stop did, by uuid.
    std::map<Uuid, StopReport> cleanup_all();

    /// What holds processes here, and what that promises.
    [[nodiscard]] ContainmentReport containment() const { return engine_->containment(); }
    [[nodiscard]] MetricsSnapshot metrics() const { return engine_->services->metrics.snapshot(); }
    [[nodiscard]] const ManagerConfig& config() const noexcept { return engine_->services->config; }
    [[nodiscard]] Uuid instance_id() const noexcept { return engine_->services->instance_id; }
    /// The pid of the process that guards against a crash of this one; 0 if there is none.
    [[nodiscard]] Pid guardian_pid() const { return engine_->guardian_pid(); }

    /// Calls `subscriber(const Event&)` for every event from now on, until the subscription is destroyed: on a thread
    /// of the manager, one event at a time, in order. What it throws is counted; one that falls far behind loses
    /// events.
    [[nodiscard]] Subscription subscribe(std::function<void(const Event&)> subscriber);

private:
    [[nodiscard]] std::vector<std::shared_ptr<detail::ProcessRecord>> named(std::string_view key) const;
    [[nodiscard]] detail::Engine& engine() const;  // throws errc::forked in a copy, whose locks nobody may ever release

    std::shared_ptr<detail::Engine> engine_;
};

// -- implementation ----------------------------------------------------------
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

inline void throw_if_mistaken(const ManagerConfig& config) {
    const auto mistakes = config.validate();
    if (!mistakes.empty()) throw system_error(errc::invalid_configuration, joined(mistakes));
}

}  // namespace detail

inline ProcessManager::ProcessManager(ManagerConfig config) {
    detail::throw_if_mistaken(config);
    detail::occupy_standard_descriptors();
    engine_ = std::make_shared<detail::Engine>(std::move(config));
    engine_->set_up();
}

inline ProcessManager::~ProcessManager() {
    if (engine_->services->is_owner()) engine_->shut_down();
    else detail::leave_to_owner(std::move(engine_));
}

inline detail::Engine& ProcessManager::engine() const {
    if (!engine_->services->is_owner()) throw system_error(errc::forked);
    return *engine_;
}

inline ProcessManager& ProcessManager::instance() {
    auto& slot = detail::instance_slot();
    const std::lock_guard lock(slot.mutex);
    if (!slot.manager) {
        slot.manager = new ProcessManager(slot.config ? *slot.config : ManagerConfig::from_environment());
        const auto clean_up = [] { detail::instance_slot().manager->engine_->shut_down(); };
        std::atexit(clean_up);
        std::at_quick_exit(clean_up);
    }
    return *slot.manager;
}

inline void ProcessManager::configure(ManagerConfig config) {
    detail::throw_if_mistaken(config);
    auto& slot = detail::instance_slot();
    const std::lock_guard lock(slot.mutex);
    if (slot.manager || slot.config) throw system_error(errc::already_configured);
    slot.config = std::move(config);
}

template <class... Initializers>
ManagedProcess ProcessManager::spawn(CommandLine command, SpawnOptions options, Initializers&&... initializers) {
    if constexpr (sizeof...(initializers) == 0) {
        return {engine_, engine_->spawn(std::move(command), std::move(options), Output::log, nullptr)};
    } else {
        detail::BoostExtension<std::remove_reference_t<Initializers>...> extension(initializers...);
        return {engine_, engine_->spawn(std::move(command), std::move(options), Output::log, &extension)};
    }
}

inline ManagedProcess ProcessManager::spawn(CommandLine command, SpawnOptions options, error_code& ec) {
    ec.clear();
    try {
        return spawn(std::move(command), std::move(options));
    } catch (const SpawnError& error) {
        ec = error.code();
        return {};
    }
}

inline CompletedProcess ProcessManager::run(CommandLine command, SpawnOptions options, std::string_view input) {
    options.stdout_ = options.stdout_.value_or(Output::capture);
    options.stderr_ = options.stderr_.value_or(Output::capture);
    if (!input.empty()) options.stdin_ = Input::pipe;
    ManagedProcess process = spawn(std::move(command), std::move(options));
    return process.communicate(input);
}

inline CompletedProcess ProcessManager::run(CommandLine command, SpawnOptions options, std::string_view input,
                                            error_code& ec) {
    ec.clear();
    try {
        return run(std::move(command), std::move(options), input);
    } catch (const system_error& error) {
        ec = error.code();
        return {};
    }
}

inline std::vector<ProcessInfo> ProcessManager::list() const {
    std::vector<ProcessInfo> infos;
    for (const auto& record : engine().table.all()) infos.push_back(record->info());
    return infos;
}

inline std::vector<std::shared_ptr<detail::ProcessRecord>> ProcessManager::named(std::string_view key) const {
    auto found = engine().table.named(key);
    if (found.empty()) throw system_error(errc::not_found, "'" + std::string(key) + "'");
    return found;
}

inline std::optional<ProcessInfo> ProcessManager::find(std::string_view name_or_uuid) const {
    const auto found = engine().table.named(name_or_uuid);
    if (found.empty()) return std::nullopt;
    return found.front()->info();
}

inline std::vector<Pid> ProcessManager::active_pids() const {
    std::vector<Pid> pids;
    for (const auto& record : engine().table.alive()) {
        if (!detail::has_ended(record->state.facts())) pids.push_back(record->pid);
    }
    return pids;
}

inline StopReport ProcessManager::stop(std::string_view name_or_uuid, std::optional<StopPlan> plan) {
    const auto records = named(name_or_uuid);
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

inline ManagedProcess ProcessManager::restart(std::string_view name_or_uuid) {
    const auto record = named(name_or_uuid).front();
    static_cast<void>(stop(record->uuid));
    engine_->services->metrics.restarted();
    engine_->services->emit(record->event(EventKind::restart));
    return spawn(record->command, record->options);
}

inline std::map<Uuid, StopReport> ProcessManager::cleanup_all() { return engine().clean_up(); }

inline Subscription ProcessManager::subscribe(std::function<void(const Event&)> subscriber) {
    return {engine_, engine().services->subscribe(std::move(subscriber))};
}

}  // namespace warden
