// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What preflight checks ask this system.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/launch/preflight_probes_posix.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/launch/preflight_probes_windows.hpp>
#endif
