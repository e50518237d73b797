// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the demo does on each system in its own way: the programs that it starts, and how a host is killed. CMake takes
/// system_posix.cpp or system_windows.cpp.

#include <warden/command_line.hpp>
#include <warden/exit_status.hpp>
#include <warden/process_manager.hpp>
#include <warden/stop_plan.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace demo {

/// What asks a program to end here, and what kills it: for texts.
extern const std::string_view request_name, kill_name;

/// Whether a program that does nothing about it ends when it is asked. Wine without a terminal does not tell it.
[[nodiscard]] bool requests_arrive();

/// What the two writers of log lines write; less where pipes are slow.
extern const std::uint64_t flood_bytes, chatter_bytes;

/// The bytes of a file, read such that it can be renamed and replaced meanwhile.
[[nodiscard]] std::string content_of(const std::filesystem::path& path);

/// Writes log lines as fast as the system takes them, until there are so many bytes.
[[nodiscard]] warden::CommandLine writer_of(std::uint64_t bytes);
/// Says "step 1 of 20" and so on, in three seconds.
[[nodiscard]] warden::CommandLine trainer();
/// Says a line, and does not end when it is asked to.
[[nodiscard]] warden::CommandLine stubborn();
/// Says "pid " and the number of a grandchild, which stays and which it does not wait for. As far as a program can
/// leave the tree that it was born in, the grandchild has, and it does not know our environment.
[[nodiscard]] warden::CommandLine escape(const std::string& marker);
/// Does nothing for ten minutes or more.
[[nodiscard]] warden::CommandLine sleeper();
/// This program again.
[[nodiscard]] warden::CommandLine second_host(const std::string& marker);

/// How to stop the model server such that it can close by itself.
[[nodiscard]] warden::StopPlan server_plan(std::uint16_t port);

/// Does what a hidden argument says, if there is one; the exit code then.
[[nodiscard]] std::optional<int> play_a_part(int argc, char** argv);

[[noreturn]] void wait_for_ever();
/// The host itself, not its tree.
void kill_host(warden::ManagedProcess& host);
[[nodiscard]] bool was_killed(const warden::ExitStatus& status);

/// Columns of the terminal that our stdout is, 0 if it does not say; nothing if it is no terminal.
[[nodiscard]] std::optional<std::size_t> terminal_width();

[[nodiscard]] std::uint64_t own_pid();

inline constexpr const char* second_host_flag = "--second-host";

}  // namespace demo
