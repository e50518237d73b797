// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Windows does not cancel threads.
///
/// Thread-safety: belongs to the thread that made it.

#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
namespace warden::detail {

class CancellationHeldOff {
public:
    CancellationHeldOff() noexcept {}
    ~CancellationHeldOff() {}
    CancellationHeldOff(const CancellationHeldOff&) = delete;
    CancellationHeldOff& operator=(const CancellationHeldOff&) = delete;
};

}  // namespace warden::detail
#endif
