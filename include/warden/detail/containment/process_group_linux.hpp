// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Containment by the process group alone: the weakest, where nothing stronger is available.
///
/// Knows:         who is in the group that the leader was born as the head of. The leader stays a zombie while others
///                are in it, so that the number of the group belongs to nobody else.
/// Does not know: members that left the group or the session; they escape. When the host is killed, the tree lives on.
/// Thread-safety: one thread at a time, except signalling, which is safe.
/// Errors:        the system's codes.

#include <warden/containment.hpp>
#include <warden/detail/containment/pidfd_linux.hpp>
#include <warden/detail/launch/clone_launcher_linux.hpp>
#include <warden/detail/system/procfs_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <poll.h>

namespace warden::detail {

class ProcessGroupTree {
public:
    static constexpr Mechanism mechanism = Mechanism::process_group;
    static constexpr bool launches_directly = true;

    ProcessGroupTree() = default;
    ProcessGroupTree(ProcessGroupTree&&) = delete;
    ~ProcessGroupTree();

    /// Launches the leader as the head of a session and group of its own. On failure nothing is left of it.
    void launch(const ChildPlan& plan, ChildAnswer& answer);

    /// From now on tells the end of the leader and of the group; see `LeaderExitHandler`.
    void watch(boost::asio::io_context& loop, LeaderExitHandler ended, std::function<void()> tree_empty);

    [[nodiscard]] Pid pid() const noexcept { return pid_; }
    [[nodiscard]] error_code signal_leader(int signal) const noexcept;
    [[nodiscard]] error_code signal_tree(int signal) const;
    [[nodiscard]] error_code kill_tree() const { return signal_tree(SIGKILL); }
    /// Once more: POSIX has no other way.
    [[nodiscard]] error_code last_resort() const { return kill_tree(); }
    [[nodiscard]] std::vector<Pid> members() const;
    [[nodiscard]] static bool has_escaped(Pid) noexcept { return false; }

private:
    struct Watch;
    [[nodiscard]] std::vector<Pid> others() const;
    void reap_all(bool is_our_number) const;
    /// Whether the leader is there to be reaped by us, so that its number is nobody else's.
    [[nodiscard]] bool holds_number() const noexcept {
        siginfo_t info{};
        constexpr int options = WEXITED | WNOHANG | WNOWAIT | __WALL;
        return pid_ > 1 && raw(SYS_waitid, pidfd_id_type, pidfd_.get(), &info, options, nullptr) == 0;
    }

    Pid pid_ = 0;
    UniqueFd pidfd_;
    std::shared_ptr<Watch> watch_;
};

// -- implementation ----------------------------------------------------------

inline void ProcessGroupTree::launch(const ChildPlan& plan, ChildAnswer& answer) {
    const Cloned child = launch_child(plan, -1, answer);
    if (child.error != 0) return;
    pid_ = child.pid;
    pidfd_.reset(child.pidfd);
}

inline error_code ProcessGroupTree::signal_leader(int signal) const noexcept {
    const error_code ec = signal_pidfd(pidfd_.get(), signal);
    const bool refused = ec.value() == EPERM || ec.value() == ENOSYS;
    if (!refused || !holds_number()) return ec;
    return ::kill(pid_, signal) == 0 ? error_code{} : system_code(errno);
}

inline error_code ProcessGroupTree::signal_tree(int signal) const {
    if (holds_number()) return ::kill(-pid_, signal) == 0 ? error_code{} : system_code(errno);
    // Somebody else has reaped the leader: the number may be anybody's once the group is empty. One by one.
    error_code result = system_code(ESRCH);
    for (const Pid pid : others()) {
        const UniqueFd held(static_cast<int>(raw(SYS_pidfd_open, pid, 0)));
        const auto stat = procfs::read_stat(pid);  // held now; it is who was listed if it is in the group
        if (held && stat && stat->group == pid_ && stat->session == pid_) result = signal_pidfd(held.get(), signal);
    }
    return result;
}

inline std::vector<Pid> ProcessGroupTree::members() const {
    std::vector<Pid> found;
    procfs::for_each_entry("/proc", [&](std::string_view name) {
        const auto pid = procfs::to_number<Pid>(name);
        const auto stat = pid ? procfs::read_stat(*pid) : std::nullopt;
        if (stat && stat->group == pid_ && stat->session == pid_) found.push_back(*pid);
    });
    return found;
}

/// The living members but the leader.
inline std::vector<Pid> ProcessGroupTree::others() const {
    std::vector<Pid> found = members();
    std::erase_if(found, [&](Pid pid) {
        const auto stat = procfs::read_stat(pid);
        return pid == pid_ || !stat || procfs::has_ended(*stat);
    });
    return found;
}

/// Once all have ended: reaps those that fell to this program because it is a subreaper, and then the leader.
inline void ProcessGroupTree::reap_all(bool is_our_number) const {
    if (is_our_number) {
        for (const Pid pid : members()) {
            siginfo_t info{};
            if (pid != pid_) raw(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG | __WALL, nullptr);
        }
    }
    static_cast<void>(reap_pidfd(pidfd_.get()));
}

/// What is waited for; shared with the handlers, which may still be queued when the tree is gone.
struct ProcessGroupTree::Watch {
    using Descriptor = boost::asio::posix::stream_descriptor;

