// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The single steps by which a file of text is found fit, written and put in its place.
///
/// Knows:         system calls, and which of them may be interrupted, refused or deadly.
/// Does not know: what the files are for.
/// Thread-safety: pure functions.
/// Errors:        the system's code.
/// Allocates:     path names.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#if WARDEN_OS_LINUX
#include <sys/syscall.h>
#endif

namespace warden::detail {

inline void note_in_use(int fd) noexcept { (void)!::flock(fd, LOCK_SH | LOCK_NB); }

/// The same, unless another handle has said so before: then false.
[[nodiscard]] inline bool claim_unused(int fd) noexcept {
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) return errno != EWOULDBLOCK;  // where there are no locks nobody can tell
    return ::flock(fd, LOCK_SH | LOCK_NB) == 0;
}

inline error_code last_error() noexcept { return system_code(errno); }

inline bool same_file(const struct ::stat& a, const struct ::stat& b) noexcept {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// The names of one log, in a directory that is held.
struct LogPlace {
    std::filesystem::path path{};  ///< Absolute; only to see whether it still leads to the file.
    UniqueFd directory{};
    std::string name{};
    std::string temporary{};

    [[nodiscard]] std::string rotated(std::size_t number) const { return name + '.' + std::to_string(number); }
};

/// What is at a name, without following a link.
inline bool look(const LogPlace& place, const std::string& name, struct ::stat& status) noexcept {
    return ::fstatat(place.directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/// Never follows a link, never waits; a new file is 0600.
inline UniqueFd open_in(const LogPlace& place, const std::string& name, int flags) noexcept {
    constexpr int safe = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    return UniqueFd(::openat(place.directory.get(), name.c_str(), flags | safe, 0600));
}

/// A name that there is not is no error.
inline error_code remove_name(const LogPlace& place, const std::string& name) noexcept {
    return ::unlinkat(place.directory.get(), name.c_str(), 0) == 0 || errno == ENOENT ? error_code() : last_error();
}

inline error_code rename_in(const LogPlace& place, const std::string& from, const std::string& to) noexcept {
    const int directory = place.directory.get();
    return ::renameat(directory, from.c_str(), directory, to.c_str()) == 0 ? error_code() : last_error();
}

inline error_code link_in(const LogPlace& place, const std::string& from, const std::string& to) noexcept {
    const int directory = place.directory.get();
    return ::linkat(directory, from.c_str(), directory, to.c_str(), 0) == 0 ? error_code() : last_error();
}

/// Gives `a` the file at `b` and the other way round, in one instant; `b` may be missing. Where the system cannot, `a`
/// takes the place of `b`. On ext4 this is also several times faster than rename(2) over a file, which writes it to
/// disk.
#if WARDEN_OS_LINUX
inline error_code exchange_names(const LogPlace& place, const std::string& a, const std::string& b) noexcept {
    constexpr unsigned rename_exchange = 1u << 1;  // musl declares neither the function nor the flag
    const int directory = place.directory.get();
    if (::syscall(SYS_renameat2, directory, a.c_str(), directory, b.c_str(), rename_exchange) == 0) return {};
    return errno == ENOENT || errno == EINVAL || errno == ENOSYS ? rename_in(place, a, b) : last_error();
}
#else
inline error_code exchange_names(const LogPlace& place, const std::string& a, const std::string& b) noexcept {
    return rename_in(place, a, b);
}
#endif

/// Writes all of it at the end of a file of `size` bytes, or says why not; `written` is what got there. SIGXFSZ would
/// end the program, so a write over the limit is not tried.
inline error_code append_all(int fd, std::uint64_t size, std::string_view text, std::size_t& written) noexcept {
    struct ::rlimit limit {};
    written = 0;
    if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        size + text.size() > limit.rlim_cur) {
        return system_code(EFBIG);
    }
    while (written < text.size()) {
        const ::ssize_t count = ::write(fd, text.data() + written, text.size() - written);
        if (count < 0 && errno != EINTR) return last_error();
        if (count == 0) return system_code(EIO);
        if (count > 0) written += static_cast<std::size_t>(count);
    }
    return {};
}

inline error_code set_size(int fd, std::uint64_t size) noexcept {
    return ::ftruncate(fd, static_cast<::off_t>(size)) == 0 ? error_code() : last_error();
}

/// Why a file is not one to write a log to; 0 if it is.
inline int refusal(const struct ::stat& status) noexcept {
    if (S_ISLNK(status.st_mode)) return ELOOP;
    if (S_ISDIR(status.st_mode)) return EISDIR;
    if (!S_ISREG(status.st_mode)) return EINVAL;
    if (status.st_uid != ::geteuid()) return EPERM;
    return status.st_nlink > 1 ? EMLINK : 0;
}

}  // namespace warden::detail
#endif
