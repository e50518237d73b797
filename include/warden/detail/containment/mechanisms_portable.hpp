// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What can hold trees on a POSIX system of which no more is known: the process group, which needs no guardian.
///
/// Knows:         what it does not promise, and says so.
/// Thread-safety: `place` and the reports are safe; the rest is for the set-up and the end.

#include <warden/detail/containment/tree.hpp>
#include <warden/detail/runtime/services.hpp>
#include <warden/detail/runtime/set_up_error.hpp>
#include <warden/telemetry/health.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <functional>
#include <memory>
#include <optional>
#include <string>
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
        tree = hold<ProcessGroupTree>(services_->loop);
        return report_;
    }

    [[nodiscard]] HealthFinding guardian_health() const {
        return {"guardian", HealthStatus::ok, "the process group has none: " + report_.why_not_stronger};
    }
    [[nodiscard]] static Pid guardian_pid() { return 0; }
    void tree_gone() {}
    void stop(SteadyTime) {}
    void close() {}

private:
    const std::shared_ptr<Services> services_;
    ContainmentReport report_;
};

// -- implementation ----------------------------------------------------------

inline std::optional<SetUpError> Mechanisms::set_up() {
    const Mechanism wanted = services_->config.mechanism;
    if (wanted != Mechanism::automatic && wanted != Mechanism::process_group) {
        report_.why_not_stronger = "there is no '" + std::string(to_string(wanted)) + "' on this system";
        return SetUpError{errc::containment_unavailable, report_.why_not_stronger};
    }
    report_ = {Mechanism::process_group, false, false, false, "this system has nothing stronger than process groups"};
    try {
        static_cast<void>(ChildWatch::of(services_->loop.context()));
    } catch (const system_error& error) {
        return SetUpError{error.code(), "the ends of children cannot be watched"};
    }
    return std::nullopt;
}

}  // namespace warden::detail
#endif
