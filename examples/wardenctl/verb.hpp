// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a verb of wardenctl is. Each has a file of its own, which adds it to the command line.

#include <CLI/App.hpp>

#include <functional>
#include <string>
#include <vector>

namespace wardenctl {

/// What follows the options of a verb.
using Words = std::vector<std::string>;

struct Verb {
    CLI::App* command;                     ///< Its options; CLI11 owns it.
    std::function<int(const Words&)> act;  ///< Called with what follows the options; returns the exit code.
};

/// Exit codes, as timeout(1), env(1) and the shells have them.
enum ExitCode : int {
    timed_out = 124,
    own_failure = 125,  ///< Of wardenctl itself: a wrong option, no log directory, ...
    not_executable = 126,
    not_found = 127,
    ended_by_signal = 128,  ///< Plus the number of the signal.
};

[[nodiscard]] Verb add_run(CLI::App& app);
[[nodiscard]] Verb add_logs(CLI::App& app);

}  // namespace wardenctl
