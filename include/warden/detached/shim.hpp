// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How a program becomes able to hold detached processes: it is started once more for each of them, as its shim.
///
/// Does not know: what a shim does.
/// Thread-safety: call it once, before the program has threads.

#include <warden/platform.hpp>

#include <optional>

namespace warden {

/// The first line of `main` of a program that starts detached processes:
/// `if (auto code = warden::run_shim_if_asked(argc, argv)) return *code;`
///
/// Nothing, unless the program was started as a shim. Then it returns when the process has ended, with what `main` is
/// to return. What runs before `main` runs in each shim too.
[[nodiscard]] WARDEN_INLINE std::optional<int> run_shim_if_asked(int argc, const char* const* argv);

}  // namespace warden
