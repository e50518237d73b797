// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Where a log file stands in the stream of text that it is a part of, written on the file itself.
///
/// Knows:         extended attributes (xattr(7)).
/// Does not know: who writes the file, who follows it.
/// Thread-safety: pure functions.
/// Errors:        none: what cannot be marked has no mark.
/// Allocates:     never.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include <unistd.h>
#if WARDEN_OS_LINUX
#include <sys/xattr.h>
#endif

namespace warden::detail {

/// Where a log file stands in the stream of text that it is a part of. The mark is kept with the file, as the extended
/// attribute `user.warden.log`: "<stream, 16 hexadecimal digits> <offset>[ <seam>]". Who has read one file of a log and
/// meets the next then knows where to go on, and how much he missed. Where the file system has no such attributes,
/// there are no marks, which is no error.
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

[[nodiscard]] inline StreamMark read_mark(int fd) noexcept;
inline void write_mark(int fd, const StreamMark& mark) noexcept;

/// A number for a stream; never 0.
[[nodiscard]] inline std::uint64_t new_stream() noexcept;

// -- implementation ----------------------------------------------------------
#if WARDEN_OS_LINUX
inline constexpr const char* mark_attribute = "user.warden.log";

inline StreamMark read_mark(int fd) noexcept {
    std::array<char, 80> text{};
    StreamMark mark;
    if (::fgetxattr(fd, mark_attribute, text.data(), text.size() - 1) <= 0) return mark;
    unsigned long long stream = 0;
    unsigned long long offset = 0;
    unsigned long long seam = StreamMark::no_seam;
    if (std::sscanf(text.data(), "%16llx %20llu %20llu", &stream, &offset, &seam) >= 2) mark = {stream, offset, seam};
    return mark;
}

inline void write_mark(int fd, const StreamMark& mark) noexcept {
    std::array<char, 80> text{};
    const unsigned long long stream = mark.stream;
    const unsigned long long offset = mark.offset;
    const unsigned long long seam = mark.seam;
    const int size =
        std::snprintf(text.data(), text.size(), mark.seam == StreamMark::no_seam ? "%016llx %llu" : "%016llx %llu %llu",
                      stream, offset, seam);
    (void)!::fsetxattr(fd, mark_attribute, text.data(), static_cast<std::size_t>(size), 0);
}
#else
inline StreamMark read_mark(int) noexcept { return {}; }
inline void write_mark(int, const StreamMark&) noexcept {}
#endif

inline std::uint64_t new_stream() noexcept {
    std::uint64_t stream = 0;
    if (::getentropy(&stream, sizeof stream) != 0) stream = static_cast<std::uint64_t>(::getpid());
    return stream != 0 ? stream : 1;
}

}  // namespace warden::detail
#endif
