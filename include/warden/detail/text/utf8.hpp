// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Reads UTF-8 (RFC 3629) strictly.
///
/// Thread-safety: pure functions.
/// Allocates:     never.

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace warden::detail {

/// The UTF-8 sequence at the beginning of `text`, which is not empty: its code point, and its length or 0 if it is
/// none; overlong forms, surrogates and values above 10FFFF are none.
struct Utf8Sequence {
    char32_t code_point = 0;
    std::size_t length = 0;
};
constexpr Utf8Sequence decode_utf8(std::string_view text) noexcept {
    constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC0 || lead >= 0xF8 || text.size() < length) return {};
    char32_t c = lead & (0xFFu >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0u) != 0x80u) return {};
        c = (c << 6) | (byte(i) & 0x3Fu);
    }
    if (c < smallest[length] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return {};
    return {c, length};
}

/// Whether all of it is.
constexpr bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const std::size_t length = decode_utf8(text).length;
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

}  // namespace warden::detail
