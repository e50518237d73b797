// SPDX-License-Identifier: MIT
// Every line of output calls a function: of both streams, in order, also the last one without a newline.
//
//   04_lines                 three lines, one of them on stderr
//   04_lines ping -c 3 ::1   any command of yours

#include <warden/warden.hpp>

#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) words = {"sh", "-c", "echo one; echo oops >&2; printf 'no newline'"};

    int lines = 0;
    const auto show = [&lines](const warden::OutputLine& line) {
        // On a thread of the manager, one call at a time. All of them are over when `wait` returns.
        ++lines;
        std::cout << (line.stream == warden::Stream::stdout_ ? "out | " : "err | ") << line.text
                  << (line.partial ? " ..." : "") << '\n';
    };
    warden::ManagedProcess process = warden::ProcessManager::instance().spawn(
        words, {
                   .timeout = warden::no_timeout,
                   .on_line = show,
                   .overflow_policy = warden::OverflowPolicy::block,  // rather let the program wait than drop a line
               });
    const warden::ExitStatus status = process.wait();

    std::cout << lines << " lines; " << status.to_string() << '\n';
    return status.exited() ? status.code() : 128 + status.signal();
} catch (const warden::SpawnError& error) {
    std::cerr << error.what() << '\n';
    return 127;
}
