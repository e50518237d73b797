// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Writes JSON (RFC 8259) into a string, one value after the other. Reading JSON is Boost.JSON's.
///
/// Knows:         commas, and how every string becomes one that can be stored, parsed and shown safely.
/// Does not know: what the fields mean; whether a name was written before.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Allocates:     what the string takes.

#include <warden/detail/text/utf8.hpp>
#include <warden/detail/text/visible_text.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace warden::detail {

/// Appends `text` in quotes. Characters that a reader would not see as they are (`is_unseen`) are escaped; a byte that
/// is no UTF-8 becomes U+FFFD.
inline void append_json_string(std::string& to, std::string_view text);

class JsonWriter {
public:
    explicit JsonWriter(std::string& to) noexcept : to_(to) {}

    void begin_object() { open('{'); }
    void end_object() { close('}'); }
    void begin_array() { open('['); }
    void end_array() { close(']'); }

    /// The name of the member that is written next.
    JsonWriter& name(std::string_view text) {
        separate();
        append_json_string(to_, text);
        to_ += ':';
        is_first_ = true;  // no comma before the value
        return *this;
    }

    void string(std::string_view text) {
        separate();
        append_json_string(to_, text);
    }
    void boolean(bool value) { literal(value ? "true" : "false"); }
    void null() { literal("null"); }
    void integer(std::int64_t value) { number(value); }
    void unsigned_integer(std::uint64_t value) { number(value); }
    /// A number that is not finite becomes null.
    void real(double value) {
        if (std::isfinite(value)) number(value);
        else null();
    }

private:
    void separate() {
        if (!is_first_) to_ += ',';
        is_first_ = false;
    }
    void open(char bracket) {
        separate();
        to_ += bracket;
        is_first_ = true;
    }
    void close(char bracket) {
        to_ += bracket;
        is_first_ = false;
    }
    void literal(std::string_view text) {
        separate();
        to_ += text;
    }
    template <class Number>
    void number(Number value) {
        std::array<char, 40> digits{};
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
        literal({digits.data(), static_cast<std::size_t>(end - digits.data())});
    }

    std::string& to_;
    bool is_first_ = true;
};

// -- implementation ----------------------------------------------------------

/// `\\uXXXX`, twice above U+FFFF.
inline void append_json_escape(std::string& to, char32_t c) {
    if (c > 0xFFFF) {
        append_json_escape(to, 0xD7C0 + (c >> 10));
        c = 0xDC00 + (c & 0x3FFu);
    }
    to += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) to += "0123456789abcdef"[(c >> shift) & 15u];
}

inline void append_json_string(std::string& to, std::string_view text) {
    constexpr std::string_view named = "\"\\\b\f\n\r\t";
    constexpr std::string_view names = "\"\\bfnrt";
    const auto plain_end = [](std::string_view from) {
        std::size_t end = 0;
        while (end < from.size() && from[end] >= 0x20 && from[end] < 0x7F && from[end] != '"' && from[end] != '\\')
            ++end;
        return end;
    };
    to += '"';
    while (!text.empty()) {
        const std::size_t plain = plain_end(text);
        to += text.substr(0, plain);
        text.remove_prefix(plain);
        if (text.empty()) break;
        const Utf8Sequence sequence = decode_utf8(text);
        const std::size_t name = named.find(text.front());
        if (name != named.npos) to.append(1, '\\').push_back(names[name]);
        else if (sequence.length == 0) to += "\\ufffd";
        else if (is_unseen(sequence.code_point)) append_json_escape(to, sequence.code_point);
        else to += text.substr(0, sequence.length);
        text.remove_prefix(sequence.length == 0 ? 1 : sequence.length);
    }
    to += '"';
}

}  // namespace warden::detail
