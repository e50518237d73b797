// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// SIGTERM, SIGINT and SIGHUP of the host: every manager cleans up, then the signal takes its usual effect.
///
/// Knows:         the handlers that were there before; they run too. A signal that was ignored stays ignored. In a
///                forked copy of the program the signal does what it did before the managers came, and the managers of
///                the original hear nothing of it.
/// Does not know: processes. A manager gives a descriptor that is written to when a signal comes.
/// Thread-safety: safe. The handler is async-signal-safe: it writes one byte to each descriptor.

#include <warden/error.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <mutex>
#include <new>

#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

namespace warden::detail {

class TerminationSignals {
public:
    static constexpr std::size_t max_managers = 64;

    /// One per program.
    [[nodiscard]] static TerminationSignals& instance() noexcept;

    /// From now on a signal's number is written to `descriptor` as one byte. Installs the handlers with the first one.
    /// False if there are too many managers.
    [[nodiscard]] bool add(int descriptor);

    /// Takes the descriptor back. With the last one the former handlers are restored where ours are still in place.
    void remove(int descriptor);

    /// A manager has cleaned up after `signal`. When all have, and the program had no handler of its own for it, the
    /// signal is raised again with its default effect. Does not return then.
    void finished(int signal);

    /// Whether our handler is in place for every signal that was not ignored.
    [[nodiscard]] bool installed();

private:
    static constexpr std::array<int, 3> signals{SIGTERM, SIGINT, SIGHUP};
    static void on_signal(int number, siginfo_t* info, void* context);

    struct Former {
        struct sigaction action {};
        bool ours = false;  // we replaced it
    };
    /// What one process has set up. A forked copy that sets up something makes a new one: the mutex may be held by a
    /// thread that the copy does not have, and the descriptors reach the managers of the original.
    struct Installation {
        explicit Installation(const Installation* of_original) noexcept : original(of_original) {
            for (auto& descriptor : descriptors) descriptor.store(-1, std::memory_order_relaxed);
        }
        [[nodiscard]] bool is_ours() const noexcept { return owner == ::getpid(); }
        /// In the handler: writes to each descriptor. Whether there was one.
        [[nodiscard]] bool notify(std::size_t index) noexcept;

        const pid_t owner = ::getpid();
        const Installation* const original;  // stays within reach, so that nobody takes it for a leak
        std::mutex mutex;
        std::array<std::atomic<int>, max_managers> descriptors;
        std::array<Former, signals.size()> former{};
        std::size_t managers = 0;
        std::array<std::atomic<int>, signals.size()> awaited{};
        std::atomic<int> notifying{0};  // handlers that may be about to write
    };
    [[nodiscard]] static std::size_t index_of(int signal) noexcept;
    [[nodiscard]] static bool is_ours(const struct sigaction& action) noexcept;
    [[nodiscard]] static bool is_handler(const struct sigaction& action) noexcept;
    static void take_default_effect(int signal) noexcept;
    [[nodiscard]] Installation& installation();
    static void install(Installation& mine);

    std::atomic<Installation*> current_{nullptr};
};

// -- implementation ----------------------------------------------------------

WARDEN_ONE_PER_PROGRAM inline TerminationSignals& TerminationSignals::instance() noexcept {
    alignas(TerminationSignals) static std::byte place[sizeof(TerminationSignals)];
    static auto* const hooks = new (place) TerminationSignals;  // never destroyed: a signal may come at any time
    return *hooks;
}

inline std::size_t TerminationSignals::index_of(int signal) noexcept {
    std::size_t index = 0;
    while (index + 1 < signals.size() && signals[index] != signal) ++index;
    return index;
}

inline bool TerminationSignals::is_ours(const struct sigaction& action) noexcept {
    return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == &TerminationSignals::on_signal;
}

inline bool TerminationSignals::is_handler(const struct sigaction& action) noexcept {
    return (action.sa_flags & SA_SIGINFO) != 0 || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
}

/// Ends the program by `signal`, unless it is the first process of a pid namespace: the kernel ignores it there.
inline void TerminationSignals::take_default_effect(int signal) noexcept {
    struct sigaction usual {};
    usual.sa_handler = SIG_DFL;
    ::sigaction(signal, &usual, nullptr);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, signal);
    ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
    ::raise(signal);
}

