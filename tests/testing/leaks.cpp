// SPDX-License-Identifier: MIT
#include "leaks.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace leaks {
namespace {

int checked(int result) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), "leak");
    return result;
}

/// A pipe that is closed by an execution: its reader sees the end of file when every copy is executed or gone.
struct Pipe {
    int ends[2] = {-1, -1};
    Pipe() { checked(::pipe2(ends, O_CLOEXEC)); }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        for (const int end : ends) ::close(end);
    }
    void wait_for_others() {
        ::close(std::exchange(ends[1], -1));
        char byte = 0;
        while (::read(ends[0], &byte, 1) < 0 && errno == EINTR) {}
    }
};

[[noreturn]] void run_sleep() {
    ::alarm(60);
    ::execlp("sleep", "sleep", "60", static_cast<char*>(nullptr));
    ::_exit(127);
}

[[noreturn]] void run_pause(Pipe& started) {
    ::alarm(60);
    for (const int end : started.ends) ::close(end);
    for (;;) ::pause();
}

/// Runs `body` in a child and waits until that has executed something or closed its ends.
template <class Body>
pid_t in_child(Body body) {
    Pipe started;
    const pid_t pid = checked(::fork());
    if (pid == 0) body(started);
    started.wait_for_others();
    return pid;
}

/// The same in a grandchild; the child ends and is waited for.
template <class Body>
void in_orphan(bool own_session, Body body) {
    const pid_t pid = in_child([&](Pipe& started) {
        if (own_session) ::setsid();
        const pid_t orphan = ::fork();
        if (orphan == 0) body(started);
        ::_exit(orphan < 0);
    });
    checked(::waitpid(pid, nullptr, 0));
}

int listen_on(const sockaddr* address, socklen_t size) {
    const int fd = checked(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    checked(::bind(fd, address, size));
    checked(::listen(fd, 1));
    return fd;
}

int listen_v4() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return listen_on(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

int listen_v6() {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    return listen_on(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

int listen_unix() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = "warden-test-" + std::to_string(::getpid());
    name.copy(address.sun_path + 1, sizeof address.sun_path - 2);
    return listen_on(reinterpret_cast<const sockaddr*>(&address),
                     static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size()));
}

void leave_child_port() {
    const int fd = listen_v4();
    in_child([](Pipe& started) { run_pause(started); });
    ::close(fd);
}

void leave_pipe() {
    int ends[2];
    checked(::pipe2(ends, O_CLOEXEC));
}

void leave_held_pipe() {
    int ends[2];
    checked(::pipe2(ends, O_CLOEXEC));
    in_child([&](Pipe&) {
        ::dup2(ends[1], STDOUT_FILENO);
        run_sleep();
    });
    ::close(ends[1]);
}

void leave_nothing() {
    const pid_t pid = in_child([](Pipe&) { ::_exit(0); });
    checked(::waitpid(pid, nullptr, 0));
    in_orphan(true, [](Pipe&) { ::_exit(0); });
    ::close(listen_v4());
    const Pipe closed;
}

}  // namespace

void leave_daemon() {
    in_orphan(true, [](Pipe&) { run_sleep(); });
}

int leave_zombie() {
    const pid_t pid = in_child([](Pipe&) { ::_exit(0); });
    siginfo_t info{};
    checked(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT));
    return pid;
}

void leave_ending() {
    in_orphan(true, [](Pipe& started) {
        const itimerval half_a_second{{0, 0}, {0, 500'000}};
        ::setitimer(ITIMER_REAL, &half_a_second, nullptr);
        for (const int end : started.ends) ::close(end);
        for (;;) ::pause();
    });
}

void leave(const std::string& name) {
    static const std::map<std::string, void (*)()> all{
        {"nothing", leave_nothing},
        {"process", [] { in_child([](Pipe&) { run_sleep(); }); }},
        {"forked", [] { in_child([](Pipe& started) { run_pause(started); }); }},
        {"orphan", [] { in_orphan(false, [](Pipe&) { run_sleep(); }); }},
        {"daemon", leave_daemon},
        {"zombie", [] { leave_zombie(); }},
        {"port", [] { listen_v4(); }},
        {"port6", [] { listen_v6(); }},
        {"unix", [] { listen_unix(); }},
        {"child-port", leave_child_port},
        {"pipe", leave_pipe},
        {"held-pipe", leave_held_pipe},
    };
    all.at(name)();
}

}  // namespace leaks
