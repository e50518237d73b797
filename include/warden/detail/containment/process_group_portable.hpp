// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Containment by the process group, with nothing but what POSIX has.
///
/// Knows:         the group that the leader was born as the head of, and whether anything of it is left.
/// Does not know: who is in it: `members` tells the leader while it runs, and nobody else. Members that left the group
///                or the session escape. When the host is killed, the tree lives on.
/// Thread-safety: one thread at a time: `launch` on any, all else on the loop, where no call waits; but one that is
///                destroyed before it was watched waits for the end of its leader, which it kills.
/// Errors:        the system's codes; ESRCH where nothing may be signalled any more.
///
/// Whose number it is. A number is signalled only while it is known to be ours:
/// - While the leader runs, or is a zombie, nobody else can get it: it is a child of ours, which waitid(2) confirms
///   before each signal. What remains: another thread of the host reaps it (waitpid(-1)) between the two calls.
/// - Where kill(2) answers for groups in which all have ended, as on Linux, the leader has to be reaped for the group
/// to
///   tell whether others are in it. While there are, POSIX gives the number to nobody, but their end gives no event. So
///   each look and each signal first makes sure that no process has the number: one that has it is a stranger, and the
///   group was gone before. What remains: all members have ended, the system has come round to the number again, and
///   the stranger that got it has made a group of it and has ended before the others of that group; or it came between
///   the two calls. On systems where ended members do not answer, the leader stays a zombie instead, and nothing
///   remains.
/// - Once somebody else has reaped the leader, the number is never signalled again, for it was out of sight. If others
///   were in the group, they escape; `tree_empty` is told when they are gone.

#include <warden/containment.hpp>
#include <warden/detail/containment/child_watch_portable.hpp>
#include <warden/detail/containment/leader_exit.hpp>
#include <warden/detail/launch/fork_launcher_portable.hpp>
#include <warden/detail/runtime/io_loop.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
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
    static constexpr bool lists_cheaply = true;

    ProcessGroupTree() = default;
    ProcessGroupTree(ProcessGroupTree&&) = delete;
    ~ProcessGroupTree();

    /// Launches the leader as the head of a session and group of its own. On failure nothing is left of it.
    void launch(const ChildPlan& plan, ChildAnswer& answer);

    /// From now on tells the end of the leader and of the group; see `LeaderExitHandler`. Usage is CPU time, and
    /// unknown where the leader stays a zombie. @throws system_error if the loop's `ChildWatch` cannot be made; it
    /// exists if `ChildWatch::of(loop)` has been called before.
    [[nodiscard]] error_code watch(IoLoop& loop, LeaderExitHandler ended, Job tree_empty);

    [[nodiscard]] Pid pid() const noexcept { return pid_; }
    [[nodiscard]] error_code signal_leader(int signal) const;
    [[nodiscard]] error_code signal_tree(int signal);
    [[nodiscard]] error_code kill_tree() { return signal_tree(SIGKILL); }
    /// Once more: POSIX has no other way.
    [[nodiscard]] error_code last_resort() { return kill_tree(); }
    [[nodiscard]] std::vector<Pid> members(error_code& ec) const;
    [[nodiscard]] static bool has_escaped(Pid) noexcept { return false; }

private:
    struct Watch;

    /// What keeps others from getting the number of the leader and its group.
    enum class Number : std::uint8_t {
        held,      ///< The leader, which we have not reaped.
        released,  ///< The others in the group, if there are any; we have reaped the leader.
        lost,      ///< Nothing that we know of.
    };

    [[nodiscard]] bool is_owner() const noexcept { return pid_ > 1 && owner_ == ::getpid(); }
    [[nodiscard]] bool has_group() const noexcept;
    [[nodiscard]] bool may_signal() const noexcept;
    [[nodiscard]] bool others_left(ResourceUsage& usage) noexcept;
    void acted() const;

    Pid pid_ = 0;
    pid_t owner_ = 0;  // a fork of the host has this object too, and must leave the processes alone
    Number number_ = Number::held;
    std::shared_ptr<Watch> watch_;
};

/// Whether kill(2) answers for a group in which all have ended, but are not reaped; POSIX leaves that open. Found out
/// once, by a child that ends at once. Thread-safe.
[[nodiscard]] inline bool ended_members_answer();

// -- implementation ----------------------------------------------------------

[[noreturn]] WARDEN_IN_CHILD inline void end_as_head_in_child() noexcept {
    ::setsid();
    ::_exit(0);
}

inline bool ended_members_answer() {
    static const bool answer = [] {
        pid_t child = -1;
        {
            const AllSignalsBlocked blocked;
            child = ::fork();
            if (child == 0) end_as_head_in_child();
        }
        if (child < 0) return true;
        siginfo_t info{};
        int failed = -1;
        do failed = ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
        while (failed != 0 && errno == EINTR);
        const bool answered = failed != 0 || ::kill(-child, 0) == 0;  // reaped by others: the careful answer
        while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {}
        return answered;
    }();
    return answer;
}

