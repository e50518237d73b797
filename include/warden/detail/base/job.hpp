// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What is run later, once: the one handler type that loops, timers and threads are given.
///
/// Thread-safety: a value.

#include <warden/detail/base/unique_function.hpp>

namespace warden::detail {

using Job = UniqueFunction<void()>;

}  // namespace warden::detail
