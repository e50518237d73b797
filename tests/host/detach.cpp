// SPDX-License-Identifier: MIT
#include "detach.hpp"

#include <warden/detached/detached.hpp>
#include <warden/warden.hpp>

#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

int detach(int argc, char** argv) {
    if (argc < 6) return 64;
    ::alarm(60);
    warden::ManagerConfig config;
    for (const auto mechanism :
         {warden::Mechanism::cgroup, warden::Mechanism::keeper, warden::Mechanism::process_group}) {
        if (to_string(mechanism) == std::string_view(argv[2])) config.mechanism = mechanism;
    }
    config.data_directory = argv[3];
    warden::ProcessManager manager(config);
    const auto process =
        manager.spawn(std::vector<std::string>(argv + 5, argv + argc), {.name = "job", .detached = true});
    std::cout << process.uuid() << std::endl;
    while (argv[4] == std::string_view("stay")) ::pause();
    return 0;
}
