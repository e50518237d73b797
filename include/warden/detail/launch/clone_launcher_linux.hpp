// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Makes a child as cheaply as vfork(2) does, with a pidfd from birth, if possible inside a control group.
///
/// Knows:         clone3(2), its refusal by old kernels and seccomp filters, and the way round by clone(2).
/// Does not know: what the child does.
/// Thread-safety: safe. The calling thread waits until the child executes or ends; the others go on.
/// Waits:         for a child in a control group, which a process that owns the group can freeze, `launch_patience_ms`;
///                then the child is killed. For any other as long as execve(2) takes, as vfork(2) does.
/// Errors:        an errno.

#include <warden/detail/launch/child_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <atomic>

#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

namespace warden::detail {

/// A child just made.
struct Cloned {
    int pid = -1;
    int pidfd = -1;          ///< Owned by the caller.
    int error = 0;           ///< An errno; then there is no child.
    bool timed_out = false;  ///< It was killed, for it took too long until it executed.
    bool is_stuck = false;   ///< And it has not ended even so.
};

/// Set once clone3(2) has been refused in this program; the way round is taken from then on.
inline std::atomic<bool> clone3_refused{false};

/// Makes a child that runs `entry(argument)` on memory shared with this process, while the calling thread waits.
/// `entry` must not return. With `group` (a directory descriptor of a control group, or -1) the child is born there
/// unless it `enters_by_itself`; where clone3(2) is refused that cannot be, and the error is its errno. All signals are
/// blocked in the child, and in this thread meanwhile. With `exit_signal` 0 no wait(2) of the program's own code sees
/// the child.
WARDEN_IN_CHILD inline Cloned clone_child(void (*entry)(void*), void* argument, int group,
                                          bool enters_by_itself = false, int exit_signal = SIGCHLD) noexcept;

/// How long a child in a control group may take until it executes.
inline constexpr int launch_patience_ms = 10'000;

// -- implementation ----------------------------------------------------------

inline constexpr std::size_t child_stack_bytes = std::size_t{64} * 1024;

/// clone3(2) or clone(2), by number, with a stack of its own for the child, which calls `entry`. A negative errno on
/// failure. Not by the C library, which has no clone3, and whose clone the thread sanitizer takes for a fork(2).
#if WARDEN_ARCH_X86_64
WARDEN_IN_CHILD inline long clone_and_call(long number, long first, long second, long third, void (*entry)(void*),
                                           void* argument) noexcept {
    register long result __asm__("rax") = number;
    register long a __asm__("rdi") = first;
    register long b __asm__("rsi") = second;
    register long c __asm__("rdx") = third;
    register long d __asm__("r10") = 0;
    register long e __asm__("r8") = 0;
    register void (*function)(void*) __asm__("r12") = entry;
    register void* value __asm__("r13") = argument;
    __asm__ volatile(
        "syscall\n\t"
        "testq %%rax, %%rax\n\t"
        "jnz 1f\n\t"
        "xorl %%ebp, %%ebp\n\t"
        "movq %%r13, %%rdi\n\t"
        "callq *%%r12\n\t"
        "hlt\n"
        "1:"
        : "+r"(result)
        : "r"(a), "r"(b), "r"(c), "r"(d), "r"(e), "r"(function), "r"(value)
        : "rcx", "r11", "memory", "cc");
    return result;
}
#elif WARDEN_ARCH_AARCH64
WARDEN_IN_CHILD inline long clone_and_call(long number, long first, long second, long third, void (*entry)(void*),
                                           void* argument) noexcept {
    register long call __asm__("x8") = number;
    register long result __asm__("x0") = first;
    register long b __asm__("x1") = second;
    register long c __asm__("x2") = third;
    register long d __asm__("x3") = 0;
    register long e __asm__("x4") = 0;
    register void (*function)(void*) __asm__("x9") = entry;
    register void* value __asm__("x10") = argument;
    __asm__ volatile(
        "svc #0\n\t"
        "cbnz x0, 1f\n\t"
        "mov x29, xzr\n\t"
        "mov x0, x10\n\t"
        "blr x9\n\t"
        "brk #0\n"
        "1:"
        : "+r"(result)
        : "r"(call), "r"(b), "r"(c), "r"(d), "r"(e), "r"(function), "r"(value)
        : "memory", "cc");
    return result;
}
#else
struct CloneEntry {
    void (*entry)(void*);
    void* argument;
};
WARDEN_IN_CHILD inline int call_entry_in_child(void* raw_entry) noexcept {
    const auto* call = static_cast<const CloneEntry*>(raw_entry);
    call->entry(call->argument);
    return 127;
}
WARDEN_IN_CHILD inline long clone_and_call(long number, long first, long second, long third, void (*entry)(void*),
                                           void* argument) noexcept {
    if (number != SYS_clone) return -ENOSYS;
    CloneEntry call{entry, argument};
    const int result = ::clone(call_entry_in_child, reinterpret_cast<void*>(second), static_cast<int>(first), &call,
                               reinterpret_cast<int*>(third), nullptr, nullptr);
    return result < 0 ? -errno : result;
}
#endif

/// Whether an errno of clone3 means that the call itself is not to be had, rather than that this child is not.
[[nodiscard]] WARDEN_IN_CHILD inline bool is_refusal(long result) noexcept {
    return result == -ENOSYS || result == -EPERM || result == -E2BIG;
}

/// Thaws the group and the one above it if a member has frozen them, also with the rights taken away. Otherwise nothing
/// is changed: a child may also be slow.
WARDEN_IN_CHILD inline void thaw_group(int group) noexcept {
    for (const char* file : {"cgroup.freeze", "../cgroup.freeze"}) {
        long freeze = raw(SYS_openat, group, file, O_RDWR | O_CLOEXEC, 0);
        if (freeze == -EACCES) {
            raw(SYS_fchmod, group, 0700);
            raw(SYS_fchmodat, group, file, 0600);
            freeze = raw(SYS_openat, group, file, O_RDWR | O_CLOEXEC, 0);
        }
        if (freeze < 0) continue;
        char state = '1';
        raw(SYS_read, freeze, &state, 1L);
        if (state != '0') raw(SYS_write, freeze, "0", 1L);
        raw(SYS_close, freeze);
    }
}

/// Waits until the kernel has cleared `apart`, as it does when a child that shares our memory executes or ends. A child
/// that takes long is thawed; in the end it is killed.
WARDEN_IN_CHILD inline void wait_until_apart(const std::uint32_t* apart, int group, Cloned& child) noexcept {
    constexpr int slice_ms = 50;
    constexpr int farewell_ms = 1'000;
    for (int waited_ms = 0; waited_ms <= launch_patience_ms + farewell_ms; waited_ms += slice_ms) {
        struct pollfd ended = {child.pidfd, POLLIN, 0};
        constexpr struct timespec no_time = {0, 0};
        if (__atomic_load_n(apart, __ATOMIC_ACQUIRE) == 0) return;
        if (waited_ms > 0 && raw(SYS_ppoll, &ended, 1, &no_time, nullptr, sizeof(std::uint64_t)) > 0) return;
        if (waited_ms == launch_patience_ms) {
            child.timed_out = true;
            raw(SYS_pidfd_send_signal, child.pidfd, SIGKILL, nullptr, 0);
        } else if (waited_ms > 0) {
            thaw_group(group);
        }
        constexpr struct timespec slice = {0, slice_ms * 1'000'000L};
        raw(SYS_futex, apart, FUTEX_WAIT, 1, &slice, nullptr, 0);
    }
    child.is_stuck = __atomic_load_n(apart, __ATOMIC_ACQUIRE) != 0;
}

WARDEN_IN_CHILD inline Cloned clone_child(void (*entry)(void*), void* argument, int group, bool enters_by_itself,
                                          int exit_signal) noexcept {
    Cloned child;
    void* const stack = ::mmap(nullptr, child_stack_bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) {
        child.error = errno;
        return child;
    }
    // At the far end of the stack: if the child cannot be ended, the kernel still writes there.
    auto* const apart = static_cast<std::uint32_t*>(stack);
    const bool has_deadline = group >= 0;
    const std::uint64_t former_mask = set_signal_mask(every_signal);
    constexpr std::uint64_t flags = CLONE_VM | CLONE_PIDFD;
    long result = -ENOSYS;
    if (!clone3_refused.load(std::memory_order_relaxed)) {
        clone_args args{};
        const bool is_born_inside = group >= 0 && !enters_by_itself;
        args.flags = flags | (has_deadline ? std::uint64_t{CLONE_CHILD_CLEARTID} : std::uint64_t{CLONE_VFORK}) |
                     (is_born_inside ? CLONE_INTO_CGROUP : 0);
        args.pidfd = reinterpret_cast<std::uintptr_t>(&child.pidfd);
        args.child_tid = reinterpret_cast<std::uintptr_t>(apart);
        args.exit_signal = static_cast<std::uint64_t>(exit_signal);
        args.stack = reinterpret_cast<std::uintptr_t>(stack);
        args.stack_size = child_stack_bytes;
        args.cgroup = is_born_inside ? static_cast<std::uint64_t>(group) : 0;
        __atomic_store_n(apart, has_deadline ? 1u : 0u, __ATOMIC_RELEASE);
        result = clone_and_call(SYS_clone3, reinterpret_cast<long>(&args), sizeof args, 0, entry, argument);
        if (is_refusal(result)) clone3_refused.store(true, std::memory_order_relaxed);
        if (result >= 0 && has_deadline) wait_until_apart(apart, group, child);
    }
    if (is_refusal(result) && (group < 0 || enters_by_itself)) {
        result = clone_and_call(SYS_clone, static_cast<long>(flags | CLONE_VFORK) | exit_signal,
                                reinterpret_cast<long>(stack) + static_cast<long>(child_stack_bytes),
                                reinterpret_cast<long>(&child.pidfd), entry, argument);
    }
    set_signal_mask(former_mask);
    if (!child.is_stuck) ::munmap(stack, child_stack_bytes);
    child.pid = result < 0 ? -1 : static_cast<int>(result);
    child.error = result < 0 ? static_cast<int>(-result) : 0;
    if (result < 0) child.pidfd = -1;
    return child;
}

/// Whether a child of `clone_child` runs on the memory of its parent: not where an emulator makes a copy of it.
[[nodiscard]] WARDEN_IN_CHILD inline bool shares_memory_with_child() noexcept {
    static std::atomic<int> known{0};  // 1: it does, 2: it does not
    if (known.load(std::memory_order_relaxed) == 0) {
        std::atomic<int> seen{0};
        const auto entry = [](void* flag) WARDEN_IN_CHILD {
            static_cast<std::atomic<int>*>(flag)->store(1);
            exit_in_child(0);
        };
        const Cloned child = clone_child(entry, &seen, -1, false, 0);
        if (child.error != 0) return true;  // nothing was learnt; the launch fails for the same reason
        while (raw(SYS_wait4, child.pid, nullptr, __WALL, nullptr) == -EINTR) {}
        raw(SYS_close, child.pidfd);
        known.store(seen.load() != 0 ? 1 : 2, std::memory_order_relaxed);
    }
    return known.load(std::memory_order_relaxed) == 1;
}

/// A plan and what became of it, for the two sides of a launch.
struct DirectLaunch {
    const ChildPlan* plan;
    ChildAnswer answer;
};
WARDEN_IN_CHILD inline void launch_entry_in_child(void* raw_launch) noexcept {
    auto* launch = static_cast<DirectLaunch*>(raw_launch);
    execute_in_child(*launch->plan, launch->answer);
}

/// The pipe through which a child answers that has a copy of the memory, and the descriptors that it keeps with it.
struct AnswerPipe {
    static constexpr std::uint32_t max_kept = 1024;
    int to_read = -1;
    int to_write = -1;
    int kept[max_kept + 1];

