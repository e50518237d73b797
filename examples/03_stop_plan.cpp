// SPDX-License-Identifier: MIT
// How a process is stopped is a list of steps, and how it went is a list too.
//
//   03_stop_plan               a program that ignores SIGTERM
//   03_stop_plan sleep 1000    any command of yours

#include <warden/warden.hpp>

#include <chrono>
#include <csignal>
#include <future>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

int main(int argc, char** argv) try {
    using namespace std::chrono_literals;
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) words = {"sh", "-c", "trap '' INT TERM; echo ready; while :; do sleep 1; done"};

    std::promise<void> spoke;  // a line of output says that its traps are set
    const auto listen = [&spoke, first = true](std::string_view) mutable {
        if (std::exchange(first, false)) spoke.set_value();
    };
    warden::ManagedProcess process = warden::ProcessManager::instance().spawn(words, {.on_line = listen});
    spoke.get_future().wait_for(1s);

    // Each step has a grace; the next one comes only if the tree still lives. There are presets: gentle, prompt, now.
    const auto plan = warden::StopPlan{}.signal(SIGINT, 200ms).terminate(300ms).kill(2s).last_resort(1s);
    const warden::StopReport report = process.stop(plan);

    for (const warden::StopStepResult& step : report.steps) {
        std::cout << to_string(step.action) << ": " << step.duration / 1ms << " ms"
                  << (step.tree_exited ? ", that ended it" : "") << '\n';
    }
    for (const warden::Survivor& survivor : report.survivors) {
        std::cout << "pid " << survivor.pid << " is left: " << survivor.reason << '\n';
    }
    const warden::ExitStatus status = process.wait();
    std::cout << status.to_string() << "; state " << to_string(process.state()) << ", cause "
              << to_string(process.cause()) << '\n';
    return status.exited() ? status.code() : 128 + status.signal();
} catch (const warden::SpawnError& error) {
    std::cerr << error.what() << '\n';
    return 127;
}
