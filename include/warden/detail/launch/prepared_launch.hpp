// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a launch needs, prepared as this system wants it: `PreparedLaunch`, `ChildPlan`, `ChildAnswer`.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/launch/prepared_launch_posix.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/launch/prepared_launch_windows.hpp>
#endif
