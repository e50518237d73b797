// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Pipes and files for the standard streams of a child.
///
/// Knows:         our end of a pipe is overlapped, for the loop; the child's end is synchronous, as its C runtime wants
///                it. Only named pipes can be that. Nothing here is inheritable.
/// Thread-safety: functions without state, but a counter.
/// Errors:        empty handles, and what `GetLastError` says.

#include <warden/detail/system/api_windows.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/detail/system/utf16_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

// after windows.h
#include <bcrypt.h>

namespace warden::detail {

/// The two ends of a pipe; both empty if it could not be made.
struct PipeEnds {
    UniqueHandle ours;    ///< FILE_FLAG_OVERLAPPED.
    UniqueHandle theirs;  ///< Synchronous.
};

/// A pipe that we read (`we_read`) and the child writes, or the other way round. Its name cannot be guessed, has one
/// instance, which is ours, and cannot be opened from another machine; whoever finds the name and is faster than the
/// next line only makes this fail.
[[nodiscard]] inline PipeEnds make_pipe(bool we_read);

/// A pipe from one child to another, synchronous at both ends: to read, to write.
[[nodiscard]] inline std::pair<UniqueHandle, UniqueHandle> make_process_pipe() noexcept;

[[nodiscard]] inline UniqueHandle open_to_read(const std::filesystem::path& path) noexcept;
/// Makes it, or empties it.
[[nodiscard]] inline UniqueHandle open_to_write(const std::filesystem::path& path, bool append) noexcept;

/// A copy of the program's own standard stream (STD_OUTPUT_HANDLE and so on); empty if it has none.
[[nodiscard]] inline UniqueHandle own_stream(DWORD which) noexcept;

// -- implementation ----------------------------------------------------------

/// As much as a pipe holds before its writer waits.
inline constexpr DWORD pipe_bytes = 64 * 1024;

inline PipeEnds make_pipe(bool we_read) {
    static std::atomic<std::uint64_t> count{0};
    std::array<std::uint64_t, 2> random{};
    if (::BCryptGenRandom(nullptr, reinterpret_cast<PUCHAR>(random.data()), sizeof random,
                          BCRYPT_USE_SYSTEM_PREFERRED_RNG) < 0) {
        ::SetLastError(ERROR_GEN_FAILURE);
        return {};
    }
    std::wstring name = L"\\\\.\\pipe\\warden-" + std::to_wstring(::GetCurrentProcessId());
    for (const std::uint64_t part : {++count, random[0], random[1]}) name += L'-' + std::to_wstring(part);
    const DWORD direction = we_read ? PIPE_ACCESS_INBOUND : PIPE_ACCESS_OUTBOUND;
    PipeEnds ends;
    ends.ours.reset(::CreateNamedPipeW(name.c_str(), direction | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
                                       PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, 1,
                                       pipe_bytes, pipe_bytes, 0, nullptr));
    if (!ends.ours) return {};
    // The C runtime of the child asks for the state of its end.
    const DWORD access = we_read ? GENERIC_WRITE | FILE_READ_ATTRIBUTES : GENERIC_READ | FILE_WRITE_ATTRIBUTES;
    ends.theirs.reset(::CreateFileW(name.c_str(), access, 0, nullptr, OPEN_EXISTING, 0, nullptr));
    if (!ends.theirs) return {};
    return ends;
}

inline std::pair<UniqueHandle, UniqueHandle> make_process_pipe() noexcept {
    HANDLE to_read = nullptr;
    HANDLE to_write = nullptr;
    if (!::CreatePipe(&to_read, &to_write, nullptr, pipe_bytes)) return {};
    return {UniqueHandle(to_read), UniqueHandle(to_write)};
}

inline UniqueHandle open_to_read(const std::filesystem::path& path) noexcept {
    return UniqueHandle(::CreateFileW(path.c_str(), GENERIC_READ, share_all, nullptr, OPEN_EXISTING, 0, nullptr));
}

inline UniqueHandle open_to_write(const std::filesystem::path& path, bool append) noexcept {
    // CREATE_ALWAYS would refuse hidden files, and change attributes.
    const DWORD access = append ? FILE_APPEND_DATA | SYNCHRONIZE : GENERIC_WRITE;
    UniqueHandle file(::CreateFileW(path.c_str(), access, share_all, nullptr, OPEN_ALWAYS, 0, nullptr));
    if (!append && file && ::GetFileType(file.get()) == FILE_TYPE_DISK && !::SetEndOfFile(file.get())) file.reset();
    return file;
}

inline UniqueHandle own_stream(DWORD which) noexcept {
    const HANDLE own = ::GetStdHandle(which);
    HANDLE copy = nullptr;
    if (own == nullptr || own == INVALID_HANDLE_VALUE) return {};
    const HANDLE here = ::GetCurrentProcess();
    ::DuplicateHandle(here, own, here, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS);
    return UniqueHandle(copy);
}

}  // namespace warden::detail
#endif
