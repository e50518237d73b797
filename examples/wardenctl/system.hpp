// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What each system does in its own way. CMake takes system_posix.cpp or system_windows.cpp.

#include <warden/spawn_options.hpp>
#include <warden/stop_plan.hpp>

#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace warden {
class LogFollower;
}

namespace wardenctl {

/// To be called before all else: from then on a reader that is gone shows when we write, and ends nothing.
/// The arguments in UTF-8, without the name of the program.
[[nodiscard]] std::vector<std::string> begin(int argc, char** argv);

/// All of `text` to our own stdout or stderr, byte for byte, however slow its reader is. Safe from any thread. The
/// codes are those of the system; `std::errc::broken_pipe` stands for all that mean that nobody reads.
[[nodiscard]] std::error_code copy_to(warden::Stream stream, std::string_view text);

/// Whether our stdout is a terminal, so that a person reads it.
[[nodiscard]] bool is_terminal();

/// How to stop a process because nobody reads what it writes.
[[nodiscard]] warden::StopPlan plan_without_reader();

/// Ends this program as a filter ends that nobody reads any more.
[[noreturn]] void end_without_reader();

/// Until there may be more to read. False: nobody reads our stdout any more.
[[nodiscard]] bool wait_for_more(const warden::LogFollower& follower);

/// Until the signal or console event that the manager has obeyed ends this program too.
[[noreturn]] void wait_for_own_end();

}  // namespace wardenctl
