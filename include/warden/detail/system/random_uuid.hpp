// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// New UUIDs, version 4 (RFC 9562). Boost.UUID has a generator too, whose header costs every unit a third of a second.
///
/// Thread-safety: safe, also in a forked copy.
/// Errors:        `system_error` if the system has no random bytes.

#include <warden/error.hpp>
#include <warden/platform.hpp>
#include <warden/process_info.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/system/random_posix.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/system/random_windows.hpp>
#endif

namespace warden::detail {

[[nodiscard]] inline Uuid new_uuid() {
    Uuid uuid{};
    if (const error_code ec = fill_randomly(uuid.begin(), uuid.size())) throw system_error(ec, "no random bytes");
    auto* const bytes = uuid.begin();
    bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0Fu) | 0x40u);  // version 4
    bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3Fu) | 0x80u);  // the variant of RFC 9562
    return uuid;
}

}  // namespace warden::detail
