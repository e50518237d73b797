// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Keeps with a log file whose it is, as the stream `warden.process` of the file, where the file system has streams.
///
/// Does not know: what the text says.
/// Thread-safety: pure functions.
/// Errors:        none: what cannot be kept is not there.

#include <warden/detail/logs/log_owner.hpp>
#include <warden/detail/logs/stream_mark_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <string>
#include <string_view>

namespace warden::detail {

inline constexpr const wchar_t* owner_stream = L":warden.process";

/// The text on a file; empty if there is none.
[[nodiscard]] inline std::string read_owner(HANDLE file) {
    std::string text(uuid_chars + LogOwner::longest_name + 64, '\0');
    DWORD size = 0;
    const UniqueHandle stream = open_stream(file, owner_stream, FILE_READ_DATA, FILE_OPEN);
    if (!stream || !::ReadFile(stream.get(), text.data(), static_cast<DWORD>(text.size()), &size, nullptr)) size = 0;
    text.resize(size < text.size() ? size : 0);  // a longer one is not ours
    return text;
}

inline void write_owner(HANDLE file, std::string_view text) noexcept {
    if (text.empty()) return;
    DWORD size = 0;
    const UniqueHandle stream = open_stream(file, owner_stream, FILE_WRITE_DATA, FILE_OVERWRITE_IF);
    if (stream) (void)::WriteFile(stream.get(), text.data(), static_cast<DWORD>(text.size()), &size, nullptr);
}

}  // namespace warden::detail
#endif
