// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Detached processes: `.detached = true`, `ProcessManager::detached()`, `run_shim_if_asked`. Not part of
/// <warden/warden.hpp>: where the code of warden is not compiled once, this brings the parser of Boost.JSON and
/// Boost.Regex.
///
/// Thread-safety: see the headers that it includes.

#include <warden/detached/adopted_process.hpp>
#include <warden/detached/detached_process.hpp>
#include <warden/detached/detached_processes.hpp>
#include <warden/detached/record.hpp>
#include <warden/detached/shim.hpp>
#include <warden/process_manager.hpp>

#if !WARDEN_SEPARATE
#include <warden/impl/detached.hpp>
#endif
