// SPDX-License-Identifier: MIT
// Checks before a start: what is missing is said all at once, with how to mend it, and nothing is started.
//
//   09_preflight                           fails: the variable is not set
//   EXAMPLE_TOKEN=x 09_preflight           starts
//   EXAMPLE_TOKEN=x 09_preflight ls -l     any command of yours

#include <warden/warden.hpp>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) words = {"echo", "all checks passed"};

    namespace preflight = warden::preflight;
    const auto here = std::filesystem::current_path();
    warden::ManagedProcess process = warden::ProcessManager::instance().spawn(
        words, {
                   .stdout_ = warden::Output::inherit,
                   .stderr_ = warden::Output::inherit,
                   .preflight =
                       {
                           preflight::executable(words.front()),
                           preflight::environment_set("EXAMPLE_TOKEN"),
                           preflight::disk_space(std::filesystem::temp_directory_path(), 1 << 20),
                           preflight::predicate(
                               "not started from the root directory", [here] { return here != here.root_path(); },
                               "cd into a directory of your own"),
                       },
               });
    const warden::ExitStatus status = process.wait();
    return status.exited() ? status.code() : 128 + status.signal();
} catch (const warden::SpawnError& error) {
    std::cerr << error.what() << '\n';
    return error.step() == warden::SpawnStep::preflight ? 2 : 127;
}
