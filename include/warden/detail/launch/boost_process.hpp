// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The one door to Boost.Process v2: its initializers, served by our own launch, or its launcher by ours.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/launch/boost_process_posix.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/launch/boost_process_windows.hpp>
#endif
