// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Text that others have chosen, made safe to be shown: on a terminal, in an error message, in a format of lines.
///
/// Knows:         which characters a terminal obeys or does not show, and how to write them so that they are seen.
/// Does not know: who reads the text.
/// Thread-safety: pure functions.
/// Allocates:     the text.

#include <warden/detail/text/utf8.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace warden::detail {

/// Whether a reader or a terminal would not show it as it is: the categories Cc, Cf, Zl and Zp of Unicode, which have
/// the control characters and the marks that change the direction of text.
constexpr bool is_unseen(char32_t c) noexcept;

/// `text` with each such character as an escape: \t, \n, \r, \x1b, \u202e, \U000e0001; and each byte that is no UTF-8
/// as \xff. The control characters in `kept` stay. A backslash stays as it is.
[[nodiscard]] inline std::string visible_text(std::string_view text, std::string_view kept = {});

// -- implementation ----------------------------------------------------------
struct CodePoints {
    char32_t first;
    char32_t last;
};
inline constexpr std::array unseen_code_points{
    CodePoints{0x00, 0x1F},       CodePoints{0x7F, 0x9F},       CodePoints{0xAD, 0xAD},
    CodePoints{0x600, 0x605},     CodePoints{0x61C, 0x61C},     CodePoints{0x6DD, 0x6DD},
    CodePoints{0x70F, 0x70F},     CodePoints{0x890, 0x891},     CodePoints{0x8E2, 0x8E2},
    CodePoints{0x180E, 0x180E},   CodePoints{0x200B, 0x200F},   CodePoints{0x2028, 0x202E},
    CodePoints{0x2060, 0x206F},   CodePoints{0xFEFF, 0xFEFF},   CodePoints{0xFFF9, 0xFFFB},
    CodePoints{0x110BD, 0x110BD}, CodePoints{0x110CD, 0x110CD}, CodePoints{0x13430, 0x1343F},
    CodePoints{0x1BCA0, 0x1BCA3}, CodePoints{0x1D173, 0x1D17A}, CodePoints{0xE0000, 0xE007F},
};

constexpr bool is_unseen(char32_t c) noexcept {
    for (const auto& range : unseen_code_points) {
        if (c <= range.last) return c >= range.first;
    }
    return false;
}

/// "\x1b": the letter, and so many hexadecimal digits.
inline void append_hexadecimal(std::string& to, char letter, int digits, char32_t value) {
    (to += '\\') += letter;
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) to += "0123456789abcdef"[(value >> shift) & 15u];
}

inline void append_visible(std::string& to, char32_t unseen) {
    if (unseen == '\t') to += "\\t";
    else if (unseen == '\n') to += "\\n";
    else if (unseen == '\r') to += "\\r";
    else if (unseen <= 0x7F) append_hexadecimal(to, 'x', 2, unseen);
    else if (unseen <= 0xFFFF) append_hexadecimal(to, 'u', 4, unseen);
    else append_hexadecimal(to, 'U', 8, unseen);
}

inline std::string visible_text(std::string_view text, std::string_view kept) {
    constexpr auto is_plain = [](char c) { return c >= ' ' && c <= '~'; };
    std::string visible;
    visible.reserve(text.size());
    while (!text.empty()) {
        const auto plain =
            static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_plain) - text.begin());
        visible += text.substr(0, plain);
        text.remove_prefix(plain);
        if (text.empty()) break;
        const Utf8Sequence sequence = decode_utf8(text);
        const std::size_t size = std::max<std::size_t>(sequence.length, 1);
        if (sequence.length == 0) append_hexadecimal(visible, 'x', 2, static_cast<unsigned char>(text[0]));
        else if (!is_unseen(sequence.code_point) || (size == 1 && kept.find(text[0]) != kept.npos))
            visible += text.substr(0, size);
        else append_visible(visible, sequence.code_point);
        text.remove_prefix(size);
    }
    return visible;
}

}  // namespace warden::detail