    /// Has `plan` answer through it. An errno, or 0.
    WARDEN_IN_CHILD int open_for(ChildPlan& plan) noexcept {
        int ends[2];
        if (plan.kept_count > max_kept) return EMFILE;
        if (const long failed = raw(SYS_pipe2, ends, O_CLOEXEC); failed < 0) return static_cast<int>(-failed);
        to_read = ends[0];
        to_write = ends[1];
        std::uint32_t count = 0;
        for (std::uint32_t i = 0; i < plan.kept_count && plan.kept[i] < to_write; ++i) kept[count++] = plan.kept[i];
        kept[count++] = to_write;
        for (std::uint32_t i = count - 1; i < plan.kept_count; ++i) kept[count++] = plan.kept[i];
        plan.kept = kept;
        plan.kept_count = count;
        plan.report = to_write;
        return 0;
    }
    /// Waits until the child has executed or failed.
    WARDEN_IN_CHILD void receive(ChildAnswer& answer) noexcept {
        raw(SYS_close, to_write);
        long size = -EINTR;
        while (size == -EINTR) size = raw(SYS_read, to_read, &answer, sizeof answer);
        if (size == 0) answer.reached_exec = 1;
        raw(SYS_close, to_read);
    }
};

/// Launches `plan` as a child of this process, into `group` if that is not -1. On failure the answer says why, and the
/// child has been reaped.
WARDEN_IN_CHILD inline Cloned launch_child(const ChildPlan& wanted, int group, ChildAnswer& answer,
                                           bool enters_by_itself = false) noexcept {
    ChildPlan plan = wanted;
    DirectLaunch launch{&plan, {}};
    AnswerPipe pipe;
    const bool shares_memory = shares_memory_with_child();
    if (const int failed = shares_memory ? 0 : pipe.open_for(plan)) {
        answer = {failed, static_cast<std::int32_t>(SpawnStep::descriptors), 0};
        Cloned none;
        none.error = failed;
        return none;
    }
    Cloned child;
    child.error = EPERM;
    if (!enters_by_itself) child = clone_child(launch_entry_in_child, &launch, group);
    if (group >= 0 && is_refusal(-child.error)) {  // the child has to enter the group by itself, before it executes
        const long procs = raw(SYS_openat, group, "cgroup.procs", O_WRONLY | O_CLOEXEC, 0);
        if (procs >= 0) {
            plan.join_group = static_cast<std::int32_t>(procs);
            child = clone_child(launch_entry_in_child, &launch, group, true);
            raw(SYS_close, procs);
        } else if (enters_by_itself) {
            child.error = static_cast<int>(-procs);
        }
    }
    if (!shares_memory) pipe.receive(launch.answer);
    answer = launch.answer;
    if (child.error != 0) {
        const bool refused_by_group = group >= 0 && child.error != EAGAIN && child.error != ENOMEM;
        answer = {child.error, static_cast<std::int32_t>(refused_by_group ? SpawnStep::containment : SpawnStep::launch),
                  0};
        return child;
    }
    if (child.timed_out) {
        answer = {ETIMEDOUT, static_cast<std::int32_t>(SpawnStep::containment), answer.reached_exec};
    } else if (answer.error == 0 && answer.reached_exec == 0) {  // it was killed on the way
        answer = {ECANCELED, static_cast<std::int32_t>(SpawnStep::launch), 0};
    }
    if (answer.error != 0) {
        while (!child.is_stuck && raw(SYS_wait4, child.pid, nullptr, __WALL, nullptr) == -EINTR) {}
        raw(SYS_close, child.pidfd);
        child.pid = child.pidfd = -1;
        child.error = answer.error;
    }
    return child;
}

}  // namespace warden::detail
#endif
