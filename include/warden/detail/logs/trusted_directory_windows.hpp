// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Whether others could change a directory, on Windows: access control is handed down there, and is not judged here.

#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <filesystem>
#include <string>

namespace warden::detail {

/// Never refuses a directory.
[[nodiscard]] inline std::string why_not_trusted(const std::filesystem::path&) { return {}; }

}  // namespace warden::detail
#endif
