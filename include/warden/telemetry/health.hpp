// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What one look at a manager and its processes found.
///
/// Knows:         the checks by name, and how bad each result is.
/// Does not know: how anything is looked at.
/// Thread-safety: values.

#include <warden/process_info.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace warden {

/// From good to bad.
enum class HealthStatus : std::uint8_t {
    ok,
    degraded,  ///< It works; something is not as it should be.
    failing,   ///< Processes cannot be started, or not everything is guarded.
};

[[nodiscard]] constexpr std::string_view to_string(HealthStatus status) noexcept;

/// The result of one check.
struct HealthFinding {
    std::string check;  ///< A name that stays the same: "set-up", "guardian", "zombies", ...
    HealthStatus status = HealthStatus::ok;
    std::string detail;  ///< What was found; for what is not ok, also what to do.

    friend bool operator==(const HealthFinding&, const HealthFinding&) = default;
};

/// A process that a look at the trees singled out.
struct HealthSuspect {
    Uuid tree{};  ///< The managed process whose tree it is in.
    TreeMember process;
};

struct HealthReport {
    std::vector<HealthFinding> findings;  ///< One for every check, also for those that are ok.
    std::vector<HealthSuspect> zombies;   ///< Ended in a tree, and not reaped by the parent that they have there.
    std::vector<HealthSuspect> orphans;   ///< Running in a tree, though the parent that started them is gone.
    std::vector<HealthSuspect> escaped;   ///< Left the control group of their tree; still held, one by one.

    /// The worst of all findings.
    [[nodiscard]] HealthStatus status() const noexcept {
        HealthStatus worst = HealthStatus::ok;
        for (const HealthFinding& finding : findings) worst = std::max(worst, finding.status);
        return worst;
    }

    /// What is not ok, in words; empty if all is.
    [[nodiscard]] std::string reasons() const {
        std::string text;
        for (const HealthFinding& finding : findings) {
            if (finding.status == HealthStatus::ok) continue;
            if (!text.empty()) text += "; ";
            text += finding.check + ": " + finding.detail;
        }
        return text;
    }
};

// -- implementation ----------------------------------------------------------
namespace detail {
inline constexpr std::array<std::string_view, 3> health_names{"ok", "degraded", "failing"};
static_assert(health_names.size() == static_cast<std::size_t>(HealthStatus::failing) + 1);
}  // namespace detail

constexpr std::string_view to_string(HealthStatus status) noexcept {
    return detail::health_names[static_cast<std::size_t>(status)];
}

}  // namespace warden
