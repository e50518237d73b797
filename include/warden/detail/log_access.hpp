// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Looks at logs and reads them: `LogHandle`, `FileIdentity`, `LogStatus`, `OpenLog` and their functions, for this
/// system. The POSIX backend describes them.

#include <warden/detail/posix/log_access.hpp>
#include <warden/detail/posix/stream_mark.hpp>
#include <warden/detail/windows/log_access.hpp>
#include <warden/detail/windows/stream_mark.hpp>
