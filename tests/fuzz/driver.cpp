// SPDX-License-Identifier: MIT
// Runs a fuzz target where there is no libFuzzer: first every file of the corpus, then mutations of them.
//   fuzz_x CORPUS [--seconds N] [--seed N]
// CORPUS is a directory, or one file to run alone. An input that ends the program, or takes longer than a minute, is
// left in the current directory.
#include "fuzz.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t max_bytes = 4'096;
constexpr unsigned longest_run_seconds = 60;

std::string running;  // the input
std::string left_as;  // where it is left
volatile bool left = false;

/// Async-signal-safe.
void leave_input() {
    if (left) return;
    left = true;
    const int fd = ::open(left_as.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const auto say = [](std::string_view text) { (void)!::write(STDERR_FILENO, text.data(), text.size()); };
    const bool written =
        fd >= 0 && ::write(fd, running.data(), running.size()) == static_cast<::ssize_t>(running.size());
    say(written ? "fuzz: the input is in " : "fuzz: the input could not be written to ");
    say(left_as);
    say("\n");
}

extern "C" void on_signal(int number) {
    leave_input();
    ::signal(number, SIG_DFL);
    ::raise(number);
}

void run(std::string input) {
    running = std::move(input);
    ::alarm(longest_run_seconds);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(running.data()), running.size());
}

class Mutator {
public:
    Mutator(const std::vector<std::string>& corpus, unsigned seed) : corpus_(corpus), random_(seed) {}

    std::string next() {
        std::string text = one_of_corpus();
        for (std::size_t i = 1 + below(6); i > 0; --i) mutate(text);
        if (text.size() > max_bytes) text.resize(max_bytes);
        return text;
    }

private:
    std::size_t below(std::size_t end) { return end == 0 ? 0 : random_() % end; }
    const std::string& one_of_corpus() { return corpus_[below(corpus_.size())]; }

    std::string piece_of(const std::string& text) {
        const std::size_t begin = below(text.size() + 1);
        return text.substr(begin, 1 + below(below(4) == 0 ? 500 : 20));
    }

    char likely_byte() {
        constexpr std::string_view likely = "\n\n\r| 0az{}[]\",:PF\x80\xC3\xA4\xE2\x82\xF0\xFF";
        return below(3) == 0 ? static_cast<char>(random_()) : likely[below(likely.size())];
    }

    void mutate(std::string& text) {
        const std::size_t at = below(text.size() + 1);
        switch (below(7)) {
            case 0:
                if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
                break;
            case 1:
                if (at < text.size()) text[at] = likely_byte();
                break;
            case 2: text.insert(at, 1, likely_byte()); break;
            case 3: text.insert(at, 1 + below(40), likely_byte()); break;
            case 4: text.erase(at, 1 + below(below(3) == 0 ? 200 : 5)); break;
            case 5: text.insert(at, piece_of(text)); break;
            default: text.replace(at, below(20), piece_of(one_of_corpus()));
        }
    }

    const std::vector<std::string>& corpus_;
    std::minstd_rand random_;
};

std::string slurp(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
    double seconds = 0;
    unsigned seed = 20260131;
    std::filesystem::path corpus_path;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--seconds" && i + 1 < argc) seconds = std::atof(argv[++i]);
        else if (word == "--seed" && i + 1 < argc) seed = static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 10));
        else corpus_path = word;
    }
    std::vector<std::filesystem::path> paths;
    if (std::filesystem::is_directory(corpus_path)) {
        for (const auto& entry : std::filesystem::directory_iterator(corpus_path)) paths.push_back(entry.path());
        std::sort(paths.begin(), paths.end());
    } else if (std::filesystem::is_regular_file(corpus_path)) {
        paths.push_back(corpus_path);
    }
    if (paths.empty()) {
        std::fprintf(stderr, "usage: %s CORPUS [--seconds N] [--seed N]\n", argv[0]);
        return 2;
    }
    left_as = "crash-" + std::filesystem::path(argv[0]).filename().string() + '-' + std::to_string(::getpid());
    running.reserve(max_bytes);
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM}) ::signal(number, on_signal);
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(leave_input);

    std::vector<std::string> corpus;
    for (const auto& path : paths) {
        corpus.push_back(slurp(path));
        run(corpus.back());
    }
    std::printf("fuzz: %zu files of the corpus, no fault\n", corpus.size());
    if (seconds <= 0) return 0;
    std::printf("fuzz: seed %u\n", seed);
    std::fflush(stdout);
    Mutator mutator(corpus, seed);
    std::size_t runs = 0;
    const auto begin = Clock::now();
    const auto elapsed = [begin] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
    for (; elapsed() < seconds; ++runs) run(mutator.next());
    std::printf("fuzz: %zu mutations, %.0f a second, no fault\n", runs, static_cast<double>(runs) / elapsed());
}
