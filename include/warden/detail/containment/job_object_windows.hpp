// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Containment by a Job Object of its own for each process, nested in that of the manager.
///
/// Knows:         descendants are members from birth, whatever they do, save those that are started with
///                CREATE_BREAKAWAY_FROM_JOB, which every job here allows; closing the last handle of a job, which the
///                end of the host does too, ends its members.
/// Does not know: what is handed to others to run: services, scheduled tasks, WMI.
/// Thread-safety: one thread at a time: the loop; `launch` before it is known there.
/// Errors:        the system's codes; errc::invalid_signal for what has no counterpart here.

#include <warden/containment.hpp>
#include <warden/detail/containment/job_members_windows.hpp>
#include <warden/detail/containment/leader_exit.hpp>
#include <warden/detail/containment/manager_job_windows.hpp>
#include <warden/detail/launch/launcher_windows.hpp>
#include <warden/detail/runtime/io_loop.hpp>
#include <warden/detail/system/signal_numbers.hpp>

#if WARDEN_OS_WINDOWS
#include <boost/asio/io_context.hpp>
#include <boost/asio/windows/object_handle.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <psapi.h>

namespace warden::detail {

class JobTree {
public:
    static constexpr Mechanism mechanism = Mechanism::job_object;
    static constexpr bool launches_directly = true;
    static constexpr bool lists_cheaply = true;

    explicit JobTree(std::shared_ptr<ManagerJob> manager) : manager_(std::move(manager)) {}
    JobTree(JobTree&&) = delete;
    ~JobTree();

    /// Launches the leader inside its job. On failure nothing is left of it.
    void launch(const ChildPlan& plan, ChildAnswer& answer);

    /// From now on tells the end of the leader and of the tree; see `LeaderExitHandler`.
    [[nodiscard]] error_code watch(IoLoop& loop, LeaderExitHandler ended, Job tree_empty) {
        return watch(loop.context(), std::move(ended), std::move(tree_empty));
    }
    /// The same on a context that the caller runs.
    [[nodiscard]] error_code watch(boost::asio::io_context& context, LeaderExitHandler ended, Job tree_empty);

    [[nodiscard]] Pid pid() const noexcept { return pid_; }

    /// `terminate` asks by CTRL_BREAK and WM_CLOSE; `kill`, `stop` and `go_on` are done by the system.
    [[nodiscard]] error_code signal_leader(int signal) const;
    /// The same for all members. CTRL_BREAK reaches those that share the console group of the leader.
    [[nodiscard]] error_code signal_tree(int signal);
    /// Ends all members with `killed_exit_code`. No error if none is left.
    [[nodiscard]] error_code kill_tree();
    /// Starts `taskkill /F /T` on the leader and its descendants, without waiting for it.
    [[nodiscard]] error_code last_resort();
    [[nodiscard]] std::vector<Pid> members(error_code& ec) const;
    [[nodiscard]] static bool has_escaped(Pid) noexcept { return false; }

private:
    struct State;
    [[nodiscard]] error_code signal_living_leader(int signal) const;
    [[nodiscard]] error_code signal_members(int signal);
    [[nodiscard]] error_code stop_all() const;

