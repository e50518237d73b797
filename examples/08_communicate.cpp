// SPDX-License-Identifier: MIT
// Talking to a process: write to it, then hand it everything else and collect its answers. No size deadlocks.
//
//   08_communicate           tr, which answers in capitals
//   08_communicate cat -n    any filter of yours

#include <warden/warden.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
    using namespace std::chrono_literals;
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) words = {"tr", "a-z", "A-Z"};

    warden::ManagedProcess process = warden::ProcessManager::instance().spawn(
        words, {
                   .stdin_ = warden::Input::pipe,
                   .stdout_ = warden::Output::capture | warden::Output::log,
                   .stderr_ = warden::Output::merge,  // goes wherever stdout goes
                   .timeout = 10s,
               });
    process.write("dear process,\n");

    std::string letter;  // a mebibyte: far more than fits into the pipes between us
    while (letter.size() < 1 << 20) letter += "the quick brown fox jumps over the lazy dog\n";
    const warden::CompletedProcess answer = process.communicate(letter);  // closes its standard input, and waits

    std::cout << answer.out.substr(0, answer.out.find('\n')) << '\n'
              << letter.size() + 14 << " bytes went in, " << answer.out.size() << " came out; "
              << answer.status.to_string() << '\n';
    return answer.status.exited() ? answer.status.code() : 128 + answer.status.signal();
} catch (const warden::SpawnError& error) {
    std::cerr << error.what() << '\n';
    return 127;
}