    Watch(boost::asio::io_context& loop, int pidfd) : leader(loop, pidfd), member(loop), again(loop) {}
    ~Watch() {
        if (leader.is_open()) leader.release();  // the tree owns it
    }

    Descriptor leader;
    Descriptor member;                // a pidfd of one that outlives the leader
    boost::asio::steady_timer again;  // where pidfds of others are refused
    std::chrono::milliseconds patience{2};
    LeaderExitHandler ended;
    std::function<void()> tree_empty;

    static void wait_leader(const std::shared_ptr<Watch>& self, const ProcessGroupTree& tree) {
        self->leader.async_wait(Descriptor::wait_read, [self, &tree](const error_code& ec) {
            if (ec) return;
            const int pidfd = self->leader.native_handle();
            const auto end = reap_pidfd(pidfd, true);
            if (!end) return wait_leader(self, tree);
            self->leader.release();
            const auto others = tree.others();
            if (others.empty()) tree.reap_all(tree.holds_number());
            self->ended(*end, others.empty());
            if (!others.empty()) wait_others(self, tree, others);
        });
    }

    /// Waits for one of those who are left, then looks who still is.
    static void wait_others(const std::shared_ptr<Watch>& self, const ProcessGroupTree& tree,
                            const std::vector<Pid>& others) {
        if (others.empty()) {
            tree.reap_all(true);  // the group has had members until now
            return self->tree_empty();
        }
        const auto look = [self, &tree](const error_code& ec) {
            if (ec) return;
            if (self->member.is_open()) self->member.close();
            wait_others(self, tree, tree.others());
        };
        const long pidfd = raw(SYS_pidfd_open, others.front(), 0);
        if (pidfd >= 0) {
            self->member.assign(static_cast<int>(pidfd));
            return self->member.async_wait(Descriptor::wait_read, look);
        }
        if (pidfd != -ESRCH) self->patience = std::min(self->patience * 2, std::chrono::milliseconds(1000));
        self->again.expires_after(self->patience);
        self->again.async_wait(look);
    }
};

inline ProcessGroupTree::~ProcessGroupTree() {
    watch_.reset();
    if (!holds_number()) return;
    static_cast<void>(kill_tree());
    static_cast<void>(reap_pidfd(pidfd_.get()));
}

inline void ProcessGroupTree::watch(boost::asio::io_context& loop, LeaderExitHandler ended,
                                    std::function<void()> tree_empty) {
    watch_ = std::make_shared<Watch>(loop, pidfd_.get());
    watch_->ended = std::move(ended);
    watch_->tree_empty = std::move(tree_empty);
    Watch::wait_leader(watch_, *this);
}

}  // namespace warden::detail
#endif
