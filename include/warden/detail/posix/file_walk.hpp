// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The regular files below a directory, found without following a symbolic link below it.
///
/// Knows:         directories, eight levels of them at most.
/// Does not know: what the files are.
/// Thread-safety: distinct objects: safe.
/// Errors:        of directories, by errno; what is gone when it is looked at is no error.
/// Allocates:     names.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/unique_handle.hpp>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

namespace warden::detail {

class FileWalk {
public:
    /// The names of the directories that lead to a file, from the root down.
    using Directories = std::vector<std::string>;

    static constexpr std::size_t most_levels = 8;

    explicit FileWalk(std::filesystem::path root) : root_(std::move(root)) {}

    /// Each level is opened from the one above it, so that no link leads away. On error none, and errno.
    [[nodiscard]] UniqueFd open_directory(const Directories& directories) const noexcept;

    [[nodiscard]] std::filesystem::path path_of(const Directories& directories) const;

    /// Calls `file(directory, directories, name)` for each regular file, where `directory` is the open one that it is
    /// in, and `failed(directories, number)` for a directory that cannot be read.
    template <class File, class Failed>
    void run(File file, Failed failed) const;

private:
    static constexpr int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC;

    template <class File, class Failed>
    void enter(UniqueFd directory, const Directories& directories, File& file, Failed& failed) const;

    std::filesystem::path root_;
};

// -- implementation ----------------------------------------------------------
inline UniqueFd FileWalk::open_directory(const Directories& directories) const noexcept {
    UniqueFd directory(::open(root_.c_str(), flags));
    for (const std::string& name : directories) {
        if (directory) directory.reset(::openat(directory.get(), name.c_str(), flags | O_NOFOLLOW));
    }
    return directory;
}

inline std::filesystem::path FileWalk::path_of(const Directories& directories) const {
    std::filesystem::path path = root_;
    for (const std::string& name : directories) path /= name;
    return path;
}

template <class File, class Failed>
void FileWalk::run(File file, Failed failed) const {
    const Directories none;
    if (UniqueFd root = open_directory(none)) enter(std::move(root), none, file, failed);
    else failed(none, errno);
}

template <class File, class Failed>
void FileWalk::enter(UniqueFd directory, const Directories& directories, File& file, Failed& failed) const {
    const std::unique_ptr<::DIR, int (*)(::DIR*)> entries(::fdopendir(directory.get()), &::closedir);
    if (!entries) return failed(directories, errno);
    const int fd = directory.release();
    while (const ::dirent* entry = ::readdir(entries.get())) {
        const std::string name = entry->d_name;
        struct ::stat status {};
        if (name == "." || name == ".." || ::fstatat(fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (S_ISREG(status.st_mode)) file(fd, directories, name);
        if (!S_ISDIR(status.st_mode) || directories.size() == most_levels) continue;
        Directories below = directories;
        below.push_back(name);
        if (UniqueFd next{::openat(fd, name.c_str(), flags | O_NOFOLLOW)}) enter(std::move(next), below, file, failed);
        else if (errno != ENOENT) failed(below, errno);
    }
}

}  // namespace warden::detail
#endif
