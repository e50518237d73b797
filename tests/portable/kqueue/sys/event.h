// SPDX-License-Identifier: MIT
// kqueue(2) for tests on Linux, by epoll(7) and pidfds: EVFILT_PROC with NOTE_EXIT and EV_ONESHOT, nothing else. A
// queue can be waited for like those of macOS and the BSDs; unlike them it is inherited by a fork.
#pragma once
#pragma GCC system_header  // a function and a type of one name, as there

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <map>
#include <mutex>
#include <utility>

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

inline constexpr short EVFILT_PROC = -5;
inline constexpr unsigned short EV_ADD = 0x1;
inline constexpr unsigned short EV_DELETE = 0x2;
inline constexpr unsigned short EV_ONESHOT = 0x10;
inline constexpr unsigned NOTE_EXIT = 0x80000000;

struct kevent {
    std::uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned fflags;
    std::intptr_t data;
    void* udata;
};

#define EV_SET(event, ...) (*(event) = {__VA_ARGS__})

namespace kqueue_double {

/// So many times EV_ADD fails with ESRCH, as on macOS while a process ends.
inline std::atomic<int> refusals{0};

using Watched = std::pair<int, std::uintptr_t>;  // queue, process

inline std::mutex mutex;
inline std::map<Watched, int> pidfds;

inline int unwatch(int queue, std::uintptr_t process) {
    const std::lock_guard lock(mutex);
    const auto found = pidfds.find({queue, process});
    if (found == pidfds.end()) return errno = ENOENT, -1;
    ::epoll_ctl(queue, EPOLL_CTL_DEL, found->second, nullptr);
    ::close(found->second);
    pidfds.erase(found);
    return 0;
}

inline int watch(int queue, std::uintptr_t process) {
    if (refusals.load() > 0 && refusals.fetch_sub(1) > 0) return errno = ESRCH, -1;
    const std::lock_guard lock(mutex);
    if (pidfds.count({queue, process}) != 0) return 0;
    const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, process, 0));
    if (pidfd < 0) return -1;
    pidfds[{queue, process}] = pidfd;
    struct epoll_event wanted {};
    wanted.events = EPOLLIN;
    wanted.data.u64 = process;
    return ::epoll_ctl(queue, EPOLL_CTL_ADD, pidfd, &wanted);
}

}  // namespace kqueue_double

inline int kqueue() { return ::epoll_create1(0); }

/// One change, or a look at what there is without waiting.
inline int kevent(int queue, const struct kevent* change, int changes, struct kevent* events, int most,
                  const struct timespec*) {
    if (changes > 0) {
        return (change->flags & EV_DELETE) != 0 ? kqueue_double::unwatch(queue, change->ident)
                                                : kqueue_double::watch(queue, change->ident);
    }
    struct epoll_event ready[64];
    const int count = ::epoll_wait(queue, ready, most < 64 ? most : 64, 0);
    for (int i = 0; i < count; ++i) {
        events[i] = {ready[i].data.u64, EVFILT_PROC, EV_ONESHOT, NOTE_EXIT, 0, nullptr};
        kqueue_double::unwatch(queue, ready[i].data.u64);
    }
    return count;
}
