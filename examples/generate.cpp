// SPDX-License-Identifier: MIT
// A long job that starts itself detached: `generate -d 100` prints a uuid and ends, and the job goes on, its log
// bounded. `wardenctl list`, `attach` and `stop` reach it from any shell; without -d it generates here.

#include <warden/detached/detached.hpp>
#include <warden/warden.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

int main(int argc, char** argv) try {
    using namespace std::chrono_literals;
    if (const auto code = warden::run_shim_if_asked(argc, argv))
        return *code;  // the parent of the job is this program too
    const bool detach = argc > 1 && std::string(argv[1]) == "-d";
    const std::string count = argc > 1 + detach ? argv[1 + detach] : "100";
    if (detach) {
        const warden::DetachedProcesses jobs;
        const warden::DetachedProcess job =
            jobs.spawn({argv[0], count}, {.name = "generate", .type = "generation", .timeout = 1h});
        std::cout << job.uuid() << '\n';
        return 0;
    }
    for (int i = 1; i <= std::atoi(count.c_str()); ++i) {
        std::cout << "record " << i << std::endl;
        std::this_thread::sleep_for(100ms);  // as if each were work
    }
} catch (const warden::system_error& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
