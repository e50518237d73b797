// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `LogDirectory` by openat(2) and its kin, and flock(2) for what is in use; see log_directory.hpp.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/logs/log_access_posix.hpp>
#include <warden/detail/logs/log_directory.hpp>
#include <warden/detail/logs/log_owner_posix.hpp>
#include <warden/detail/logs/stored_file.hpp>
#include <warden/detail/logs/stream_mark_posix.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

/// See `HoldsLogDirectory`.
class LogDirectory {
public:
    using Name = std::filesystem::path::string_type;

    using Removal = LogRemoval;

    LogDirectory() noexcept = default;

    [[nodiscard]] static LogDirectory open(const std::filesystem::path& root, error_code& ec) noexcept;

    explicit operator bool() const noexcept { return static_cast<bool>(directory_); }
    [[nodiscard]] LogDirectory below(const Name& name, error_code& ec) const noexcept;
    template <class Found>
    void for_each(error_code& ec, Found found) const;
    [[nodiscard]] std::optional<StoredFile> look_at(const Name& name) const noexcept;
    [[nodiscard]] Removal remove(const Name& name, const StoredFile& seen, error_code& ec) const noexcept;
    [[nodiscard]] bool remove_directory(const Name& name) const noexcept;

private:
    static constexpr int directory_flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC;

    [[nodiscard]] std::optional<StoredFile> named(const Name& name) const noexcept;
    [[nodiscard]] UniqueFd open_file(const Name& name) const noexcept;

    UniqueFd directory_;
};

// -- implementation ----------------------------------------------------------
inline LogDirectory LogDirectory::open(const std::filesystem::path& root, error_code& ec) noexcept {
    LogDirectory opened;
    opened.directory_.reset(::open(root.c_str(), directory_flags));
    ec = opened ? error_code() : system_code(errno);
    return opened;
}

inline LogDirectory LogDirectory::below(const Name& name, error_code& ec) const noexcept {
    LogDirectory opened;
    opened.directory_.reset(::openat(directory_.get(), name.c_str(), directory_flags | O_NOFOLLOW));
    ec = opened ? error_code() : system_code(errno);
    return opened;
}

template <class Found>
void LogDirectory::for_each(error_code& ec, Found found) const {
    UniqueFd listed(::openat(directory_.get(), ".", directory_flags));  // with a position of its own
    const std::unique_ptr<::DIR, int (*)(::DIR*)> entries(listed ? ::fdopendir(listed.get()) : nullptr, &::closedir);
    ec = entries ? error_code() : system_code(errno);
    if (!entries) return;
    (void)listed.release();
    while (const ::dirent* entry = ::readdir(entries.get())) {
        const Name name = entry->d_name;
        struct ::stat status {};
        if (name == "." || name == "..") continue;
        if (::fstatat(directory_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;  // it is gone
        if (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode)) found(name, S_ISDIR(status.st_mode));
    }
}

#if WARDEN_OS_MACOS
inline const struct ::timespec& modified_at(const struct ::stat& status) noexcept { return status.st_mtimespec; }
#else
inline const struct ::timespec& modified_at(const struct ::stat& status) noexcept { return status.st_mtim; }
#endif

inline std::optional<StoredFile> LogDirectory::named(const Name& name) const noexcept {
    using namespace std::chrono;
    struct ::stat status {};
    if (::fstatat(directory_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
    if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || status.st_nlink != 1) return std::nullopt;
    const auto since_epoch = seconds(modified_at(status).tv_sec) + nanoseconds(modified_at(status).tv_nsec);
    return StoredFile{
        log_status_of(status), system_clock::time_point(duration_cast<system_clock::duration>(since_epoch)), {}, {}};
}

inline UniqueFd LogDirectory::open_file(const Name& name) const noexcept {
    constexpr int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    return UniqueFd(::openat(directory_.get(), name.c_str(), flags));
}

inline std::optional<StoredFile> LogDirectory::look_at(const Name& name) const noexcept {
    std::optional<StoredFile> file = named(name);  // first: opening a device can have effects
    if (!file) return file;
    error_code ec;
    const UniqueFd fd = open_file(name);
    if (!fd || log_status(fd, ec).identity != file->status.identity) return std::nullopt;
    file->mark = read_mark(fd.get());
    file->owner = read_owner(fd.get());
    return file;
}

inline LogDirectory::Removal LogDirectory::remove(const Name& name, const StoredFile& seen,
                                                  error_code& ec) const noexcept {
    ec.clear();
    if (named(name) != seen) return Removal::other;
    const UniqueFd fd = open_file(name);
    if (!fd || log_status(fd, ec).identity != seen.status.identity) return Removal::other;
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return Removal::in_use;
    // Looked at once more under the lock: it may have been replaced, continued and left again meanwhile.
    if (named(name) != seen) return Removal::other;
    if (::unlinkat(directory_.get(), name.c_str(), 0) == 0) return Removal::removed;
    ec = system_code(errno);
    return Removal::failed;
}

inline bool LogDirectory::remove_directory(const Name& name) const noexcept {
    return ::unlinkat(directory_.get(), name.c_str(), AT_REMOVEDIR) == 0;
}

static_assert(HoldsLogDirectory<LogDirectory>);

}  // namespace warden::detail
#endif
