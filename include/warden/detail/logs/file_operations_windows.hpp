// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What is done to files that are open: renaming, removing, cutting, appending, the lock that says "in use"; and
/// directories made for them.
///
/// Knows:         SetFileInformationByHandle, and what older systems lack of it.
/// Does not know: logs.
/// Thread-safety: functions without state.
/// Errors:        the system's code.
/// Allocates:     the argument of a rename.

#include <warden/detail/system/api_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <warden/detail/logs/log_access_windows.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace warden::detail {

/// Makes the directory of a file (a long path), and those above it.
inline void make_directories(const std::wstring& path, error_code& ec);

/// Whether a call failed because the system or the file system does not have it.
[[nodiscard]] inline bool is_unsupported(const error_code& ec) noexcept;

/// Renames a file that was opened with DELETE; `file_exists` if there is something of that name.
[[nodiscard]] inline error_code rename_to(HANDLE file, const std::wstring& path);

/// The same over what is there, in one instant, also while others have that open (with FILE_SHARE_DELETE). See
/// `is_unsupported`.
[[nodiscard]] inline error_code rename_over(HANDLE file, const std::wstring& path);

/// Removes a file that was opened with DELETE: its name is gone at once or, on older systems, when all have closed it.
[[nodiscard]] inline error_code remove_held(HANDLE file) noexcept;

/// Gives a file of a log that was opened with DELETE a hidden name, so that its own is free.
[[nodiscard]] inline error_code move_aside(HANDLE file, const std::wstring& log);

/// Removes a file of a log, so that its name is free at once.
[[nodiscard]] inline error_code free_name(const std::wstring& path, const std::wstring& log);

/// The names that `move_aside` gives.
inline constexpr std::size_t max_aside = 8;
[[nodiscard]] inline std::wstring aside_name(const std::wstring& log, std::size_t number) {
    return hidden_beside(log, std::to_wstring(number) + L".tmp");
}

/// `remove_held` by name, of a link the link itself. What is gone already is no error.
[[nodiscard]] inline error_code remove_file(const std::wstring& path) noexcept;

/// The names of one log.
struct LogPlace {
    std::wstring path{};  ///< Absolute, in the form that may be long.
    std::wstring temporary{};

    [[nodiscard]] std::wstring rotated(std::size_t number) const { return path + L'.' + std::to_wstring(number); }
};

[[nodiscard]] inline error_code set_size(HANDLE file, std::uint64_t size) noexcept;

/// Writes all of it to the end of the file, or says why not; `written` is what got there.
[[nodiscard]] inline error_code append_all(HANDLE file, std::uint64_t size, std::string_view text,
                                           std::size_t& written) noexcept;

/// Says to `is_in_use` that somebody writes this file, until the handle is closed.
inline void note_in_use(HANDLE file) noexcept;

/// The same, unless another handle has said so before: then false.
[[nodiscard]] inline bool claim_unused(HANDLE file) noexcept;

/// Whether another handle has said so. If not, nobody can from now on, until this handle is closed.
[[nodiscard]] inline bool is_in_use(HANDLE file) noexcept;

// -- implementation ----------------------------------------------------------
inline void make_directories(const std::wstring& path, error_code& ec) {
    const auto exists = [&](std::size_t size) {
        const DWORD attributes = ::GetFileAttributesW(path.substr(0, size).c_str());
        if (attributes == INVALID_FILE_ATTRIBUTES) return false;
        if ((attributes & FILE_ATTRIBUTE_DIRECTORY) == 0) ec = condition_code(boost::system::errc::not_a_directory);
        return true;
    };
    const std::size_t root = root_length(path);
    const std::size_t directory = std::max(path.rfind(L'\\'), root);
    std::size_t end = directory;
    ec.clear();
    while (end > root && !exists(end)) end = std::max(path.rfind(L'\\', end - 1), root);
    while (end < directory && !ec) {
        end = path.find(L'\\', end + 1);
        const bool made = ::CreateDirectoryW(path.substr(0, end).c_str(), nullptr) != 0;
        if (!made && ::GetLastError() != ERROR_ALREADY_EXISTS) ec = last_error();
    }
}

inline bool is_unsupported(const error_code& ec) noexcept {
    constexpr int codes[] = {ERROR_INVALID_PARAMETER, ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED, ERROR_INVALID_LEVEL,
                             ERROR_CALL_NOT_IMPLEMENTED};
    return std::any_of(std::begin(codes), std::end(codes), [&](int code) { return ec == system_code(code); });
}

