// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The guardian's search for processes that left the host's control group, before it kills what is in there.
///
/// Knows:         leaders that the host noted; that a child of a member, outside the group, is an escapee.
/// Does not know: an escapee whose parent had ended before the host did; the heap. Async-signal-safe throughout.
/// Errors:        a process that cannot be proven to be ours is left alone.
/// Waits:         never.

#include <warden/detail/containment/cgroup_files_linux.hpp>
#include <warden/detail/containment/leader_table_linux.hpp>
#include <warden/detail/containment/tree_walk_linux.hpp>

#if WARDEN_OS_LINUX
#include <poll.h>

namespace warden::detail {

/// Kills the processes that left the group `directory`, which has `name` in its path and in no other's. `leaders` is
/// the file of the host's `LeaderTable`, or -1. To be called as long as the members live.
WARDEN_IN_CHILD inline void kill_escapees(int directory, const char* name, int leaders) noexcept;

// -- implementation ----------------------------------------------------------

/// A search under way.
struct EscapeeSearch {
    static constexpr int max_held = 256;  // in one round; the next finds more
    const char* name;
    PidSet met;
    int held_count = 0;
    int held[max_held];
    int held_pids[max_held];
    WalkQueue queue;
};

WARDEN_IN_CHILD inline void queue_member(int pid, void* context) noexcept {
    auto& search = *static_cast<EscapeeSearch*>(context);
    if (search.queue.count == WalkQueue::capacity) return;
    search.met.add(pid);
    search.queue.pids[search.queue.count] = pid;
    search.queue.parents[search.queue.count++] = 0;
}
WARDEN_IN_CHILD inline void queue_members(int directory, void* context) noexcept {
    static_cast<void>(for_each_listed(directory, "cgroup.procs", queue_member, context));
}

[[nodiscard]] WARDEN_IN_CHILD inline bool has_ended_in_child(int pidfd) noexcept {
    struct pollfd ended = {pidfd, POLLIN, 0};
    constexpr struct timespec no_time = {0, 0};
    return raw(SYS_ppoll, &ended, 1, &no_time, nullptr, sizeof(std::uint64_t)) != 0;
}

/// Keeps `pidfd` of an escapee.
WARDEN_IN_CHILD inline void hold_escapee(EscapeeSearch& search, int pid, int pidfd) noexcept {
    search.held[search.held_count] = pidfd;
    search.held_pids[search.held_count++] = pid;
}

WARDEN_IN_CHILD inline void find_escaped_leaders(EscapeeSearch& search, int leaders) noexcept {
    NotedLeader noted[64];
    for (long at = 0;; at += static_cast<long>(sizeof noted)) {
        const long size = raw(SYS_pread64, leaders, noted, sizeof noted, at);
        if (size <= 0) return;
        bool any = false;
        for (long i = 0; i < size / static_cast<long>(sizeof noted[0]); ++i) {
            any = any || noted[i].number != 0;
            if (noted[i].pid <= 0 || search.met.has(noted[i].pid) || search.held_count == EscapeeSearch::max_held)
                continue;
            const int pidfd = static_cast<int>(raw(SYS_pidfd_open, noted[i].pid, 0));
            if (pidfd < 0) continue;
            if (pidfs_number(pidfd) == noted[i].number && !has_ended_in_child(pidfd) &&
                is_in_other_group(noted[i].pid, search.name)) {
                queue_member(noted[i].pid, &search);
                hold_escapee(search, noted[i].pid, pidfd);
            } else {
                raw(SYS_close, pidfd);
            }
        }
        if (!any) return;  // places are given from the beginning
    }
}

/// Whether the parent is still the process that it was when it was met: a member, or an escapee that is held.
[[nodiscard]] WARDEN_IN_CHILD inline bool is_still_ours(const EscapeeSearch& search, int parent) noexcept {
    for (int i = 0; i < search.held_count; ++i) {
        if (search.held_pids[i] == parent) return !has_ended_in_child(search.held[i]);
    }
    return !is_in_other_group(parent, search.name);
}

/// Looks at the child at `index` of the queue, which has been met the first time.
WARDEN_IN_CHILD inline void judge_child(EscapeeSearch& search, int index) noexcept {
    const int pid = search.queue.pids[index];
    const int parent = search.queue.parents[index];
    if (!is_in_other_group(pid, search.name) || search.held_count == EscapeeSearch::max_held) return;
    const int pidfd = static_cast<int>(raw(SYS_pidfd_open, pid, 0));
    if (pidfd < 0) return;
    // Held now. Its parent is ours, and it is that one's child still: nobody's number was given away.
    const bool is_ours = !has_ended_in_child(pidfd) && parent_in_child(pid) == parent && is_still_ours(search, parent);
    if (is_ours) hold_escapee(search, pid, pidfd);
    else raw(SYS_close, pidfd);
}

/// One round; how many were killed.
WARDEN_IN_CHILD inline int kill_escapees_once(EscapeeSearch& search, int directory, int leaders) noexcept {
    search.queue.count = 0;
    search.held_count = 0;
    static_cast<void>(walk_groups(directory, queue_members, &search));
    if (leaders >= 0) find_escaped_leaders(search, leaders);
    for (int i = 0; i < search.queue.count; ++i) {
        const int pid = search.queue.pids[i];
        if (search.queue.parents[i] != 0) {  // found as a child
            if (search.met.has(pid)) continue;
            search.met.add(pid);
            judge_child(search, i);
        }
        queue_children(pid, search.queue);
    }
    for (int i = 0; i < search.held_count; ++i) {
        raw(SYS_pidfd_send_signal, search.held[i], SIGKILL, nullptr, 0);
        raw(SYS_close, search.held[i]);
    }
    return search.held_count;
}

WARDEN_IN_CHILD inline void kill_escapees(int directory, const char* name, int leaders) noexcept {
    constexpr int most = 8;  // rounds: who makes children faster than they are looked for is met by none
    void* const memory = ::mmap(nullptr, sizeof(EscapeeSearch), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return;
    auto& search = *static_cast<EscapeeSearch*>(memory);
    search.name = name;
    for (int round = 0; round < most; ++round) {
        if (!search.met.map()) break;
        const int killed = kill_escapees_once(search, directory, leaders);
        search.met.unmap();
        if (killed == 0) break;
    }
    ::munmap(memory, sizeof(EscapeeSearch));
}

}  // namespace warden::detail
#endif
