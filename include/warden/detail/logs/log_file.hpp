// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `LogFile`, the file that a sink writes, for this system. The POSIX backend describes it.

#include <warden/detail/logs/log_file_posix.hpp>
#include <warden/detail/logs/log_file_windows.hpp>
