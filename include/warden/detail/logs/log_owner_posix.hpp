// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Keeps with a log file whose it is: Linux, as the extended attribute `user.warden.process`; elsewhere not at all.
///
/// Does not know: what the text says.
/// Thread-safety: pure functions.
/// Errors:        none: what cannot be kept is not there.

#include <warden/detail/logs/log_owner.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <string>
#include <string_view>

#if WARDEN_OS_LINUX
#include <sys/xattr.h>
#endif

namespace warden::detail {

/// The text on a file; empty if there is none.
[[nodiscard]] inline std::string read_owner(int fd);
inline void write_owner(int fd, std::string_view text) noexcept;

// -- implementation ----------------------------------------------------------
#if WARDEN_OS_LINUX
inline constexpr const char* owner_attribute = "user.warden.process";

inline std::string read_owner(int fd) {
    std::string text(uuid_chars + LogOwner::longest_name + 64, '\0');
    const ::ssize_t size = ::fgetxattr(fd, owner_attribute, text.data(), text.size());  // a longer one is refused
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
}

inline void write_owner(int fd, std::string_view text) noexcept {
    if (!text.empty()) (void)!::fsetxattr(fd, owner_attribute, text.data(), text.size(), 0);
}
#else
inline std::string read_owner(int) { return {}; }
inline void write_owner(int, std::string_view) noexcept {}
#endif

}  // namespace warden::detail
#endif
