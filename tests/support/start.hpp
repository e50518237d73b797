// SPDX-License-Identifier: MIT
// What tests of starts share, on every system: the system's codes, what an error says, options.
#pragma once

#include <support/scenario.hpp>

#include <algorithm>
#include <concepts>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace support {

/// A code as the system has it.
[[nodiscard]] warden::error_code system_code(std::integral auto code) {
    return {static_cast<int>(code), boost::system::system_category()};
}

/// ENOENT or ERROR_FILE_NOT_FOUND.
inline const warden::error_code no_such_file = system_code(2);

/// What ends a process by force, also where the system has no signals.
inline constexpr int kill_signal = 9;

[[nodiscard]] inline bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != text.npos;
}

[[nodiscard]] inline bool names(const warden::SpawnError& error, std::string_view text) {
    return contains(error.what(), text);
}

[[nodiscard]] inline bool has(const std::vector<std::string>& all, std::string_view wanted) {
    return std::find(all.begin(), all.end(), wanted) != all.end();
}

/// The error that `f` throws; success if it throws none.
template <class F>
[[nodiscard]] std::pair<warden::error_code, std::string> thrown_by(F f) {
    try {
        f();
    } catch (const warden::system_error& error) {
        return {error.code(), error.what()};
    }
    return {};
}

[[nodiscard]] inline warden::SpawnOptions with_environment(warden::Environment environment) {
    warden::SpawnOptions options;
    options.environment = std::move(environment);
    return options;
}

[[nodiscard]] inline warden::SpawnOptions with_three_pipes() {
    warden::SpawnOptions options;
    options.stdin_ = warden::Input::pipe;
    options.stdout_ = warden::Output::capture;
    options.stderr_ = warden::Output::capture;
    return options;
}

/// The current directory, put back at the end.
class KeptDirectory {
public:
    KeptDirectory() = default;
    KeptDirectory(const KeptDirectory&) = delete;
    ~KeptDirectory() {
        std::error_code ignored;
        std::filesystem::current_path(before_, ignored);
    }

private:
    const std::filesystem::path before_ = std::filesystem::current_path();
};

}  // namespace support