inline void ProcessGroupTree::launch(const ChildPlan& plan, ChildAnswer& answer) {
    static_cast<void>(ended_members_answer());  // may take a fork: not on the loop
    pid_ = fork_child(plan, answer);
    owner_ = ::getpid();
}

/// Whether the group is there, once the leader is reaped.
inline bool ProcessGroupTree::has_group() const noexcept {
    if (::getpgid(pid_) >= 0 || errno != ESRCH) return false;  // a stranger has the number
    if (number_ == Number::released) {
        // Orphans of the group fall to this program where it is pid 1, or takes them over in another way.
        siginfo_t info{};
        do info.si_pid = 0;
        while (::waitid(P_PGID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0);
    }
    return ::kill(-pid_, 0) == 0 || errno == EPERM;
}

inline bool ProcessGroupTree::may_signal() const noexcept {
    if (!is_owner()) return false;
    if (number_ == Number::held) return look_at_child(pid_).kind != ChildState::lost;
    return number_ == Number::released && has_group();
}

/// Once the leader has ended: whether others are in the group. Reaps the leader if that is needed, or if none are.
inline bool ProcessGroupTree::others_left(ResourceUsage& usage) noexcept {
    if (number_ == Number::held) {
        if (!ended_members_answer() && ::kill(-pid_, 0) == 0) return true;
        usage = reap_child(pid_);
        number_ = Number::released;
    }
    return has_group();
}

inline error_code ProcessGroupTree::signal_leader(int signal) const {
    const bool is_there = number_ == Number::held && may_signal();
    const error_code ec = is_there && ::kill(pid_, signal) == 0 ? error_code{} : system_code(is_there ? errno : ESRCH);
    acted();
    return ec;
}

inline error_code ProcessGroupTree::signal_tree(int signal) {
    const bool is_there = may_signal();
    const error_code ec = is_there && ::kill(-pid_, signal) == 0 ? error_code{} : system_code(is_there ? errno : ESRCH);
    acted();
    return ec;
}

inline std::vector<Pid> ProcessGroupTree::members(error_code& ec) const {
    ec.clear();
    const bool runs = is_owner() && number_ == Number::held && look_at_child(pid_).kind == ChildState::running;
    return runs ? std::vector<Pid>{pid_} : std::vector<Pid>{};
}

/// What is waited for; shared with the handlers, which may still be queued when the tree is gone.
struct ProcessGroupTree::Watch {
    using Milliseconds = std::chrono::milliseconds;
    static constexpr Milliseconds least_patience{2};
    static constexpr Milliseconds max_patience{1000};

    Watch(IoLoop& loop, ProcessGroupTree& watched)
        : children(ChildWatch::of(loop.context())), again(loop), tree(&watched) {}

    ChildWatch& children;
    ChildWatch::Ticket ticket = 0;
    Timer again;  // only while others outlive the leader
    Milliseconds patience = least_patience;
    ProcessGroupTree* tree;  // null once it is gone
    LeaderExitHandler ended;
    Job tree_empty;

    static void leader_ended(const std::shared_ptr<Watch>& self, const ChildState& leader) {
        if (!self->tree) return;
        LeaderExit end{leader.status, {}};
        if (leader.kind == ChildState::lost) self->tree->number_ = Number::lost;
        const bool left = self->tree->others_left(end.usage);
        self->ticket = 0;
        if (left) look_later(self);
        LeaderExitHandler tell = std::move(self->ended);
        tell(end, !left);
    }

    static void look_later(const std::shared_ptr<Watch>& self) {
        self->again.arm(self->again.scheduler().now() + self->patience, [self] {
            if (!self->tree) return;
            ResourceUsage told_before;
            if (self->tree->others_left(told_before)) return look_later(self);
            Job tell = std::move(self->tree_empty);
            tell();
        });
        self->patience = std::min(self->patience * 2, max_patience);
    }

    /// After an action on the tree: looks soon, if it is looked at from time to time.
    static void look_soon(const std::shared_ptr<Watch>& self) {
        self->patience = least_patience;
        self->children.look_again();
        if (self->ticket == 0 && self->tree_empty && self->again.is_armed()) look_later(self);
    }
};

inline void ProcessGroupTree::acted() const {
    if (watch_ && is_owner()) Watch::look_soon(watch_);
}

inline error_code ProcessGroupTree::watch(IoLoop& loop, LeaderExitHandler ended, Job tree_empty) {
    watch_ = std::make_shared<Watch>(loop, *this);
    watch_->ended = std::move(ended);
    watch_->tree_empty = std::move(tree_empty);
    watch_->ticket =
        watch_->children.await(pid_, [self = watch_](const ChildState& leader) { Watch::leader_ended(self, leader); });
    return {};
}

inline ProcessGroupTree::~ProcessGroupTree() {
    const auto watch = std::move(watch_);
    if (watch) {
        watch->tree = nullptr;
        watch->again.cancel();
        watch->children.remove(watch->ticket);
    }
    if (!may_signal()) return;
    ::kill(-pid_, SIGKILL);
    if (number_ != Number::held) return;
    if (watch) watch->children.reap_when_ended(pid_);
    else
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {}
}

}  // namespace warden::detail
#endif
