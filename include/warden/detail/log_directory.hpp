// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `LogDirectory`, a directory of which old logs are removed, for this system. The POSIX backend describes it.

#include <warden/detail/posix/log_directory.hpp>
#include <warden/detail/windows/log_directory.hpp>
