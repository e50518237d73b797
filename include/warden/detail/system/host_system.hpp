// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the program is, to this system: its process, its rights, its folders, its own output.
///
/// Knows:         which system this is.
/// Thread-safety: safe, as far as nobody changes the environment meanwhile.

#include <warden/fwd.hpp>
#include <warden/platform.hpp>

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace warden::detail {

/// Another one in a forked copy of the program.
[[nodiscard]] inline Pid current_pid() noexcept;

/// Whether it may signal the processes of all users.
[[nodiscard]] inline bool is_superuser() noexcept;

/// POSIX: by the XDG base directory rules, `$XDG_STATE_HOME/warden`, else `~/.local/state/warden`. Windows: `warden` in
/// the known folder for local application data, else in that for temporary files.
[[nodiscard]] inline std::filesystem::path default_data_directory();

/// Whether files can be made in `directory`, or it can be made.
[[nodiscard]] inline bool is_writable(std::filesystem::path directory);

/// Writes `text` to the program's own stdout (1) or stderr (2), waiting where that is needed. How many bytes could not
/// be written: nobody reads there any more, or the disk is full.
[[nodiscard]] inline std::size_t copy_to(int descriptor, std::string_view text) noexcept;

/// Calls `f` when the program ends by `exit` or by a return from `main`; on POSIX systems also by `quick_exit`.
inline void call_at_exit(void (*f)());

}  // namespace warden::detail

#include <warden/detail/system/host_system_posix.hpp>
#include <warden/detail/system/host_system_windows.hpp>
