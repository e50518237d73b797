// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The mark of a log file, written on the file itself.
///
/// Knows:         extended attributes (xattr(7)), where they are Linux's: `user.warden.log`. Elsewhere there are none.
/// Does not know: who writes the file, who follows it.
/// Thread-safety: pure functions.
/// Errors:        none: what cannot be marked has no mark.
/// Allocates:     never.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/logs/stream_mark.hpp>

#include <cstddef>
#include <cstdint>

#include <unistd.h>
#if __has_include(<sys/random.h>)
#include <sys/random.h>
#endif
#if WARDEN_OS_LINUX
#include <sys/xattr.h>
#endif

namespace warden::detail {

[[nodiscard]] inline StreamMark read_mark(int fd) noexcept;
inline void write_mark(int fd, const StreamMark& mark) noexcept;

/// A number for a stream; never 0.
[[nodiscard]] inline std::uint64_t new_stream() noexcept;

// -- implementation ----------------------------------------------------------
#if WARDEN_OS_LINUX
inline constexpr const char* mark_attribute = "user.warden.log";

inline StreamMark read_mark(int fd) noexcept {
    MarkText text{};
    return ::fgetxattr(fd, mark_attribute, text.data(), text.size() - 1) > 0 ? parse_mark(text) : StreamMark{};
}

inline void write_mark(int fd, const StreamMark& mark) noexcept {
    MarkText text{};
    const std::size_t size = print_mark(mark, text);
    (void)!::fsetxattr(fd, mark_attribute, text.data(), size, 0);
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
