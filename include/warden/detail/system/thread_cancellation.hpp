// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The cancellation of threads, as this system does it: `CancellationHeldOff`.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/system/thread_cancellation_posix.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/system/thread_cancellation_windows.hpp>
#endif
