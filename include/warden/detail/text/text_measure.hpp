// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How large a text is, in lines, characters and bytes, and where it can be cut: at the speed of memory.
///
/// Knows:         newlines, UTF-8 continuation bytes, bounds. The rules of counting stand in `LogLimits`.
/// Does not know: files, streams.
/// Thread-safety: values and pure functions.
/// Allocates:     never.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace warden::detail {

/// The counts of a text; they add up over concatenation.
struct TextSize {
    std::size_t newlines = 0;
    std::size_t chars = 0;
    std::size_t bytes = 0;

    constexpr TextSize& operator+=(const TextSize& other) noexcept;
    constexpr TextSize& operator-=(const TextSize& other) noexcept;
    friend constexpr TextSize operator+(TextSize a, const TextSize& b) noexcept { return a += b; }
    friend constexpr TextSize operator-(TextSize a, const TextSize& b) noexcept { return a -= b; }
    friend constexpr bool operator==(const TextSize&, const TextSize&) = default;

    /// Whether no count is above that of `most`.
    [[nodiscard]] constexpr bool within(const TextSize& most) const noexcept {
        return newlines <= most.newlines && chars <= most.chars && bytes <= most.bytes;
    }
};

/// Half of a bound, rounded up.
[[nodiscard]] constexpr TextSize half_of(const TextSize& bound) noexcept;

/// A byte that continues a UTF-8 character.
[[nodiscard]] constexpr bool continues_char(char byte) noexcept {
    return (static_cast<unsigned char>(byte) & 0xC0u) == 0x80u;
}

/// Counts `text`, many bytes at a time.
[[nodiscard]] inline TextSize measure(std::string_view text) noexcept;

/// The first offset from which `text` is within `most`, an unterminated last line counting as one. Not inside a
/// character. Reads only what is within the bound, from the end backward.
[[nodiscard]] inline std::size_t fitting_suffix(std::string_view text, const TextSize& most) noexcept;

/// The length of the longest beginning of `text` that consists of whole lines and is within `most`.
[[nodiscard]] inline std::size_t fitting_lines(std::string_view text, const TextSize& most) noexcept;

/// Where the line begins that holds the byte before `offset`, or `offset` if that byte is a newline.
[[nodiscard]] inline std::size_t line_start(std::string_view text, std::size_t offset) noexcept {
    return offset == 0 ? 0 : text.rfind('\n', offset - 1) + 1;  // npos + 1 is 0
}

/// One after the newline that ends the line at `offset`, or the end of the text.
[[nodiscard]] inline std::size_t line_end(std::string_view text, std::size_t offset) noexcept {
    const std::size_t newline = text.find('\n', offset);
    return newline == text.npos ? text.size() : newline + 1;
}

// -- implementation ----------------------------------------------------------
constexpr TextSize& TextSize::operator+=(const TextSize& other) noexcept {
    newlines += other.newlines;
    chars += other.chars;
    bytes += other.bytes;
    return *this;
}

constexpr TextSize& TextSize::operator-=(const TextSize& other) noexcept {
    newlines -= other.newlines;
    chars -= other.chars;
    bytes -= other.bytes;
    return *this;
}

constexpr TextSize half_of(const TextSize& bound) noexcept {
    const auto half = [](std::size_t value) { return value / 2 + value % 2; };
    const std::size_t chars = half(bound.chars);
    return {half(bound.newlines), chars, chars > bound.bytes / 4 ? bound.bytes : chars * 4};
}

/// One byte of a text, counted.
[[nodiscard]] constexpr TextSize measure_byte(char byte) noexcept {
    return {byte == '\n' ? 1u : 0u, continues_char(byte) ? 0u : 1u, 1u};
}

inline TextSize measure(std::string_view text) noexcept {
    // Comparing two vectors gives all bits where it holds, which is -1; 255 of them fit before the lanes are added up.
    using Bytes = signed char __attribute__((vector_size(16)));
    using Counts = unsigned char __attribute__((vector_size(16)));
    constexpr std::size_t lane_count = sizeof(Bytes);
    constexpr std::size_t longest_run = 255;
    TextSize size{0, 0, text.size()};
    const char* at = text.data();
    std::size_t vectors = text.size() / lane_count;
    const auto add_up = [](Counts counts) {
        std::size_t sum = 0;
        for (std::size_t i = 0; i < lane_count; ++i) sum += counts[i];
        return sum;
    };
    while (vectors > 0) {
        const std::size_t run = std::min(vectors, longest_run);
        Counts newlines{};
        Counts chars{};
        for (std::size_t i = 0; i < run; ++i, at += lane_count) {
            Bytes bytes;
            std::memcpy(&bytes, at, sizeof bytes);
            newlines -= reinterpret_cast<Counts>(bytes == static_cast<signed char>('\n'));
            chars -= reinterpret_cast<Counts>(bytes > static_cast<signed char>(-65));  // 10xxxxxx is -128 to -65
        }
        size.newlines += add_up(newlines);
        size.chars += add_up(chars);
        vectors -= run;
    }
    for (const char* end = text.data() + text.size(); at != end; ++at) {
        size.newlines += *at == '\n';
        size.chars += !continues_char(*at);
    }
    return size;
}

/// Towards a bound in large steps, then smaller ones, then by single bytes.
inline constexpr std::array<std::size_t, 3> measured_blocks{4096, 512, 64};

inline std::size_t fitting_suffix(std::string_view text, const TextSize& most) noexcept {
    TextSize sum;
    sum.newlines = !text.empty() && text.back() != '\n';
    if (!sum.within(most)) return text.size();
    std::size_t begin = text.size();
    for (const std::size_t block : measured_blocks) {
        while (begin >= block) {
            const TextSize more = sum + measure(text.substr(begin - block, block));
            if (!more.within(most)) break;
            sum = more;
            begin -= block;
        }
    }
    while (begin > 0 && (sum += measure_byte(text[begin - 1])).within(most)) --begin;
    if (begin == 0 || text[begin - 1] == '\n') return begin;
    for (int skipped = 0; begin < text.size() && continues_char(text[begin]) && skipped < 3; ++skipped) ++begin;
    return begin;
}

inline std::size_t fitting_lines(std::string_view text, const TextSize& most) noexcept {
    TextSize sum;
    std::size_t end = 0;
    for (const std::size_t block : measured_blocks) {
        while (text.size() - end >= block) {
            const TextSize more = sum + measure(text.substr(end, block));
            if (!more.within(most)) break;
            sum = more;
            end += block;
        }
    }
    while (end < text.size() && (sum += measure_byte(text[end])).within(most)) ++end;
    return line_start(text, end);
}

}  // namespace warden::detail
