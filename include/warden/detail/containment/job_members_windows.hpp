// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Who is in a job, and what can be done to one process: ask it to end, stop it, let it go on.
///
/// Knows:         that Windows has no signals: CTRL_BREAK reaches console programs, WM_CLOSE those with windows;
///                NtSuspendProcess stops all threads, and counts how often.
/// Does not know: which process is the leader of a tree.
/// Thread-safety: safe; asking with a console that is borrowed for that is done one at a time.
/// Errors:        the system's codes.

#include <warden/detail/system/api_windows.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/detail/system/utf16_windows.hpp>
#include <warden/error.hpp>
#include <warden/fwd.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <algorithm>
#include <cstddef>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace warden::detail {

/// The living members of a job and of those nested in it. `ec` says why there may be more.
[[nodiscard]] inline std::vector<Pid> job_members(HANDLE job, error_code& ec);

/// Whether no member lives. Not, if the system does not say.
[[nodiscard]] inline bool has_no_members(HANDLE job) noexcept;

/// The process `pid`, if it is a living member of `job`; no handle otherwise. SYNCHRONIZE comes with `access`.
[[nodiscard]] inline UniqueHandle open_member(HANDLE job, Pid pid, DWORD access) noexcept;

/// Asks to end: CTRL_BREAK to the console processes of the group that `leader` was made the head of, whose pid must be
/// held by a handle, and WM_CLOSE to the top-level windows of `members` on this desktop. An error if neither is to be
/// had.
[[nodiscard]] inline error_code ask_to_end(Pid leader, const std::vector<Pid>& members) noexcept;

/// The processes that we have stopped. Each is stopped once, so that one `go_on` is enough.
class StoppedProcesses {
public:
    /// Stops the member `pid` of `job` unless that is done.
    error_code stop(HANDLE job, Pid pid);
    error_code resume(Pid pid);
    error_code resume_all();
    [[nodiscard]] bool has(Pid pid) const { return stopped_.count(pid) != 0; }

private:
    std::map<Pid, UniqueHandle> stopped_;  // held, so that the pids stay theirs
};

// -- implementation ----------------------------------------------------------

/// Whether `pid` has ended and is listed only because somebody has a handle of it.
[[nodiscard]] inline bool member_has_ended(Pid pid) noexcept {
    const UniqueHandle process(::OpenProcess(SYNCHRONIZE, FALSE, static_cast<DWORD>(pid)));
    if (!process) return ::GetLastError() == ERROR_INVALID_PARAMETER;
    return ::WaitForSingleObject(process.get(), 0) == WAIT_OBJECT_0;
}

inline std::vector<Pid> job_members(HANDLE job, error_code& ec) {
    ec.clear();
    std::vector<Pid> found;
    std::vector<ULONG_PTR> space;
    for (std::size_t room = 64; room <= std::size_t{1} << 20; room *= 2) {
        space.assign(room + 1, 0);  // two counters of 32 bits come first
        auto* const list = reinterpret_cast<JOBOBJECT_BASIC_PROCESS_ID_LIST*>(space.data());
        const auto size = static_cast<DWORD>(space.size() * sizeof(ULONG_PTR));
        const BOOL told = ::QueryInformationJobObject(job, JobObjectBasicProcessIdList, list, size, nullptr);
        if (!told && ::GetLastError() != ERROR_MORE_DATA) {
            ec = last_code();
            return found;
        }
        if (!told || list->NumberOfProcessIdsInList < list->NumberOfAssignedProcesses) continue;
        for (DWORD i = 0; i < list->NumberOfProcessIdsInList; ++i)
            found.push_back(static_cast<Pid>(list->ProcessIdList[i]));
        std::erase_if(found, member_has_ended);
        return found;
    }
    ec = make_error_code(boost::system::errc::value_too_large);
    return found;
}

inline bool has_no_members(HANDLE job) noexcept {
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION facts{};
    constexpr DWORD size = sizeof facts;
    return ::QueryInformationJobObject(job, JobObjectBasicAccountingInformation, &facts, size, nullptr) != 0 &&
           facts.ActiveProcesses == 0;
}

inline UniqueHandle open_member(HANDLE job, Pid pid, DWORD access) noexcept {
    // The lesser right is granted more widely; where it does not suffice (Wine), the greater one is asked for.
    for (const DWORD to_look : {PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_QUERY_INFORMATION}) {
        UniqueHandle process(::OpenProcess(access | to_look | SYNCHRONIZE, FALSE, static_cast<DWORD>(pid)));
        BOOL is_in = FALSE;
        if (!process || !::IsProcessInJob(process.get(), job, &is_in)) continue;
        return is_in ? std::move(process) : UniqueHandle();
    }
    return {};
}

