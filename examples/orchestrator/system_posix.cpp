// SPDX-License-Identifier: MIT
#include "system.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <sys/ioctl.h>
#include <unistd.h>

namespace demo {

using warden::CommandLine;

constexpr std::string_view request_name = "SIGTERM", kill_name = "SIGKILL";
constexpr std::uint64_t flood_bytes = 1u << 30, chatter_bytes = 1u << 27;

bool requests_arrive() { return true; }

std::string content_of(const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

CommandLine writer_of(std::uint64_t bytes) {
    return CommandLine::shell(
        "yes '2026-01-31 12:00:00 INFO worker-7 epoch 3 step 1200 loss 0.4731 lr 0.0003' | head -c " +
        std::to_string(bytes));
}

CommandLine trainer() { return CommandLine::shell("for i in $(seq 1 20); do echo step $i of 20; sleep 0.15; done"); }

CommandLine stubborn() {
    return CommandLine::shell("trap '' TERM INT HUP; echo 'SIGTERM? no.'; while :; do sleep 1000; done");
}

/// In a session of its own, with an empty environment.
CommandLine escape(const std::string& marker) {
    return {"sh", "-c", "env -i setsid -f sh -c 'echo pid $$; while :; do sleep 1000; done' \"$0\"", marker};
}

CommandLine sleeper() { return CommandLine::shell("echo 'this will take a while'; sleep 600"); }

CommandLine second_host(const std::string& marker) {
    return {std::filesystem::read_symlink("/proc/self/exe").string(), second_host_flag, marker};
}

warden::StopPlan server_plan(std::uint16_t) { return warden::StopPlan::prompt(); }

std::optional<int> play_a_part(int, char**) { return std::nullopt; }  // shells do

void wait_for_ever() {
    for (;;) ::pause();
}

void kill_host(warden::ManagedProcess& host) { host.signal(SIGKILL); }

bool was_killed(const warden::ExitStatus& status) { return status.signal() == SIGKILL; }

std::optional<std::size_t> terminal_width() {
    if (::isatty(STDOUT_FILENO) != 1) return std::nullopt;
    winsize size{};
    return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::uint64_t own_pid() { return static_cast<std::uint64_t>(::getpid()); }

}  // namespace demo
