// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Users and groups by name or number.
///
/// Knows:         the databases of users and groups, as getpwnam(3) and getgrouplist(3) read them.
/// Does not know: processes.
/// Thread-safety: safe.
/// Errors:        absent values.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

namespace warden::detail {

/// The groups of a user: getgrouplist(3), which counts in `int` on macOS. Not every system says how many there are.
template <class Id>
[[nodiscard]] std::vector<gid_t> groups_of(const struct passwd& user, int (*list)(const char*, Id, Id*, int*)) {
    std::vector<Id> found(64);
    for (;; found.resize(found.size() * 2)) {
        int count = static_cast<int>(found.size());
        if (list(user.pw_name, static_cast<Id>(user.pw_gid), found.data(), &count) < 0) continue;
        return {found.begin(), found.begin() + count};
    }
}

/// The number in `text`, or what `look_up(name)` finds.
template <class Id, class LookUp>
[[nodiscard]] inline std::optional<Id> id_of(const std::string& text, LookUp look_up) {
    Id id{};
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (failed == std::errc{} && end == text.data() + text.size()) return id;
    return look_up(text);
}

}  // namespace warden::detail
#endif
