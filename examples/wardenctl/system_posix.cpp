// SPDX-License-Identifier: MIT
// wardenctl on POSIX systems: descriptors and signals.

#include "system.hpp"
#include <warden/logs/log_follower.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace wardenctl {

std::vector<std::string> begin(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    if (argc < 1) return {};
    return {argv + 1, argv + argc};
}

std::error_code copy_to(warden::Stream stream, std::string_view text) {
    const int descriptor = stream == warden::Stream::stdout_ ? STDOUT_FILENO : STDERR_FILENO;
    while (!text.empty()) {
        const ssize_t size = ::write(descriptor, text.data(), text.size());
        if (size >= 0) {
            text.remove_prefix(static_cast<std::size_t>(size));
        } else if (errno == EAGAIN) {  // somebody else made it non-blocking
            pollfd room{descriptor, POLLOUT, 0};
            ::poll(&room, 1, -1);
        } else if (errno != EINTR) {
            return {errno, std::system_category()};
        }
    }
    return {};
}

bool is_terminal(warden::Stream stream) {
    return ::isatty(stream == warden::Stream::stdout_ ? STDOUT_FILENO : STDERR_FILENO) == 1;
}

std::size_t terminal_columns() {
    winsize size{};
    if (!is_terminal()) return 0;
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}

bool may_use_colours() {
    const char* const kind = std::getenv("TERM");
    const char* const refused = std::getenv("NO_COLOR");
    return is_terminal() && (refused == nullptr || *refused == '\0') && kind != nullptr &&
           std::string_view(kind) != "dumb";
}

/// As in a pipeline without us, it gets SIGPIPE.
warden::StopPlan plan_without_reader() {
    using namespace std::chrono_literals;
    return warden::StopPlan{}.signal(SIGPIPE, 500ms).terminate(3s).kill(2s).last_resort(1s);
}

void end_without_reader() {
    std::signal(SIGPIPE, SIG_DFL);
    ::raise(SIGPIPE);
    std::_Exit(128 + SIGPIPE);  // who started us has blocked it
}

bool wait_for_more(const warden::LogFollower& follower) {
    std::array<pollfd, 2> events{
        {{warden::detail::LogFollowerAccess::wait_handle(follower), POLLIN, 0}, {STDOUT_FILENO, 0, 0}}};
    while (::poll(events.data(), events.size(), -1) < 0) {
        if (errno != EINTR) throw std::system_error(errno, std::system_category(), "poll");
    }
    return (events[1].revents & POLLERR) == 0;
}

namespace {

std::array<int, 2> bell_pipe{-1, -1};

void put(char what) noexcept {
    const int kept = errno;
    (void)!::write(bell_pipe[1], &what, 1);
    errno = kept;
}

extern "C" void on_request(int number) { put(number == SIGQUIT ? 'q' : 'i'); }

}  // namespace

Bell::Bell() {
    if (::pipe(bell_pipe.data()) != 0) throw std::system_error(errno, std::system_category(), "pipe");
    for (const int end : bell_pipe) {
        (void)::fcntl(end, F_SETFD, FD_CLOEXEC);
        (void)::fcntl(end, F_SETFL, O_NONBLOCK);
    }
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
        struct sigaction action {};
        action.sa_handler = on_request;
        action.sa_flags = SA_RESTART;
        ::sigaction(number, &action, nullptr);
    }
}

Bell::~Bell() {
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) std::signal(number, SIG_DFL);
    for (const int end : bell_pipe) ::close(end);
}

void Bell::ring() noexcept { put('e'); }

Attention Bell::wait(const warden::LogFollower& follower) {
    std::array<pollfd, 3> events{{{warden::detail::LogFollowerAccess::wait_handle(follower), POLLIN, 0},
                                  {STDOUT_FILENO, 0, 0},
                                  {bell_pipe[0], POLLIN, 0}}};
    while (::poll(events.data(), events.size(), -1) < 0) {
        if (errno != EINTR) throw std::system_error(errno, std::system_category(), "poll");
    }
    char what = 0;
    if (events[2].revents != 0 && ::read(bell_pipe[0], &what, 1) == 1)
        return what == 'q' ? Attention::quit : what == 'i' ? Attention::interrupt : Attention::ended;
    return (events[1].revents & POLLERR) != 0 ? Attention::no_reader : Attention::output;
}

void wait_for_own_end() {
    for (;;) ::pause();
}

}  // namespace wardenctl
