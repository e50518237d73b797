// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a probe said of a process in the end.
///
/// Thread-safety: values.

#include <warden/error.hpp>
#include <warden/timeout.hpp>

#include <cstdint>
#include <string>

namespace warden {

struct ProbeOutcome {
    /// Success: the process is ready. `errc::timed_out`: not within the deadline. `errc::probe_failed`: a line says so,
    /// or the failures of a liveness probe reached the threshold. `errc::already_ended`: the process has ended, or is
    /// being stopped. `operation_aborted`: nobody asks any more. `errc::shut_down`.
    error_code code{};
    std::string reason{};  ///< Why not, in words; empty if it is ready.
    /// What could not be proven though it is ready: that the listener of a port is of the tree. Empty if all was.
    std::string unproven{};
    Nanoseconds took{};          ///< From the begin of the watch.
    std::uint64_t attempts = 0;  ///< Of all parts together.

    [[nodiscard]] bool is_ready() const noexcept { return !code; }

    friend bool operator==(const ProbeOutcome&, const ProbeOutcome&) = default;
};

}  // namespace warden
