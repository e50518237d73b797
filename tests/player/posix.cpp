// SPDX-License-Identifier: MIT
#include "system.hpp"

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <unistd.h>

extern char** environ;

namespace player {
namespace {

constexpr unsigned minute = 60;  // whatever stays ends by itself then

void write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t size = ::write(fd, text.data(), text.size());
        if (size < 0 && errno != EINTR) ::_exit(1);
        if (size > 0) text.remove_prefix(static_cast<std::size_t>(size));
    }
}

}  // namespace

void put(Stream to, std::string_view text) { write_all(to == Stream::out ? STDOUT_FILENO : STDERR_FILENO, text); }

std::string read_input(std::size_t size) {
    std::string text(size, '\0');
    ssize_t read = 0;
    do read = ::read(STDIN_FILENO, text.data(), size);
    while (read < 0 && errno == EINTR);
    text.resize(read > 0 ? static_cast<std::size_t>(read) : 0);
    return text;
}

void close_output() {
    ::close(STDOUT_FILENO);
    ::close(STDERR_FILENO);
}

void close_input() { ::close(STDIN_FILENO); }

void append(const std::string& path, std::string_view text) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) ::_exit(1);
    write_all(fd, text);
    ::close(fd);
}

long long own_pid() { return ::getpid(); }

std::string environment() {
    std::string text;
    for (char** variable = environ; *variable; ++variable) (text += *variable) += '\0';
    return text;
}

int handle_count() {
    int count = 0;
    for (int fd = 0; fd < 4096; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
}

void start(const Words& orders) {
    int told[2];
    if (::pipe(told) != 0) ::_exit(1);
    ::signal(SIGCHLD, SIG_IGN);  // no zombies
    const pid_t child = ::fork();
    if (child < 0) ::_exit(1);
    if (child > 0) {
        put(Stream::out, std::to_string(child) + '\n');
        ::close(told[0]);
        ::close(told[1]);
        return;
    }
    ::alarm(minute);
    ::close(told[1]);
    char nothing = 0;
    while (::read(told[0], &nothing, 1) < 0 && errno == EINTR) {}  // until the pid is told
    ::close(told[0]);
    ::_exit(play(orders));
}

void await(const std::string& gate) {
    const int fd = ::open(gate.c_str(), O_RDONLY | O_CLOEXEC);  // until somebody has it open for writing
    if (fd < 0) ::_exit(1);
    ::close(fd);
}

void ignore_requests() {
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::signal(number, SIG_IGN);
}

void go_away() { ::setsid(); }

void crash() {
    ::signal(SIGSEGV, SIG_DFL);
    ::raise(SIGSEGV);
    ::_exit(1);
}

void stay() {
    for (;;) ::pause();
}

void end(unsigned long long code) { ::_exit(static_cast<int>(code)); }

}  // namespace player

int main(int argc, char* argv[]) {
    ::alarm(player::minute);
    return player::play(player::Words(argv + 1, argv + argc));
}
