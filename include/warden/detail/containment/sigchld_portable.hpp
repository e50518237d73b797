// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// SIGCHLD: a handler that tells every loop that some child of this program has changed.
///
/// Knows:         the handlers that were there before, or that the host has installed since; they run too. In a fork
///                of the program, ours does nothing else.
/// Does not know: processes. A loop gives a descriptor that is written to.
/// Thread-safety: safe. The handler is async-signal-safe: it writes one byte to each descriptor.
///
/// What the host has chosen stays in force: a handler is called after ours, with its own SA_NOCLDSTOP, SA_ONSTACK and
/// SA_RESTART; where SIGCHLD was ignored, SA_NOCLDWAIT still makes the system throw away the statuses of all children
/// of the program, though no process is told of them then on systems that signal nobody about such a child.
/// If the host replaces the handler later and does not call the former one, ends are not told any more, until `ensure`
/// puts ours in front of it. That is possible `max_levels` times.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <mutex>
#include <new>
#include <utility>

#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

namespace warden::detail {

class ChildSignal {
public:
    static constexpr std::size_t max_loops = 64;
    static constexpr std::size_t max_levels = 8;

    /// One per program.
    [[nodiscard]] static ChildSignal& instance() noexcept;

    /// From now on each SIGCHLD writes a byte to `descriptor`, which must not block. Installs the handler with the
    /// first one. False if there are too many loops.
    [[nodiscard]] bool add(int descriptor);

    /// Takes the descriptor back; it may be closed then. With the last one the former handler is restored, if ours is
    /// still in place.
    void remove(int descriptor);

    /// Puts our handler in place again, in front of whatever the host has put there. True if it was in place already,
    /// so that nothing has been missed.
    bool ensure();

    /// Whether our handler is in place. One of the host's that calls it counts as not in place.
    [[nodiscard]] bool installed();

private:
    using Plain = void (*)(int);
    using Detailed = void (*)(int, siginfo_t*, void*);

    /// One installation. Each has a handler of its own: the host's handler above a level may call that of the level,
    /// and is called by the next, without anything being called in a circle.
    struct Level {
        std::atomic<Plain> plain{nullptr};  // the former handler is one of these, or default, or ignored
        std::atomic<Detailed> detailed{nullptr};
        struct sigaction former {};
        Detailed ours = nullptr;  // null: free. One that others may still call stays taken.
    };

    template <std::size_t number>
    static void on_signal(int signal, siginfo_t* info, void* context);
    template <std::size_t... numbers>
    static constexpr std::array<Detailed, sizeof...(numbers)> handlers(std::index_sequence<numbers...>) {
        return {&on_signal<numbers>...};
    }
    static bool is_ignored(const struct sigaction& action) noexcept {
        return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN;
    }
    void tell() noexcept;
    void install(std::size_t number, const struct sigaction& former);
    static void keep(Level& level, const struct sigaction& former) noexcept;
    [[nodiscard]] Level* level_in_place();

    std::mutex mutex_;
    std::array<std::atomic<int>, max_loops> descriptors_;
    std::array<Level, max_levels> levels_;
    std::atomic<int> telling_{0};  // handlers that may be about to write
    std::atomic<pid_t> owner_{0};  // in a fork of the program the descriptors are another's, or something else by now
    std::size_t loops_ = 0;