/// A console event needs a console that is shared with the group. A program without one borrows that of the group for a
/// moment; the program is in no group of that console, so nothing reaches it.
[[nodiscard]] inline error_code send_break(Pid group) noexcept {
    static std::mutex one_at_a_time;
    const std::lock_guard lock(one_at_a_time);
    const bool borrowed = ::AttachConsole(static_cast<DWORD>(group)) != 0;
    if (!borrowed && ::GetLastError() != ERROR_ACCESS_DENIED) return last_code();  // denied: there is a console already
    const BOOL sent = ::GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, static_cast<DWORD>(group));
    const error_code ec = sent ? error_code() : last_code();
    if (borrowed) ::FreeConsole();
    return ec;
}

/// What is handed to the callbacks that are called for each window.
struct WindowSearch {
    const std::vector<Pid>& members;
    bool found = false;
};

[[nodiscard]] inline bool is_of_member(HWND window, const WindowSearch& search) noexcept {
    DWORD owner = 0;
    ::GetWindowThreadProcessId(window, &owner);
    return std::find(search.members.begin(), search.members.end(), static_cast<Pid>(owner)) != search.members.end();
}

/// Goes on until one is found.
inline BOOL CALLBACK find_window(HWND window, LPARAM search_address) noexcept {
    auto& search = *reinterpret_cast<WindowSearch*>(search_address);
    search.found = is_of_member(window, search);
    return search.found ? FALSE : TRUE;
}

inline BOOL CALLBACK close_window(HWND window, LPARAM search_address) noexcept {
    auto& search = *reinterpret_cast<WindowSearch*>(search_address);
    const bool is_main = is_of_member(window, search) && ::GetWindow(window, GW_OWNER) == nullptr;
    if (is_main && ::PostMessageW(window, WM_CLOSE, 0, 0)) search.found = true;
    return TRUE;
}

/// On a desktop where nobody has been, EnumWindows makes Wine start an explorer.exe, which stays as long as the job
/// that we may be in; so it is asked only if there are windows of members. EnumDesktopWindows tells of more than the
/// top-level ones there.
inline void close_windows(WindowSearch& search) noexcept {
    const auto address = reinterpret_cast<LPARAM>(&search);
    ::EnumDesktopWindows(nullptr, &find_window, address);
    if (std::exchange(search.found, false)) ::EnumWindows(&close_window, address);
}

inline error_code ask_to_end(Pid leader, const std::vector<Pid>& members) noexcept {
    const error_code ec = send_break(leader);
    WindowSearch search{members};
    close_windows(search);
    return search.found ? error_code() : ec;
}

/// NtSuspendProcess or NtResumeProcess, which no import library of the SDK has.
[[nodiscard]] inline error_code call_of_ntdll(const char* name, HANDLE process) noexcept {
    using Function = LONG(WINAPI*)(HANDLE);
    const FARPROC address = ::GetProcAddress(::GetModuleHandleW(L"ntdll.dll"), name);
    if (address == nullptr) return last_code();
    const LONG status = reinterpret_cast<Function>(reinterpret_cast<void*>(address))(process);
    return status >= 0 ? error_code() : system_code(ERROR_ACCESS_DENIED);
}

inline error_code StoppedProcesses::stop(HANDLE job, Pid pid) {
    if (has(pid)) return {};
    UniqueHandle process = open_member(job, pid, PROCESS_SUSPEND_RESUME);
    if (!process) return last_code();
    const error_code ec = call_of_ntdll("NtSuspendProcess", process.get());
    if (!ec) stopped_.emplace(pid, std::move(process));
    return ec;
}

inline error_code StoppedProcesses::resume(Pid pid) {
    const auto found = stopped_.find(pid);
    if (found == stopped_.end()) return {};
    const error_code ec = call_of_ntdll("NtResumeProcess", found->second.get());
    stopped_.erase(found);
    return ec;
}

inline error_code StoppedProcesses::resume_all() {
    error_code result;
    while (!stopped_.empty()) {
        const Pid pid = stopped_.begin()->first;
        const bool lives = ::WaitForSingleObject(stopped_.begin()->second.get(), 0) == WAIT_TIMEOUT;
        const error_code ec = resume(pid);
        if (ec && lives) result = ec;
    }
    return result;
}

}  // namespace warden::detail
#endif
