// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The version of warden, written down here and nowhere else.
///
/// Thread-safety: constants.

#define WARDEN_VERSION_MAJOR 0
#define WARDEN_VERSION_MINOR 1
#define WARDEN_VERSION_PATCH 0

#include <compare>

namespace warden {

/// A version by its three numbers, ordered as semantic versioning orders them.
struct Version {
    int major_number;
    int minor_number;
    int patch_number;

    friend constexpr auto operator<=>(const Version&, const Version&) = default;
};

/// The version of the headers that this translation unit was compiled with.
inline constexpr Version version{WARDEN_VERSION_MAJOR, WARDEN_VERSION_MINOR, WARDEN_VERSION_PATCH};

}  // namespace warden
