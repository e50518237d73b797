// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Starts a child that is in its jobs before its first instruction.
///
/// Knows:         CreateProcessW through Boost's launcher; that a child made suspended runs nothing before
///                `ResumeThread`; that where the system has it (Windows 10), the child is born in its jobs, so that the
///                sudden end of this program in between leaves nothing behind.
/// Does not know: what the jobs allow, when the child ends.
/// Thread-safety: safe. The child inherits the handles of its plan and of its initializers, by an explicit list, and no
///                others. A lock around the launch would add nothing: launches with such lists cannot take each other's
///                handles, and other code that inherits everything would not ask for the lock.
/// Errors:        in the `ChildAnswer`; nothing of the child is left then.

#include <warden/detail/launch/boost_process_windows.hpp>
#include <warden/detail/launch/child_plan_windows.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/detail/system/utf16_windows.hpp>
#include <warden/error.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <algorithm>
#include <cstddef>
#include <exception>
#include <vector>

namespace warden::detail {

/// The exit code of everything that warden ends by force. Its customer bit keeps it apart from the codes of the system
/// and, as good as certainly, from those of programs.
inline constexpr DWORD killed_exit_code = 0xE057'0009;

/// A child that runs. Its pid is its own as long as the handle is open.
struct LaunchedChild {
    UniqueHandle process;
    DWORD pid = 0;
};

/// Starts the child of `plan` in `jobs`, the outermost first, on the services of `context`.
/// @throws what an initializer throws; nothing of the child is left then either.
[[nodiscard]] inline LaunchedChild launch_in_jobs(boost::asio::io_context& context, const ChildPlan& plan,
                                                  const std::vector<HANDLE>& jobs, ChildAnswer& answer);

// -- implementation ----------------------------------------------------------

/// PROC_THREAD_ATTRIBUTE_JOB_LIST, which older headers do not have.
inline constexpr DWORD_PTR job_list_attribute = 0x0002'000D;

/// Attributes of a process that is to be made. What it points to must outlive it.
class AttributeList {
public:
    AttributeList() = default;
    AttributeList(const AttributeList&) = delete;
    AttributeList& operator=(const AttributeList&) = delete;
    ~AttributeList() {
        if (list_ != nullptr) ::DeleteProcThreadAttributeList(list_);
    }

    [[nodiscard]] bool reserve(DWORD count) {
        SIZE_T size = 0;
        ::InitializeProcThreadAttributeList(nullptr, count, 0, &size);
        bytes_.resize(size);
        auto* const list = reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(bytes_.data());
        if (!::InitializeProcThreadAttributeList(list, count, 0, &size)) return false;
        list_ = list;
        return true;
    }

    [[nodiscard]] bool add(DWORD_PTR attribute, const std::vector<HANDLE>& handles) noexcept {
        void* const value = const_cast<HANDLE*>(handles.data());
        return ::UpdateProcThreadAttribute(list_, 0, attribute, value, handles.size() * sizeof(HANDLE), nullptr,
                                           nullptr) != 0;
    }

    [[nodiscard]] LPPROC_THREAD_ATTRIBUTE_LIST get() const noexcept { return list_; }

private:
    std::vector<std::byte> bytes_;
    LPPROC_THREAD_ATTRIBUTE_LIST list_ = nullptr;
};

/// Makes handles inheritable for as long as it lives.
class Inheritable {
public:
    explicit Inheritable(const std::array<HANDLE, 3>& handles) noexcept : handles_(handles) {
        mark(HANDLE_FLAG_INHERIT);
    }
    Inheritable(const Inheritable&) = delete;
    Inheritable& operator=(const Inheritable&) = delete;
    ~Inheritable() { mark(0); }

private:
    void mark(DWORD flag) const noexcept {
        for (const HANDLE handle : handles_) ::SetHandleInformation(handle, HANDLE_FLAG_INHERIT, flag);
    }
    const std::array<HANDLE, 3>& handles_;
};

/// Our own initializer: the last word before CreateProcessW and the first after it.
class JobInitializer {
public:
    JobInitializer(const ChildPlan& plan, const std::vector<HANDLE>& jobs, ChildAnswer& answer)
        : plan_(plan), jobs_(jobs), answer_(answer), program_(plan.program) {}

    error_code on_setup(BoostLauncher& launcher, const BoostPath&, std::wstring& command_line);
    void on_success(BoostLauncher& launcher, const BoostPath&, std::wstring& command_line);

    LaunchedChild child;
    std::wstring line;           // the one that was used
    std::exception_ptr failure;  // of an initializer

private:
    void list_handles(BoostLauncher& launcher);
    [[nodiscard]] bool enter_jobs(HANDLE process) const;
    void refuse(SpawnStep step) {
        answer_.error = static_cast<std::int32_t>(::GetLastError());
        answer_.step = static_cast<std::int32_t>(step);
    }

