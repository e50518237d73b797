// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Containment by the process group alone: the weakest, where nothing stronger is available.
///
/// Knows:         the group that the leader was born as the head of, by the leader's pidfd: the kernel is asked whether
///                anybody is in it, and signals it. All of /proc is read only to name those who outlive the leader.
/// Does not know: members that left the group or the session; they escape. When the host is killed, the tree lives on.
/// Thread-safety: one thread at a time, except signalling, which is safe.
/// Errors:        the system's codes.
///
/// Whose group it is. From Linux 6.9 the pidfd of the leader signals the group, and says whether it is empty, also when
/// the leader has been reaped: a number plays no part. Where that is not to be had, the group goes by its number, which
/// is nobody else's while the leader is a child of ours, running or not reaped. Once it is reaped, the number belongs
/// to the group while anybody is in it, and no process can get it; so it is used only while no process has it. What
/// remains there: all members have ended, the system has come round to the number, and the stranger that got it made a
/// group of it and has ended before others of that group; or it came between two calls.

#include <warden/containment.hpp>
#include <warden/detail/containment/pidfd_linux.hpp>
#include <warden/detail/launch/clone_launcher_linux.hpp>
#include <warden/detail/runtime/io_loop.hpp>
#include <warden/detail/system/descriptor_watch.hpp>
#include <warden/detail/system/procfs_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace warden::detail {

class ProcessGroupTree {
public:
    static constexpr Mechanism mechanism = Mechanism::process_group;
    static constexpr bool launches_directly = true;
    static constexpr bool lists_cheaply = false;

    ProcessGroupTree() = default;
    ProcessGroupTree(ProcessGroupTree&&) = delete;
    ~ProcessGroupTree();

    /// Launches the leader as the head of a session and group of its own. On failure nothing is left of it.
    void launch(const ChildPlan& plan, ChildAnswer& answer);

    /// From now on tells the end of the leader and of the group; see `LeaderExitHandler`.
    [[nodiscard]] error_code watch(IoLoop& loop, LeaderExitHandler ended, Job tree_empty);

    [[nodiscard]] Pid pid() const noexcept { return pid_; }
    [[nodiscard]] error_code signal_leader(int signal) const noexcept;
    [[nodiscard]] error_code signal_tree(int signal) const noexcept { return signal_group(signal); }
    /// One signal reaches all: Linux lets no member start another while it is on its way. Who enters the group later is
    /// signalled when the group is looked at again.
    [[nodiscard]] error_code kill_tree();
    /// Once more: POSIX has no other way.
    [[nodiscard]] error_code last_resort() { return kill_tree(); }
    /// Reads all of /proc.
    [[nodiscard]] std::vector<Pid> members(error_code& ec) const {
        ec.clear();
        return is_over_ ? std::vector<Pid>{} : running_members(ec);
    }
    [[nodiscard]] static bool has_escaped(Pid) noexcept { return false; }

private:
    struct Watch;
    [[nodiscard]] error_code signal_group(int signal) const noexcept;
    [[nodiscard]] bool is_group_empty() const noexcept;
    /// `unseen` says why there may be more.
    [[nodiscard]] std::vector<Pid> running_members(error_code& unseen) const;
    [[nodiscard]] bool is_running_member(Pid pid, UniqueFd& held) const;
    /// Whether the leader is there to be reaped by us, so that its number is nobody else's.
    [[nodiscard]] bool holds_number() const noexcept {
        siginfo_t info{};
        constexpr int options = WEXITED | WNOHANG | WNOWAIT | __WALL;
        return pid_ > 1 && raw(SYS_waitid, pidfd_id_type, pidfd_.get(), &info, options, nullptr) == 0;
    }

    Pid pid_ = 0;
    pid_t owner_ = 0;  // a fork of the host has this object too, and must leave the processes alone
    bool is_over_ = false;
    UniqueFd pidfd_;
    std::shared_ptr<Watch> watch_;
};

// -- implementation ----------------------------------------------------------

