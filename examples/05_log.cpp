// SPDX-License-Identifier: MIT
// A log file that stays within its bound at every instant, whatever is written to it.
//
//   05_log                       a hundred thousand lines
//   05_log find / -name core     any command of yours

#include <warden/warden.hpp>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) words = {"seq", "1", "100000"};

    warden::LogOptions log;
    log.naming = warden::LogNaming::pattern("{type}/{name}-{uuid}.log");  // below the log directory of the manager
    log.limits = {.max_lines = 100, .max_chars = 8000};                   // whichever is reached first
    log.on_limit = warden::OnLimit::keep_newest;                          // or OnLimit::rotate(3), for high volume

    warden::ManagedProcess process = warden::ProcessManager::instance().spawn(
        words, {.name = "counter", .type = "example", .log = log, .timeout = warden::no_timeout});
    const warden::ExitStatus status = process.wait();

    const auto kept = warden::tail_file(process.log_path(), 1000);  // from the file; any program may do this
    std::cout << process.info().output_bytes << " bytes were written, the file has " << file_size(process.log_path())
              << " bytes in " << kept.size() << " lines\n";
    for (const std::string& line : process.tail(2)) std::cout << "  " << line << '\n';  // from memory

    std::cout << (kept.size() <= log.limits.max_lines ? "within the bound" : "OVER THE BOUND") << '\n';
    remove(process.log_path());
    return status.exited() ? status.code() : 128 + status.signal();
} catch (const warden::SpawnError& error) {
    std::cerr << error.what() << '\n';
    return 127;
}
