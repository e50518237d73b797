// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The one way to start a process, and the view over all that were started.
///
/// Knows:         all processes of this manager.
/// Thread-safety: all functions from any thread, also from callbacks. No lock is held while anything is waited for.
/// Errors:        SpawnError from `spawn` and `run`; system_error elsewhere, or `error_code& ec` last. In a forked copy
///                of the program: `errc::forked`.

#include <warden/detail/engine/async_initiate.hpp>
#include <warden/detail/engine/engine_api.hpp>
#include <warden/detail/launch/boost_process.hpp>
#include <warden/logs/log_follower.hpp>
#include <warden/managed_process.hpp>
#include <warden/manager_config.hpp>
#include <warden/spawn_options.hpp>
#include <warden/telemetry/event.hpp>
#include <warden/telemetry/health.hpp>
#include <warden/telemetry/metrics.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace warden {

/// Ends a subscription when it is destroyed: a call that is under way on another thread is waited for, and none comes
/// after it. A subscriber may destroy its own.
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
    void end() noexcept;
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
    /// The same, from the environment.
    ProcessManager() : ProcessManager(ManagerConfig::from_environment()) {}
    ProcessManager(const ProcessManager&) = delete;
    ProcessManager& operator=(const ProcessManager&) = delete;
    ~ProcessManager();

    /// Starts a process. Further arguments are initializers of Boost.Process v2, which need a direct launch. One that
    /// sets a stream which the options set too is an error.
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

    /// Completes with `void(error_code, CompletedProcess)`; see `ManagedProcess::async_wait` for tokens and executors.
    /// Starts the process before it returns; the code of a start that failed comes by the handler too. A cancellation
    /// stops the process, and completes with `operation_aborted` when it is gone.
    ///
    /// Options for a token that is awaited have a name: GCC 12 destroys the members of a temporary `SpawnOptions` in a
    /// co_await expression twice, so that does not compile.
    template <detail::IsNoOptions Token>
    auto async_run(CommandLine command, Token&& token) {
        return begin_run(std::move(command), SpawnOptions(), {}, std::forward<Token>(token));
    }
    template <class Options, class Token>
    requires std::same_as<std::remove_const_t<Options>, SpawnOptions>
    auto async_run(CommandLine command, Options& options, Token&& token) {
        return begin_run(std::move(command), options, {}, std::forward<Token>(token));
    }
    template <class Options, class Token>
    requires std::same_as<std::remove_const_t<Options>, SpawnOptions>
    auto async_run(CommandLine command, Options& options, std::string input, Token&& token) {
        return begin_run(std::move(command), options, std::move(input), std::forward<Token>(token));
    }
    template <detail::BeginsAtOnce<void(error_code, CompletedProcess)> Token>
    auto async_run(CommandLine command, SpawnOptions&& options, Token&& token) {
        return begin_run(std::move(command), std::move(options), {}, std::forward<Token>(token));
    }
    template <detail::BeginsAtOnce<void(error_code, CompletedProcess)> Token>
    auto async_run(CommandLine command, SpawnOptions&& options, std::string input, Token&& token) {
        return begin_run(std::move(command), std::move(options), std::move(input), std::forward<Token>(token));
    }

    /// Runs commands at the same time, each with the output of the one before it as its input; `input` goes to the
    /// first. `options` are those of each; what the last one writes is collected, and the stderr of all. Otherwise as
    /// `run`.
    /// @throws SpawnError: those that had started are stopped then. system_error errc::invalid_options for no commands.
    CompletedPipeline pipeline(std::vector<CommandLine> commands, SpawnOptions options = {},
                               std::string_view input = {});

    /// All processes of which anything lives, and those that have ended while their handle is held.
    [[nodiscard]] std::vector<ProcessInfo> list() const;
    /// By name or full uuid; a living one before one that has ended.
    [[nodiscard]] std::optional<ProcessInfo> find(std::string_view name_or_uuid) const;
    [[nodiscard]] std::optional<ProcessInfo> find(const Uuid& uuid) const { return find(to_string(uuid)); }
    /// The log of a process, from now on or from as far back as it reaches; it needs `Output::log`. See `LogFollower`,
    /// which other programs use with the path.
    /// @throws system_error errc::not_found; or why the log cannot be read.
    [[nodiscard]] LogFollower follow(std::string_view name_or_uuid,
                                     LogFollower::From from = LogFollower::From::beginning) const;
    /// Of the processes that run.
    [[nodiscard]] std::vector<Pid> active_pids() const;

    /// Stops all processes of that name, or the one with that uuid, at the same time; by their own plans or by `plan`.
    /// If all of them have ended, the report says what the stops that ended them did, as `ManagedProcess::stop` does.
    /// @throws system_error errc::not_found; errc::invalid_options, naming every mistake of the plan.
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

    /// Processes that outlive this program, started by it or by others with the same data directory. Needs
    /// #include <warden/detached/detached.hpp>.
    [[nodiscard]] DetachedProcesses detached() const;

    /// What holds processes here, and what that promises.
    [[nodiscard]] ContainmentReport containment() const;
    [[nodiscard]] MetricsSnapshot metrics() const;
    /// Looks now whether everything is as it should be: set-up, guardian, handlers, limits, log directory, zombies and
    /// orphans in the trees. The same look is told as an event every `health_interval`, with alerts for what is new.
    [[nodiscard]] HealthReport health() const;
    [[nodiscard]] const ManagerConfig& config() const noexcept;
    [[nodiscard]] Uuid instance_id() const noexcept;
    /// The pid of the process that guards against a crash of this one; 0 if there is none.
    [[nodiscard]] Pid guardian_pid() const;

    /// Calls `subscriber(const Event&)` for every event from now on, until the subscription is destroyed: on a thread
    /// of the manager, one event at a time, in order. What it throws is counted; one that falls far behind loses
    /// events.
    [[nodiscard]] Subscription subscribe(std::function<void(const Event&)> subscriber);

