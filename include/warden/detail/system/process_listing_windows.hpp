// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What Windows says of processes: for listings and reports, never as a proof of who is who.
///
/// Knows:         the snapshot of all processes; times, memory and the file of one.
/// Does not know: states and major faults, which Windows does not tell; whether a parent's pid has come to be
/// another's. Thread-safety: safe. What vanishes while it is read is left out. Errors:        absent values.

#include <warden/detail/system/api_windows.hpp>
#include <warden/detail/system/process_listing.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/detail/system/utf16_windows.hpp>
#include <warden/fwd.hpp>
#include <warden/platform.hpp>
#include <warden/process_info.hpp>

#if WARDEN_OS_WINDOWS
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// after windows.h
#include <psapi.h>
#include <tlhelp32.h>

namespace warden::detail {

inline Pid pipe_writer(const std::vector<Pid>&, std::uint64_t) { return 0; }

/// Calls `each` with every process until it gives false. Why there may be more.
template <class F>
[[nodiscard]] error_code for_each_process(F each) {
    const UniqueHandle snapshot(::CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0));
    if (!snapshot) return last_code();
    PROCESSENTRY32W entry{};
    entry.dwSize = sizeof entry;
    for (BOOL more = ::Process32FirstW(snapshot.get(), &entry); more; more = ::Process32NextW(snapshot.get(), &entry)) {
        if (!each(entry)) return {};
    }
    return ::GetLastError() == ERROR_NO_MORE_FILES ? error_code() : last_code();
}

[[nodiscard]] inline UniqueHandle open_to_look(Pid pid) noexcept {
    return UniqueHandle(::OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, static_cast<DWORD>(pid)));
}

[[nodiscard]] inline std::uint64_t ticks_of(const FILETIME& time) noexcept {
    return std::uint64_t{time.dwHighDateTime} << 32 | time.dwLowDateTime;
}

/// When it was made; 0 if that is not told.
[[nodiscard]] inline std::uint64_t birth_of(Pid pid) noexcept {
    const UniqueHandle process = open_to_look(pid);
    FILETIME made{};
    FILETIME ignored{};
    if (!process || !::GetProcessTimes(process.get(), &made, &ignored, &ignored, &ignored)) return 0;
    return ticks_of(made);
}

inline MemberDetails member_details(Pid pid) {  // Windows has no documented call for more than the executable
    MemberDetails details;
    const UniqueHandle process = open_to_look(pid);
    std::wstring path(32'768, L'\0');
    auto size = static_cast<DWORD>(path.size());
    if (process && ::QueryFullProcessImageNameW(process.get(), 0, path.data(), &size))
        details.executable = path.substr(0, size);
    details.error = make_error_code(boost::system::errc::operation_not_supported);
    return details;
}

/// The file that it executes stands for its command.
inline std::optional<TreeMember> member(Pid pid, error_code& ec) {
    std::optional<TreeMember> result;
    ec = for_each_process([&](const PROCESSENTRY32W& entry) {
        if (entry.th32ProcessID != static_cast<DWORD>(pid)) return true;
        result.emplace();
        result->pid = pid;
        result->parent = static_cast<Pid>(entry.th32ParentProcessID);
        result->command = '[' + to_readable(entry.szExeFile) + ']';
        return false;
    });
    const UniqueHandle process = open_to_look(pid);
    if (!result || !process) return result;
    if (::WaitForSingleObject(process.get(), 0) == WAIT_OBJECT_0) return std::nullopt;
    std::wstring path(32'768, L'\0');
    auto size = static_cast<DWORD>(path.size());
    if (::QueryFullProcessImageNameW(process.get(), 0, path.data(), &size))
        result->command = to_readable({path.data(), size});
    FILETIME ignored{};
    FILETIME in_system{};
    FILETIME in_user{};
    if (::GetProcessTimes(process.get(), &ignored, &ignored, &in_system, &in_user)) {
        result->user_time = Nanoseconds(static_cast<std::int64_t>(ticks_of(in_user) * 100));
        result->system_time = Nanoseconds(static_cast<std::int64_t>(ticks_of(in_system) * 100));
    }
    PROCESS_MEMORY_COUNTERS memory{};
    if (::GetProcessMemoryInfo(process.get(), &memory, sizeof memory)) result->resident_bytes = memory.WorkingSetSize;
    return result;
}

/// Those that name `pid` as their parent and are not older than it.
inline std::vector<Pid> children(Pid pid, error_code& ec) {
    std::vector<Pid> found;
    const std::uint64_t parent_birth = birth_of(pid);
    ec = for_each_process([&](const PROCESSENTRY32W& entry) {
        const auto child = static_cast<Pid>(entry.th32ProcessID);
        if (entry.th32ParentProcessID != static_cast<DWORD>(pid) || child == pid) return true;
        const std::uint64_t birth = birth_of(child);
        if (birth == 0 || birth >= parent_birth) found.push_back(child);  // an older one had another parent of that pid
        return true;
    });
    return found;
}

inline std::string why_alive(const TreeMember& member) {
    if (open_to_look(member.pid)) return "its end is held up: by input or output under way in a driver, or a debugger";
    if (::GetLastError() == ERROR_ACCESS_DENIED) return "it is protected, or belongs to another user";
    return "it was there when it was last looked at";
}

}  // namespace warden::detail
#endif
