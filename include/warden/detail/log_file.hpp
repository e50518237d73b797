// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `LogFile`, the file that a sink writes, for this system. The POSIX backend describes it.

#include <warden/detail/posix/log_file.hpp>
#include <warden/detail/windows/log_file.hpp>
