// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Keeps the signals of the program away from the threads of a manager: `AllSignalsBlocked`.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/system/signal_mask_posix.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/system/signal_mask_windows.hpp>
#endif
