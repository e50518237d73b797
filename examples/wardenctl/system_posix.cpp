// SPDX-License-Identifier: MIT
// wardenctl on POSIX systems: descriptors and signals.

#include "system.hpp"
#include <warden/logs/log_follower.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include <poll.h>
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

bool is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }

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

void wait_for_own_end() {
    for (;;) ::pause();
}

}  // namespace wardenctl
