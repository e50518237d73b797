// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Looks at logs and reads them: `LogHandle`, `FileIdentity`, `LogStatus`, `OpenLog` and their functions, for this
/// system. The POSIX backend describes them.

#include <warden/detail/logs/log_access_posix.hpp>
#include <warden/detail/logs/log_access_windows.hpp>
#include <warden/detail/logs/stream_mark_posix.hpp>
#include <warden/detail/logs/stream_mark_windows.hpp>
