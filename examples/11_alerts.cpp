// SPDX-License-Identifier: MIT
// Rules for the lines of a process: which of them somebody should know of, which make it ready, which end it.
//
//   11_alerts                 a server that starts, complains and breaks
//   11_alerts COMMAND...      any command: "error" is told, "panic" ends it

#include <warden/output/alert_regex.hpp>
#include <warden/warden.hpp>

#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
    using namespace std::chrono_literals;
    using warden::AlertAction;
    using warden::AlertRule;
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) {
        words = {"sh", "-c", "echo listening on port 80; echo error: disk is slow; echo panic >&2; sleep 1000"};
    }

    AlertRule error = AlertRule::regex("(?i)error|warning");
    error.most = 5;  // told at most so often a minute; the rest is counted
    error.callback = [](const warden::Alert& alert) {
        std::cout << alert.stream << ": " << alert.line << " (" << alert.suppressed << " more)\n";
    };
    warden::ManagedProcess process = warden::ProcessManager::instance().spawn(
        words, {
                   .timeout = 1min,
                   .alerts = {error, AlertRule::literal("listening", AlertAction::ready),
                              AlertRule::literal("panic", AlertAction::stop)},
               });
    const warden::ExitStatus status = process.wait();
    std::cout << status.to_string() << ", cause " << to_string(process.cause()) << '\n';
    const bool broke = process.cause() == warden::ExitCause::stopped || process.cause() == warden::ExitCause::forced;
    return broke ? 1 : 0;
} catch (const warden::SpawnError& error) {
    std::cerr << error.what() << '\n';
    return 127;
}
