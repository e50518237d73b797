// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Where a log file stands in the stream of text that it is a part of, and how that is written down.
///
/// Knows:         the text of a mark.
/// Does not know: where a file system keeps it; who writes the file, who follows it.
/// Thread-safety: pure functions.
/// Errors:        none: what is no mark is an empty one.
/// Allocates:     never.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>

namespace warden::detail {

/// Where a log file stands in the stream of text that it is a part of. The mark is kept with the file:
/// "<stream, 16 hexadecimal digits> <offset>[ <seam>]". Who has read one file of a log and meets the next then knows
/// where to go on, and how much he missed. Where the file system has no place for it, there are no marks, which is no
/// error.
struct StreamMark {
    static constexpr std::uint64_t no_seam = UINT64_MAX;

    std::uint64_t stream = 0;  ///< A random number; 0: there is no mark.
    std::uint64_t offset = 0;  ///< The position in the stream at which the file's first byte stands.
    /// Text was lost at this size of the file: `offset` holds for what is behind it, and what is before it stands
    /// earlier in the stream than `offset` says.
    std::uint64_t seam = no_seam;

    explicit operator bool() const noexcept { return stream != 0; }
    friend bool operator==(const StreamMark&, const StreamMark&) = default;
};

/// A mark as text, with a zero behind it.
using MarkText = std::array<char, 80>;

/// Writes the mark down; the number of characters.
[[nodiscard]] inline std::size_t print_mark(const StreamMark& mark, MarkText& text) noexcept;

/// Reads what `print_mark` wrote; an empty mark from anything else. There must be a zero in the text.
[[nodiscard]] inline StreamMark parse_mark(const MarkText& text) noexcept;

// -- implementation ----------------------------------------------------------
inline std::size_t print_mark(const StreamMark& mark, MarkText& text) noexcept {
    const unsigned long long stream = mark.stream;
    const unsigned long long offset = mark.offset;
    const unsigned long long seam = mark.seam;
    const int size = mark.seam == StreamMark::no_seam
                         ? std::snprintf(text.data(), text.size(), "%016llx %llu", stream, offset)
                         : std::snprintf(text.data(), text.size(), "%016llx %llu %llu", stream, offset, seam);
    return static_cast<std::size_t>(size);
}

inline StreamMark parse_mark(const MarkText& text) noexcept {
    unsigned long long stream = 0;
    unsigned long long offset = 0;
    unsigned long long seam = StreamMark::no_seam;
    if (std::sscanf(text.data(), "%16llx %20llu %20llu", &stream, &offset, &seam) < 2) return {};
    return {stream, offset, seam};
}

}  // namespace warden::detail
