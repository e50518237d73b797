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
#include <warden/error.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
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

/// Gives `a` the file at `b` and the other way round, in one instant; `b` may be missing. Where the system cannot, `a`
/// takes the place of `b`. On ext4 this is also several times faster than rename(2) over a file, which writes it to
/// disk.
#if WARDEN_OS_LINUX
inline int exchange_names(const char* a, const char* b) noexcept {
    constexpr unsigned rename_exchange = 1u << 1;  // musl declares neither the function nor the flag
    if (::syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, rename_exchange) == 0) return 0;
    return errno == ENOENT || errno == EINVAL || errno == ENOSYS ? std::rename(a, b) : -1;
}
#else
inline int exchange_names(const char* a, const char* b) noexcept { return std::rename(a, b); }
#endif

inline error_code last_error() noexcept { return system_code(errno); }

inline bool same_file(const struct ::stat& a, const struct ::stat& b) noexcept {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// Writes all of it, or says why not; `written` is what got there. SIGXFSZ would end the program, so a write over the
/// limit is not tried.
inline error_code write_all(int fd, std::uint64_t size, std::string_view text, std::size_t& written) noexcept {
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

/// Why a file is not one to write a log to; 0 if it is.
inline int refusal(const struct ::stat& status) noexcept {
    if (S_ISLNK(status.st_mode)) return ELOOP;
    if (S_ISDIR(status.st_mode)) return EISDIR;
    if (!S_ISREG(status.st_mode)) return EINVAL;
    if (status.st_uid != ::geteuid()) return EPERM;
    return status.st_nlink > 1 ? EMLINK : 0;
}

/// Makes the directory of a file and looks whose it is.
inline void prepare_directory(const std::filesystem::path& path, error_code& ec) {
    const std::filesystem::path directory = path.has_parent_path() ? path.parent_path() : ".";
    struct ::stat status {};
    ec.clear();
    std::filesystem::path made;
    for (auto part = directory.begin(); ::stat(directory.c_str(), &status) != 0; ++part) {
        if (part == directory.end()) {
            ec = last_error();
            return;
        }
        made /= *part;
        if (::mkdir(made.c_str(), 0700) == 0 || errno == EEXIST) continue;
        ec = last_error();
        if (::stat(made.c_str(), &status) != 0) return;  // it does not exist, and this is why
        ec.clear();
    }
    if (!S_ISDIR(status.st_mode)) ec = system_code(ENOTDIR);
    else if (status.st_uid != ::geteuid() && status.st_uid != 0) ec = system_code(EPERM);
}

}  // namespace warden::detail
#endif
