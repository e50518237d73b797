// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A manager as the benchmarks use it: everything on, in a folder of its own.

#include "bench.hpp"
#include <warden/warden.hpp>

#include <string>

namespace bench {

/// Everything as by default, event log included; only the folder is a temporary one.
[[nodiscard]] inline warden::ManagerConfig warden_config(const TemporaryFolder& folder, warden::Mechanism mechanism) {
    warden::ManagerConfig config;
    config.data_directory = folder.path() / std::string(warden::to_string(mechanism));
    config.mechanism = mechanism;
    return config;
}

/// Why no process can be contained so here; empty if one can.
[[nodiscard]] inline std::string why_not(warden::Mechanism mechanism) {
    try {
        const TemporaryFolder folder;
        warden::ProcessManager manager(warden_config(folder, mechanism));
        static_cast<void>(manager.run({beside("noop")}));
        return manager.containment().mechanism == mechanism ? "" : manager.containment().why_not_stronger;
    } catch (const std::exception& failed) {
        return failed.what();
    }
}

/// Those of the two mechanisms that work here; a line about the others.
[[nodiscard]] inline std::vector<warden::Mechanism> mechanisms_here() {
    std::vector<warden::Mechanism> usable;
    for (const auto mechanism : {warden::Mechanism::cgroup, warden::Mechanism::keeper}) {
        const std::string reason = why_not(mechanism);
        if (reason.empty()) usable.push_back(mechanism);
        else std::cerr << "bench: " << to_string(mechanism) << " is not measured: " << reason << '\n';
    }
    return usable;
}

}  // namespace bench
