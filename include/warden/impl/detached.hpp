// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The code of detached processes, for this system.
///
/// Thread-safety: see detached/detached.hpp.

#include <warden/impl/detached_posix.hpp>
#include <warden/impl/detached_windows.hpp>
