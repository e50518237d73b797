// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Looks at a log file again and again, as any other program could, and remembers the most that was ever in it.

#include <warden/output/log_limits.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

namespace demo {

class LogWatch {
public:
    /// The file, and what rotation makes of it: `path.1` and so on.
    LogWatch(std::filesystem::path path, warden::LogLimits limits, std::size_t rotated_files = 0);

    /// Reads all of the files now.
    void look();

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return files_.front(); }
    [[nodiscard]] const warden::LogLimits& limits() const noexcept { return limits_; }
    [[nodiscard]] std::size_t files() const noexcept { return files_.size(); }
    [[nodiscard]] std::uint64_t looks() const noexcept { return looks_; }
    [[nodiscard]] std::size_t max_lines() const noexcept { return max_lines_; }  ///< In one file.
    [[nodiscard]] std::size_t max_chars() const noexcept { return max_chars_; }
    [[nodiscard]] std::uint64_t bytes_now() const noexcept { return bytes_now_; }  ///< Of all files together.
    [[nodiscard]] bool always_within() const noexcept {
        return looks_ > 0 && max_lines_ <= limits_.max_lines && max_chars_ <= limits_.max_chars;
    }

private:
    std::vector<std::filesystem::path> files_;
    warden::LogLimits limits_;
    std::uint64_t looks_ = 0;
    std::size_t max_lines_ = 0;
    std::size_t max_chars_ = 0;
    std::uint64_t bytes_now_ = 0;
};

}  // namespace demo
