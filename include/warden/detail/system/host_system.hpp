// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the program is, to this system: its process, its rights, its folders, its own output.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/system/host_system_posix.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/system/host_system_windows.hpp>
#endif
