// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The environment of a child in the form that CreateProcessW takes.
///
/// Knows:         names that differ in case only are one; the block is sorted without regard to case; the entries
///                `=C:=...` that keep the current directory of each drive; SYSTEMROOT, without which programs that use
///                sockets or random numbers do not start.
/// Thread-safety: reads the program's environment: GetEnvironmentStringsW takes a consistent copy.
/// Errors:        ERROR_NO_UNICODE_TRANSLATION for what is not UTF-8.

#include <warden/detail/system/utf16_windows.hpp>
#include <warden/environment.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <cwchar>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace warden::detail {

/// Orders names as Windows sorts an environment.
struct IgnoringCase {
    using is_transparent = void;
    bool operator()(std::wstring_view a, std::wstring_view b) const noexcept {
        return ::CompareStringOrdinal(a.data(), static_cast<int>(a.size()), b.data(), static_cast<int>(b.size()),
                                      TRUE) == CSTR_LESS_THAN;
    }
};

using WideEnvironment = std::map<std::wstring, std::wstring, IgnoringCase>;

/// What `wanted` makes of the program's own environment. One that replaces it still gets the program's SYSTEMROOT,
/// unless it sets or unsets that itself. Names of the program keep their spelling.
[[nodiscard]] inline WideEnvironment child_environment(const Environment& wanted, error_code& ec);

/// UTF-16 strings `name=value`, each ended by NUL, and one more NUL.
[[nodiscard]] inline std::wstring environment_block(const WideEnvironment& environment);

// -- implementation ----------------------------------------------------------

[[nodiscard]] inline WideEnvironment own_environment() {
    struct Free {
        void operator()(wchar_t* strings) const noexcept { ::FreeEnvironmentStringsW(strings); }
    };
    WideEnvironment result;
    const std::unique_ptr<wchar_t, Free> strings(::GetEnvironmentStringsW());
    for (const wchar_t* at = strings.get(); at && *at; at += std::wcslen(at) + 1) {
        const std::wstring_view entry(at);
        const auto equals = entry.find(L'=', 1);  // a name may begin with one: "=C:"
        if (equals != std::wstring_view::npos) result.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
    return result;
}

inline WideEnvironment child_environment(const Environment& wanted, error_code& ec) {
    ec.clear();
    WideEnvironment result = own_environment();
    if (!wanted.inherits()) {
        auto root = result.extract(L"SYSTEMROOT");
        result.clear();
        if (root) result.insert(std::move(root));
    }
    for (const auto& [key, value] : wanted.changes()) {
        const std::wstring name = to_utf16(key, ec);
        if (ec) return {};
        const auto found = result.find(name);
        if (found != result.end() && !value) result.erase(found);
        if (!value) continue;
        std::wstring text = to_utf16(*value, ec);
        if (ec) return {};
        result.insert_or_assign(found != result.end() ? found->first : name, std::move(text));
    }
    return result;
}

inline std::wstring environment_block(const WideEnvironment& environment) {
    std::wstring block;
    for (const auto& [name, value] : environment) {
        block += name;
        block += L'=';
        block += value;
        block += L'\0';
    }
    if (block.empty()) block += L'\0';  // an empty block is two of them
    block += L'\0';
    return block;
}

}  // namespace warden::detail
#endif