inline void ProcessGroupTree::launch(const ChildPlan& plan, ChildAnswer& answer) {
    const Cloned child = launch_child(plan, -1, answer);
    if (child.error != 0) return;
    pid_ = child.pid;
    owner_ = ::getpid();
    pidfd_.reset(child.pidfd);
}

inline error_code ProcessGroupTree::signal_leader(int signal) const noexcept {
    const error_code ec = signal_pidfd(pidfd_.get(), signal);
    const bool refused = ec.value() == EPERM || ec.value() == ENOSYS;
    if (!refused || !holds_number()) return ec;
    return ::kill(pid_, signal) == 0 ? error_code{} : system_code(errno);
}

/// By the pidfd. Older kernels, and filters, refuse that; so does the kernel if all members are of other users.
inline error_code ProcessGroupTree::signal_group(int signal) const noexcept {
    constexpr unsigned to_group = 1u << 2;  // PIDFD_SIGNAL_PROCESS_GROUP
    const long result = raw(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, to_group);
    if (result >= 0) return {};
    if (result == -ESRCH) return system_code(ESRCH);
    const bool is_ours = pid_ > 1 && (holds_number() || (::getpgid(pid_) < 0 && errno == ESRCH));
    if (!is_ours) return system_code(ESRCH);
    return ::kill(-pid_, signal) == 0 ? error_code{} : system_code(errno);
}

/// Once the leader is reaped. Those that fell to this program, because it is a subreaper, are reaped: while the group
/// is there, its number is its own.
inline bool ProcessGroupTree::is_group_empty() const noexcept {
    for (;;) {
        if (signal_group(0).value() == ESRCH) return true;
        siginfo_t info{};
        const long failed = raw(SYS_waitid, P_PGID, pid_, &info, WEXITED | WNOHANG | __WALL, nullptr);
        if (failed != 0 || info.si_pid == 0) return false;
    }
}

inline std::vector<Pid> ProcessGroupTree::running_members(error_code& unseen) const {
    std::vector<Pid> found;
    unseen = procfs::for_each_process([&](Pid pid) {
        UniqueFd held;
        if (::getpgid(pid) == pid_ && is_running_member(pid, held)) found.push_back(pid);
    });
    return found;
}

/// `held` becomes its pidfd, where one is available.
inline bool ProcessGroupTree::is_running_member(Pid pid, UniqueFd& held) const {
    held.reset(static_cast<int>(raw(SYS_pidfd_open, pid, 0)));
    if (::getpgid(pid) != pid_) return false;
    if (held) return !has_ended_pidfd(held.get());
    const auto stat = procfs::read_stat(pid);
    return !stat || !procfs::has_ended(*stat);
}

/// What is waited for; shared with the handlers, which may still be queued when the tree is gone.
struct ProcessGroupTree::Watch {
    using Nanoseconds = std::chrono::nanoseconds;
    static constexpr Nanoseconds least_patience = std::chrono::milliseconds(2);
    static constexpr Nanoseconds max_patience = std::chrono::seconds(1);
    static constexpr Nanoseconds before_search = std::chrono::milliseconds(30);
    static constexpr int rounds_of_a_kill = 100;

    Watch(IoLoop& loop, ProcessGroupTree& watched)
        : leader(loop.context()), member(loop.context()), again(loop), tree(&watched) {}

    DescriptorWatch leader;
    DescriptorWatch member;  // a pidfd of one that outlives the leader
    Timer again;             // while the others may be on their way out, and where pidfds of them are refused
    Nanoseconds patience = least_patience;
    std::chrono::steady_clock::time_point next_search{};
    std::vector<Pid> found;  // by the last search
    int kills_left = 0;
    ProcessGroupTree* tree;  // null once it is gone
    LeaderExitHandler ended;
    Job tree_empty;

