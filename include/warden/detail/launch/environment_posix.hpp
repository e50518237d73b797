// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The environment of a child as strings.
///
/// Knows:         where this program has its own; what was asked for instead.
/// Thread-safety: as safe as environ(7): nobody may change the environment of the program meanwhile.
/// Allocates:     the strings.

#include <warden/environment.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#if WARDEN_OS_MACOS
#include <crt_externs.h>
#else
#include <unistd.h>
extern "C" {
extern char** environ;  // environ(7): not every unistd.h declares it
}
#endif

namespace warden::detail {

/// The environment of the child as "KEY=value" strings. An inherited PWD follows `directory`, unless that is empty.
[[nodiscard]] inline std::vector<std::string> child_environment(const Environment& wanted,
                                                                const std::filesystem::path& directory = {});

// -- implementation ----------------------------------------------------------

#if WARDEN_OS_MACOS
inline char** own_environment() noexcept { return *::_NSGetEnviron(); }  // a shared library there has no `environ`
#else
inline char** own_environment() noexcept { return ::environ; }
#endif

[[nodiscard]] inline bool has_own_variable(std::string_view name) noexcept {
    for (char** entry = own_environment(); entry && *entry; ++entry) {
        const std::string_view text(*entry);
        if (text.size() > name.size() && text.starts_with(name) && text[name.size()] == '=') return true;
    }
    return false;
}

inline std::vector<std::string> child_environment(const Environment& wanted, const std::filesystem::path& directory) {
    std::vector<std::string> result;
    auto changes = wanted.changes();
    std::error_code unknown;
    const auto absolute = directory.empty() ? directory : std::filesystem::absolute(directory, unknown);
    if (!absolute.empty() && !unknown && wanted.inherits() && has_own_variable("PWD"))
        changes.try_emplace("PWD", absolute.lexically_normal().string());
    if (wanted.inherits()) {
        for (char** entry = own_environment(); entry && *entry; ++entry) {
            const std::string_view text(*entry);
            if (changes.find(std::string(text.substr(0, text.find('=')))) == changes.end()) result.emplace_back(text);
        }
    }
    for (const auto& [key, value] : changes) {
        if (value) result.push_back(key + '=' + *value);
    }
    return result;
}

}  // namespace warden::detail
#endif
