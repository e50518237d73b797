// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// One manager from the inside: chooses the containment, starts processes, stops them, cleans up.
///
/// Knows:         the order of a start and of an end.
/// Does not know: handles; it gives out records.
/// Thread-safety: safe.
/// Errors:        SpawnError from `spawn`; nothing else throws.

#include <warden/detail/containment/mechanisms.hpp>
#include <warden/detail/engine/detached_door.hpp>
#include <warden/detail/engine/engine_api.hpp>
#include <warden/detail/engine/health_monitor.hpp>
#include <warden/detail/engine/output_wiring.hpp>
#include <warden/detail/engine/process_table.hpp>
#include <warden/detail/launch/prepared_launch.hpp>
#include <warden/detail/logs/default_directories.hpp>
#include <warden/detail/logs/trusted_directory.hpp>
#include <warden/detail/runtime/host_signals.hpp>
#include <warden/detail/runtime/services.hpp>
#include <warden/detail/system/random_uuid.hpp>
#include <warden/logs/log_retention.hpp>
#include <warden/telemetry/health.hpp>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

class Engine final : public std::enable_shared_from_this<Engine>, private ProcessOwner, private HealthInspector {
public:
    using Records = std::vector<std::shared_ptr<ProcessRecord>>;

    explicit Engine(ManagerConfig config);
    ~Engine() { shut_down(); }
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// After construction: the guardian, the event log, the signal handlers. What fails here fails every start.
    void set_up();

    [[nodiscard]] std::shared_ptr<ProcessRecord> spawn(CommandLine command, SpawnOptions options,
                                                       const Output& default_output, LaunchExtension* extension,
                                                       const Uuid& uuid = new_uuid());
    /// Has the process started by a shim: `SpawnOptions::detached`. The record only says who it is.
    [[nodiscard]] std::shared_ptr<ProcessRecord> spawn_detached(CommandLine command, SpawnOptions options,
                                                                LaunchExtension* extension);

    /// Stops all of them at the same time and waits until they are gone or their plans are over. In the order of
    /// `records`. From a callback for output of one of them, not until the rest of its output was consumed.
    [[nodiscard]] std::vector<StopReport> stop(const Records& records,
                                               const std::function<StopPlan(const ProcessRecord&)>& plan,
                                               StopReason reason);

    /// Stops everything, within the graceful timeout, then by force.
    std::map<Uuid, StopReport> clean_up();

    /// Cleans up and ends all threads and helpers. Starts are refused from then on. Does nothing in a forked copy.
    void shut_down();

    [[nodiscard]] ContainmentReport containment() const { return mechanisms_.report(); }
    [[nodiscard]] bool signals_handled() const { return !services->config.handle_signals || HostSignals::installed(); }
    /// Looks at everything now; takes milliseconds with many processes.
    [[nodiscard]] HealthReport health();
    [[nodiscard]] Pid guardian_pid() const { return mechanisms_.guardian_pid(); }

    const std::shared_ptr<Services> services;
    ProcessTable table;

private:
    void leader_exited() override { table.leader_ended(); }
    void tree_emptied(const std::shared_ptr<ProcessRecord>& record) override;
    void run_beside(CommandLine command, Nanoseconds grace, StepReport report) override;
    void begin_inspection() override;

    void open_event_log();
    void on_signal(int signal);
    void prune_logs();
    [[nodiscard]] StopPlan cleanup_plan(const ProcessRecord& record) const;

    // a start, in this order
    void admit(const ProcessRecord& record, const Output& default_output, const Output& out, const Output& err,
               const LaunchExtension* extension);
    void check_containment(const ProcessRecord& record) const;
    void launch(ProcessRecord& record, PreparedLaunch& prepared, LaunchExtension* extension);
    void begin(const std::shared_ptr<ProcessRecord>& record, Event starting, SteadyTime began);
    void report_failure(ProcessRecord& record, std::optional<Event> starting, const SpawnError& error);
    void watch_count();
    void call_on_exit(ProcessRecord& record) const;
    void spawn_beside(const CommandLine& command, Nanoseconds grace, const StepReport& report);

    HealthMonitor health_monitor_{*services, *this};
    OutputWiring output_{services};
    const std::filesystem::path data_directory_ = data_directory_of(services->config);
    Mechanisms mechanisms_;
    HostSignals host_signals_;
    std::optional<SetUpError> set_up_error_;
    std::mutex cleaning_mutex_;
    std::condition_variable cleaned_up_;
    std::atomic<bool> cleaning_up_{false};  // to false: under the mutex
    std::atomic<bool> over_alert_threshold_{false};
    std::once_flag shut_down_once_;
};

}  // namespace warden::detail

#include <warden/detail/engine/engine_health.hpp>
#include <warden/detail/engine/engine_lifetime.hpp>
#include <warden/detail/engine/engine_spawn.hpp>
