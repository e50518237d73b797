// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What can hold trees on Windows: Job Objects, which the system itself closes when the program ends.
///
/// Thread-safety: `place` and the reports are safe; the rest is for the set-up and the end.

#include <warden/detail/containment/tree.hpp>
#include <warden/detail/runtime/services.hpp>
#include <warden/detail/runtime/set_up_error.hpp>
#include <warden/detail/system/host_system.hpp>
#include <warden/telemetry/health.hpp>

#if WARDEN_OS_WINDOWS
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace warden::detail {

class Mechanisms {
public:
    using IsLeader = std::function<bool(Pid)>;

    Mechanisms(std::shared_ptr<Services> services, const IsLeader&, const std::string&)
        : services_(std::move(services)) {}

    [[nodiscard]] std::optional<SetUpError> set_up();

    [[nodiscard]] ContainmentReport report() const { return report_; }

    /// Makes `tree` ready for the launch of its leader. Returns what holds it, and what that promises. Never fails.
    [[nodiscard]] ContainmentReport place(Tree& tree, const ContainmentDemand&, std::string&, error_code&) {
        tree = hold<JobTree>(services_->loop, job_);
        return report_;
    }

    [[nodiscard]] static HealthFinding guardian_health() {
        return {"guardian", HealthStatus::ok, "none is needed: the system closes the jobs of a program that ends"};
    }
    [[nodiscard]] static Pid guardian_pid() { return 0; }
    void tree_gone() {}
    void stop(SteadyTime) {}
    void close() { job_.reset(); }

private:
    const std::shared_ptr<Services> services_;
    ContainmentReport report_;
    std::shared_ptr<ManagerJob> job_;
};

// -- implementation ----------------------------------------------------------

inline std::optional<SetUpError> Mechanisms::set_up() {
    const Mechanism wanted = services_->config.mechanism;
    if (wanted != Mechanism::automatic && wanted != Mechanism::job_object) {
        report_.why_not_stronger = "there is no '" + std::string(to_string(wanted)) + "' on Windows";
        return SetUpError{errc::containment_unavailable, report_.why_not_stronger};
    }
    try {
        job_ = std::make_shared<ManagerJob>(services_->loop.context());
    } catch (const std::system_error& error) {  // also of its thread
        return SetUpError{error.code(), "no Job Object is available for this program"};
    }
    report_ = {Mechanism::job_object, true, true, is_superuser(), {}};
    return std::nullopt;
}

}  // namespace warden::detail
#endif
