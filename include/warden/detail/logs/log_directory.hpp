// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `LogDirectory`, a directory of logs, of which some are to be removed.
///
/// Knows:         which system this is; how no link below the root leads away, and which files are in use.
/// Does not know: which logs are to go.
/// Thread-safety: one thread at a time.
/// Errors:        the system's code.
/// Allocates:     names.

#include <warden/detail/logs/stored_file.hpp>
#include <warden/error.hpp>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <optional>

namespace warden::detail {

/// What became of a file that was to be removed.
enum class LogRemoval : std::uint8_t {
    removed,
    in_use,  ///< Somebody writes it; on Windows, or has it open and does not let it be removed.
    other,   ///< It is gone, or not what it was.
    failed,
};

/// Open as long as it, or on Windows one below it, lives.
template <class Directory>
concept HoldsLogDirectory = std::default_initializable<Directory> && std::movable<Directory> &&
    requires(const Directory& held, const std::filesystem::path& root, const typename Directory::Name& name,
             const StoredFile& seen, void (*found)(const typename Directory::Name&, bool), error_code& ec) {
    { Directory::open(root, ec) } -> std::same_as<Directory>;

    static_cast<bool>(held);

    // The directory of that name in it, unless that is a link.
    { held.below(name, ec) } -> std::same_as<Directory>;

    // Calls `found(name, is_directory)` for every directory and every regular file, not for links.
    held.for_each(ec, found);

    // Nothing if it is no file that may be a log, or is gone.
    { held.look_at(name) } -> std::same_as<std::optional<StoredFile>>;

    // Removes the file if it still is the one that was `seen`, and nobody writes it.
    { held.remove(name, seen, ec) } -> std::same_as<LogRemoval>;

    // False unless it was an empty directory, which is gone now.
    { held.remove_directory(name) } -> std::same_as<bool>;
};

}  // namespace warden::detail

#include <warden/detail/logs/log_directory_posix.hpp>
#include <warden/detail/logs/log_directory_windows.hpp>
