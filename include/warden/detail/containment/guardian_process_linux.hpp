// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The guardian: a small process beside the host that outlives it just long enough to end what it leaves behind.
///
/// Knows:         the host's pidfd, the host's control group if it has one, the keepers that it forks.
/// Does not know: the heap, locks, the host's memory, which it gives back. Async-signal-safe throughout.
/// Hardened:      it and its keepers are not dumpable, so that a process of the same user can neither trace them nor
///                open what they have open. Such a process can still signal them. When the host ends, the kernel
///                resumes a stopped guardian, and the guardian its keepers; when the guardian ends, the kernel resumes
///                them.
/// Waits:         for the host, the keepers and the orphans without a deadline: that is its work. It never waits for
///                room to send. A keeper that has not ended two seconds after the host is killed, and its tree with it.
/// Ends:          when told to, or when the host has ended and nothing of it is left.

#include <warden/detail/containment/cgroup_files_linux.hpp>
#include <warden/detail/containment/guardian_escapees_linux.hpp>
#include <warden/detail/containment/keeper_process_linux.hpp>
#include <warden/detail/containment/release_memory_linux.hpp>

#if WARDEN_OS_LINUX
#include <sys/signalfd.h>
#include <sys/stat.h>

namespace warden::detail {

/// What the guardian is born with.
struct GuardianPorts {
    int control;  ///< To the host.
    int host;     ///< Readable once the host has ended: its pidfd, or the end of a pipe that it holds.
    int group;    ///< The directory of the host's own control group, which holds all its trees; -1 if it has none.
    int leaders;  ///< The file of the `LeaderTable`; -1 if there is none.
    char group_name[128];  ///< The name of that directory in the one above.
};

/// Is the guardian, from its fork to its end.
[[noreturn]] WARDEN_IN_CHILD inline void run_guardian(const GuardianPorts& inherited) noexcept;

// -- implementation ----------------------------------------------------------

/// What the guardian needs of the host's group: opened before the host ends, so that no member can keep it away.
struct GuardedGroup {
    int directory = -1;
    int above = -1;
    int kill = -1;
    int events = -1;
    int leaders = -1;

