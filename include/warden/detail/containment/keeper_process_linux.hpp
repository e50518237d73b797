// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The keeper: the process that is parent of one tree's leader and subreaper of all that the leader starts. It holds
/// one tree at a time; when nothing is left of it, it is ready for the next.
///
/// Knows:         how to launch the one plan it is given, to reap, to signal the tree, to empty it.
/// Does not know: the heap, locks, the host's memory. Async-signal-safe throughout.
/// Waits:         for the host and for its children without a deadline: that is its work. In a launch, until the child
///                executes; the host kills a keeper that takes too long. It never waits for room to send.
/// Ends:          once it has no tree, when the host has closed the socket or has ended.

#include <warden/detail/containment/keeper_protocol_linux.hpp>
#include <warden/detail/containment/tree_walk_linux.hpp>
#include <warden/detail/launch/clone_launcher_linux.hpp>

#if WARDEN_OS_LINUX
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

namespace warden::detail {

/// What a keeper listens to; all close-on-exec.
struct KeeperPorts {
    int socket;   ///< To the host; -1 once it is closed.
    int signals;  ///< A signalfd for SIGCHLD.
    int host;     ///< Readable once the host has ended.
};

/// Is the keeper, from its fork to its end.
[[noreturn]] WARDEN_IN_CHILD inline void run_keeper(KeeperPorts ports) noexcept;

// -- implementation ----------------------------------------------------------

/// What the keeper knows of its tree.
struct KeeperState {
    KeeperPorts ports;
    int leader = -1;
    bool launched = false;
    bool emptying = false;
    bool is_unheard = false;  // the host could not be told something
    PidSet seen{};
};

/// Splits `text` into `count` strings ending in NUL; the pointers go to `table`, ended by null. Where the text goes on.
WARDEN_IN_CHILD inline const char* split_in_child(const char* text, const char* end, std::uint32_t count,
                                                  const char** table) noexcept {
    for (std::uint32_t i = 0; i < count; ++i) {
        table[i] = text;
        while (text < end && *text) ++text;
        ++text;
    }
    table[count] = nullptr;
    return text;
}

/// Nothing is left of the tree: ready for another.
WARDEN_IN_CHILD inline void forget_tree(KeeperState& keeper) noexcept {
    keeper.leader = -1;
    keeper.launched = false;
    keeper.emptying = false;
    keeper.seen.unmap();
}

/// Lets go of the host, which sees that, and ends the tree.
WARDEN_IN_CHILD inline void hang_up(KeeperState& keeper, bool is_unheard) noexcept {
    keeper.is_unheard = is_unheard;
    if (keeper.ports.socket >= 0) raw(SYS_close, keeper.ports.socket);
    keeper.ports.socket = -1;
    keeper.emptying = true;
}

/// Launches the plan of `request`, whose strings are at `text`.
WARDEN_IN_CHILD inline void launch_in_keeper(KeeperState& keeper, LaunchRequest& request, const char* text,
                                             const int* fds) noexcept {
    const std::uint32_t pointers = request.candidate_count + request.argument_count + request.variable_count + 4;
    const std::size_t table_bytes = pointers * sizeof(char*);
    void* const memory = ::mmap(nullptr, table_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    LaunchReply reply{};
    reply.answer = {ENOMEM, static_cast<std::int32_t>(SpawnStep::launch), 0};
    reply.pid = -1;
    Cloned child;
    if (memory != MAP_FAILED) {
        auto** table = static_cast<const char**>(memory);
        ChildPlan& plan = request.plan;
        const char* const end = text + request.text_bytes;
        const auto take = [&](std::uint32_t count) WARDEN_IN_CHILD {
            const char** const mine = table;
            text = split_in_child(text, end, count, table);
            table += count + 1;
            return mine;
        };
        plan.groups = reinterpret_cast<const gid_t*>(text);  // first, and at the start of a page: aligned
        text += plan.group_count * sizeof(gid_t);
        plan.candidates = take(request.candidate_count);
        plan.argv = take(request.argument_count);
        plan.environment = take(request.variable_count);
        if (plan.directory) plan.directory = text;
        plan.inherited = request.inherited;
        plan.inherited_mask = request.inherited_mask;
        plan.processors = request.processors;
        plan.kept = nullptr;
        plan.kept_count = 0;
        plan.hook = nullptr;
        plan.stdio = {fds[0], fds[1], fds[2]};
        plan.start_directory = fds[3];
        child = launch_child(plan, -1, reply.answer);
        reply.pid = child.pid;
        ::munmap(memory, table_bytes);
    }
    keeper.leader = child.pid;
    keeper.launched = child.pid > 0;
    long sent = -1;
    if (child.pidfd >= 0) {
        sent = send_record(keeper.ports.socket, &reply, sizeof reply, nullptr, 0, &child.pidfd, 1);
        raw(SYS_close, child.pidfd);
    }
    // Without the pidfd, where there is none or a descriptor cannot be sent: too many are under way.
    if (sent < 0) sent = send_record(keeper.ports.socket, &reply, sizeof reply, nullptr, 0, nullptr, 0);
    if (sent < 0) hang_up(keeper, true);  // the host waits for no answer then
}

/// Receives a launch request. A command is for a tree that was gone before it came; there is nothing to do for it.
WARDEN_IN_CHILD inline void accept_launch(KeeperState& keeper) noexcept {
    constexpr std::size_t buffer_bytes = inline_text_bytes + 4096;
    void* const memory = ::mmap(nullptr, buffer_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) exit_in_child(1);
    LaunchRequest request{};
    int fds[descriptors_beside];
    std::size_t fd_count = 0;
    const long size =
        receive_record(keeper.ports.socket, &request, sizeof request, memory, buffer_bytes, fds, fd_count);
    if (size <= 0 && size != -EAGAIN) exit_in_child(0);  // the host does not want it any more
    if (size < static_cast<long>(sizeof request)) {
        ::munmap(memory, buffer_bytes);
        return;
    }
    if (fd_count < (request.in_memory_file ? 5u : 4u)) exit_in_child(1);
    void* file = MAP_FAILED;
    if (request.in_memory_file) {
        file = ::mmap(nullptr, request.text_bytes, PROT_READ, MAP_PRIVATE, fds[4], 0);
        if (file == MAP_FAILED) exit_in_child(1);
    }
    launch_in_keeper(keeper, request, static_cast<const char*>(request.in_memory_file ? file : memory), fds);
    if (file != MAP_FAILED) ::munmap(file, request.text_bytes);
    ::munmap(memory, buffer_bytes);
    for (std::size_t i = 0; i < fd_count; ++i) raw(SYS_close, fds[i]);
}

/// Signals the tree until a walk finds nobody new.
WARDEN_IN_CHILD inline void signal_tree_in_keeper(int signal) noexcept {
    PidSet seen;
    if (!seen.map()) return;
    while (signal_descendants(signal, seen, nullptr).fresh > 0) {}
    seen.unmap();
}

WARDEN_IN_CHILD inline void obey_host(KeeperState& keeper) noexcept {
    KeeperCommand command{};
    std::size_t none = 0;
    int fds[descriptors_beside];
    const long size = receive_record(keeper.ports.socket, &command, sizeof command, nullptr, 0, fds, none);
    if (size == static_cast<long>(sizeof command) && command.kind == KeeperCommand::signal_tree) {
        signal_tree_in_keeper(command.signal);
    } else if (size == static_cast<long>(sizeof command) && command.kind == KeeperCommand::signal_leader) {
        if (keeper.leader > 0) raw(SYS_kill, keeper.leader, command.signal);  // ours until we reap it
    } else if (size != -EAGAIN) {
        keeper.emptying = true;
        if (size <= 0) hang_up(keeper, false);
    }
}

/// Reaps whoever has ended, and tells the host.
WARDEN_IN_CHILD inline void reap_in_keeper(KeeperState& keeper) noexcept {
    KeeperEvent event{};
    for (;;) {
        int status = 0;
        struct rusage usage {};
        const long pid = raw(SYS_wait4, -1, &status, WNOHANG | __WALL, &usage);
        if (pid == -EINTR) continue;
        if (pid < 0) event.tree_empty = 1;
        if (pid <= 0) break;
        keeper.seen.remove(static_cast<int>(pid));
        if (pid != keeper.leader) continue;
        keeper.leader = -1;
        event.leader_ended = 1;
        event.wait_status = status;
        event.usage = usage;
    }
    if ((event.leader_ended | event.tree_empty) == 0) return;
    if (event.tree_empty != 0) forget_tree(keeper);
    if (keeper.ports.socket < 0) {
        if (event.tree_empty != 0) exit_in_child(keeper.is_unheard ? keeper_unheard : 0);
        return;
    }
    if (send_record(keeper.ports.socket, &event, sizeof event, nullptr, 0, nullptr, 0) < 0) hang_up(keeper, true);
}

WARDEN_IN_CHILD inline void drain_signals(int signals) noexcept {
    char text[1024];
    while (raw(SYS_read, signals, text, sizeof text) > 0) {}
}

[[noreturn]] WARDEN_IN_CHILD inline void run_keeper(KeeperPorts ports) noexcept {
    KeeperState keeper{ports};
    for (;;) {
        struct pollfd ready[3] = {
            {keeper.ports.socket, POLLIN, 0}, {ports.signals, POLLIN, 0}, {ports.host, POLLIN, 0}};
        if (raw(SYS_ppoll, ready, 3, nullptr, nullptr, sizeof(std::uint64_t)) < 0) continue;
        if (ready[2].revents != 0) {  // nobody is there to be told anything
            raw(SYS_close, keeper.ports.host);
            keeper.ports.host = -1;
            hang_up(keeper, false);
        }
        if (keeper.ports.socket < 0 && !keeper.launched) exit_in_child(keeper.is_unheard ? keeper_unheard : 0);
        if (ready[0].revents != 0 && keeper.ports.socket >= 0) {
            if (keeper.launched) obey_host(keeper);
            else accept_launch(keeper);
        }
        if (ready[1].revents != 0) drain_signals(ports.signals);
        if (keeper.launched) reap_in_keeper(keeper);
        if (!keeper.launched || !keeper.emptying) continue;
        if (!keeper.seen.is_mapped() && !keeper.seen.map()) continue;
        while (signal_descendants(SIGKILL, keeper.seen, nullptr).fresh > 0) {}
        reap_in_keeper(keeper);
    }
}

}  // namespace warden::detail
#endif