    std::shared_ptr<ManagerJob> manager_;
    std::shared_ptr<State> state_;
    std::uintptr_t number_ = 0;
    Pid pid_ = 0;
};

// -- implementation ----------------------------------------------------------

/// Sets `limits` on a new job.
[[nodiscard]] inline error_code limit_tree(HANDLE job, const JobLimits& limits) noexcept {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION all{};
    auto& basic = all.BasicLimitInformation;
    if (limits.cpu_time) {
        using Ticks = std::chrono::duration<std::int64_t, std::ratio<1, 10'000'000>>;
        basic.LimitFlags |= JOB_OBJECT_LIMIT_PROCESS_TIME;
        basic.PerProcessUserTimeLimit.QuadPart = std::chrono::ceil<Ticks>(*limits.cpu_time).count();
    }
    if (limits.processes) {
        basic.LimitFlags |= JOB_OBJECT_LIMIT_ACTIVE_PROCESS;
        basic.ActiveProcessLimit = static_cast<DWORD>(std::min<std::uint64_t>(*limits.processes, MAXDWORD));
    }
    if (limits.memory_bytes) {
        basic.LimitFlags |= JOB_OBJECT_LIMIT_JOB_MEMORY;
        all.JobMemoryLimit = static_cast<SIZE_T>(std::min<std::uint64_t>(*limits.memory_bytes, SIZE_MAX));
    }
    const error_code ec = limit_job(job, all);
    if (ec || !limits.cpu_share) return ec;
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION rate{};
    rate.ControlFlags = JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
    const double of_all = *limits.cpu_share / std::max(1u, std::thread::hardware_concurrency());
    rate.CpuRate = static_cast<DWORD>(std::clamp(of_all * 10'000, 1.0, 10'000.0));
    const BOOL set = ::SetInformationJobObject(job, JobObjectCpuRateControlInformation, &rate, sizeof rate);
    return set ? error_code() : last_code();
}

/// What the handlers on the loop share with the tree, and outlive it by.
struct JobTree::State final : JobListener, std::enable_shared_from_this<State> {
    using Waiter = boost::asio::windows::object_handle;

    void on_job_message(DWORD message) override;
    void wait_leader();
    void wait_member();
    void look();
    [[nodiscard]] LeaderExit leader_end();
    void close();