    const ChildPlan& plan_;
    const std::vector<HANDLE>& jobs_;
    ChildAnswer& answer_;
    const std::filesystem::path program_;
    AttributeList attributes_;
    std::vector<HANDLE> handles_;
};

inline error_code JobInitializer::on_setup(BoostLauncher& launcher, const BoostPath&, std::wstring& command_line) {
    command_line = plan_.command_line;
    launcher.environment = const_cast<wchar_t*>(plan_.environment);
    if (plan_.directory) launcher.current_directory = plan_.directory;
    auto& start = launcher.startup_info.StartupInfo;
    start.dwFlags |= STARTF_USESTDHANDLES;
    start.hStdInput = plan_.stdio[0];
    start.hStdOutput = plan_.stdio[1];
    start.hStdError = plan_.stdio[2];
    const bool has_console = ::GetConsoleCP() != 0;
    launcher.creation_flags |= CREATE_NEW_PROCESS_GROUP | plan_.creation_flags | (has_console ? 0 : CREATE_NO_WINDOW);
    if (plan_.extension) {
        answer_.refusal = plan_.extension->on_setup(&launcher, program_, command_line);
        if (answer_.refusal) return answer_.refusal;
    }
    launcher.creation_flags |= CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT;
    if (!attributes_.reserve(2)) return last_code();
    list_handles(launcher);
    if (!launcher_lists_handles<BoostLauncher> && !attributes_.add(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles_))
        return last_code();
    static_cast<void>(attributes_.add(job_list_attribute, jobs_));  // before Windows 10: entered while suspended
    launcher.startup_info.lpAttributeList = attributes_.get();
    line = command_line;
    return {};
}

/// The standard handles as they are now, and what initializers have added; each once.
inline void JobInitializer::list_handles(BoostLauncher& launcher) {
    const auto& start = launcher.startup_info.StartupInfo;
    handles_ = added_handles(launcher);
    handles_.insert(handles_.end(), {start.hStdInput, start.hStdOutput, start.hStdError});
    std::erase_if(handles_, [](HANDLE handle) { return handle == nullptr || handle == INVALID_HANDLE_VALUE; });
    std::sort(handles_.begin(), handles_.end());
    handles_.erase(std::unique(handles_.begin(), handles_.end()), handles_.end());
    set_inherited(launcher, handles_);
}

inline bool JobInitializer::enter_jobs(HANDLE process) const {
    for (const HANDLE job : jobs_) {
        BOOL is_in = FALSE;
        if (!::IsProcessInJob(process, job, &is_in)) return false;
        if (!is_in && !::AssignProcessToJobObject(job, process)) return false;
    }
    return true;
}

inline void JobInitializer::on_success(BoostLauncher& launcher, const BoostPath&, std::wstring& command_line) {
    const PROCESS_INFORMATION& made = launcher.process_information;
    HANDLE own = nullptr;
    const HANDLE here = ::GetCurrentProcess();
    if (!enter_jobs(made.hProcess)) refuse(SpawnStep::containment);
    else if (!::DuplicateHandle(here, made.hProcess, here, &own, 0, FALSE, DUPLICATE_SAME_ACCESS))
        refuse(SpawnStep::launch);
    child = {UniqueHandle(own), made.dwProcessId};
    try {
        if (answer_.error == 0 && plan_.extension) plan_.extension->on_success(&launcher, program_, command_line);
    } catch (...) {
        failure = std::current_exception();
        ::SetLastError(ERROR_CANCELLED);
        refuse(SpawnStep::launch);
    }
    if (answer_.error == 0 && ::ResumeThread(made.hThread) == static_cast<DWORD>(-1)) refuse(SpawnStep::launch);
    if (answer_.error == 0) return;
    ::TerminateProcess(made.hProcess, killed_exit_code);
    ::WaitForSingleObject(made.hProcess, 10'000);  // it has never run, so nothing holds it up
    child = {};
}

inline LaunchedChild launch_in_jobs(boost::asio::io_context& context, const ChildPlan& plan,
                                    const std::vector<HANDLE>& jobs, ChildAnswer& answer) {
    BoostLauncher launcher;
    JobInitializer initializer(plan, jobs, answer);
    error_code ec;
    {
        const Inheritable for_now(plan.stdio);
        ec = launch_by_boost(launcher, context, plan.program, initializer);
    }
    if (ec && answer.error == 0) {
        answer.error = ec.value();
        answer.step = static_cast<std::int32_t>(SpawnStep::launch);
    }
    if (answer.error != 0 && plan.extension) {
        const error_code told = answer.refusal ? answer.refusal : system_code(answer.error);
        plan.extension->on_error(&launcher, plan.program, initializer.line, told);
    }
    if (initializer.failure) std::rethrow_exception(initializer.failure);
    return std::move(initializer.child);
}

}  // namespace warden::detail
#endif
