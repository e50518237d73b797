// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The one owner of a Windows handle.
///
/// Thread-safety: distinct objects: safe.
/// Allocates:     never.

#include <warden/detail/system/api_windows.hpp>
#include <warden/platform.hpp>

#include <utility>

#if WARDEN_OS_WINDOWS

namespace warden::detail {

/// Others may read, write, rename and remove a file while it is open, as on POSIX systems.
inline constexpr DWORD share_all = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

/// Owns a handle that `CloseHandle` closes; move-only. Both null and INVALID_HANDLE_VALUE are empty. Closing keeps
/// what `GetLastError` says.
class UniqueHandle {
public:
    UniqueHandle() noexcept = default;
    explicit UniqueHandle(HANDLE handle) noexcept : handle_(valid(handle)) {}
    UniqueHandle(UniqueHandle&& other) noexcept : handle_(other.release()) {}
    UniqueHandle& operator=(UniqueHandle&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~UniqueHandle() { reset(); }

    /// Null if nothing is held.
    [[nodiscard]] HANDLE get() const noexcept { return handle_; }
    [[nodiscard]] HANDLE release() noexcept { return std::exchange(handle_, nullptr); }
    explicit operator bool() const noexcept { return handle_ != nullptr; }

    /// Closes what is held and takes `handle`.
    void reset(HANDLE handle = nullptr) noexcept {
        if (handle_ != nullptr) {
            const DWORD kept = ::GetLastError();
            ::CloseHandle(handle_);
            ::SetLastError(kept);
        }
        handle_ = valid(handle);
    }

private:
    [[nodiscard]] static HANDLE valid(HANDLE handle) noexcept {
        return handle == INVALID_HANDLE_VALUE ? nullptr : handle;
    }

    HANDLE handle_ = nullptr;
};

}  // namespace warden::detail
#endif
