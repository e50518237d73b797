// SPDX-License-Identifier: MIT
// What needs neither warden nor Catch2: files, and the only helper that waits.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

namespace support {

/// A whole file, of /proc too; empty if it cannot be read.
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

/// Waits until `predicate()` holds. `patience` only bounds a failure.
template <class Predicate>
[[nodiscard]] bool eventually(Predicate predicate, std::chrono::milliseconds patience = std::chrono::seconds(30)) {
    const auto end = std::chrono::steady_clock::now() + patience;
    for (std::chrono::milliseconds pause{1};; pause = std::min(pause * 2, std::chrono::milliseconds(20))) {
        if (predicate()) return true;
        if (std::chrono::steady_clock::now() >= end) return false;
        std::this_thread::sleep_for(pause);
    }
}

}  // namespace support