    static void wait_leader(const std::shared_ptr<Watch>& self) {
        self->leader.wait_readable([self](const error_code& ec) {
            if (ec || !self->tree) return;
            const auto end = reap_pidfd(self->leader.get());
            if (!end) return wait_leader(self);
            self->leader.close();
            self->tree->is_over_ = self->tree->is_group_empty();
            const bool is_over = self->tree->is_over_;
            if (!is_over) look_soon(self);
            LeaderExitHandler tell = std::move(self->ended);
            tell(*end, is_over);
        });
    }

    /// Most groups are gone a moment after their leader.
    static void look_soon(const std::shared_ptr<Watch>& self) {
        self->patience = least_patience;
        self->next_search = std::chrono::steady_clock::now() + before_search;
        look_later(self);
    }

    static void look_later(const std::shared_ptr<Watch>& self) {
        self->again.arm(deadline_after(self->again.scheduler().now(), self->patience), [self] { look(self); });
        self->patience = std::min(self->patience * 2, max_patience);
    }

    static void look(const std::shared_ptr<Watch>& self) {
        if (!self->tree) return;
        if (self->tree->is_group_empty()) return tell_empty(self);
        if (self->kills_left > 0) {
            --self->kills_left;
            static_cast<void>(self->tree->signal_group(SIGKILL));
        }
        if (wait_member(self)) return;
        if (std::chrono::steady_clock::now() < self->next_search) return look_later(self);
        search(self);
    }

    /// Reads all of /proc, for a small part of the time at most.
    static void search(const std::shared_ptr<Watch>& self) {
        constexpr int pause = 16;
        const auto began = std::chrono::steady_clock::now();
        error_code unseen;
        self->found = self->tree->running_members(unseen);
        const auto now = std::chrono::steady_clock::now();
        self->next_search = now + std::max<Nanoseconds>(before_search, pause * (now - began));
        if (self->found.empty() && !unseen) return tell_empty(self);  // who is left has ended; others do not reap it
        if (!wait_member(self)) look_later(self);
    }

    /// Waits for the end of one that was found; false if none of them can be waited for.
    static bool wait_member(const std::shared_ptr<Watch>& self) {
        for (; !self->found.empty(); self->found.pop_back()) {
            UniqueFd held;
            if (!self->tree->is_running_member(self->found.back(), held)) continue;
            if (!held) return false;
            if (self->member.open(std::move(held))) return false;
            self->member.wait_readable([self](const error_code& ec) {
                if (ec || !self->tree) return;
                self->member.close();
                self->patience = least_patience;
                look(self);
            });
            return true;
        }
        return false;
    }

    static void tell_empty(const std::shared_ptr<Watch>& self) {
        self->tree->is_over_ = true;
        Job tell = std::move(self->tree_empty);
        tell();
    }
};

inline error_code ProcessGroupTree::kill_tree() {
    const error_code refused = signal_group(SIGKILL);
    if (!watch_) return refused;
    watch_->kills_left = Watch::rounds_of_a_kill;
    const bool is_waited_for = watch_->leader.is_open() || watch_->member.is_open() || is_over_;
    if (!is_waited_for) Watch::look_soon(watch_);
    return refused;
}

inline ProcessGroupTree::~ProcessGroupTree() {
    if (const auto watch = std::move(watch_)) {
        watch->tree = nullptr;
        watch->leader.close();
        watch->member.close();
        watch->again.cancel();
    }
    if (pid_ <= 1 || owner_ != ::getpid() || is_over_) return;
    static_cast<void>(signal_group(SIGKILL));
    static_cast<void>(reap_pidfd(pidfd_.get()));
}

inline error_code ProcessGroupTree::watch(IoLoop& loop, LeaderExitHandler ended, Job tree_empty) {
    watch_ = std::make_shared<Watch>(loop, *this);
    if (const error_code ec = watch_->leader.borrow(pidfd_.get())) return ec;
    watch_->ended = std::move(ended);
    watch_->tree_empty = std::move(tree_empty);
    Watch::wait_leader(watch_);
    return {};
}

}  // namespace warden::detail
#endif
