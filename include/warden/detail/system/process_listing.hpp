// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What this system says of processes, for listings and reports: never a proof of who is who.
///
/// Knows:         which system this is, and what it does not say: POSIX alone knows no parents, commands, states, users
///                and pipes; Windows knows no holders of pipes.
/// Thread-safety: safe. What vanishes while it is read is left out.
/// Errors:        an `error_code` where what is absent must not be taken for what is not there; else absent values.

#include <warden/error.hpp>
#include <warden/fwd.hpp>
#include <warden/platform.hpp>
#include <warden/process_info.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace warden::detail {

/// What is known of a process, by its pid; nothing if it is gone, or if `ec` says why it cannot be looked at. One that
/// has ended and is not reaped still exists.
[[nodiscard]] inline std::optional<TreeMember> member(Pid pid, error_code& ec);

/// What it executes, where, and its environment, as far as the system says; the rest has an error.
[[nodiscard]] inline MemberDetails member_details(Pid pid);

/// The children of a process; none where no system of this kind says. `ec` says why there may be more.
[[nodiscard]] inline std::vector<Pid> children(Pid pid, error_code& ec);

/// Who of `pids` has the pipe open for writing; 0 if nobody, or where the system does not say.
[[nodiscard]] inline Pid pipe_writer(const std::vector<Pid>& pids, std::uint64_t pipe);

/// In words, why a process still lives though everything was done to end it.
[[nodiscard]] inline std::string why_alive(const TreeMember& member);

/// "pid 12345 (python app.py)"; without the command where it is unknown.
[[nodiscard]] inline std::string process_in_words(Pid pid, std::string command) {
    constexpr std::size_t max_command = 200;  // bytes
    if (command.size() > max_command) command.resize(max_command);
    return "pid " + std::to_string(pid) + (command.empty() ? "" : " (" + command + ')');
}
[[nodiscard]] inline std::string process_in_words(Pid pid) {
    error_code ignored;
    const auto process = member(pid, ignored);
    return process_in_words(pid, process ? process->command : std::string());
}

}  // namespace warden::detail

#include <warden/detail/system/process_listing_linux.hpp>
#include <warden/detail/system/process_listing_portable.hpp>
#include <warden/detail/system/process_listing_windows.hpp>
