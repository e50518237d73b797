// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Finds the file that a program's name means.
///
/// Knows:         PATH and PATHEXT of the child's environment; which files CreateProcessW and cmd.exe can run.
/// Does not know: the places that CreateProcessW would search by itself: the program's own directory, the current one.
/// Thread-safety: safe. A relative name is relative to the current directory at that moment.
/// Errors:        ERROR_FILE_NOT_FOUND; ERROR_ACCESS_DENIED for a directory, as CreateProcessW has it.

#include <warden/detail/launch/environment_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace warden::detail {

/// What a name led to: a full path, or the first path that was tried and what it was not.
struct FoundProgram {
    std::filesystem::path path;
    error_code error;
};

/// A name with a slash, backslash or drive is a file, relative to `directory` (empty: the current one). Another is
/// looked up in PATH, of which empty and relative elements are passed over. A name without an extension is tried with
/// those of PATHEXT that can be run without a further program: .com, .exe, .bat and .cmd.
[[nodiscard]] inline FoundProgram find_program(std::wstring_view name, const WideEnvironment& environment,
                                               const std::filesystem::path& directory);

/// Whether a name is looked up in PATH.
[[nodiscard]] inline bool is_searched(std::wstring_view name) noexcept {
    return name.find_first_of(L"/\\:") == std::wstring_view::npos;
}

/// The full path of cmd.exe, whatever COMSPEC says.
[[nodiscard]] inline std::wstring command_interpreter();

// -- implementation ----------------------------------------------------------

/// The full path as the system will read it: without trailing dots and spaces, which would hide a ".bat".
[[nodiscard]] inline std::filesystem::path full_path(const std::filesystem::path& path) {
    std::wstring full(static_cast<std::size_t>(::GetFullPathNameW(path.c_str(), 0, nullptr, nullptr)), L'\0');
    full.resize(::GetFullPathNameW(path.c_str(), static_cast<DWORD>(full.size()), full.data(), nullptr));
    return full;
}

inline std::wstring command_interpreter() {
    std::wstring directory(MAX_PATH + 1, L'\0');
    directory.resize(::GetSystemDirectoryW(directory.data(), MAX_PATH));
    return directory + L"\\cmd.exe";
}

/// The parts of a list in which quotes protect semicolons.
[[nodiscard]] inline std::vector<std::wstring> list_elements(std::wstring_view list) {
    std::vector<std::wstring> elements(1);
    bool quoted = false;
    for (const wchar_t c : list) {
        if (c == L'"') quoted = !quoted;
        else if (c == L';' && !quoted) elements.emplace_back();
        else elements.back() += c;
    }
    return elements;
}

[[nodiscard]] inline std::vector<std::wstring> runnable_extensions(const WideEnvironment& environment) {
    const std::vector<std::wstring> runnable{L".com", L".exe", L".bat", L".cmd"};
    const auto wanted = environment.find(L"PATHEXT");
    if (wanted == environment.end()) return runnable;
    std::vector<std::wstring> result = list_elements(wanted->second);
    std::erase_if(result, [&](const std::wstring& extension) {
        return std::none_of(runnable.begin(), runnable.end(),
                            [&](const std::wstring& known) { return equal_ignoring_case(known, extension); });
    });
    return result.empty() ? runnable : result;
}

inline FoundProgram find_program(std::wstring_view name, const WideEnvironment& environment,
                                 const std::filesystem::path& directory) {
    const bool searched = is_searched(name);
    std::vector<std::filesystem::path> places;
    if (!searched) {
        places.push_back(directory);
    } else if (const auto path = environment.find(L"PATH"); path != environment.end()) {
        for (auto& element : list_elements(path->second)) places.emplace_back(std::move(element));
        std::erase_if(places, [](const auto& place) { return !place.is_absolute(); });
    } else {
        places.push_back(std::filesystem::path(command_interpreter()).parent_path());
    }
    std::vector<std::wstring> endings = runnable_extensions(environment);
    const bool has_extension = std::filesystem::path(name).has_extension();
    if (has_extension || !searched) endings.insert(endings.begin(), std::wstring());

    FoundProgram result{std::filesystem::path(name), system_code(ERROR_FILE_NOT_FOUND)};
    for (const auto& place : places) {
        for (const auto& ending : endings) {
            const std::filesystem::path path = full_path(place / (std::wstring(name) + ending));
            const DWORD attributes = ::GetFileAttributesW(path.c_str());
            // A colon in the last part names a stream of a file, whose ending is not what it seems.
            if (attributes == INVALID_FILE_ATTRIBUTES || path.filename().native().find(L':') != std::wstring::npos)
                continue;
            if ((attributes & FILE_ATTRIBUTE_DIRECTORY) == 0) return {path, {}};
            if (!searched) result = {path, system_code(ERROR_ACCESS_DENIED)};
        }
    }
    return result;
}

}  // namespace warden::detail
#endif
