// SPDX-License-Identifier: MIT
// A ProcessManager inside a leak guard: its helpers are no leak, a process that is held longer than the guard is one.
#include <warden/testing/leak_guard.hpp>
#include <warden/warden.hpp>

#include <iostream>
#include <string>

#include <unistd.h>

int main(int argc, char* argv[]) {
    using warden::testing::LeakGuard;
    using namespace std::chrono_literals;
    if (argc != 2) return 64;
    ::alarm(60);
    auto config = warden::ManagerConfig::from_environment();
    config.handle_signals = false;
    if (argv[1] != std::string("auto")) config.mechanism = warden::Mechanism::keeper;
    warden::ProcessManager::configure(config);
    LeakGuard guard;
    auto& manager = warden::ProcessManager::instance();
    if (manager.guardian_pid() == 0) return 1;
    static_cast<void>(manager.run({"sh", "-c", "(setsid sleep 60 >/dev/null 2>&1 &) ; exit 0"}));
    if (const auto leaks = guard.check(); !leaks.empty()) {
        std::cerr << "a manager that has cleaned up leaves nothing, but:\n" << to_string(leaks);
        return 1;
    }
    const warden::ManagedProcess held =
        manager.spawn({"sleep", "60"}, {.stdout_ = warden::Output::null, .stderr_ = warden::Output::null});
    const auto leaks = guard.check(0s);
    std::cerr << to_string(leaks);
    if (leaks.size() != 1 || leaks.front().pid != held.pid()) return 1;
    guard.dismiss();
    return 0;
}
