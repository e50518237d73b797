// SPDX-License-Identifier: MIT
// What the scenarios on Windows have besides: the victim, and whether this is Wine.
#pragma once

#include <support/scenario.hpp>

#include <concepts>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <windows.h>

namespace support {

/// The full path of a program that lies beside this one.
[[nodiscard]] inline std::string beside(const char* name) {
    std::wstring path(32'768, L'\0');
    path.resize(::GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())));
    return (std::filesystem::path(path).parent_path() / name).string();
}

/// A command for the victim: `victim("exit", "3")`.
template <std::convertible_to<std::string>... Words>
[[nodiscard]] warden::CommandLine victim(Words&&... words) {
    return warden::CommandLine(beside("windows_victim.exe"),
                               std::vector<std::string>{"--lines", std::string(std::forward<Words>(words))...});
}

/// Whether this is Wine rather than Windows.
[[nodiscard]] inline bool is_wine() {
    return ::GetProcAddress(::GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != nullptr;
}

#define SKIP_WITHOUT_CONSOLE_EVENTS() \
    SKIP_UNLESS(!::support::is_wine(), "Wine 8 delivers no console events to a group of processes")

}  // namespace support