    UniqueHandle job;
    LaunchedChild leader;
    std::optional<Nanoseconds> cpu_limit;
    StoppedProcesses stopped;
    bool hit_memory_limit = false;
    bool killed = false;
    bool leader_ended = false;
    bool waits_member = false;
    std::optional<Waiter> leader_waiter;
    std::optional<Waiter> member_waiter;  // of one that outlives the leader: messages are not certain to come
    LeaderExitHandler ended;
    Job tree_empty;
};

inline void JobTree::launch(const ChildPlan& plan, ChildAnswer& answer) {
    const auto refuse = [&](SpawnStep step, const error_code& ec) {
        answer.error = ec.value();
        answer.step = static_cast<std::int32_t>(step);
    };
    auto state = std::make_shared<State>();
    state->job.reset(::CreateJobObjectW(nullptr, nullptr));
    if (!state->job) return refuse(SpawnStep::containment, last_code());
    if (const error_code ec = limit_tree(state->job.get(), plan.limits)) return refuse(SpawnStep::resource_limits, ec);
    error_code ec;
    const std::uintptr_t number = manager_->listen(state->job.get(), state, ec);
    if (ec) return refuse(SpawnStep::containment, ec);
    state->cpu_limit = plan.limits.cpu_time;
    state->leader = launch_in_jobs(manager_->loop(), plan, {manager_->get(), state->job.get()}, answer);
    if (answer.error != 0) return manager_->remove(number);
    number_ = number;
    pid_ = static_cast<Pid>(state->leader.pid);
    state_ = std::move(state);
}

inline error_code JobTree::watch(boost::asio::io_context& context, LeaderExitHandler ended, Job tree_empty) {
    state_->ended = std::move(ended);
    state_->tree_empty = std::move(tree_empty);
    state_->leader_waiter.emplace(context);
    state_->member_waiter.emplace(context);
    state_->wait_leader();
    return {};
}

inline JobTree::~JobTree() {
    if (!state_) return;
    manager_->remove(number_);
    static_cast<void>(kill_tree());
    state_->close();
}

/// Nothing is told any more; the job's last handle goes.
inline void JobTree::State::close() {
    ended = nullptr;
    tree_empty = nullptr;
    error_code ignored;
    if (leader_waiter) leader_waiter->close(ignored);
    if (member_waiter) member_waiter->close(ignored);
    job.reset();
}

inline void JobTree::State::wait_leader() {
    HANDLE again = nullptr;  // the waiter closes its own
    const HANDLE here = ::GetCurrentProcess();
    ::DuplicateHandle(here, leader.process.get(), here, &again, 0, FALSE, DUPLICATE_SAME_ACCESS);
    leader_waiter->assign(again);
    leader_waiter->async_wait([self = shared_from_this()](const error_code& ec) {
        if (!self->ended) return;
        const auto tell = std::exchange(self->ended, nullptr);
        if (ec) ::TerminateJobObject(self->job.get(), killed_exit_code);  // what cannot be waited for is not left alone
        const LeaderExit end = ec ? LeaderExit() : self->leader_end();
        self->leader_ended = true;
        const bool is_tree_empty = has_no_members(self->job.get());
        if (is_tree_empty) self->tree_empty = nullptr;
        tell(end, is_tree_empty);
        self->look();
    });
}

/// Whether the tree is tree_empty now; if not, waits for one of those that are left.
inline void JobTree::State::look() {
    if (!leader_ended || !tree_empty) return;
    if (!has_no_members(job.get())) return wait_member();
    const auto tell = std::exchange(tree_empty, nullptr);
    tell();
}

inline void JobTree::State::wait_member() {
    if (waits_member) return;
    error_code ec;  // of a job that does not tell its members, `look` is called again by its messages
    for (const Pid pid : job_members(job.get(), ec)) {
        UniqueHandle member = open_member(job.get(), pid, 0);
        if (!member || member_waiter->assign(member.get(), ec)) continue;
        static_cast<void>(member.release());
        waits_member = true;
        member_waiter->async_wait([self = shared_from_this()](const error_code& failed) {
            if (failed || !self->tree_empty) return;
            self->waits_member = false;
            self->member_waiter->close();
            self->look();
        });
        return;
    }
    if (has_no_members(job.get())) look();
}

inline void JobTree::State::on_job_message(DWORD message) {
    if (message == JOB_OBJECT_MSG_PROCESS_MEMORY_LIMIT || message == JOB_OBJECT_MSG_JOB_MEMORY_LIMIT)
        hit_memory_limit = true;
    if (message == JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO) look();
}

[[nodiscard]] inline Nanoseconds duration_of(const FILETIME& time) noexcept {
    const auto ticks = std::uint64_t{time.dwHighDateTime} << 32 | time.dwLowDateTime;
    return Nanoseconds(static_cast<std::int64_t>(ticks) * 100);
}

/// How the leader ended: its exit code as it is, save where it was ended for us.
inline LeaderExit JobTree::State::leader_end() {
    LeaderExit end;
    const HANDLE process = leader.process.get();
    DWORD code = 0;
    FILETIME made{};
    FILETIME gone{};
    FILETIME in_system{};
    FILETIME in_user{};
    if (::GetProcessTimes(process, &made, &gone, &in_system, &in_user)) {
        end.usage.user_time = duration_of(in_user);
        end.usage.system_time = duration_of(in_system);
    }
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION tree{};
    if (::QueryInformationJobObject(job.get(), JobObjectBasicAccountingInformation, &tree, sizeof tree, nullptr)) {
        end.usage.user_time = std::max(end.usage.user_time, Nanoseconds(tree.TotalUserTime.QuadPart * 100));
        end.usage.system_time = std::max(end.usage.system_time, Nanoseconds(tree.TotalKernelTime.QuadPart * 100));
    }
    PROCESS_MEMORY_COUNTERS memory{};
    if (::GetProcessMemoryInfo(process, &memory, sizeof memory))
        end.usage.max_resident_bytes = memory.PeakWorkingSetSize;
    if (!::GetExitCodeProcess(process, &code)) return end;
    const bool over_cpu = cpu_limit && code == ERROR_NOT_ENOUGH_QUOTA && duration_of(in_user) >= *cpu_limit;
    end.status = killed && code == killed_exit_code ? ExitStatus::from_signal(signals::kill, false)
                 : over_cpu                         ? ExitStatus::from_signal(signals::cpu_limit, false)
                                                    : ExitStatus::from_code(code);
    if (hit_memory_limit && !end.status.success()) end.limit = ExitCause::memory_limit;
    return end;
}

inline std::vector<Pid> JobTree::members(error_code& ec) const {
    ec.clear();
    return state_ ? job_members(state_->job.get(), ec) : std::vector<Pid>();
}

inline error_code JobTree::kill_tree() {
    if (!state_) return {};
    state_->killed = true;
    return ::TerminateJobObject(state_->job.get(), killed_exit_code) ? error_code() : last_code();
}

inline error_code JobTree::last_resort() {
    if (!state_) return {};
    std::wstring program(MAX_PATH + 1, L'\0');
    program.resize(::GetSystemDirectoryW(program.data(), MAX_PATH));
    program += L"\\taskkill.exe";
    std::wstring line = L"taskkill /F /T /PID " + std::to_wstring(pid());  // its own as long as our handle is open
    STARTUPINFOW start{};
    start.cb = sizeof start;
    PROCESS_INFORMATION made{};
    if (!::CreateProcessW(program.c_str(), line.data(), nullptr, nullptr, FALSE, CREATE_NO_WINDOW, nullptr, nullptr,
                          &start, &made)) {
        return last_code();
    }
    ::CloseHandle(made.hThread);
    ::CloseHandle(made.hProcess);
    return {};
}

/// What the system answers for one that has ended has many codes; this is the one that the engine knows.
[[nodiscard]] inline error_code nobody_there() noexcept {
    return make_error_code(boost::system::errc::no_such_process);
}

inline error_code JobTree::signal_leader(int signal) const {
    if (!state_ || state_->leader_ended) return nobody_there();
    const error_code ec = signal_living_leader(signal);
    if (!ec || ec == errc::invalid_signal) return ec;
    const bool has_ended = ::WaitForSingleObject(state_->leader.process.get(), 0) == WAIT_OBJECT_0;
    return has_ended ? nobody_there() : ec;  // its exit notification is on its way
}

inline error_code JobTree::signal_living_leader(int signal) const {
    const HANDLE process = state_->leader.process.get();
    if (signal == signals::terminate) return ask_to_end(pid(), {pid()});
    if (signal == signals::stop) return state_->stopped.stop(state_->job.get(), pid());
    if (signal == signals::resume) return state_->stopped.resume(pid());
    if (signal != signals::kill) return errc::invalid_signal;
    state_->killed = true;
    return ::TerminateProcess(process, killed_exit_code) ? error_code() : last_code();
}

inline error_code JobTree::signal_tree(int signal) {
    if (!state_) return nobody_there();
    const error_code ec = signal_members(signal);
    if (!ec || ec == errc::invalid_signal) return ec;
    return has_no_members(state_->job.get()) ? nobody_there() : ec;
}

inline error_code JobTree::signal_members(int signal) {
    if (signal == signals::terminate) {
        error_code unlisted;
        const error_code refused = ask_to_end(pid(), members(unlisted));
        return unlisted ? unlisted : refused;
    }
    if (signal == signals::kill) return kill_tree();
    if (signal == signals::stop) return stop_all();
    if (signal == signals::resume) return state_->stopped.resume_all();
    return errc::invalid_signal;
}

/// Looks again until nobody is new: a member may have started others before it was stopped.
inline error_code JobTree::stop_all() const {
    error_code result;
    constexpr int max_rounds = 100;
    for (int round = 0; round < max_rounds; ++round) {
        bool found_new = false;
        error_code unlisted;
        for (const Pid pid : members(unlisted)) {
            if (state_->stopped.has(pid)) continue;
            const error_code ec = state_->stopped.stop(state_->job.get(), pid);
            found_new = found_new || !ec;
            if (ec && open_member(state_->job.get(), pid, 0)) result = ec;  // it is there, and was not to be stopped
        }
        if (unlisted) return unlisted;
        if (!found_new) return result;
    }
    return system_code(ERROR_RETRY);
}

}  // namespace warden::detail
#endif
