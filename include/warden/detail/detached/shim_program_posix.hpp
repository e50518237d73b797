// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Which program a shim is: the configured one; this program, if it is ready for that; or an installed `wardenctl`.
///
/// Knows:         where each of the three would be.
/// Does not know: whether it will answer as a shim; its greeting says so.
/// Thread-safety: as far as nobody changes the environment meanwhile.

#include <warden/detail/detached/shim_child_linux.hpp>
#include <warden/detail/detached/shim_child_portable.hpp>
#include <warden/manager_config.hpp>
#include <warden/version.hpp>

#if WARDEN_OS_POSIX
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include <unistd.h>

namespace warden::detail {

/// The argument by which a program is asked to be a shim.
inline constexpr const char* shim_argument = "--warden-shim";

[[nodiscard]] inline std::string version_text() {
    return std::to_string(version.major_number) + '.' + std::to_string(version.minor_number) + '.' +
           std::to_string(version.patch_number);
}

/// Whether `main` of this program has called `run_shim_if_asked`.
WARDEN_ONE_PER_PROGRAM inline std::atomic<bool>& can_be_shim() {
    static std::atomic<bool> flag{false};
    return flag;
}

/// The path of the program; empty if there is none.
[[nodiscard]] inline std::string find_shim_program(const ManagerConfig& config);

/// What to do if there is none.
[[nodiscard]] inline std::string how_to_have_a_shim() {
    return "a detached process needs a program that holds it: set ManagerConfig::shim_program; or begin main with "
           "`if (auto code = warden::run_shim_if_asked(argc, argv)) return *code;`; or install wardenctl " +
           version_text() + " beside this program or in PATH";
}

// -- implementation ----------------------------------------------------------

[[nodiscard]] inline bool is_executable(const std::string& path) noexcept {
    std::error_code unlike;
    return std::filesystem::is_regular_file(path, unlike) && ::access(path.c_str(), X_OK) == 0;
}

inline std::string find_shim_program(const ManagerConfig& config) {
    if (!config.shim_program.empty()) return config.shim_program.string();
    const std::string own = own_program();
    if (can_be_shim() && !own.empty()) return own;
    constexpr const char* tool = "wardenctl";
    std::error_code unknown;
    const std::filesystem::path here = std::filesystem::canonical(own, unknown).parent_path();
    if (!unknown && is_executable((here / tool).string())) return (here / tool).string();
    const char* const variable = environment_variable("PATH");
    std::string_view path = variable ? variable : "";
    while (!path.empty()) {
        const std::string_view directory = path.substr(0, path.find(':'));
        const std::string candidate = std::string(directory) + '/' + tool;
        if (directory.starts_with('/') && is_executable(candidate)) return candidate;
        path.remove_prefix(std::min(directory.size() + 1, path.size()));
    }
    return {};
}

}  // namespace warden::detail
#endif
