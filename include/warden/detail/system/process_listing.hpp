// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What this system says of processes, for listings and reports.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_LINUX
#include <warden/detail/system/process_listing_linux.hpp>
#elif WARDEN_OS_POSIX
#include <warden/detail/system/process_listing_portable.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/system/process_listing_windows.hpp>
#endif
