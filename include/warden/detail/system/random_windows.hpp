// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Random bytes of the system: BCryptGenRandom.
///
/// Thread-safety: safe.
/// Errors:        the system's code, where it refuses.

#include <warden/detail/system/api_windows.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_WINDOWS
#include <cstddef>

#include <bcrypt.h>

namespace warden::detail {

[[nodiscard]] inline error_code fill_randomly(void* bytes, std::size_t size) noexcept {
    const auto status = ::BCryptGenRandom(nullptr, static_cast<PUCHAR>(bytes), static_cast<ULONG>(size),
                                          BCRYPT_USE_SYSTEM_PREFERRED_RNG);
    return status == 0 ? error_code() : system_code(ERROR_GEN_FAILURE);
}

}  // namespace warden::detail
#endif
