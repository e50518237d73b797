// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A keeper as the host holds it, the duty of the guardian, and the signals by which the host wakes or ends its
/// helpers.
///
/// Knows:         that a pid may be another process's by now: a helper is signalled only once it is held and looked at
///                again.
/// Does not know: what a keeper is used for.
/// Thread-safety: one object: not safe. The functions are.
/// Errors:        none: a helper that cannot be signalled is seen to by whoever waits for it.

#include <warden/detail/containment/inherited_linux.hpp>
#include <warden/detail/containment/pidfd_linux.hpp>
#include <warden/detail/system/procfs_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <csignal>
#include <cstddef>
#include <memory>
#include <string>

#include <poll.h>
#include <sys/socket.h>

namespace warden::detail {

/// The host's end of the socket to a keeper. Once it goes, that is over for the keeper too, though a forked copy of the
/// program may hold the same socket: shutdown(2).
class KeeperSocket {
public:
    explicit KeeperSocket(int fd = -1) noexcept : fd_(fd) {}
    KeeperSocket(KeeperSocket&&) noexcept = default;
    KeeperSocket& operator=(KeeperSocket&& other) noexcept {
        hang_up();
        fd_ = std::move(other.fd_);
        return *this;
    }
    ~KeeperSocket() { hang_up(); }

    [[nodiscard]] int get() const noexcept { return fd_.get(); }

private:
    void hang_up() noexcept {
        if (fd_) static_cast<void>(::shutdown(fd_.get(), SHUT_RDWR));
    }
    UniqueFd fd_;
};

/// A keeper that waits for its one launch.
struct SpareKeeper {
    KeeperSocket socket;
    Pid pid = 0;
    std::shared_ptr<const InheritedAttributes> inherited;  ///< What it has of the host.
};

/// What a guardian is to watch over.
struct GuardianDuty {
    int group = -1;  ///< The directory of the host's control group; -1 for none. Borrowed.
    std::string group_name;
    int leaders = -1;               ///< The file of its `LeaderTable`. Borrowed.
    std::size_t spare_keepers = 0;  ///< Made ready at first and kept so; with 0 they are made when they are asked for.
    std::shared_ptr<const InheritedReader> reader;
};

/// Whether the keeper has ended: its end of the socket is closed.
[[nodiscard]] inline bool keeper_ended(const SpareKeeper& keeper) noexcept;

/// Sends `signal` to the keeper, if it has not ended.
inline void signal_keeper(const SpareKeeper& keeper, int signal) noexcept;

/// Resumes the guardian and those of its keepers that somebody has stopped. How many they were.
inline std::size_t resume_stopped_helpers(Pid guardian);

// -- implementation ----------------------------------------------------------

inline bool keeper_ended(const SpareKeeper& keeper) noexcept {
    struct pollfd ended = {keeper.socket.get(), 0, 0};
    return ::poll(&ended, 1, 0) > 0;
}

inline void signal_keeper(const SpareKeeper& keeper, int signal) noexcept {
    const UniqueFd process(static_cast<int>(raw(SYS_pidfd_open, keeper.pid, 0)));
    // It has not ended, so that the pid was its own when it was looked up.
    if (process && !keeper_ended(keeper)) static_cast<void>(signal_pidfd(process.get(), signal));
}

[[nodiscard]] inline bool is_stopped(const procfs::Stat& stat) noexcept {
    return stat.state == 'T' || stat.state == 't';
}

/// Whether the child `pid` of `parent` was stopped, and is resumed now.
[[nodiscard]] inline bool resume_if_stopped(Pid pid, Pid parent) {
    const auto seen = procfs::read_stat(pid);
    if (!seen || !is_stopped(*seen)) return false;
    const UniqueFd process(static_cast<int>(raw(SYS_pidfd_open, pid, 0)));
    const auto held = procfs::read_stat(pid);  // held now; it is who was listed if it has that parent
    return process && held && held->parent == parent && !signal_pidfd(process.get(), SIGCONT);
}

inline std::size_t resume_stopped_helpers(Pid guardian) {
    if (guardian == 0) return 0;
    std::size_t resumed = resume_if_stopped(guardian, static_cast<Pid>(::getpid())) ? 1 : 0;
    error_code unlisted;  // those are resumed before they are used
    for (const Pid keeper : procfs::children(guardian, unlisted))
        resumed += resume_if_stopped(keeper, guardian) ? 1 : 0;
    return resumed;
}

}  // namespace warden::detail
#endif
