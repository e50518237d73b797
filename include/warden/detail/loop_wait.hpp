// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `LoopWait`, by which an event loop waits for a `PathWatch`, for this system. The POSIX backend describes it.

#include <warden/detail/posix/loop_wait.hpp>
#include <warden/detail/windows/loop_wait.hpp>
