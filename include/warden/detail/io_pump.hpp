// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Moves bytes between the pipes of a process and the program: `OutputPump`, `InputPump`.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/posix/io_pump.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/windows/io_pump.hpp>
#endif
