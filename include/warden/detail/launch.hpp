// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a launch needs, prepared as this system wants it: `PreparedLaunch`, `ChildPlan`, `ChildAnswer`.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/posix/prepared_launch.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/windows/prepared_launch.hpp>
#endif