    ChildSignal() noexcept {
        for (auto& descriptor : descriptors_) descriptor.store(-1, std::memory_order_relaxed);
    }
};

// -- implementation ----------------------------------------------------------

WARDEN_ONE_PER_PROGRAM inline ChildSignal& ChildSignal::instance() noexcept {
    alignas(ChildSignal) static std::byte place[sizeof(ChildSignal)];
    static auto* const signal = new (place) ChildSignal;  // never destroyed: a signal may come at any time
    return *signal;
}

inline void ChildSignal::tell() noexcept {
    if (owner_.load() != ::getpid()) return;
    telling_.fetch_add(1);
    for (auto& descriptor : descriptors_) {
        const int fd = descriptor.load();
        if (fd >= 0) static_cast<void>(!::write(fd, "", 1));  // a full pipe tells already
    }
    telling_.fetch_sub(1);
}

template <std::size_t number>
void ChildSignal::on_signal(int signal, siginfo_t* info, void* context) {
    const int kept = errno;
    ChildSignal& self = instance();
    self.tell();
    const Level& level = self.levels_[number];
    if (const Detailed detailed = level.detailed.load()) detailed(signal, info, context);
    else if (const Plain plain = level.plain.load()) plain(signal);
    errno = kept;
}

inline void ChildSignal::keep(Level& level, const struct sigaction& former) noexcept {
    const bool is_detailed = (former.sa_flags & SA_SIGINFO) != 0;
    const bool is_plain = !is_detailed && former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN;
    level.former = former;
    level.detailed.store(is_detailed ? former.sa_sigaction : nullptr);
    level.plain.store(is_plain ? former.sa_handler : nullptr);
}

inline void ChildSignal::install(std::size_t number, const struct sigaction& former) {
    static constexpr auto ours = handlers(std::make_index_sequence<max_levels>{});
    Level& level = levels_[number];
    keep(level, former);
    const bool has_handler = level.plain.load() || level.detailed.load();
    struct sigaction next {};
    next.sa_sigaction = ours[number];
    next.sa_mask = former.sa_mask;
    next.sa_flags = SA_SIGINFO | (former.sa_flags & (SA_ONSTACK | SA_NOCLDWAIT));
    next.sa_flags |= has_handler ? former.sa_flags & (SA_RESTART | SA_NOCLDSTOP) : SA_RESTART | SA_NOCLDSTOP;
    if (is_ignored(former)) next.sa_flags |= SA_NOCLDWAIT;
    struct sigaction replaced {};
    ::sigaction(SIGCHLD, &next, &replaced);
    keep(level, replaced);  // what came in between
    level.ours = ours[number];
}

inline ChildSignal::Level* ChildSignal::level_in_place() {
    struct sigaction now {};
    ::sigaction(SIGCHLD, nullptr, &now);
    if ((now.sa_flags & SA_SIGINFO) == 0) return nullptr;
    for (auto& level : levels_) {
        if (level.ours && level.ours == now.sa_sigaction) return &level;
    }
    return nullptr;
}

inline bool ChildSignal::ensure() {
    const std::lock_guard lock(mutex_);
    if (owner_.load() != ::getpid() || level_in_place()) return true;
    for (std::size_t number = 0; number < max_levels; ++number) {
        if (levels_[number].ours) continue;
        struct sigaction now {};
        ::sigaction(SIGCHLD, nullptr, &now);
        install(number, now);
        break;
    }
    return false;
}

inline bool ChildSignal::installed() {
    const std::lock_guard lock(mutex_);
    return loops_ > 0 && level_in_place();
}

inline bool ChildSignal::add(int descriptor) {
    {
        const std::lock_guard lock(mutex_);
        if (owner_.load() != ::getpid()) {  // the first, or a fork that begins anew
            for (auto& slot : descriptors_) slot.store(-1);
            telling_.store(0);
            loops_ = 0;
            owner_.store(::getpid());
        }
        bool placed = false;
        for (auto& slot : descriptors_) {
            int empty = -1;
            if ((placed = slot.compare_exchange_strong(empty, descriptor))) break;
        }
        if (!placed) return false;
        ++loops_;
    }
    ensure();
    return true;
}

inline void ChildSignal::remove(int descriptor) {
    const std::lock_guard lock(mutex_);
    if (owner_.load() != ::getpid()) return;
    for (auto& slot : descriptors_) {
        int mine = descriptor;
        if (slot.compare_exchange_strong(mine, -1)) --loops_;
    }
    if (loops_ == 0) {
        if (Level* const top = level_in_place()) {
            ::sigaction(SIGCHLD, &top->former, nullptr);
            top->ours = nullptr;
        }
    }
    while (telling_.load() != 0) ::sched_yield();  // a few instructions and writes that do not block
}

}  // namespace warden::detail
#endif
