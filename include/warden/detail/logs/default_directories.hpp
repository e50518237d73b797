// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Where a manager keeps its files unless it is told otherwise.
///
/// Knows:         the configuration, and the folder of this system for such data.
/// Thread-safety: pure functions, as far as nobody changes the environment meanwhile.

#include <warden/detail/system/host_system.hpp>
#include <warden/manager_config.hpp>

#include <filesystem>

namespace warden::detail {

[[nodiscard]] inline std::filesystem::path data_directory_of(const ManagerConfig& config) {
    return config.data_directory.empty() ? default_data_directory() : config.data_directory;
}

/// Of the logs of its processes.
[[nodiscard]] inline std::filesystem::path log_directory_of(const ManagerConfig& config) {
    return config.log_directory.empty() ? data_directory_of(config) / "logs" : config.log_directory;
}

}  // namespace warden::detail