    WARDEN_IN_CHILD void open(int group, int table) noexcept {
        directory = group;
        leaders = table;
        if (group < 0) return;
        above = static_cast<int>(open_in_group(group, "..", O_RDONLY | O_DIRECTORY));
        kill = static_cast<int>(open_in_group(group, "cgroup.kill", O_WRONLY));
        events = static_cast<int>(open_in_group(group, "cgroup.events", O_RDONLY));
    }
    WARDEN_IN_CHILD void close() noexcept {
        for (int* const file : {&directory, &above, &kill, &events, &leaders}) {
            if (*file >= 0) raw(SYS_close, *file);
            *file = -1;
        }
    }
};

/// Kills all in the host's own group, removes what is beneath it and then the group itself, until it is gone. A child
/// that was about to enter by itself when the host ended is met by the next round: only an empty group can be removed.
/// From the second round on members are killed one by one too.
WARDEN_IN_CHILD inline void end_group_in_guardian(const GuardedGroup& group, const char* name) noexcept {
    if (group.directory < 0) return;
    kill_escapees(group.directory, name, group.leaders);
    for (long wait_ms = 1;; wait_ms = wait_ms < 500 ? wait_ms * 2 : 1000) {
        if (group.kill < 0 || raw(SYS_write, group.kill, "1", 1L) < 0) kill_group(group.directory);
        char text[128];
        if (group.events >= 0) {
            raw(SYS_lseek, group.events, 0L, SEEK_SET);
            raw(SYS_read, group.events, text, sizeof text);
        }
        if (wait_ms > 1) {
            restore_mode(group.above);
            restore_mode(group.directory);
            kill_listed(group.directory, name);
        }
        if (remove_groups_below(group.directory)) {
            const long removed = raw(SYS_unlinkat, group.above, name, AT_REMOVEDIR);
            if (removed == 0 || removed == -ENOENT || group.above < 0) return;
        }
        struct pollfd changed = {group.events, POLLPRI, 0};
        const struct timespec patience = {wait_ms / 1000, wait_ms % 1000 * 1'000'000};
        raw(SYS_ppoll, &changed, 1, &patience, nullptr, sizeof(std::uint64_t));
    }
}

/// Puts the ports at 3, 4, 5 and 6, the null device at 0, 1 and 2, and closes everything else. A guardian that cannot
/// have all of them ends: the host makes another.
WARDEN_IN_CHILD inline void settle_descriptors(GuardianPorts& ports) noexcept {
    const int wanted[4] = {ports.control, ports.host, ports.group, ports.leaders};
    long copies[4] = {-1, -1, -1, -1};
    for (int i = 0; i < 4; ++i) {
        if (wanted[i] < 0) continue;
        copies[i] = raw(SYS_fcntl, wanted[i], F_DUPFD_CLOEXEC, 10);
        if (copies[i] < 0) exit_in_child(1);
    }
    int kept[4];
    std::uint32_t count = 0;
    for (int i = 0; i < 4; ++i) {
        if (copies[i] < 0) continue;
        if (raw(SYS_dup3, copies[i], 3 + i, O_CLOEXEC) < 0) exit_in_child(1);
        kept[count++] = 3 + i;
    }
    close_descriptors_in_child(kept, count);
    const long null = raw(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
    for (int fd = 0; fd < 3; ++fd) {
        if (null >= 0 && null != fd) raw(SYS_dup3, null, fd, O_CLOEXEC);
    }
    if (null > 2) raw(SYS_close, null);
    ports.control = 3;
    ports.host = 4;
    ports.group = copies[2] >= 0 ? 5 : -1;
    ports.leaders = copies[3] >= 0 ? 6 : -1;
}

WARDEN_IN_CHILD inline int open_child_signals() noexcept {
    const std::uint64_t only_child = std::uint64_t{1} << (SIGCHLD - 1);
    return static_cast<int>(raw(SYS_signalfd4, -1, &only_child, sizeof only_child, SFD_CLOEXEC | SFD_NONBLOCK));
}

/// What the guardian knows of its children.
struct GuardianChildren {
    PidSet keepers{};
    PidSet orphans{};  ///< Of keepers that were killed.
    static constexpr int max_lost = 256;
    int lost[max_lost];  ///< Keepers that were killed, whose trees may not have ended yet.
    int lost_count = 0;
};

/// Forks a keeper and hands the other end of its socket to the host.
WARDEN_IN_CHILD inline void make_keeper(const GuardianPorts& ports, GuardedGroup group, int signals,
                                        GuardianChildren& children) noexcept {
    int ends[2] = {-1, -1};
    KeeperReady ready{};
    const long failed = raw(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
    ready.pid = static_cast<std::int32_t>(failed < 0 ? failed : raw(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0));
    if (failed >= 0 && ready.pid == 0) {
        raw(SYS_close, ports.control);
        raw(SYS_close, signals);
        group.close();
        raw(SYS_close, ends[0]);
        raw(SYS_setsid);
        raw(SYS_prctl, PR_SET_NAME, "warden-keeper", 0, 0, 0);
        raw(SYS_prctl, PR_SET_PDEATHSIG, SIGCONT, 0, 0, 0);
        if (raw(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) exit_in_child(1);  // it would hold nothing
        children.keepers.unmap();
        children.orphans.unmap();
        const int child_signals = open_child_signals();
        if (child_signals < 0) exit_in_child(1);  // it would miss the ends of its children
        run_keeper({ends[1], child_signals, ports.host});
    }
    if (ready.pid > 0) children.keepers.add(ready.pid);
    const long sent = send_record(ports.control, &ready, sizeof ready, nullptr, 0, ends, ready.pid > 0 ? 1u : 0u);
    if (sent < 0 && ready.pid > 0) {  // its socket is closed below, so that it ends; the host is told why
        ready.pid = static_cast<std::int32_t>(sent);
        send_record(ports.control, &ready, sizeof ready, nullptr, 0, nullptr, 0);
    }
    for (const int end : ends) {
        if (end >= 0) raw(SYS_close, end);
    }
}

/// Reaps; ends what a keeper that did not end by itself left behind. Whether any child is left.
WARDEN_IN_CHILD inline bool reap_in_guardian(GuardianChildren& children) noexcept {
    for (;;) {
        int status = 0;
        const long pid = raw(SYS_wait4, -1, &status, WNOHANG | __WALL, nullptr);
        if (pid == -EINTR) continue;
        if (pid <= 0) return pid == 0;
        const bool was_keeper = children.keepers.has(static_cast<int>(pid));
        children.keepers.remove(static_cast<int>(pid));
        children.orphans.remove(static_cast<int>(pid));
        if (was_keeper && WIFEXITED(status) && WEXITSTATUS(status) != keeper_unheard) continue;
        if (was_keeper && children.lost_count < GuardianChildren::max_lost) {
            children.lost[children.lost_count++] = static_cast<int>(pid);
        }
        while (signal_descendants(SIGKILL, children.orphans, &children.keepers).fresh > 0) {}
    }
}

/// Calls `visit` with each child of this process. False if they cannot be listed.
template <class Visit>
WARDEN_IN_CHILD inline bool visit_children_in_guardian(Visit visit) noexcept {
    const long file = raw(SYS_openat, AT_FDCWD, "/proc/thread-self/children", O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return false;
    char text[4096];
    int pid = 0;
    long size = 0;
    while ((size = raw(SYS_read, file, text, sizeof text)) > 0) {
        for (long i = 0; i < size; ++i) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
            } else if (pid > 0) {
                visit(pid);
                pid = 0;
            }
        }
    }
    raw(SYS_close, file);
    return size == 0;
}

/// Tells the host of the killed keepers whose trees have ended. Only this process reaps its children, so that nobody is
/// missing in their list.
WARDEN_IN_CHILD inline void report_lost_in_guardian(const GuardianPorts& ports, GuardianChildren& children) noexcept {
    if (children.lost_count == 0) return;
    bool has_orphans = false;
    const bool is_known = visit_children_in_guardian(
        [&](int pid) WARDEN_IN_CHILD { has_orphans = has_orphans || !children.keepers.has(pid); });
    if (!is_known || has_orphans) return;
    while (children.lost_count > 0) {
        const KeeperReady ended{children.lost[children.lost_count - 1], 1};
        if (send_record(ports.control, &ended, sizeof ended, nullptr, 0, nullptr, 0) < 0) return;
        --children.lost_count;
    }
}

/// Waits until all children have ended. A keeper that somebody has stopped is resumed; in the end this process kills
/// all below it.
WARDEN_IN_CHILD inline void await_children_in_guardian(int signals, GuardianChildren& children) noexcept {
    constexpr int max_rounds = 20;
    constexpr struct timespec patience = {0, 100'000'000};
    for (int round = 0; reap_in_guardian(children);) {
        struct pollfd ready = {signals, POLLIN, 0};
        if (raw(SYS_ppoll, &ready, 1, &patience, nullptr, sizeof(std::uint64_t)) > 0) {
            drain_signals(signals);
        } else if (++round < max_rounds) {
            visit_children_in_guardian([&](int pid) WARDEN_IN_CHILD {
                if (children.keepers.has(pid)) raw(SYS_kill, pid, SIGCONT);
            });
        } else {
            while (signal_descendants(SIGKILL, children.orphans, nullptr).fresh > 0) {}
        }
    }
}

[[noreturn]] WARDEN_IN_CHILD inline void run_guardian(const GuardianPorts& inherited) noexcept {
    default_signals_in_child();
    raw(SYS_prctl, PR_SET_NAME, "warden-guardian", 0, 0, 0);
    raw(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    raw(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    raw(SYS_prctl, PR_SET_PDEATHSIG, SIGCONT, 0, 0, 0);
    raw(SYS_chdir, "/");
    GuardianPorts ports = inherited;
    settle_descriptors(ports);
    GuardedGroup group;
    group.open(ports.group, ports.leaders);
    release_memory_in_child();
    GuardianChildren children;
    const int signals = open_child_signals();
    if (signals < 0 || !children.keepers.map() || !children.orphans.map()) exit_in_child(1);
    for (;;) {
        struct pollfd ready[3] = {{ports.control, POLLIN, 0}, {signals, POLLIN, 0}, {ports.host, POLLIN, 0}};
        if (raw(SYS_ppoll, ready, 3, nullptr, nullptr, sizeof(std::uint64_t)) < 0) continue;
        if (ready[1].revents != 0) {
            drain_signals(signals);
            reap_in_guardian(children);
            report_lost_in_guardian(ports, children);
        }
        if (ready[2].revents != 0) break;
        if (ready[0].revents == 0) continue;
        GuardianCommand command{};
        std::size_t none = 0;
        int fds[descriptors_beside];
        const long size = receive_record(ports.control, &command, sizeof command, nullptr, 0, fds, none);
        if (size == static_cast<long>(sizeof command) && command == GuardianCommand::make_keeper) {
            make_keeper(ports, group, signals, children);
        } else if (size != -EAGAIN) {
            break;
        }
    }
    raw(SYS_close, ports.control);
    end_group_in_guardian(group, ports.group_name);
    await_children_in_guardian(signals, children);
    exit_in_child(0);
}

}  // namespace warden::detail
#endif
