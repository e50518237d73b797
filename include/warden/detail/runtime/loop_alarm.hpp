// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What wakes a loop at a time, as this system does it: `LoopAlarm`.
///
/// Knows:         which system this is.

#include <warden/platform.hpp>

#if WARDEN_OS_LINUX
#include <warden/detail/runtime/loop_alarm_linux.hpp>
#else
#include <warden/detail/runtime/loop_alarm_asio.hpp>
#endif
