// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `LoopWait`, by which an event loop waits for a `PathWatch`, for this system. The POSIX backend describes it.

#include <warden/detail/logs/loop_wait_posix.hpp>
#include <warden/detail/logs/loop_wait_windows.hpp>
