// SPDX-License-Identifier: MIT
// A handle decides how long a process lives: at the end of its scope the process is gone, and all that it started.
//
//   02_spawn_and_wait             a job that exits with code 3
//   02_spawn_and_wait make -j2    any command of yours

#include <warden/warden.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
    using namespace std::chrono_literals;
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) words = {"sh", "-c", "sleep 0.1; exit 3"};

    warden::ProcessManager& manager = warden::ProcessManager::instance();
    warden::ExitStatus status;
    {
        // Every process has a timeout; one that may run for as long as it likes says so.
        const auto server = manager.spawn(warden::CommandLine::shell("sleep 1000 & sleep 1000"),
                                          {.name = "server", .timeout = warden::no_timeout});
        warden::ManagedProcess job = manager.spawn(words, {.name = "job", .timeout = 10min});
        std::cout << "the server is pid " << server.pid() << ", the job is pid " << job.pid() << '\n';

        status = job.wait();  // also: wait_for, wait_until, async_wait
        std::cout << "the job " << status.to_string() << " after "
                  << std::chrono::duration_cast<std::chrono::milliseconds>(job.runtime()).count() << " ms\n";
    }  // the innermost scope ends first: here the server is stopped, with its own children

    std::cout << "still running: " << manager.active_pids().size() << '\n';
    return status.exited() ? status.code() : 128 + status.signal();
} catch (const warden::SpawnError& error) {
    std::cerr << error.what() << '\n';
    return 127;
}
