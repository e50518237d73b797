// SPDX-License-Identifier: MIT
// One command from start to end: its exit status, its output, how long it took, and why it ended.
//
//   01_run                       sort, fed with three lines
//   01_run git rev-parse HEAD    any command of yours

#include <warden/warden.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) {
    using namespace std::chrono_literals;
    std::vector<std::string> words(argv + 1, argv + argc);
    std::string input;
    if (words.empty()) {
        words = {"sort"};
        input = "cherry\nbanana\napple\n";
    }
    try {
        // Nothing that the command starts outlives this call.
        const warden::CompletedProcess done = warden::ProcessManager::instance().run(words, {.timeout = 10s}, input);
        std::cout << done.out;
        std::cerr << done.err;
        std::cout << "-- " << done.status.to_string() << " (cause: " << to_string(done.cause) << ") after "
                  << std::chrono::duration<double, std::milli>(done.duration).count() << " ms\n";
        return done.status.exited() ? done.status.code() : 128 + done.status.signal();
    } catch (const warden::SpawnError& error) {
        std::cerr << error.what() << '\n';
        return 127;
    }
}
