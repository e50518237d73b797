// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a program does that was asked to be a shim: it leaves its parent, greets, takes its request, and is the shim.
///
/// Knows:         that its standard input is the channel to the program that asked.
/// Thread-safety: called once, before the program has threads.

#include <warden/detail/detached/line_channel_posix.hpp>
#include <warden/detail/detached/shim_posix.hpp>
#include <warden/detail/detached/shim_program_posix.hpp>

#if WARDEN_OS_POSIX
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace warden::detail {

/// The exit code of the program.
[[nodiscard]] inline int run_shim();

// -- implementation ----------------------------------------------------------

/// Takes the channel away from standard input; empty if it is no socket.
[[nodiscard]] inline LineChannel take_channel() noexcept {
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return {};
    UniqueFd channel(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!channel || !null || ::dup2(null.get(), STDIN_FILENO) < 0) return {};
    return LineChannel(std::move(channel));
}

/// The child of this process goes on, as the head of a session of its own; its parent is whoever adopts orphans.
[[nodiscard]] inline bool leave_parent() noexcept {
    const pid_t child = ::fork();
    if (child > 0) ::_exit(0);
    return child == 0 && ::setsid() > 0;
}

inline void take_signals() noexcept {
    struct sigaction action {};
    action.sa_handler = Shim::on_signal;
    sigemptyset(&action.sa_mask);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaction(number, &action, nullptr);
    action.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &action, nullptr);
}

/// Starts what `text` asks for, and says what became of it. True if the program that asked has learnt that it runs.
[[nodiscard]] inline std::unique_ptr<Shim> start_requested(LineChannel& channel, const std::string& text,
                                                           SteadyTime deadline) {
    std::unique_ptr<Shim> shim;
    try {
        shim = std::make_unique<Shim>(read_request(text));
        shim->start();
    } catch (const SpawnError& error) {
        static_cast<void>(channel.send(refusal(error), deadline));
        return nullptr;
    } catch (const std::exception& error) {
        static_cast<void>(channel.send(refusal(errc::invalid_options, error.what()), deadline));
        return nullptr;
    }
    error_code ec = channel.send("{\"ok\":true,\"pid\":" + std::to_string(shim->pid()) + "}", deadline);
    if (!ec) static_cast<void>(channel.receive(deadline, ec));
    if (!ec) return shim;
    shim->undo();
    return nullptr;
}

inline int run_shim() {
    constexpr int no_use = 64;  // EX_USAGE
    LineChannel channel = take_channel();
    if (!channel || !leave_parent()) return no_use;
    name_shim();
    take_signals();
    const SteadyTime deadline = deadline_after(SteadyTime::clock::now(), std::chrono::seconds(60));
    const std::string greeting =
        "{\"shim\":" + std::to_string(shim_protocol_version) + ",\"version\":\"" + version_text() + "\"}";
    if (channel.send(greeting, deadline)) return 1;
    error_code ec;
    const std::string request = channel.receive(deadline, ec);
    if (ec) return 1;
    const auto shim = start_requested(channel, request, deadline);
    channel.close();
    if (!shim || ::chdir("/") != 0) return 1;
    shim->run();
    return 0;
}

}  // namespace warden::detail
#endif
