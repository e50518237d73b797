// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `why_not_trusted`: why a directory is refused for logs and events, in words, for this system. The POSIX backend
/// describes it.

#include <warden/detail/logs/trusted_directory_posix.hpp>
#include <warden/detail/logs/trusted_directory_windows.hpp>
