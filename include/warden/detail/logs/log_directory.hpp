// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `LogDirectory`, a directory of which old logs are removed, for this system. The POSIX backend describes it.

#include <warden/detail/logs/log_directory_posix.hpp>
#include <warden/detail/logs/log_directory_windows.hpp>
