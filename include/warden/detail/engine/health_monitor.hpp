// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Has the health of a manager inspected after every interval, and reports what that finds: an event each time, an
/// alert for each trouble that begins.
///
/// Knows:         when the next inspection is due; which troubles are known already.
/// Does not know: what is inspected, or on which thread.
/// Thread-safety: `start`, `stop` and `inspected` on the loop; `report` by one thread at a time.

#include <warden/detail/runtime/manager_context.hpp>
#include <warden/telemetry/health.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace warden::detail {

/// Decides which findings are worth an alert. One when a trouble begins, and again after two inspections without it:
/// one can miss a process that changes parents. Zombies are a trouble only at the second inspection: every process is
/// one, between its end and its reaping.
class HealthAlerts {
public:
    [[nodiscard]] bool is_due(const HealthFinding& finding);

private:
    struct Episode {
        int bad = 0;   // inspections
        int good = 0;  // since the last bad one
        bool reported = false;
    };
    std::map<std::string, Episode, std::less<>> episodes_;  // by check
};

/// Who inspects.
class HealthInspector {
public:
    /// Begins an inspection, off the loop; `HealthMonitor::inspected` follows. Called on the loop.
    virtual void begin_inspection() = 0;

protected:
    HealthInspector() = default;
    HealthInspector(const HealthInspector&) = default;
    HealthInspector& operator=(const HealthInspector&) = default;
    ~HealthInspector() = default;
};

class HealthMonitor {
public:
    /// Both outlive the monitor.
    HealthMonitor(ManagerContext& context, HealthInspector& inspector)
        : context_(context), inspector_(inspector), timer_(context.scheduler) {}

    void start() {
        timer_.arm(deadline_after(context_.scheduler.now(), context_.config.health_interval),
                   [this] { inspector_.begin_inspection(); });
    }
    /// The inspection is over; the interval begins.
    void inspected() { start(); }
    void stop() noexcept { timer_.cancel(); }

    /// Emits what an inspection found, while `active` processes ran.
    void report(const HealthReport& report, std::size_t active);

private:
    ManagerContext& context_;
    HealthInspector& inspector_;
    Timer timer_;
    HealthAlerts alerts_;
};

// -- implementation ----------------------------------------------------------

inline bool HealthAlerts::is_due(const HealthFinding& finding) {
    Episode& episode = episodes_[finding.check];
    if (finding.status == HealthStatus::ok) {
        if (!episode.reported || ++episode.good == 2) episode = {};
        return false;
    }
    episode.good = 0;
    const bool has_lasted = ++episode.bad >= (finding.check == "zombies" ? 2 : 1);
    return has_lasted && !std::exchange(episode.reported, true);
}

inline void HealthMonitor::report(const HealthReport& report, std::size_t active) {
    Event health;
    health.kind = EventKind::health;
    const HealthStatus status = report.status();
    if (status != HealthStatus::ok) health.severity = Severity::warning;
    if (status == HealthStatus::failing) health.severity = Severity::critical;
    health.message = report.reasons();
    health.attributes = {{"warden.health", std::string(to_string(status))},
                         {"warden.active", static_cast<std::int64_t>(active)},
                         {"warden.zombies", static_cast<std::int64_t>(report.zombies.size())},
                         {"warden.orphans", static_cast<std::int64_t>(report.orphans.size())},
                         {"warden.escaped", static_cast<std::int64_t>(report.escaped.size())}};
    context_.emit(std::move(health));
    for (const HealthFinding& finding : report.findings) {
        if (!alerts_.is_due(finding)) continue;
        Event alert;
        alert.kind = EventKind::alert;
        alert.severity = finding.status == HealthStatus::failing ? Severity::critical : Severity::warning;
        alert.message = finding.check + ": " + finding.detail;
        context_.metrics.alerted();
        context_.emit(std::move(alert));
    }
}

}  // namespace warden::detail
