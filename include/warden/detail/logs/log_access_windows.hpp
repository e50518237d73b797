// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How a log file is looked at and read, by whoever does not write it.
///
/// Knows:         CreateFileW, file ids, reparse points. Whatever is opened here lets others read, write, rename and
///                remove the file.
/// Does not know: lines, rotation, marks.
/// Thread-safety: functions without state.
/// Errors:        conditions of POSIX for what is no log; else the system's code.
/// Allocates:     paths.

#include <warden/detail/system/api_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <warden/detail/system/long_path_windows.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/error.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <ratio>
#include <string>
#include <thread>

#include <winternl.h>

extern "C" NTSTATUS NTAPI RtlGetLastNtStatus(void);  // of ntdll; no header of the SDK declares it

namespace warden::detail {

using LogHandle = UniqueHandle;

/// Which file it is, whatever its name: FILE_ID_INFO, or what older file systems have instead.
struct FileIdentity {
    std::uint64_t volume = 0;  ///< 0: the system does not say; Wine forgets it when the file is renamed.
    std::array<std::uint64_t, 2> file{};

    friend bool operator==(const FileIdentity& a, const FileIdentity& b) noexcept {
        return a.file == b.file && (a.volume == b.volume || a.volume == 0 || b.volume == 0);
    }
};

struct LogStatus {
    FileIdentity identity{};
    std::uint64_t size = 0;
    std::uint64_t names = 0;  ///< 0: it was removed.
    DWORD attributes = 0;
    DWORD reparse_tag = 0;
    std::chrono::system_clock::time_point written{};

