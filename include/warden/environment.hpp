// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The environment variables of a child.
///
/// Knows:         what is set, what is unset, and whether the program's own are inherited.
/// Does not know: where the program has its own; the start reads them.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Allocates:     strings.

#include <warden/error.hpp>

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace warden {

/// The environment of the child: that of the program with changes, or only what is set here.
///
/// Reading the program's environment at a start is as safe as `getenv(3)`: nobody may change it at that moment.
class Environment {
public:
    [[nodiscard]] static Environment inherit() { return Environment(true); }
    [[nodiscard]] static Environment empty() { return Environment(false); }

    Environment() : Environment(true) {}
    /// That of the program with these changes: `.environment = {{"LANG", "C"}, {"TZ", "UTC"}}`.
    Environment(std::initializer_list<std::pair<std::string, std::string>> changes) {
        for (const auto& [key, value] : changes) set(key, value);
    }

    /// The last word on a key wins, and one copy of it is passed.
    Environment& set(std::string key, std::string value) & {
        changes_.insert_or_assign(std::move(key), std::move(value));
        return *this;
    }
    Environment& unset(std::string key) & {
        changes_.insert_or_assign(std::move(key), std::nullopt);
        return *this;
    }
    Environment set(std::string key, std::string value) && { return std::move(set(std::move(key), std::move(value))); }
    Environment unset(std::string key) && { return std::move(unset(std::move(key))); }

    [[nodiscard]] bool inherits() const noexcept { return inherits_; }

    /// Keys that were set (a value) or unset (nothing).
    [[nodiscard]] const std::map<std::string, std::optional<std::string>>& changes() const noexcept { return changes_; }

    /// `errc::invalid_environment` for an empty key, a key with `=`, or a NUL byte; else success.
    [[nodiscard]] error_code validate() const noexcept;

    friend bool operator==(const Environment&, const Environment&) = default;

private:
    explicit Environment(bool inherits) : inherits_(inherits) {}

    std::map<std::string, std::optional<std::string>> changes_;
    bool inherits_ = true;
};

// -- implementation ----------------------------------------------------------

inline error_code Environment::validate() const noexcept {
    for (const auto& [key, value] : changes_) {
        if (key.empty() || key.find('=') != std::string::npos || detail::has_nul(key) ||
            (value && detail::has_nul(*value))) {
            return errc::invalid_environment;
        }
    }
    return {};
}

}  // namespace warden
