// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The files below a directory of logs, found without following a link below it.
///
/// Knows:         directories, eight levels of them at most.
/// Does not know: what the files are.
/// Thread-safety: distinct objects: safe.
/// Errors:        of directories, by code; what is gone when it is looked at is no error.
/// Allocates:     names.

#include <warden/detail/logs/log_directory.hpp>
#include <warden/error.hpp>

#include <cstddef>
#include <filesystem>
#include <utility>
#include <vector>

namespace warden::detail {

class LogWalk {
public:
    using Name = LogDirectory::Name;
    /// The names of the directories that lead to a file, from the root down.
    using Directories = std::vector<Name>;

    static constexpr std::size_t max_levels = 8;

    explicit LogWalk(std::filesystem::path root) : root_(std::move(root)) {}

    /// Each level is opened from the one above it, so that no link leads away.
    [[nodiscard]] LogDirectory open(const Directories& directories, error_code& ec) const;

    [[nodiscard]] std::filesystem::path path_of(const Directories& directories) const;

    /// Calls `file(directory, directories, name)` for each file that is no link, with the open directory that it is in,
    /// and `failed(directories, ec)` for a directory that cannot be read.
    template <class File, class Failed>
    void run(File file, Failed failed) const;

private:
    template <class File, class Failed>
    void enter(const LogDirectory& directory, const Directories& directories, File& file, Failed& failed) const;

    std::filesystem::path root_;
};

// -- implementation ----------------------------------------------------------

inline LogDirectory LogWalk::open(const Directories& directories, error_code& ec) const {
    LogDirectory directory = LogDirectory::open(root_, ec);
    for (const Name& name : directories) {
        if (!ec) directory = directory.below(name, ec);
    }
    return directory;
}

inline std::filesystem::path LogWalk::path_of(const Directories& directories) const {
    std::filesystem::path path = root_;
    for (const Name& name : directories) path /= name;
    return path;
}

template <class File, class Failed>
void LogWalk::run(File file, Failed failed) const {
    error_code ec;
    const LogDirectory root = LogDirectory::open(root_, ec);
    if (ec) failed(Directories{}, ec);
    else enter(root, {}, file, failed);
}

template <class File, class Failed>
void LogWalk::enter(const LogDirectory& directory, const Directories& directories, File& file, Failed& failed) const {
    error_code ec;
    directory.for_each(ec, [&](const Name& name, bool is_directory) {
        if (!is_directory) return file(directory, directories, name);
        if (directories.size() == max_levels) return;
        error_code why;
        Directories deeper = directories;
        deeper.push_back(name);
        const LogDirectory below = directory.below(name, why);
        if (below) enter(below, deeper, file, failed);
        else if (why != boost::system::errc::no_such_file_or_directory) failed(deeper, why);
    });
    if (ec) failed(directories, ec);
}

}  // namespace warden::detail
