// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What tells a loop that children have ended: kqueue(2) where it is, and SIGCHLD elsewhere.
///
/// Knows:         EVFILT_PROC, which tells of one child and asks nothing of the host; a handler of SIGCHLD, which tells
///                that it may be any.
/// Does not know: how they ended, nor who waits for them. wait(2) may say a moment later only that a child has ended.
/// Thread-safety: one thread at a time.
/// Errors:        system_error.

#include <warden/detail/containment/sigchld_portable.hpp>
#include <warden/detail/system/pipe_posix.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>
#include <warden/fwd.hpp>
#include <warden/process_info.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <cerrno>
#include <csignal>
#include <ctime>
#include <tuple>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>
#if WARDEN_HAS_KQUEUE
#include <sys/event.h>
#endif

namespace warden::detail {

/// Which children have ended.
struct EndedChildren {
    bool any = false;       ///< Nobody knows: each may have.
    std::vector<Pid> pids;  ///< These have; wait(2) will say so.
};

#if WARDEN_HAS_KQUEUE
class ChildExitEvents {
public:
    ChildExitEvents();

    /// Becomes readable when there is something to `take`; stays ours.
    [[nodiscard]] int descriptor() const noexcept { return queue_.get(); }

    /// Tells of this child, once. False if it is ending already.
    [[nodiscard]] bool watch(Pid pid) noexcept;
    void remove(Pid pid) noexcept;
    [[nodiscard]] EndedChildren take();

    /// Sees to it that ends will be told. True if that was so, and nothing has been missed.
    bool ensure() noexcept { return true; }

private:
    UniqueFd queue_;
};
#else
class ChildExitEvents {
public:
    ChildExitEvents();
    ~ChildExitEvents() { ChildSignal::instance().remove(write_.get()); }
    ChildExitEvents(const ChildExitEvents&) = delete;

    [[nodiscard]] int descriptor() const noexcept { return read_.get(); }

    /// SIGCHLD is unblocked on this thread, for the host may block it on all of its own.
    [[nodiscard]] bool watch(Pid pid) noexcept;
    void remove(Pid) noexcept {}
    [[nodiscard]] EndedChildren take();

    bool ensure() { return ChildSignal::instance().ensure(); }

private:
    UniqueFd read_;
    UniqueFd write_;
};
#endif

// -- implementation ----------------------------------------------------------

#if WARDEN_HAS_KQUEUE
inline ChildExitEvents::ChildExitEvents() : queue_(::kqueue()) {
    if (!queue_) throw system_error(system_code(errno), "kqueue for ended children");
    ::fcntl(queue_.get(), F_SETFD, FD_CLOEXEC);
}

inline bool ChildExitEvents::watch(Pid pid) noexcept {
    struct kevent wanted {};
    remove(pid);  // a former owner of the number
    EV_SET(&wanted, static_cast<decltype(wanted.ident)>(pid), EVFILT_PROC, EV_ADD | EV_ONESHOT, NOTE_EXIT, 0, nullptr);
    return ::kevent(queue_.get(), &wanted, 1, nullptr, 0, nullptr) == 0;
}

inline void ChildExitEvents::remove(Pid pid) noexcept {
    struct kevent unwanted {};
    EV_SET(&unwanted, static_cast<decltype(unwanted.ident)>(pid), EVFILT_PROC, EV_DELETE, 0, 0, nullptr);
    ::kevent(queue_.get(), &unwanted, 1, nullptr, 0, nullptr);  // fails if it is not watched (any more)
}

inline EndedChildren ChildExitEvents::take() {
    EndedChildren ended;
    struct kevent told[64];
    const struct timespec at_once {};
    for (int count = 1; count > 0;) {
        count = ::kevent(queue_.get(), nullptr, 0, told, 64, &at_once);
        for (int i = 0; i < count; ++i) ended.pids.push_back(static_cast<Pid>(told[i].ident));
    }
    return ended;
}
#else
inline ChildExitEvents::ChildExitEvents() {
    std::tie(read_, write_) = make_closed_pipe();
    if (!read_) throw system_error(system_code(errno), "pipe for ended children");
    make_nonblocking(read_.get());
    make_nonblocking(write_.get());
    if (!ChildSignal::instance().add(write_.get())) {
        throw system_error(errc::containment_unavailable, "too many loops wait for children");
    }
}

inline bool ChildExitEvents::watch(Pid) noexcept {
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGCHLD);
    ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
    return true;
}

inline EndedChildren ChildExitEvents::take() {
    char bytes[256];
    while (::read(read_.get(), bytes, sizeof bytes) > 0) {}
    return {true, {}};
}
#endif

}  // namespace warden::detail
#endif
