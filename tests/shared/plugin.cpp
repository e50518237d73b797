// SPDX-License-Identifier: MIT
// A shared library that embeds warden, built with hidden visibility.
#include "plugin.hpp"

#include <warden/warden.hpp>

#include <vector>

namespace {

using warden::ProcessManager;

std::vector<warden::ManagedProcess>& kept() {
    static std::vector<warden::ManagedProcess> processes;
    return processes;
}

const void* manager() { return &ProcessManager::instance(); }

int start(const char* program, const char* name) {
    warden::SpawnOptions options;
    options.name = name;
    kept().push_back(ProcessManager::instance().spawn({program, {"stay"}}, options));
    return kept().back().pid();
}

int stop(const char* name) {
    const bool known = ProcessManager::instance().find(name).has_value();
    return known && ProcessManager::instance().stop(name).clean() ? 1 : 0;
}

unsigned long active() { return ProcessManager::instance().active_pids().size(); }

int code_of(const char* program, const char* code) {
    return ProcessManager::instance().run({program, {"exit", code}}).status.code();
}

}  // namespace

extern "C" __attribute__((visibility("default")))
const Plugin warden_test_plugin{manager, start, stop, active, code_of};
