// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// UTF-8 here, UTF-16 there, and the system's error codes.
///
/// Thread-safety: functions without state.
/// Errors:        ERROR_NO_UNICODE_TRANSLATION for what is not UTF-8 or not UTF-16; nothing is replaced silently.

#include <warden/detail/system/api_windows.hpp>
#include <warden/error.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <climits>
#include <string>
#include <string_view>

namespace warden::detail {

/// What `GetLastError` says now.
[[nodiscard]] inline error_code last_code() noexcept { return system_code(static_cast<int>(::GetLastError())); }

/// `text` in UTF-16. Empty, with `ec` set, if it is not UTF-8.
[[nodiscard]] inline std::wstring to_utf16(std::string_view text, error_code& ec);

/// `text` in UTF-8. Empty, with `ec` set, if it holds half a surrogate pair.
[[nodiscard]] inline std::string to_utf8(std::wstring_view text, error_code& ec);

/// `text` for people to read: U+FFFD stands where it is not UTF-16.
[[nodiscard]] inline std::string to_readable(std::wstring_view text);

/// Whether two names are one to the system: by code point, after its own upper-casing.
[[nodiscard]] inline bool equal_ignoring_case(std::wstring_view a, std::wstring_view b) noexcept;

// -- implementation ----------------------------------------------------------

inline std::wstring to_utf16(std::string_view text, error_code& ec) {
    ec.clear();
    std::wstring result;
    if (text.empty()) return result;
    const int length = text.size() > INT_MAX ? 0 : static_cast<int>(text.size());
    const int size = ::MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text.data(), length, nullptr, 0);
    result.resize(static_cast<std::size_t>(size));
    if (size <= 0 ||
        ::MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text.data(), length, result.data(), size) != size) {
        ec = last_code();
        result.clear();
    }
    return result;
}

/// The same for both ways back; `flags` says what becomes of what is not UTF-16.
[[nodiscard]] inline std::string narrowed(std::wstring_view text, DWORD flags, error_code& ec) {
    ec.clear();
    std::string result;
    if (text.empty()) return result;
    const int length = text.size() > INT_MAX ? 0 : static_cast<int>(text.size());
    const int size = ::WideCharToMultiByte(CP_UTF8, flags, text.data(), length, nullptr, 0, nullptr, nullptr);
    result.resize(static_cast<std::size_t>(size));
    if (size <= 0 ||
        ::WideCharToMultiByte(CP_UTF8, flags, text.data(), length, result.data(), size, nullptr, nullptr) != size) {
        ec = last_code();
        result.clear();
    }
    return result;
}

inline std::string to_utf8(std::wstring_view text, error_code& ec) { return narrowed(text, WC_ERR_INVALID_CHARS, ec); }

inline std::string to_readable(std::wstring_view text) {
    error_code ignored;
    return narrowed(text, 0, ignored);
}

inline bool equal_ignoring_case(std::wstring_view a, std::wstring_view b) noexcept {
    return a.size() == b.size() && ::CompareStringOrdinal(a.data(), static_cast<int>(a.size()), b.data(),
                                                          static_cast<int>(b.size()), TRUE) == CSTR_EQUAL;
}

}  // namespace warden::detail
#endif
