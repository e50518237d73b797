// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The directories of a manager whose configuration names none.
///
/// Knows:         the XDG base directory rules.
/// Does not know: whether the directories exist.
/// Thread-safety: while nobody changes the environment.
/// Allocates:     paths.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/manager_config.hpp>

#include <filesystem>
#include <string>

#include <unistd.h>

namespace warden::detail {

/// By the XDG base directory rules: `$XDG_STATE_HOME/warden`, else `~/.local/state/warden`.
[[nodiscard]] inline std::filesystem::path default_data_directory() {
    if (const char* state = environment_variable("XDG_STATE_HOME"); state && *state == '/') {
        return std::filesystem::path(state) / "warden";
    }
    if (const char* home = environment_variable("HOME"); home && *home == '/') {
        return std::filesystem::path(home) / ".local/state/warden";
    }
    return std::filesystem::path("/tmp") / ("warden-" + std::to_string(::geteuid()));
}

/// Where the logs of its processes are, unless they say otherwise.
[[nodiscard]] inline std::filesystem::path log_directory_of(const ManagerConfig& config) {
    if (!config.log_directory.empty()) return config.log_directory;
    return (config.data_directory.empty() ? default_data_directory() : config.data_directory) / "logs";
}

}  // namespace warden::detail
#endif
