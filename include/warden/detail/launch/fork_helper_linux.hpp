// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Forks a helper that outlives what happens to this program: in a session of its own, and no child that wait(2) of the
/// program's own code would see.
///
/// Knows:         that a signal for the process group may come at any moment, also right after the fork.
/// Does not know: what the helper does.
/// Thread-safety: safe. The caller waits for the helper's first instructions: at most ten seconds, then the helper is
///                killed (somebody stopped it).
/// Errors:        an errno.

#include <warden/detail/launch/clone_launcher_linux.hpp>
#include <warden/detail/launch/fork_memory_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>

namespace warden::detail {

/// Forks; `run()` is the helper and must not return. When this returns, nothing that is sent to the process group or
/// session of this program reaches the helper any more. There, all signals are blocked.
template <class Run>
inline Cloned fork_apart(Run run) noexcept;

// -- implementation ----------------------------------------------------------

/// The fork itself. A sanitizer instruments neither side, since the helper runs in this frame.
template <class Run>
WARDEN_IN_CHILD inline long clone_apart(Run& run, int there, int& pidfd) noexcept {
    // No exit signal: no wait() of the program's own code ever sees it.
    const long pid = raw(SYS_clone, CLONE_PIDFD, nullptr, &pidfd, nullptr, 0);
    if (pid == 0) {
        raw(SYS_setsid);
        raw(SYS_write, there, "", 1L);
        run();
        exit_in_child(1);
    }
    return pid;
}

/// Waits until the helper has written, or has ended. Whether it did either in time.
inline bool wait_until_apart(int here, int pidfd) noexcept {
    constexpr std::chrono::milliseconds patience{10'000};
    const auto deadline = std::chrono::steady_clock::now() + patience;
    struct pollfd apart_or_ended[] = {{here, POLLIN, 0}, {pidfd, POLLIN, 0}};
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        const int ready = ::poll(apart_or_ended, 2, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (ready >= 0 || errno != EINTR) return ready > 0;
    }
}

template <class Run>
inline Cloned fork_apart(Run run) noexcept {
    Cloned helper;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        helper.error = errno;
        return helper;
    }
    const UniqueFd here(ends[0]);
    UniqueFd there(ends[1]);
    bind_functions_of_helpers();
    const std::uint64_t mask = set_signal_mask(every_signal);
    long pid = 0;
    {
        const MapsEmptyInFork without_copies;
        pid = clone_apart(run, there.get(), helper.pidfd);
    }
    set_signal_mask(mask);
    if (pid < 0) {
        helper.pidfd = -1;
        helper.error = static_cast<int>(-pid);
        return helper;
    }
    helper.pid = static_cast<int>(pid);
    there.reset();
    if (!wait_until_apart(here.get(), helper.pidfd)) {
        raw(SYS_kill, helper.pid, SIGKILL);  // not reaped yet, so the pid is its own
        while (raw(SYS_wait4, helper.pid, nullptr, __WALL, nullptr) == -EINTR) {}
        ::close(helper.pidfd);
        helper = {-1, -1, ETIMEDOUT};
    }
    return helper;
}

}  // namespace warden::detail
#endif