    [[nodiscard]] bool is_directory() const noexcept { return (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0; }
    [[nodiscard]] bool is_reparse_point() const noexcept { return (attributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0; }
};

struct OpenLog {
    LogHandle handle{};
    LogStatus status{};
};

/// Opens what is at a long path, a link itself and a directory too. Not inheritable.
[[nodiscard]] inline UniqueHandle open_existing(const std::wstring& path, DWORD access, DWORD share = share_all,
                                                DWORD flags = FILE_FLAG_OPEN_REPARSE_POINT) noexcept;

[[nodiscard]] inline LogStatus log_status(const LogHandle& handle, error_code& ec) noexcept;

/// Of what is at the path; of a link, the link.
[[nodiscard]] inline LogStatus log_status(const std::filesystem::path& path, error_code& ec);

/// Why a file is no place for a log: ELOOP (a link), EINVAL (another reparse point, or no file on a disk), EISDIR.
[[nodiscard]] inline error_code refusal(const LogHandle& handle, const LogStatus& status) noexcept;

/// Opens a log to read it, and follows no link in the last part of the path. ELOOP, EISDIR, EINVAL (a device), ENOENT,
/// or the system's code.
[[nodiscard]] inline OpenLog open_log_to_read(const std::filesystem::path& path, error_code& ec);

/// Reads up to `size` bytes at `offset`; fewer at the end of the file or on error.
[[nodiscard]] inline std::size_t read_at(const LogHandle& handle, std::uint64_t offset, char* to, std::size_t size,
                                         error_code& ec) noexcept;

/// Some bytes of a file that are stored.
struct DataRun {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

/// All of it: a file has no holes here unless it was marked as sparse.
[[nodiscard]] inline DataRun last_data(const LogHandle&, std::uint64_t from, std::uint64_t to) noexcept {
    return {from, to};
}

// -- implementation ----------------------------------------------------------

/// Why a file could not be opened. One that is removed, but still open somewhere, is gone: on a system that keeps its
/// name until it is closed, that would be called a denied access.
inline error_code open_error() noexcept {
    constexpr auto delete_pending = static_cast<NTSTATUS>(0xC000'0056);
    const error_code ec = last_error();
    return ::RtlGetLastNtStatus() == delete_pending ? system_code(ERROR_FILE_NOT_FOUND) : ec;
}

inline UniqueHandle open_existing(const std::wstring& path, DWORD access, DWORD share, DWORD flags) noexcept {
    return UniqueHandle(::CreateFileW(path.c_str(), access, share, nullptr, OPEN_EXISTING,
                                      flags | FILE_FLAG_BACKUP_SEMANTICS, nullptr));
}

inline std::chrono::system_clock::time_point time_of(const ::FILETIME& time) noexcept {
    using Ticks = std::chrono::duration<std::int64_t, std::ratio<1, 10'000'000>>;  // since 1601
    constexpr Ticks to_1970{116'444'736'000'000'000};
    const Ticks ticks{static_cast<std::int64_t>((std::uint64_t{time.dwHighDateTime} << 32) | time.dwLowDateTime)};
    return std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(ticks - to_1970));
}

inline FileIdentity identity_of(HANDLE file, const ::BY_HANDLE_FILE_INFORMATION& found) noexcept {
    struct {
        std::uint64_t volume;
        std::array<std::uint64_t, 2> file;
    } id{};
    static_assert(sizeof id == sizeof(::FILE_ID_INFO));
    if (::GetFileInformationByHandleEx(file, FileIdInfo, &id, sizeof id) != 0) return {id.volume, id.file};
    return {found.dwVolumeSerialNumber, {(std::uint64_t{found.nFileIndexHigh} << 32) | found.nFileIndexLow, 0}};
}

inline LogStatus log_status(const LogHandle& handle, error_code& ec) noexcept {
    ::BY_HANDLE_FILE_INFORMATION found{};
    ::FILE_STANDARD_INFO names{};
    ::FILE_ATTRIBUTE_TAG_INFO tag{};
    ec.clear();
    if (::GetFileInformationByHandle(handle.get(), &found) == 0 ||
        ::GetFileInformationByHandleEx(handle.get(), FileStandardInfo, &names, sizeof names) == 0) {
        ec = last_error();
        return {};
    }
    if ((found.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0) {
        (void)::GetFileInformationByHandleEx(handle.get(), FileAttributeTagInfo, &tag, sizeof tag);
    }
    return {identity_of(handle.get(), found),
            static_cast<std::uint64_t>(names.EndOfFile.QuadPart),
            names.DeletePending != 0 ? 0u : names.NumberOfLinks,
            found.dwFileAttributes,
            tag.ReparseTag,
            time_of(found.ftLastWriteTime)};
}

inline LogStatus log_status(const std::filesystem::path& path, error_code& ec) {
    const std::wstring long_name = long_path(path, ec);
    if (ec) return {};
    const UniqueHandle found = open_existing(long_name, FILE_READ_ATTRIBUTES);
    ec = found ? error_code() : open_error();
    return ec ? LogStatus{} : log_status(found, ec);
}

inline error_code refusal(const LogHandle& handle, const LogStatus& status) noexcept {
    constexpr DWORD name_surrogate = 0x2000'0000;  // IsReparseTagNameSurrogate
    using namespace boost::system::errc;
    if (status.is_reparse_point()) {
        return condition_code((status.reparse_tag & name_surrogate) != 0 ? too_many_symbolic_link_levels
                                                                         : invalid_argument);
    }
    if (status.is_directory()) return condition_code(is_a_directory);
    return ::GetFileType(handle.get()) == FILE_TYPE_DISK ? error_code() : condition_code(invalid_argument);
}

/// Where a file cannot be replaced at once, there is none at the path for an instant; its successor is beside it then.
inline UniqueHandle open_to_read(const std::wstring& path, error_code& ec) {
    constexpr int least_attempts = 8;  // it may be replaced again and again
    constexpr int max_attempts = 1000;
    const std::wstring next = hidden_beside(path, L"tmp");
    const auto is_replaced = [&] { return ::GetFileAttributesW(next.c_str()) != INVALID_FILE_ATTRIBUTES; };
    UniqueHandle file = open_existing(path, GENERIC_READ);
    for (int attempt = 1; !file && attempt < max_attempts; ++attempt) {
        if (open_error() != boost::system::errc::no_such_file_or_directory) break;
        const bool again = attempt < least_attempts || is_replaced();
        std::this_thread::yield();
        file = open_existing(path, GENERIC_READ);
        if (!again) break;
    }
    ec = file ? error_code() : open_error();
    return file;
}

inline OpenLog open_log_to_read(const std::filesystem::path& path, error_code& ec) {
    OpenLog log;
    const std::wstring long_name = long_path(path, ec);
    if (ec) return log;
    log.handle = open_to_read(long_name, ec);
    if (!ec) log.status = log_status(log.handle, ec);
    if (!ec) ec = refusal(log.handle, log.status);
    return log;
}

inline std::size_t read_at(const LogHandle& handle, std::uint64_t offset, char* to, std::size_t size,
                           error_code& ec) noexcept {
    constexpr std::size_t most = std::size_t{1} << 30;
    std::size_t done = 0;
    ec.clear();
    while (done < size) {
        const std::uint64_t from = offset + done;
        ::OVERLAPPED at{};
        at.Offset = static_cast<DWORD>(from);
        at.OffsetHigh = static_cast<DWORD>(from >> 32);
        DWORD got = 0;
        const auto wanted = static_cast<DWORD>(std::min(size - done, most));
        if (::ReadFile(handle.get(), to + done, wanted, &got, &at) == 0) {
            if (::GetLastError() != ERROR_HANDLE_EOF) ec = last_error();
            break;
        }
        if (got == 0) break;
        done += got;
    }
    return done;
}

}  // namespace warden::detail
#endif
