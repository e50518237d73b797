// SPDX-License-Identifier: MIT
// What happens to processes, as events for your own logger and as figures for your own dashboard.
//
//   07_events                    a process that fails
//   07_events git status         any command of yours

#include <warden/warden.hpp>

#include <future>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) words = {"sh", "-c", "exit 4"};

    warden::ProcessManager& manager = warden::ProcessManager::instance();
    std::promise<void> ended;
    const auto subscription = manager.subscribe([&](const warden::Event& event) {
        // On a thread of the manager, one at a time, in order. The same lines stand in the event log.
        std::cout << to_json_line(event, /*redact_arguments=*/false);
        if (event.kind == warden::EventKind::exit) ended.set_value();
    });

    // Metadata goes into every event of the process.
    warden::ManagedProcess process =
        manager.spawn(words, {.name = "job", .type = "example", .metadata = {{"experiment", "42"}}});
    const warden::ExitStatus status = process.wait();
    ended.get_future().wait();

    const warden::MetricsSnapshot metrics = manager.metrics();
    std::cout << "started: " << metrics.spawned_total
              << ", ended by themselves: " << metrics.exits_by(warden::ExitCause::exited) << '\n';

    std::istringstream prometheus(to_prometheus(metrics, {{"host", "example"}}));
    for (std::string line; std::getline(prometheus, line);) {
        if (line.starts_with("warden_spawned_total")) std::cout << line << '\n';
    }
    return status.exited() ? status.code() : 128 + status.signal();
} catch (const warden::SpawnError& error) {
    std::cerr << error.what() << '\n';
    return 127;
}
