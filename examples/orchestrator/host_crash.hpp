// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A second host: this program again, with processes of its own, which is then killed.

#include "proof.hpp"
#include <warden/process_manager.hpp>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace demo {

/// What the killed host had, and what became of it.
struct CrashReport {
    std::vector<proof::Process> managed;  ///< Those that it managed, and their descendants.
    std::vector<proof::Process> helpers;  ///< Its guardian, and its keepers if it had any.
    std::string instance;                 ///< The id of its manager.
    warden::ExitStatus host;
    bool all_ended = false;
    std::chrono::nanoseconds took{};  ///< From the kill to the end of the last one that it managed.
};

/// Starts the second host, waits until it has its processes, kills it by force, and watches.
[[nodiscard]] CrashReport crash_a_host(warden::ProcessManager& manager, const std::string& marker,
                                       const std::filesystem::path& data_directory);

/// What the second host does, in its own process. Does not return.
[[noreturn]] void be_the_second_host(const std::string& marker);

}  // namespace demo
