// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `PathWatch`, which wakes its owner when a log may have changed, for this system. The Linux backend describes it.

#include <warden/detail/logs/path_watch_linux.hpp>
#include <warden/detail/logs/path_watch_portable.hpp>
#include <warden/detail/logs/path_watch_windows.hpp>
