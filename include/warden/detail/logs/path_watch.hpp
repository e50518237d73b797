// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `PathWatch` wakes its owner when a file, or what is at its path, may have changed.
///
/// Knows:         which system this is. Linux: inotify(7); Windows: ReadDirectoryChangesW; elsewhere there is none.
/// Does not know: what changed: the owner looks for himself. So a queue that overflowed loses nothing.
/// Thread-safety: one thread at a time.
/// Errors:        the system's code; "function not supported" where there is none.
/// Allocates:     the name of the directory.

#include <warden/detail/logs/log_access.hpp>
#include <warden/error.hpp>
#include <warden/timeout.hpp>

#include <concepts>
#include <filesystem>

namespace warden::detail {

/// Watches a directory, always for its own end; for new files in it and for one file only while that is asked for, so
/// that a directory full of busy logs wakes nobody who follows another. Who was told `true` looks again before he
/// waits. One that was not opened is false.
template <class Watch>
concept WatchesPaths = std::default_initializable<Watch> && std::movable<Watch> &&
    requires(Watch& watch, const Watch& held, const std::filesystem::path& path, const LogStatus& found, bool new_files,
             SteadyTime deadline, error_code& ec) {
    { Watch::open(path, ec) } -> std::same_as<Watch>;  // of a directory

    static_cast<bool>(held);

    // For an event loop: readable or signalled when there is something to look at.
    { held.handle() }
    noexcept->std::same_as<typename Watch::Handle>;

    // What has happened so far wakes nobody any more.
    { watch.drain() }
    noexcept;

    // True if the watch is new. ENOENT: the directory is gone.
    { watch.watch_directory(new_files, ec) } -> std::same_as<bool>;

    // Watches the file `found` at `path` and no other. True if the watch is new, or the file is gone.
    { watch.watch_file(path, found, ec) } -> std::same_as<bool>;
    { watch.forget_file() }
    noexcept;

    // False when it is `deadline`.
    { held.wait_until(deadline, ec) }
    noexcept->std::same_as<bool>;
};

}  // namespace warden::detail

#include <warden/detail/logs/path_watch_linux.hpp>
#include <warden/detail/logs/path_watch_portable.hpp>
#include <warden/detail/logs/path_watch_windows.hpp>
