// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The code of warden, for one unit of a program that is compiled with WARDEN_SEPARATE_COMPILATION defined everywhere.
///
/// Thread-safety: nothing here runs.

#define WARDEN_SOURCE
#include <warden/platform.hpp>

#if !WARDEN_SEPARATE
#error "define WARDEN_SEPARATE_COMPILATION for the whole program, or do not include this header"
#elif !WARDEN_HAS_BODIES
#error "include <warden/src.hpp> before any other header of warden"
#endif

#include <warden/detached/detached.hpp>
#include <warden/impl/detached.hpp>
#include <warden/impl/managed_process.hpp>
#include <warden/impl/process_manager.hpp>
#include <warden/impl/service_group.hpp>
#include <warden/output/alert_regex.hpp>
#include <warden/supervision/ports.hpp>
#include <warden/supervision/readiness.hpp>
#include <warden/warden.hpp>
