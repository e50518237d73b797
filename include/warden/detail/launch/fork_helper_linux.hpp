// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Forks a helper that outlives what happens to this program: in a session of its own, and no child that wait(2) of the
/// program's own code would see.
///
/// Knows:         that a signal for the process group may come at any moment, also right after the fork.
/// Does not know: what the helper does.
/// Thread-safety: safe. The caller waits for the helper's first instructions.
/// Errors:        an errno.

#include <warden/detail/launch/clone_launcher_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>

namespace warden::detail {

/// Forks; `run()` is the helper and must not return. When this returns, nothing that is sent to the process group or
/// session of this program reaches the helper any more. There, all signals are blocked.
template <class Run>
WARDEN_IN_CHILD inline Cloned fork_apart(Run run) noexcept {
    Cloned helper;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        helper.error = errno;
        return helper;
    }
    const UniqueFd here(ends[0]);
    UniqueFd there(ends[1]);
    const std::uint64_t mask = set_signal_mask(every_signal);
    // No exit signal: no wait() of the program's own code ever sees it.
    const long pid = raw(SYS_clone, CLONE_PIDFD, nullptr, &helper.pidfd, nullptr, 0);
    if (pid == 0) {
        raw(SYS_setsid);
        raw(SYS_write, there.get(), "", 1L);
        run();
        exit_in_child(1);
    }
    set_signal_mask(mask);
    if (pid < 0) {
        helper.pidfd = -1;
        helper.error = static_cast<int>(-pid);
        return helper;
    }
    helper.pid = static_cast<int>(pid);
    there.reset();
    struct pollfd apart_or_ended[] = {{here.get(), POLLIN, 0}, {helper.pidfd, POLLIN, 0}};
    while (::poll(apart_or_ended, 2, -1) < 0 && errno == EINTR) {}
    return helper;
}

}  // namespace warden::detail
#endif