inline bool TerminationSignals::Installation::notify(std::size_t index) noexcept {
    notifying.fetch_add(1);
    std::array<int, max_managers> notified{};
    std::size_t count = 0;
    for (auto& descriptor : descriptors) {
        const int fd = descriptor.load();
        if (fd >= 0) notified[count++] = fd;
    }
    // All are counted before the first is notified: another thread may answer at once.
    awaited[index].fetch_add(static_cast<int>(count), std::memory_order_acq_rel);
    for (std::size_t i = 0; i < count; ++i) {
        const auto byte = static_cast<unsigned char>(signals[index]);
        if (::write(notified[i], &byte, 1) != 1) awaited[index].fetch_sub(1, std::memory_order_acq_rel);
    }
    notifying.fetch_sub(1);
    return count > 0;
}

inline void TerminationSignals::on_signal(int number, siginfo_t* info, void* context) {
    const int kept = errno;
    Installation& installed = *instance().current_.load(std::memory_order_acquire);
    const std::size_t index = index_of(number);
    const bool is_notified = installed.is_ours() && installed.notify(index);
    const struct sigaction& former = installed.former[index].action;
    if ((former.sa_flags & SA_SIGINFO) != 0) former.sa_sigaction(number, info, context);
    else if (is_handler(former)) former.sa_handler(number);
    else if (!is_notified) take_default_effect(number);  // a forked copy, or the last manager has just gone
    errno = kept;
}

/// The one of this process.
inline TerminationSignals::Installation& TerminationSignals::installation() {
    Installation* installed = current_.load(std::memory_order_acquire);
    while (!installed || !installed->is_ours()) {
        auto* const fresh = new Installation(installed);
        if (installed) fresh->former = installed->former;
        for (Former& former : fresh->former) former.ours = false;
        if (current_.compare_exchange_strong(installed, fresh)) return *fresh;
        delete fresh;  // another thread was first
    }
    return *installed;
}

inline void TerminationSignals::install(Installation& mine) {
    for (std::size_t i = 0; i < signals.size(); ++i) {
        Former& former = mine.former[i];
        struct sigaction now {};
        ::sigaction(signals[i], nullptr, &now);
        if (is_ours(now)) {  // in a forked copy: what was there before is known from the original
            former.ours = true;
            continue;
        }
        former.action = now;
        if ((now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_IGN) continue;
        struct sigaction ours {};
        ours.sa_sigaction = &TerminationSignals::on_signal;
        ours.sa_flags = SA_SIGINFO | SA_RESTART | (now.sa_flags & SA_ONSTACK);
        ours.sa_mask = now.sa_mask;
        former.ours = ::sigaction(signals[i], &ours, nullptr) == 0;
    }
}

inline bool TerminationSignals::add(int descriptor) {
    Installation& mine = installation();
    const std::lock_guard lock(mine.mutex);
    for (auto& slot : mine.descriptors) {
        int empty = -1;
        if (!slot.compare_exchange_strong(empty, descriptor)) continue;
        if (++mine.managers == 1) install(mine);
        return true;
    }
    return false;
}

inline bool TerminationSignals::installed() {
    Installation* const mine = current_.load(std::memory_order_acquire);
    if (!mine || !mine->is_ours()) return false;
    const std::lock_guard lock(mine->mutex);
    if (mine->managers == 0) return false;
    for (std::size_t i = 0; i < signals.size(); ++i) {
        struct sigaction now {};
        ::sigaction(signals[i], nullptr, &now);
        if (mine->former[i].ours && !is_ours(now)) return false;
    }
    return true;
}

inline void TerminationSignals::remove(int descriptor) {
    Installation* const mine = current_.load(std::memory_order_acquire);
    if (!mine || !mine->is_ours()) return;
    const std::lock_guard lock(mine->mutex);
    for (auto& slot : mine->descriptors) {
        int wanted = descriptor;
        if (slot.compare_exchange_strong(wanted, -1)) --mine->managers;
    }
    for (std::size_t i = 0; mine->managers == 0 && i < signals.size(); ++i) {
        struct sigaction now {};
        ::sigaction(signals[i], nullptr, &now);
        if (mine->former[i].ours && is_ours(now)) ::sigaction(signals[i], &mine->former[i].action, nullptr);
        mine->former[i].ours = false;
    }
    while (mine->notifying.load() != 0) ::sched_yield();  // a few instructions and writes that do not block
}

inline void TerminationSignals::finished(int signal) {
    const std::size_t index = index_of(signal);
    Installation& mine = *current_.load(std::memory_order_acquire);
    if (mine.awaited[index].fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    if (is_handler(mine.former[index].action)) return;
    take_default_effect(signal);
    // The first process of a pid namespace, such as that of a container, ends as a shell reports such an end.
    if (::getpid() == 1) ::_exit(128 + signal);
}

}  // namespace warden::detail
#endif
