// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The signals that warden itself sends or reads, by number, on every system.
///
/// Knows:         that Windows has no signals; there the usual numbers stand for what is done instead.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <csignal>

namespace warden::detail::signals {
inline constexpr int hangup = SIGHUP;
inline constexpr int interrupt = SIGINT;
inline constexpr int kill = SIGKILL;
inline constexpr int terminate = SIGTERM;
inline constexpr int resume = SIGCONT;
inline constexpr int stop = SIGSTOP;
inline constexpr int cpu_limit = SIGXCPU;
inline constexpr int file_limit = SIGXFSZ;
}  // namespace warden::detail::signals
#else
namespace warden::detail::signals {
inline constexpr int hangup = 1;
inline constexpr int interrupt = 2;
inline constexpr int kill = 9;
inline constexpr int terminate = 15;
inline constexpr int resume = 18;
inline constexpr int stop = 19;
inline constexpr int cpu_limit = 24;
inline constexpr int file_limit = 25;
}  // namespace warden::detail::signals
#endif
