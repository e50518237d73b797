// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How a start reaches the code for detached processes, which only a program that includes it pays for.
///
/// Does not know: that code.
/// Thread-safety: safe.

#include <warden/manager_config.hpp>

#include <atomic>

namespace warden::detail {

class ProcessRecord;

/// Has a shim start what the record describes, and notes in it who the process is. @throws SpawnError
using StartDetached = void (*)(ProcessRecord& record, const ManagerConfig& config);

/// Null until a unit of the program that includes <warden/detached/detached.hpp> is initialized.
WARDEN_ONE_PER_PROGRAM inline std::atomic<StartDetached>& detached_door() {
    static std::atomic<StartDetached> door{nullptr};
    return door;
}

}  // namespace warden::detail
