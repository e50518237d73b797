// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What can be known of a service of a group, as values that stay as they were when they were taken.
///
/// Thread-safety: values.

#include <warden/error.hpp>
#include <warden/exit_status.hpp>
#include <warden/process_info.hpp>
#include <warden/stop_plan.hpp>
#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// Where a service is. In the first and the last three nothing is under way: the service is over.
enum class ServicePhase : std::uint8_t {
    idle,         ///< Nobody has asked for it yet.
    waiting,      ///< For what it depends on.
    launching,    ///< Its process is being launched.
    running,      ///< The process runs, and has not shown yet that it is ready.
    ready,        ///< The process runs and is ready, or has nothing to show.
    stopping,     ///< Its process is being stopped.
    clearing,     ///< Its process has ended; what that has left is being stopped.
    backing_off,  ///< It waits for the time of its restart.
    completed,    ///< Ended by itself, with success.
    failed,       ///< Ended without success, could not be started, or was given up.
    stopped,      ///< Stopped on request, or not started because of what it depends on.
};
inline constexpr std::size_t service_phase_count = 11;

/// The name of the enumerator, as it stands in events.
[[nodiscard]] constexpr std::string_view to_string(ServicePhase phase) noexcept;

/// Whether nothing of the service is under way.
[[nodiscard]] constexpr bool is_over(ServicePhase phase) noexcept {
    return phase == ServicePhase::idle || phase >= ServicePhase::completed;
}

/// A phase that a service was in, or is in.
struct ServicePhaseRecord {
    ServicePhase phase = ServicePhase::idle;
    std::chrono::system_clock::time_point began{};
    Nanoseconds duration{};  ///< To its end, or to now.
    std::string reason{};    ///< Why it began: "exited with code 3".
};

/// A snapshot of one service.
struct ServiceStatus {
    static constexpr std::size_t max_phases = 64;

    std::string name{};
    ServicePhase phase = ServicePhase::idle;
    std::string reason{};      ///< Why it is in this phase.
    Uuid uuid{};               ///< Of its process, the newest; nil if there was none.
    Uuid former_uuid{};        ///< Of the process before that.
    Pid pid = 0;               ///< 0 unless its process runs.
    std::size_t restarts = 0;  ///< Since it was asked for.
    std::optional<ExitStatus> last_exit{};
    ExitCause last_cause = ExitCause::unknown;
    std::filesystem::path log_path{};
    std::vector<ServicePhaseRecord> phases{};  ///< The newest `max_phases`, the present one last.
};

/// One service that went from a phase to another one.
struct ServiceChange {
    std::string service{};
    ServicePhase from = ServicePhase::idle;
    ServicePhase to = ServicePhase::idle;
    std::string reason{};
    Uuid uuid{};  ///< Of its process, the newest.
    std::chrono::system_clock::time_point time{};
};

/// What the stop of a group did.
struct GroupStopReport {
    struct Entry {
        std::string service{};
        StopReport report{};  ///< Without steps if its process had ended by itself.
    };
    std::vector<Entry> services{};  ///< Those that had a process, in the order in which they were added.
    Nanoseconds duration{};

    /// Nothing of any of their trees is left.
    [[nodiscard]] bool clean() const noexcept {
        return std::all_of(services.begin(), services.end(), [](const Entry& entry) { return entry.report.clean(); });
    }
};

/// A group that did not get where it should: `errc::service_failed`, or `errc::timed_out`.
class ServiceError : public system_error {
public:
    struct Failure {
        std::string service{};
        ServicePhase phase = ServicePhase::idle;  ///< Where it is.
        std::string reason{};
    };

    /// `what()` names all of them: "the group did not start: 'db' failed: exited with code 1".
    ServiceError(error_code code, std::vector<Failure> failures);

    [[nodiscard]] const std::vector<Failure>& failures() const noexcept { return failures_; }

private:
    std::vector<Failure> failures_;
};

// -- implementation ----------------------------------------------------------
namespace detail {
inline constexpr std::array<std::string_view, service_phase_count> service_phase_names{
    "idle",     "waiting",     "launching", "running", "ready",  "stopping",
    "clearing", "backing_off", "completed", "failed",  "stopped"};
static_assert(service_phase_count == static_cast<std::size_t>(ServicePhase::stopped) + 1);

[[nodiscard]] inline std::string failures_in_words(const std::vector<ServiceError::Failure>& failures) {
    std::string text = "the group did not start: ";
    for (const ServiceError::Failure& failure : failures) {
        if (&failure != &failures.front()) text += "; ";
        text += "'" + failure.service + "' " + std::string(is_over(failure.phase) ? "" : "is ") +
                std::string(to_string(failure.phase));
        if (!failure.reason.empty()) text += ": " + failure.reason;
    }
    return text;
}
}  // namespace detail

constexpr std::string_view to_string(ServicePhase phase) noexcept {
    return detail::service_phase_names[static_cast<std::size_t>(phase)];
}

inline ServiceError::ServiceError(error_code code, std::vector<Failure> failures)
    : system_error(code, detail::failures_in_words(failures)), failures_(std::move(failures)) {}

}  // namespace warden
