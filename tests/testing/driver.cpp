// SPDX-License-Identifier: MIT
// Runs a test program and judges it:  driver EXIT [+WANTED | -UNWANTED]... -- PROGRAM ARGUMENTS...
//
// EXIT is an exit code, or "signal N"; the texts are regular expressions for what it prints. Whatever it leaves behind
// must be gone soon afterwards; what is not is ended here, and the verdict is red.
#include <support/census.hpp>
#include <support/process.hpp>

#include <chrono>
#include <iostream>
#include <regex>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr std::chrono::seconds patience{20};
int failures = 0;

void fail(const std::string& text) {
    ++failures;
    std::cerr << "driver: " << text << '\n';
}

/// All that is written to the pipe, until nobody has it open or the patience is over.
std::string read_all(int fd) {
    const auto end = std::chrono::steady_clock::now() + patience;
    std::string text;
    char buffer[4096];
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
        pollfd ready{fd, POLLIN, 0};
        if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left)) == 0) {
            fail("somebody still holds its output");
            return text;
        }
        const ssize_t size = ::read(fd, buffer, sizeof buffer);
        if (size == 0) return text;
        if (size > 0) text.append(buffer, static_cast<std::size_t>(size));
    }
}

std::string describe(int status) {
    return WIFEXITED(status) ? std::to_string(WEXITSTATUS(status)) : "signal " + std::to_string(WTERMSIG(status));
}

bool all_are_gone() {
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {}
    return support::descendants().empty();
}

}  // namespace

int main(int argc, char* argv[]) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    std::size_t command = 1;
    while (command < words.size() && words[command] != "--") ++command;
    if (++command >= words.size()) return 64;

    support::become_subreaper();
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return 70;
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::dup2(ends[1], STDERR_FILENO);
        ::execv(argv[command + 1], argv + command + 1);
        ::_exit(127);
    }
    ::close(ends[1]);
    const std::string output = read_all(ends[0]);
    if (!support::eventually([&] { return !support::is_alive(pid); }, patience)) ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
    std::cout << output;

    if (describe(status) != words[0]) fail("it ended with " + describe(status) + ", wanted " + words[0]);
    for (std::size_t i = 1; i + 1 < command; ++i) {
        const bool is_wanted = words[i].front() == '+';
        const std::string text = words[i].substr(1);
        if (std::regex_search(output, std::regex(text)) != is_wanted) {
            fail((is_wanted ? "it does not say: " : "it says: ") + text);
        }
    }
    if (!support::eventually(all_are_gone)) {
        for (const pid_t left : support::descendants()) fail("left: " + support::describe_process(left));
        support::end_all_descendants();
    }
    return failures == 0 ? 0 : 1;
}