private:
    friend class ServiceGroup;
    friend struct detail::HandleAccess;

    template <class Token>
    auto begin_run(CommandLine command, SpawnOptions options, std::string input, Token&& token);
    [[nodiscard]] ManagedProcess start(CommandLine command, SpawnOptions options, detail::LaunchExtension* extension);
    [[nodiscard]] std::vector<std::shared_ptr<detail::ProcessRecord>> named(std::string_view key) const;
    [[nodiscard]] detail::Engine& engine() const;  // throws errc::forked in a copy, whose locks nobody may ever release

    std::shared_ptr<detail::Engine> engine_;
};

/// The same with the manager of the program.
template <class... Initializers>
[[nodiscard]] ManagedProcess spawn(CommandLine command, SpawnOptions options = {}, Initializers&&... initializers) {
    return ProcessManager::instance().spawn(std::move(command), std::move(options),
                                            std::forward<Initializers>(initializers)...);
}
inline CompletedProcess run(CommandLine command, SpawnOptions options = {}, std::string_view input = {}) {
    return ProcessManager::instance().run(std::move(command), std::move(options), input);
}
inline CompletedPipeline pipeline(std::vector<CommandLine> commands, SpawnOptions options = {},
                                  std::string_view input = {}) {
    return ProcessManager::instance().pipeline(std::move(commands), std::move(options), input);
}

// -- implementation ----------------------------------------------------------

template <class... Initializers>
ManagedProcess ProcessManager::spawn(CommandLine command, SpawnOptions options, Initializers&&... initializers) {
    if constexpr (sizeof...(initializers) == 0) {
        return start(std::move(command), std::move(options), nullptr);
    } else {
        detail::BoostExtension<std::remove_reference_t<Initializers>...> extension(initializers...);
        return start(std::move(command), std::move(options), &extension);
    }
}

template <class Token>
auto ProcessManager::begin_run(CommandLine command, SpawnOptions options, std::string input, Token&& token) {
    return detail::initiate<CompletedProcess>(
        std::forward<Token>(token), engine_, error_code{},
        [engine = engine_, command = std::move(command), options = std::move(options),
         input = std::move(input)](auto done) mutable {
            return detail::begin_run(engine, std::move(command), std::move(options), std::move(input), std::move(done));
        });
}

}  // namespace warden

#if !WARDEN_SEPARATE
#include <warden/impl/process_manager.hpp>
#endif
