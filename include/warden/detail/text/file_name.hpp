// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How a name from outside becomes one that is safe in a file system.
///
/// Knows:         the names that Windows reserves, and that lengths are bounded.
/// Does not know: files, directories.
/// Thread-safety: functions without state.
/// Allocates:     strings.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace warden {

/// A name that is safe as a part of a path everywhere: ASCII letters, digits and `._-+@`, anything else becomes `_`;
/// never empty, no leading dot or dash, no trailing dot, at most 120 bytes. What Windows reserves for devices gets a
/// `_`.
[[nodiscard]] std::string safe_file_name(std::string_view name);

// -- implementation ----------------------------------------------------------
namespace detail {

inline constexpr std::size_t longest_file_name = 240;  // leaves room for what a sink appends to it

inline bool is_device_name(std::string_view name) {
    constexpr std::array<std::string_view, 6> plain{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"};
    std::string upper(name);
    for (char& c : upper) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    if (std::find(plain.begin(), plain.end(), upper) != plain.end()) return true;
    return upper.size() == 4 && (upper.starts_with("COM") || upper.starts_with("LPT")) && upper[3] >= '0' &&
           upper[3] <= '9';
}

/// Eight hexadecimal digits that tell names apart which look alike when made safe (FNV-1a).
inline std::string fingerprint(std::string_view text) {
    std::uint32_t hash = 2166136261u;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    std::string digits(8, '0');
    for (std::size_t i = 8; i-- > 0; hash >>= 4) digits[i] = "0123456789abcdef"[hash & 15u];
    return digits;
}

/// `name` made safe, in at most `most` bytes, and marked if that changed it.
inline std::string distinct_file_name(std::string_view name, std::size_t most) {
    std::string safe = safe_file_name(name);
    if (safe == name && safe.size() <= most) return safe;
    safe.resize(std::min(safe.size(), most - 9));
    return safe + '-' + fingerprint(name);
}

}  // namespace detail

inline std::string safe_file_name(std::string_view name) {
    constexpr std::size_t most = 120;
    std::string safe(name.substr(0, most));
    for (char& c : safe) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && std::string_view("._-+@").find(c) == std::string_view::npos) c = '_';
    }
    if (safe.empty()) return "_";
    if (safe.front() == '.' || safe.front() == '-') safe.front() = '_';
    if (safe.back() == '.') safe.back() = '_';
    const std::size_t stem = std::min(safe.find('.'), safe.size());
    if (detail::is_device_name(std::string_view(safe).substr(0, stem))) {
        safe.insert(stem, 1, '_');
        safe.resize(std::min(safe.size(), most));
    }
    return safe;
}

}  // namespace warden
