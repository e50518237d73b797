// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What supervision needs of the handles: their engine and record.
///
/// Thread-safety: that of the handles.

#include <warden/detail/supervision/notify_source.hpp>
#include <warden/detail/supervision/probe_cadence.hpp>
#include <warden/managed_process.hpp>
#include <warden/process_manager.hpp>

#include <memory>

namespace warden {

class Readiness;

namespace detail {

struct HandleAccess {
    /// Begins to make a probe of a process. @throws system_error
    [[nodiscard]] static Readiness watch(const ManagedProcess& process, Probe probe, ProbeUse use,
                                         std::shared_ptr<NotifySource> notify);

    /// @throws system_error errc::forked
    [[nodiscard]] static std::shared_ptr<Engine> engine(const ProcessManager& manager) {
        static_cast<void>(manager.engine());
        return manager.engine_;
    }
};

}  // namespace detail
}  // namespace warden