/// FILE_RENAME_INFO begins with a BOOLEAN, or with flags for the class that has them.
inline error_code rename_file(HANDLE file, const std::wstring& path, FILE_INFO_BY_HANDLE_CLASS what, DWORD flags) {
    const std::size_t name_at = offsetof(::FILE_RENAME_INFO, FileName);
    const std::size_t name_size = path.size() * sizeof(wchar_t);
    std::vector<std::uint64_t> space((name_at + name_size + sizeof(wchar_t)) / sizeof(std::uint64_t) + 1);
    auto* const info = reinterpret_cast<::FILE_RENAME_INFO*>(space.data());
    std::memcpy(info, &flags, sizeof flags);
    info->FileNameLength = static_cast<DWORD>(name_size);
    std::memcpy(reinterpret_cast<char*>(info) + name_at, path.data(), name_size);
    const auto size = static_cast<DWORD>(space.size() * sizeof(std::uint64_t));
    return ::SetFileInformationByHandle(file, what, info, size) != 0 ? error_code() : last_error();
}

inline error_code rename_to(HANDLE file, const std::wstring& path) {
    return rename_file(file, path, FileRenameInfo, 0);
}

inline error_code rename_over(HANDLE file, const std::wstring& path) {
    constexpr auto rename_info_ex = static_cast<FILE_INFO_BY_HANDLE_CLASS>(22);  // in headers from Windows 10 1607 on
    constexpr DWORD replace_if_exists = 1;
    constexpr DWORD posix_semantics = 2;
    return rename_file(file, path, rename_info_ex, replace_if_exists | posix_semantics);
}

inline bool remove_at_once(HANDLE file) noexcept {
    constexpr auto disposition_info_ex = static_cast<FILE_INFO_BY_HANDLE_CLASS>(21);
    constexpr DWORD remove_with_posix_semantics = 1 | 2;
    DWORD flags = remove_with_posix_semantics;
    return ::SetFileInformationByHandle(file, disposition_info_ex, &flags, sizeof flags) != 0;
}

inline error_code remove_held(HANDLE file) noexcept {
    if (remove_at_once(file)) return {};
    ::FILE_DISPOSITION_INFO remove{TRUE};
    const bool done = ::SetFileInformationByHandle(file, FileDispositionInfo, &remove, sizeof remove) != 0;
    return done ? error_code() : last_error();
}

inline error_code move_aside(HANDLE file, const std::wstring& log) {
    error_code ec = condition_code(boost::system::errc::file_exists);
    for (std::size_t i = 0; i < max_aside && ec == boost::system::errc::file_exists; ++i)
        ec = rename_to(file, aside_name(log, i));
    return ec;
}

inline error_code free_name(const std::wstring& path, const std::wstring& log) {
    const UniqueHandle file = open_existing(path, DELETE);
    if (!file) return open_error();
    if (remove_at_once(file.get())) return {};
    const error_code ec = move_aside(file.get(), log);
    return ec ? ec : remove_held(file.get());
}

inline error_code remove_file(const std::wstring& path) noexcept {
    const UniqueHandle file = open_existing(path, DELETE);
    if (file) return remove_held(file.get());
    const error_code ec = open_error();
    return ec == boost::system::errc::no_such_file_or_directory ? error_code() : ec;
}

inline error_code set_size(HANDLE file, std::uint64_t size) noexcept {
    ::FILE_END_OF_FILE_INFO end{};
    end.EndOfFile.QuadPart = static_cast<LONGLONG>(size);
    const bool done = ::SetFileInformationByHandle(file, FileEndOfFileInfo, &end, sizeof end) != 0;
    return done ? error_code() : last_error();
}

inline error_code append_all(HANDLE file, std::uint64_t, std::string_view text, std::size_t& written) noexcept {
    constexpr std::size_t most = std::size_t{1} << 30;
    written = 0;
    while (written < text.size()) {
        ::OVERLAPPED end{};
        end.Offset = end.OffsetHigh = 0xFFFF'FFFF;  // as if it was opened with FILE_APPEND_DATA only
        DWORD count = 0;
        const auto wanted = static_cast<DWORD>(std::min(text.size() - written, most));
        if (::WriteFile(file, text.data() + written, wanted, &count, &end) == 0) return last_error();
        if (count == 0) return system_code(ERROR_WRITE_FAULT);
        written += count;
    }
    return {};
}

/// A byte that no log reaches: locks bind, but only what is locked.
inline ::OVERLAPPED place_of_lock() noexcept {
    ::OVERLAPPED at{};
    at.Offset = 0xFFFF'FFFE;
    at.OffsetHigh = 0x7FFF'FFFF;
    return at;
}

inline bool lock_in_use(HANDLE file, DWORD flags) noexcept {
    ::OVERLAPPED at = place_of_lock();
    return ::LockFileEx(file, flags | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at) != 0;
}

inline void note_in_use(HANDLE file) noexcept { (void)lock_in_use(file, 0); }

inline bool is_in_use(HANDLE file) noexcept { return !lock_in_use(file, LOCKFILE_EXCLUSIVE_LOCK); }

inline bool claim_unused(HANDLE file) noexcept {
    if (is_in_use(file)) return false;
    ::OVERLAPPED at = place_of_lock();
    ::UnlockFileEx(file, 0, 1, 0, &at);
    return lock_in_use(file, 0);
}

}  // namespace warden::detail
#endif
