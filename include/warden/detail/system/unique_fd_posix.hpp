// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The one owner of a file descriptor.
///
/// Thread-safety: distinct objects: safe.
/// Allocates:     never.

#include <warden/platform.hpp>

#include <utility>

#if WARDEN_OS_POSIX
#include <cerrno>

#include <unistd.h>

namespace warden::detail {

/// Owns a file descriptor; move-only. Closing keeps errno.
class UniqueFd {
public:
    UniqueFd() noexcept = default;
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~UniqueFd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    explicit operator bool() const noexcept { return fd_ >= 0; }

    /// Closes what is held and takes `fd`.
    void reset(int fd = -1) noexcept {
        if (fd_ >= 0) {
            const int kept = errno;
            ::close(fd_);
            errno = kept;
        }
        fd_ = fd;
    }

private:
    int fd_ = -1;
};

}  // namespace warden::detail
#endif
