// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The process that a program starts in order to have a shim: it makes the shim, which belongs to nobody, and ends.
///
/// Knows:         its pid, which stays its own until it is reaped here.
/// Thread-safety: one thread at a time.

#include <warden/detail/detached/process_identity.hpp>
#include <warden/detail/launch/fork_launcher_portable.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <csignal>
#include <filesystem>
#include <string>
#include <system_error>

#include <sys/wait.h>

namespace warden::detail {

class ShimChild {
public:
    ShimChild() = default;
    ShimChild(const ShimChild&) = delete;
    ~ShimChild() { end(); }

    void launch(const ChildPlan& plan, ChildAnswer& answer) noexcept { pid_ = fork_child(plan, answer); }

    /// Its task is done, or has failed. Does not wait for it: a process that was killed is there to be reaped at once.
    void end() noexcept {
        if (pid_ <= 0) return;
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) == 0) {
            ::kill(pid_, SIGKILL);
            while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
        }
        pid_ = 0;
    }

private:
    Pid pid_ = 0;
};

/// The program that this process runs: as it was named when it was started. Empty if only PATH knows.
WARDEN_ONE_PER_PROGRAM inline std::string& own_program_slot() {
    static auto* const slot = new std::string;
    return *slot;
}
[[nodiscard]] inline std::string own_program() { return own_program_slot(); }
inline void note_own_program(const char* name) {
    std::error_code unknown;
    const std::filesystem::path path = name ? name : "";
    if (path.has_parent_path()) own_program_slot() = std::filesystem::absolute(path, unknown).string();
}

inline void name_shim() noexcept {}

/// The identity of a process that this program has just started, and that may have ended meanwhile.
[[nodiscard]] inline ProcessIdentity identity_of_child(Pid pid) { return identify(own_pid_space(), pid, -1); }

/// Nothing here keeps the number of a process its own, so nobody is signalled by it.
[[nodiscard]] inline error_code signal_seen(const Sighting&, int) noexcept {
    return make_error_code(boost::system::errc::operation_not_supported);
}

}  // namespace warden::detail
#endif
