// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How a log file is looked at and read, by whoever does not write it.
///
/// Knows:         open(2), fstat(2), lstat(2), pread(2).
/// Does not know: lines, rotation, marks.
/// Thread-safety: functions without state.
/// Errors:        the system's code.
/// Allocates:     never.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#include <boost/system/detail/errc.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

using LogHandle = UniqueFd;

/// Which file it is, whatever its name.
struct FileIdentity {
    ::dev_t device = 0;
    ::ino_t inode = 0;

    friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

struct LogStatus {
    FileIdentity identity{};
    std::uint64_t size = 0;
    std::uint64_t names = 0;  ///< 0: it was removed.
};

struct OpenLog {
    LogHandle handle{};
    LogStatus status{};
};

/// This system's code for a condition that this program found itself.
[[nodiscard]] inline error_code condition_code(boost::system::errc::errc_t condition) noexcept {
    return system_code(condition);
}

/// The absolute path, or the same path if the current directory is gone.
[[nodiscard]] inline std::filesystem::path absolute_path(const std::filesystem::path& path) {
    std::error_code no_directory;
    std::filesystem::path absolute = std::filesystem::absolute(path, no_directory);
    return no_directory ? path : absolute;
}

[[nodiscard]] inline LogStatus log_status(const LogHandle& handle, error_code& ec) noexcept;

/// Of what is at the path; of a link, the link.
[[nodiscard]] inline LogStatus log_status(const std::filesystem::path& path, error_code& ec) noexcept;

/// Opens a log to read it, never waits, and follows no link in the last part of the path. ELOOP, EISDIR, EINVAL (a
/// FIFO, device or socket), ENOENT, or the system's code.
[[nodiscard]] inline OpenLog open_log_to_read(const std::filesystem::path& path, error_code& ec) noexcept;

/// Reads up to `size` bytes at `offset`; fewer at the end of the file or on error.
[[nodiscard]] inline std::size_t read_at(const LogHandle& handle, std::uint64_t offset, char* to, std::size_t size,
                                         error_code& ec) noexcept;

/// Some bytes of a file that are stored.
struct DataRun {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

/// The last run of stored bytes that lies from `from` to `to`, cut to that; empty if all of it is a hole. In a file of
/// very many holes it may be an earlier run: the cost is bounded.
[[nodiscard]] inline DataRun last_data(const LogHandle& handle, std::uint64_t from, std::uint64_t to) noexcept;

// -- implementation ----------------------------------------------------------
inline LogStatus log_status_of(const struct ::stat& status) noexcept {
    return {{status.st_dev, status.st_ino},
            static_cast<std::uint64_t>(status.st_size),
            static_cast<std::uint64_t>(status.st_nlink)};
}

inline LogStatus log_status(const LogHandle& handle, error_code& ec) noexcept {
    struct ::stat status {};
    ec = ::fstat(handle.get(), &status) == 0 ? error_code() : system_code(errno);
    return ec ? LogStatus{} : log_status_of(status);
}

inline LogStatus log_status(const std::filesystem::path& path, error_code& ec) noexcept {
    struct ::stat status {};
    ec = ::lstat(path.c_str(), &status) == 0 ? error_code() : system_code(errno);
    return ec ? LogStatus{} : log_status_of(status);
}

inline OpenLog open_log_to_read(const std::filesystem::path& path, error_code& ec) noexcept {
    OpenLog log;
    struct ::stat status {};
    ec.clear();
    log.handle.reset(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!log.handle || ::fstat(log.handle.get(), &status) != 0) ec = system_code(errno);
    else if (S_ISDIR(status.st_mode)) ec = system_code(EISDIR);
    else if (!S_ISREG(status.st_mode)) ec = system_code(EINVAL);
    log.status = log_status_of(status);
    return log;
}

#if defined(SEEK_DATA) && defined(SEEK_HOLE)
inline DataRun last_data(const LogHandle& handle, std::uint64_t from, std::uint64_t to) noexcept {
    constexpr int max_runs = 1024;
    DataRun last{to, to};
    std::uint64_t at = from;
    for (int i = 0; i < max_runs && at < to; ++i) {
        const ::off_t data = ::lseek(handle.get(), static_cast<::off_t>(at), SEEK_DATA);
        if (data < 0 && errno != ENXIO) return {from, to};  // the file system does not know
        if (data < 0 || static_cast<std::uint64_t>(data) >= to) break;
        const ::off_t hole = ::lseek(handle.get(), data, SEEK_HOLE);
        last = {static_cast<std::uint64_t>(data), hole < 0 ? to : std::min(to, static_cast<std::uint64_t>(hole))};
        at = last.end;
    }
    return last;
}
#else
inline DataRun last_data(const LogHandle&, std::uint64_t from, std::uint64_t to) noexcept { return {from, to}; }
#endif

inline std::size_t read_at(const LogHandle& handle, std::uint64_t offset, char* to, std::size_t size,
                           error_code& ec) noexcept {
    std::size_t done = 0;
    ec.clear();
    while (done < size) {
        const ::ssize_t got = ::pread(handle.get(), to + done, size - done, static_cast<::off_t>(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) ec = system_code(errno);
        if (got <= 0) break;
        done += static_cast<std::size_t>(got);
    }
    return done;
}

}  // namespace warden::detail
#endif
