// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Attempts that connect to a TCP port or a Unix socket.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/supervision/connect_check_posix.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/supervision/connect_check_windows.hpp>
#endif
