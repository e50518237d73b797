// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Random bytes of the system: getentropy(3).
///
/// Thread-safety: safe, also in a forked copy.
/// Errors:        the system's code, where it refuses.

#include <warden/error.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <cerrno>
#include <cstddef>

#include <unistd.h>
#if __has_include(<sys/random.h>)
#include <sys/random.h>
#endif

namespace warden::detail {

/// Fills `size` bytes, at most 256.
[[nodiscard]] inline error_code fill_randomly(void* bytes, std::size_t size) noexcept {
    return ::getentropy(bytes, size) == 0 ? error_code() : system_code(errno);
}

}  // namespace warden::detail
#endif
