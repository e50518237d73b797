// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a program may add to a launch: the Boost.Process initializers that it passes to `spawn`: `LaunchExtension`.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/launch/launch_extension_posix.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/launch/launch_extension_windows.hpp>
#endif
