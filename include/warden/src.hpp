// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The code of warden, for one unit of a program that is compiled with WARDEN_SEPARATE_COMPILATION defined everywhere.
///
/// Thread-safety: nothing here runs.

#include <warden/platform.hpp>

#if !WARDEN_SEPARATE
#error "define WARDEN_SEPARATE_COMPILATION for the whole program, or do not include this header"
#endif

#include <warden/impl/managed_process.hpp>
#include <warden/impl/process_manager.hpp>
