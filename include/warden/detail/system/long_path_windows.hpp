// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Paths as the system takes them at any length, and only those that lead to files.
///
/// Knows:         the prefix `\\?\`, and the names that are devices in every directory (NUL, COM1, aux.txt).
/// Does not know: what is at a path: nothing here looks at the disk.
/// Thread-safety: as safe as the current directory, if the path is relative.
/// Errors:        conditions of POSIX: `invalid_argument`, `filename_too_long`; else the system's code.
/// Allocates:     the path.

#include <warden/detail/system/api_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <warden/detail/text/file_name.hpp>
#include <warden/error.hpp>

#include <boost/system/detail/errc.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace warden::detail {

/// The code of the system call that failed last.
[[nodiscard]] inline error_code last_error() noexcept { return system_code(static_cast<int>(::GetLastError())); }

/// The code for a condition that this program found itself.
[[nodiscard]] inline error_code condition_code(boost::system::errc::errc_t condition) noexcept {
    return boost::system::errc::make_error_code(condition);
}

/// The absolute path (GetFullPathNameW), or the same path if it has none.
[[nodiscard]] inline std::filesystem::path absolute_path(const std::filesystem::path& path);

/// The absolute path with the prefix that lifts MAX_PATH. `invalid_argument`: a device, a stream of a file, or a
/// character that no file name has. `filename_too_long`: a part of more than 255 characters, or 32,767 in all.
[[nodiscard]] inline std::wstring long_path(const std::filesystem::path& path, error_code& ec);

/// Whether a file of that name would be a device, on the Windows that is the strictest about it.
[[nodiscard]] inline bool names_device(std::wstring_view name);

/// `.<name>.<end>` beside a file, which has a long path.
[[nodiscard]] inline std::wstring hidden_beside(const std::wstring& path, const std::wstring& end) {
    const std::size_t name = path.rfind(L'\\') + 1;
    return path.substr(0, name) + L'.' + path.substr(name) + L'.' + end;
}

// -- implementation ----------------------------------------------------------
inline bool names_device(std::wstring_view name) {
    std::string stem;
    for (const wchar_t c : name.substr(0, name.find(L'.'))) {
        if (c == L'\u00b9' || c == L'\u00b2' || c == L'\u00b3') stem += '1';  // superscript digits count too
        else stem += c < 0x80 ? static_cast<char>(c) : '?';
    }
    stem.erase(stem.find_last_not_of(' ') + 1);
    return is_device_name(stem);
}

/// What is wrong with a part of a path; no error if nothing is.
inline error_code mistake_in(std::wstring_view name) {
    constexpr std::size_t most = 255;
    const auto is_foreign = [](wchar_t c) {
        return c < 0x20 || std::wstring_view(L"<>:\"|?*/").find(c) != std::wstring_view::npos;
    };
    if (name.size() > most) return condition_code(boost::system::errc::filename_too_long);
    if (std::any_of(name.begin(), name.end(), is_foreign) || names_device(name)) {
        return condition_code(boost::system::errc::invalid_argument);
    }
    return {};
}

/// The length of `\\?\C:\` or `\\?\UNC\server\share\`.
inline std::size_t root_length(std::wstring_view path) noexcept {
    constexpr std::wstring_view share = L"\\\\?\\UNC\\";
    if (!path.starts_with(share)) return std::min<std::size_t>(path.size(), 7);
    const std::size_t server = std::min(path.find(L'\\', share.size()), path.size());
    return std::min(path.find(L'\\', server + 1), path.size() - 1) + 1;
}

inline std::filesystem::path absolute_path(const std::filesystem::path& path) {
    std::wstring absolute(path.native().size() + MAX_PATH, L'\0');
    for (;;) {
        const auto room = static_cast<DWORD>(absolute.size());
        const DWORD size = ::GetFullPathNameW(path.c_str(), room, absolute.data(), nullptr);
        if (size == 0) return path;
        absolute.resize(size);
        if (size < room) return absolute;
    }
}

inline std::wstring long_path(const std::filesystem::path& path, error_code& ec) {
    constexpr std::wstring_view prefix = L"\\\\?\\";
    constexpr std::size_t most = 32'767;
    std::wstring full = path.native();
    ec.clear();
    if (full.empty()) ec = condition_code(boost::system::errc::no_such_file_or_directory);
    if (full.find(L'\0') != full.npos) ec = condition_code(boost::system::errc::invalid_argument);
    if (full.size() > most) ec = condition_code(boost::system::errc::filename_too_long);
    if (ec) return {};
    if (!full.starts_with(prefix)) {
        const std::wstring absolute = absolute_path(path).native();
        if (absolute.starts_with(L"\\\\.\\")) ec = condition_code(boost::system::errc::invalid_argument);
        if (ec) return {};
        full = absolute.starts_with(L"\\\\") ? L"\\\\?\\UNC" + absolute.substr(1) : std::wstring(prefix) + absolute;
    }
    std::size_t begin = root_length(full);
    while (begin < full.size() && !ec) {
        const std::size_t end = std::min(full.find(L'\\', begin), full.size());
        ec = mistake_in(std::wstring_view(full).substr(begin, end - begin));
        begin = end + 1;
    }
    if (!ec && full.size() > most) ec = condition_code(boost::system::errc::filename_too_long);
    return full;
}

}  // namespace warden::detail
#endif
