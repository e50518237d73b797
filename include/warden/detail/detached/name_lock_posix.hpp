// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// One lock for each name of detached processes, so that programs which look for one of a name, and start one if there
/// is none, do so one after the other.
///
/// Knows:         a FIFO `.name-<name>.lock` beside the records, and flock(2) on it. Who waits has it open to read, and
///                is woken when whoever holds it lets go, or ends, however it ends.
/// Does not know: what is done under the lock.
/// Thread-safety: safe, also among processes.
/// Errors:        `errc::timed_out` if another one holds it until the deadline; else the system's code.
/// Waits:         until the deadline that it is given.

#include <warden/detail/detached/line_channel_posix.hpp>
#include <warden/detail/detached/record_files.hpp>
#include <warden/detail/text/file_name.hpp>
#include <warden/error.hpp>
#include <warden/timeout.hpp>

#if WARDEN_OS_POSIX
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

class NameLock {
public:
    /// Holds nothing.
    NameLock() noexcept = default;
    NameLock(NameLock&&) noexcept = default;
    NameLock& operator=(NameLock&& other) noexcept {
        std::swap(directory_, other.directory_);
        std::swap(file_, other.file_);
        std::swap(claim_, other.claim_);
        return *this;
    }
    ~NameLock() { release(); }

    /// `files` must outlive the lock.
    [[nodiscard]] static NameLock acquire(const RecordFiles& files, std::string_view name, SteadyTime deadline,
                                          error_code& ec) {
        return acquire_file(files, RecordFiles::lock_name_of(name), deadline, ec);
    }
    /// The same by the name of the file.
    [[nodiscard]] static NameLock acquire_file(const RecordFiles& files, const std::string& file, SteadyTime deadline,
                                               error_code& ec);

    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(claim_); }

private:
    NameLock(int directory, std::string file) : directory_(directory), file_(std::move(file)) {}
    [[nodiscard]] UniqueFd open(int access, error_code& ec) const;
    [[nodiscard]] bool is_named(int fd) const noexcept;
    void release() noexcept;

    int directory_ = -1;
    std::string file_;
    UniqueFd claim_;  // locked
};

// -- implementation ----------------------------------------------------------

inline UniqueFd NameLock::open(int access, error_code& ec) const {
    UniqueFd fd(::openat(directory_, file_.c_str(), access | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC));
    struct ::stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0) ec = system_code(errno);
    else if (!S_ISFIFO(status.st_mode) || status.st_uid != ::geteuid()) ec = system_code(EPERM);
    else return fd;
    return {};
}

/// Whether the name still stands for what is open: whoever lets go of the lock removes it.
inline bool NameLock::is_named(int fd) const noexcept {
    struct ::stat opened {};
    struct ::stat named {};
    return ::fstat(fd, &opened) == 0 && ::fstatat(directory_, file_.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

inline NameLock NameLock::acquire_file(const RecordFiles& files, const std::string& file, SteadyTime deadline,
                                       error_code& ec) {
    NameLock lock(files.descriptor(), file);
    for (;;) {
        ec.clear();
        if (::mkfifoat(lock.directory_, file.c_str(), 0600) != 0 && errno != EEXIST) ec = system_code(errno);
        if (ec) return {};
        // Open before the lock is tried, so that the end of its holder cannot be missed.
        const UniqueFd reader = lock.open(O_RDONLY, ec);
        UniqueFd claim = ec ? UniqueFd() : lock.open(O_RDWR, ec);
        if (ec.value() == ENOENT) continue;  // let go of, and removed, meanwhile
        if (ec) return {};
        if (::flock(claim.get(), LOCK_EX | LOCK_NB) == 0) {
            if (!lock.is_named(claim.get())) continue;
            lock.claim_ = std::move(claim);
            return lock;
        }
        if (errno != EWOULDBLOCK) ec = system_code(errno);
        claim.reset();  // no longer one of those that keep the reader from being woken
        if (!ec) ec = await_ready(reader.get(), POLLIN, deadline);
        if (ec) return {};
    }
}

/// A forked copy of this program may have the lock open too: it neither keeps it nor keeps anybody waiting.
inline void NameLock::release() noexcept {
    if (!claim_) return;
    if (is_named(claim_.get())) ::unlinkat(directory_, file_.c_str(), 0);
    static_cast<void>(!::write(claim_.get(), "", 1));
    ::flock(claim_.get(), LOCK_UN);
    claim_.reset();
}

}  // namespace warden::detail
#endif
