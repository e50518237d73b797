// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What asks the program itself to end, as this system does it: `HostSignals`.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/runtime/host_signals_posix.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/runtime/host_signals_windows.hpp>
#endif
