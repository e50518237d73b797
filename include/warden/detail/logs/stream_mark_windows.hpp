// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The mark of a log file, written on the file itself.
///
/// Knows:         named streams of NTFS: `<file>:warden.log`. Where the file system has none, there are no marks.
/// Does not know: who writes the file, who follows it.
/// Thread-safety: pure functions.
/// Errors:        none: what cannot be marked has no mark.
/// Allocates:     never.

#include <warden/detail/system/api_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <warden/detail/logs/stream_mark.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>

#include <cstdint>
#include <random>

#include <winternl.h>

namespace warden::detail {

[[nodiscard]] inline StreamMark read_mark(HANDLE file) noexcept;
inline void write_mark(HANDLE file, const StreamMark& mark) noexcept;

/// A number for a stream; never 0.
[[nodiscard]] inline std::uint64_t new_stream() noexcept;

// -- implementation ----------------------------------------------------------

inline constexpr const wchar_t* mark_stream = L":warden.log";

/// Opens a stream of the file that is held (NtCreateFile), whatever its path leads to by now.
inline UniqueHandle open_stream(HANDLE file, const wchar_t* name, ACCESS_MASK access, ULONG disposition) noexcept {
    UNICODE_STRING text{};
    ::RtlInitUnicodeString(&text, name);
    OBJECT_ATTRIBUTES stream{};
    IO_STATUS_BLOCK result{};
    HANDLE opened = nullptr;
    InitializeObjectAttributes(&stream, &text, 0, file, nullptr);
    const NTSTATUS status = ::NtCreateFile(&opened, access | SYNCHRONIZE, &stream, &result, nullptr, 0,
                                           FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, disposition,
                                           FILE_SYNCHRONOUS_IO_NONALERT, nullptr, 0);
    return UniqueHandle(status >= 0 ? opened : nullptr);
}

inline StreamMark read_mark(HANDLE file) noexcept {
    MarkText text{};
    DWORD size = 0;
    const UniqueHandle stream = open_stream(file, mark_stream, FILE_READ_DATA, FILE_OPEN);
    if (!stream || ::ReadFile(stream.get(), text.data(), text.size() - 1, &size, nullptr) == 0) return {};
    return parse_mark(text);
}

/// All of the text in one write: whoever reads meanwhile sees the mark before or this one.
inline void write_mark(HANDLE file, const StreamMark& mark) noexcept {
    MarkText text{};
    DWORD size = 0;
    (void)print_mark(mark, text);
    const UniqueHandle stream = open_stream(file, mark_stream, FILE_WRITE_DATA, FILE_OPEN_IF);
    if (stream) (void)::WriteFile(stream.get(), text.data(), text.size(), &size, nullptr);
}

inline std::uint64_t new_stream() noexcept {
    std::random_device random;  // rand_s there: without state
    const std::uint64_t stream = (std::uint64_t{random()} << 32) | random();
    return stream != 0 ? stream : 1;
}

}  // namespace warden::detail
#endif
