// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Processes that left the control group of their tree. Only root, or a user who owns both groups, can do that.
///
/// Knows:         that a child of a member, outside the group, is an escapee; each is held by a pidfd from then on.
/// Does not know: one whose parent had ended before anybody looked; it cannot be told from a stranger.
/// Thread-safety: one thread at a time.
/// Errors:        what cannot be proven to be ours is left alone.

#include <warden/detail/containment/pidfd_linux.hpp>
#include <warden/detail/system/procfs_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <utility>
#include <vector>

namespace warden::detail {

class Escapees {
public:
    /// Looks for escapees among the leader, who is held by `leader_pidfd` until it is reaped, and the children of the
    /// members, of the leader and of the escapees known before. `is_inside` says of a pid whether it is in the group.
    /// `ec` says why there may be more.
    template <class IsInside>
    void look(std::vector<Pid> members, Pid leader, int leader_pidfd, IsInside is_inside, error_code& ec);

    /// Signals all of them; the last refusal.
    [[nodiscard]] error_code signal(int signal) const noexcept;

    [[nodiscard]] bool has(Pid pid) const noexcept {
        return std::any_of(held_.begin(), held_.end(), [&](const Held& held) { return held.pid == pid; });
    }
    void append_to(std::vector<Pid>& pids) const {
        for (const Held& held : held_) pids.push_back(held.pid);
    }

    /// Forgets those that have been reaped. Whether one has not ended; `pidfd` is then a new one of it, if there can
    /// be.
    [[nodiscard]] bool has_running(UniqueFd& pidfd);

private:
    struct Held {
        Pid pid;
        UniqueFd pidfd;
        bool is_leader;  // who is reaped elsewhere
    };
    /// Reaps those that have fallen to this program, which is so if it is a subreaper, and forgets who is reaped.
    void reap();
    [[nodiscard]] bool is_running(Pid pid) const noexcept;
    [[nodiscard]] static UniqueFd copy_of(int pidfd) noexcept { return UniqueFd(::fcntl(pidfd, F_DUPFD_CLOEXEC, 3)); }

    std::vector<Held> held_;
};

// -- implementation ----------------------------------------------------------

inline bool Escapees::is_running(Pid pid) const noexcept {
    return std::any_of(held_.begin(), held_.end(),
                       [&](const Held& held) { return held.pid == pid && !has_ended_pidfd(held.pidfd.get()); });
}

template <class IsInside>
inline void Escapees::look(std::vector<Pid> members, Pid leader, int leader_pidfd, IsInside is_inside, error_code& ec) {
    ec.clear();
    const bool is_listed = std::find(members.begin(), members.end(), leader) != members.end();
    const bool may_be_outside = leader_pidfd >= 0 && !is_listed && !has(leader);
    if (may_be_outside && !is_inside(leader) && !has_ended_pidfd(leader_pidfd)) {
        if (UniqueFd copy = copy_of(leader_pidfd)) held_.push_back({leader, std::move(copy), true});
        else ec = system_code(errno);
    }
    reap();
    append_to(members);
    for (std::size_t i = 0; i < members.size(); ++i) {
        const Pid parent = members[i];
        error_code unlisted;
        const auto children = procfs::children(parent, unlisted);
        if (unlisted) ec = unlisted;
        for (const Pid child : children) {
            if (std::find(members.begin(), members.end(), child) != members.end() || is_inside(child)) continue;
            const long opened = raw(SYS_pidfd_open, child, 0);
            if (opened < 0 && opened != -ESRCH) ec = system_code(static_cast<int>(-opened));
            UniqueFd pidfd(static_cast<int>(opened));
            const UniqueFd above(static_cast<int>(raw(SYS_pidfd_open, parent, 0)));
            // Both are held now. The parent is ours and alive, and this is its child: nobody's number was given away.
            const auto stat = procfs::read_stat(child);
            const bool is_ours = pidfd && above && stat && stat->parent == parent &&
                                 (is_running(parent) || is_inside(parent)) && !has_ended_pidfd(above.get());
            if (!is_ours || has_ended_pidfd(pidfd.get())) continue;
            held_.push_back({child, std::move(pidfd), false});
            members.push_back(child);
        }
    }
}

inline error_code Escapees::signal(int signal) const noexcept {
    error_code refused;
    for (const Held& held : held_) {
        const error_code ec = signal_pidfd(held.pidfd.get(), signal);
        if (ec && ec.value() != ESRCH) refused = ec;
    }
    return refused;
}

inline void Escapees::reap() {
    std::erase_if(held_, [](const Held& held) {
        if (!has_ended_pidfd(held.pidfd.get())) return false;
        siginfo_t info{};
        if (!held.is_leader)
            raw(SYS_waitid, pidfd_id_type, held.pidfd.get(), &info, WEXITED | WNOHANG | __WALL, nullptr);
        return signal_pidfd(held.pidfd.get(), 0).value() == ESRCH;
    });
}

inline bool Escapees::has_running(UniqueFd& pidfd) {
    reap();
    for (const Held& held : held_) {
        if (has_ended_pidfd(held.pidfd.get())) continue;
        pidfd = copy_of(held.pidfd.get());
        return true;
    }
    return false;
}

}  // namespace warden::detail
#endif
