// SPDX-License-Identifier: MIT
// Processes whose output is the input of others, as a shell's `|`, without a shell: each has its own status.
//
//   10_pipeline               the most frequent word of three lines
//   10_pipeline WORD...       the most frequent of these words

#include <warden/warden.hpp>

#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
    std::string words = "pear\nfig\npear\n";
    if (argc > 1) words.clear();
    for (int i = 1; i < argc; ++i) words += std::string(argv[i]) + '\n';

    const std::vector<warden::CommandLine> commands{
        {"sort"}, {"uniq", "-c"}, {"sort", "-rn"}, {"head", "-n1"}, {"awk", "{ print $2 }"}};
    const warden::CompletedPipeline done = warden::pipeline(commands, {}, words);

    std::cout << "the most frequent word: " << done.out();
    for (std::size_t i = 0; i < commands.size(); ++i) {
        std::cout << commands[i].to_string() << ": " << done.stages[i].status.to_string() << '\n';
    }
    return done.success() ? 0 : 1;
} catch (const warden::SpawnError& error) {
    std::cerr << error.what() << '\n';
    return 127;
}
