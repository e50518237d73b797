// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// SIGTERM, SIGINT and SIGHUP of the host: every manager cleans up, then the signal takes its usual effect.
///
/// Knows:         the handlers that were there before; they run too. What was ignored stays ignored.
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

    std::mutex mutex_;
    std::array<std::atomic<int>, max_managers> descriptors_;
    std::array<Former, signals.size()> former_{};
    std::size_t managers_ = 0;
    std::array<std::atomic<int>, signals.size()> awaited_{};

    TerminationSignals() noexcept {
        for (auto& descriptor : descriptors_) descriptor.store(-1, std::memory_order_relaxed);
    }
};

// -- implementation ----------------------------------------------------------

WARDEN_ONE_PER_PROGRAM inline TerminationSignals& TerminationSignals::instance() noexcept {
    alignas(TerminationSignals) static std::byte place[sizeof(TerminationSignals)];
    static auto* const hooks = new (place) TerminationSignals;  // never destroyed: a signal may come at any time
    return *hooks;
}

inline void TerminationSignals::on_signal(int number, siginfo_t* info, void* context) {
    const int kept = errno;
    TerminationSignals& self = instance();
    std::size_t index = 0;
    while (index + 1 < signals.size() && signals[index] != number) ++index;
    std::atomic<int>& awaited = self.awaited_[index];
    std::array<int, max_managers> told{};
    std::size_t count = 0;
    for (auto& descriptor : self.descriptors_) {
        const int fd = descriptor.load(std::memory_order_acquire);
        if (fd >= 0) told[count++] = fd;
    }
    // All are counted before the first is told: another thread may answer at once.
    awaited.fetch_add(static_cast<int>(count), std::memory_order_acq_rel);
    for (std::size_t i = 0; i < count; ++i) {
        const auto byte = static_cast<unsigned char>(number);
        if (::write(told[i], &byte, 1) != 1) awaited.fetch_sub(1, std::memory_order_acq_rel);
    }
    const struct sigaction& former = self.former_[index].action;
    if ((former.sa_flags & SA_SIGINFO) != 0) former.sa_sigaction(number, info, context);
    else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) former.sa_handler(number);
    errno = kept;
}

inline bool TerminationSignals::add(int descriptor) {
    const std::lock_guard lock(mutex_);
    bool placed = false;
    for (auto& slot : descriptors_) {
        int empty = -1;
        if ((placed = slot.compare_exchange_strong(empty, descriptor))) break;
    }
    if (!placed || ++managers_ > 1) return placed;
    for (std::size_t i = 0; i < signals.size(); ++i) {
        Former& former = former_[i];
        ::sigaction(signals[i], nullptr, &former.action);
        if ((former.action.sa_flags & SA_SIGINFO) == 0 && former.action.sa_handler == SIG_IGN) continue;
        struct sigaction ours {};
        ours.sa_sigaction = &TerminationSignals::on_signal;
        ours.sa_flags = SA_SIGINFO | SA_RESTART | (former.action.sa_flags & SA_ONSTACK);
        ours.sa_mask = former.action.sa_mask;
        former.ours = ::sigaction(signals[i], &ours, nullptr) == 0;
    }
    return true;
}

inline bool TerminationSignals::installed() {
    const std::lock_guard lock(mutex_);
    if (managers_ == 0) return false;
    for (std::size_t i = 0; i < signals.size(); ++i) {
        struct sigaction now {};
        ::sigaction(signals[i], nullptr, &now);
        if (former_[i].ours && ((now.sa_flags & SA_SIGINFO) == 0 || now.sa_sigaction != &TerminationSignals::on_signal))
            return false;
    }
    return true;
}

inline void TerminationSignals::remove(int descriptor) {
    const std::lock_guard lock(mutex_);
    for (auto& slot : descriptors_) {
        int mine = descriptor;
        if (slot.compare_exchange_strong(mine, -1)) --managers_;
    }
    if (managers_ > 0) return;
    for (std::size_t i = 0; i < signals.size(); ++i) {
        struct sigaction now {};
        ::sigaction(signals[i], nullptr, &now);
        const bool still_ours = (now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == &TerminationSignals::on_signal;
        if (former_[i].ours && still_ours) ::sigaction(signals[i], &former_[i].action, nullptr);
        former_[i].ours = false;
    }
}

inline void TerminationSignals::finished(int signal) {
    std::size_t index = 0;
    while (index + 1 < signals.size() && signals[index] != signal) ++index;
    if (awaited_[index].fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    {
        const std::lock_guard lock(mutex_);
        const struct sigaction& former = former_[index].action;
        const bool had_handler = (former.sa_flags & SA_SIGINFO) != 0 || former.sa_handler != SIG_DFL;
        if (had_handler) return;
        struct sigaction usual {};
        usual.sa_handler = SIG_DFL;
        ::sigaction(signal, &usual, nullptr);
    }
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, signal);
    ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
    ::raise(signal);
}

}  // namespace warden::detail
#endif
