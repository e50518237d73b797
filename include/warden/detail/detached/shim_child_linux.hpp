// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The process that a program starts in order to have a shim: it makes the shim, which belongs to nobody, and ends.
///
/// Knows:         its pidfd, so that nobody else is ended in its place.
/// Thread-safety: one thread at a time.

#include <warden/detail/containment/pidfd_linux.hpp>
#include <warden/detail/detached/process_identity.hpp>
#include <warden/detail/launch/clone_launcher_linux.hpp>

#if WARDEN_OS_LINUX
#include <csignal>
#include <string>

#include <sys/prctl.h>

namespace warden::detail {

class ShimChild {
public:
    ShimChild() = default;
    ShimChild(const ShimChild&) = delete;
    ~ShimChild() { end(); }

    /// Outside of every control group that trees are held in: it is born where this program is.
    void launch(const ChildPlan& plan, ChildAnswer& answer) noexcept {
        const Cloned child = launch_child(plan, -1, answer);
        pid_ = child.pid;
        pidfd_.reset(child.pidfd);
    }

    /// Its task is done, or has failed. Does not wait for it: a process that was killed is there to be reaped at once.
    void end() noexcept {
        if (pid_ <= 0) return;
        static_cast<void>(signal_pidfd(pidfd_.get(), SIGKILL));
        while (raw(SYS_wait4, pid_, nullptr, __WALL, nullptr) == -EINTR) {}
        pid_ = 0;
    }

private:
    int pid_ = 0;
    UniqueFd pidfd_;
};

/// The program that this process runs, also when its file has been replaced or removed.
[[nodiscard]] inline std::string own_program() { return "/proc/self/exe"; }
inline void note_own_program(const char*) noexcept {}

/// The name in listings of processes.
inline void name_shim() noexcept { ::prctl(PR_SET_NAME, "warden-shim", 0, 0, 0); }

/// The identity of a process that this program has just started, and that may have ended meanwhile.
[[nodiscard]] inline ProcessIdentity identity_of_child(Pid pid) {
    const UniqueFd pidfd(static_cast<int>(raw(SYS_pidfd_open, pid, 0)));
    return identify(own_pid_space(), pid, pidfd.get());
}

/// Signals a process that was seen to be alive.
[[nodiscard]] inline error_code signal_seen(const Sighting& seen, int signal) noexcept {
    if (!seen.pidfd) return make_error_code(boost::system::errc::operation_not_supported);
    return signal_pidfd(seen.pidfd.get(), signal);
}

}  // namespace warden::detail
#endif
