// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a verb of wardenctl is. Each has a file of its own, which adds it to the command line.

#include <warden/exit_status.hpp>

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
    something_is_left = 1,  ///< Not everything could be done; what is left was said.
    is_not_running = 3,     ///< As init scripts have it.
    timed_out = 124,
    own_failure = 125,  ///< Of wardenctl itself: a wrong option, no log directory, ...
    not_executable = 126,
    not_found = 127,
    ended_by_signal = 128,  ///< Plus the number of the signal.
};

/// The exit code that stands for the end of a process.
[[nodiscard]] inline int exit_code_of(const warden::ExitStatus& status, warden::ExitCause cause) {
    if (cause == warden::ExitCause::timed_out) return timed_out;
    if (status.exited()) return status.code();
    return status.signaled() ? ended_by_signal + status.signal() : own_failure;
}

[[nodiscard]] Verb add_run(CLI::App& app);
[[nodiscard]] Verb add_list(CLI::App& app);
[[nodiscard]] Verb add_status(CLI::App& app);
[[nodiscard]] Verb add_logs(CLI::App& app);
[[nodiscard]] Verb add_attach(CLI::App& app);
[[nodiscard]] Verb add_wait(CLI::App& app);
[[nodiscard]] Verb add_stop(CLI::App& app);
[[nodiscard]] Verb add_force_stop(CLI::App& app);
[[nodiscard]] Verb add_restart(CLI::App& app);
[[nodiscard]] Verb add_remove(CLI::App& app);
[[nodiscard]] Verb add_cleanup(CLI::App& app);
[[nodiscard]] Verb add_health(CLI::App& app);
[[nodiscard]] Verb add_completion(CLI::App& app);
[[nodiscard]] Verb add_man(CLI::App& app);

}  // namespace wardenctl
