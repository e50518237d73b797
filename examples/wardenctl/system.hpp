// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What each system does in its own way. CMake takes system_posix.cpp or system_windows.cpp.

#include <warden/spawn_options.hpp>
#include <warden/stop_plan.hpp>

#include <cstddef>
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

/// Whether our stdout, or stderr, is a terminal, so that a person reads it.
[[nodiscard]] bool is_terminal(warden::Stream stream = warden::Stream::stdout_);

/// How many columns the terminal has that is our stdout; 0 if it is none.
[[nodiscard]] std::size_t terminal_columns();

/// Whether text on our stdout may be coloured: it is a terminal that can do so, and NO_COLOR is not set.
[[nodiscard]] bool may_use_colours();

/// How to stop a process because nobody reads what it writes.
[[nodiscard]] warden::StopPlan plan_without_reader();

/// Ends this program as a filter ends that nobody reads any more.
[[noreturn]] void end_without_reader();

/// Until there may be more to read. False: nobody reads our stdout any more.
[[nodiscard]] bool wait_for_more(const warden::LogFollower& follower);

/// What happened while a process was attended.
enum class Attention {
    output,     ///< There may be more to read.
    ended,      ///< `ring` was called.
    interrupt,  ///< Ctrl-C, or another request to end.
    quit,       ///< Ctrl-\, or on Windows Ctrl-Break.
    no_reader,  ///< Nobody reads our stdout any more.
};

/// From its birth on, Ctrl-C and its like do not end this program: `wait` returns them. One per program.
class Bell {
public:
    Bell();
    Bell(const Bell&) = delete;
    ~Bell();

    /// Makes `wait` return `ended`. From any thread.
    void ring() noexcept;
    [[nodiscard]] Attention wait(const warden::LogFollower& follower);
};

/// Until the signal or console event that the manager has obeyed ends this program too.
[[noreturn]] void wait_for_own_end();

}  // namespace wardenctl
