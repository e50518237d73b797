// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the program is, to Windows; see host_system.hpp.

#include <warden/detail/system/api_windows.hpp>
#include <warden/detail/system/host_system.hpp>
#include <warden/fwd.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include <shlobj.h>

namespace warden::detail {

inline Pid current_pid() noexcept { return static_cast<Pid>(::GetCurrentProcessId()); }

/// Whether the process has an elevated token.
inline bool is_superuser() noexcept {
    HANDLE token = nullptr;
    if (!::OpenProcessToken(::GetCurrentProcess(), TOKEN_QUERY, &token)) return false;
    TOKEN_ELEVATION elevation{};
    DWORD size = 0;
    const bool known = ::GetTokenInformation(token, TokenElevation, &elevation, sizeof elevation, &size) != 0;
    ::CloseHandle(token);
    return known && elevation.TokenIsElevated != 0;
}

inline std::filesystem::path default_data_directory() {
    PWSTR folder = nullptr;
    std::filesystem::path found;
    if (SUCCEEDED(::SHGetKnownFolderPath(FOLDERID_LocalAppData, KF_FLAG_DEFAULT, nullptr, &folder))) found = folder;
    ::CoTaskMemFree(folder);
    if (found.empty()) found = std::filesystem::temp_directory_path();
    return found / "warden";
}

/// Asked of the system by opening it for that.
inline bool is_writable(std::filesystem::path directory) {
    std::error_code ec;
    while (!std::filesystem::exists(directory, ec) && directory.has_relative_path())
        directory = directory.parent_path();
    const HANDLE opened = ::CreateFileW(directory.c_str(), FILE_ADD_FILE | FILE_ADD_SUBDIRECTORY,
                                        FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr, OPEN_EXISTING,
                                        FILE_FLAG_BACKUP_SEMANTICS, nullptr);
    if (opened == INVALID_HANDLE_VALUE) return false;
    ::CloseHandle(opened);
    return std::filesystem::is_directory(directory, ec);
}

/// Writes all of it, waiting where that is needed. How many bytes could not be written.
[[nodiscard]] inline std::size_t write_whole(HANDLE to, std::string_view text) noexcept {
    while (!text.empty()) {
        constexpr std::size_t most = std::size_t{1} << 20;
        DWORD written = 0;
        const auto size = static_cast<DWORD>(text.size() < most ? text.size() : most);
        if (!::WriteFile(to, text.data(), size, &written, nullptr) || written == 0) break;
        text.remove_prefix(written);
    }
    return text.size();
}

inline std::size_t copy_to(int descriptor, std::string_view text) noexcept {
    return write_whole(::GetStdHandle(descriptor == 1 ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE), text);
}

/// By `quick_exit` the system closes the jobs.
inline void call_at_exit(void (*f)()) { std::atexit(f); }

}  // namespace warden::detail
#endif
