// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What can hold trees on this system, and the choice among it: `Mechanisms`.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_LINUX
#include <warden/detail/containment/mechanisms_linux.hpp>
#elif WARDEN_OS_POSIX
#include <warden/detail/containment/mechanisms_portable.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/containment/mechanisms_windows.hpp>
#endif
