// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The host's side of the guardian: starts it, takes keepers from it, notices its loss and makes a new one.
///
/// Knows:         the socket to the guardian, its pidfd, the keepers that are ready. A guardian that is lost again and
///                again is replaced at a `ReplacementPace`.
/// Does not know: what a keeper is used for.
/// Thread-safety: `take_keeper` from any thread; the rest from the thread that made it. Callbacks come on the loop.
/// Waits:         for a keeper, until a deadline; for the guardian's end, until a deadline. Meanwhile a guardian that
///                somebody stopped is resumed, again and again; `take_keeper` has it killed and replaced half-way.
/// Errors:        the system's codes.

#include <warden/detail/containment/guardian_fork_linux.hpp>
#include <warden/detail/containment/replacement_pace.hpp>
#include <warden/detail/containment/spare_keeper_linux.hpp>
#include <warden/detail/containment/unsettled_trees_linux.hpp>
#include <warden/detail/runtime/io_loop.hpp>
#include <warden/detail/system/descriptor_watch.hpp>
#include <warden/detail/system/thread_cancellation.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/timeout.hpp>

#if WARDEN_OS_LINUX

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

/// How it stands with a guardian that ended unasked.
struct GuardianLoss {
    bool is_replaced = false;            ///< Another one is in place.
    bool is_news = true;                 ///< False if the same was reported for the loss before.
    error_code failed;                   ///< Why another one could not be made, if that was tried.
    std::chrono::milliseconds pause{0};  ///< Until the next one is made.
    unsigned in_a_row = 0;               ///< How often one was lost.
};

class Guardian : public std::enable_shared_from_this<Guardian> {
public:
    Guardian(IoLoop& loop, GuardianDuty duty)
        : loop_(loop), retry_(loop), duty_(std::move(duty)), control_(loop.context()), process_(loop.context()) {}

    /// Forks the guardian. `on_lost` is called on the loop whenever it ended unasked, and once more when another one is
    /// in place after a pause. `on_keeper_lost` is called on the loop when a keeper with a tree was killed.
    void start(std::function<void(const GuardianLoss&)> on_lost, std::function<void(Pid)> on_keeper_lost,
               error_code& ec);

    /// On the loop: `keeper` was killed. `settled` is called on the loop, once: with true as soon as the guardian has
    /// ended all of its tree; with false if that can no longer be known, since the guardian was killed too.
    void settle(const SpareKeeper& keeper, std::function<void(bool tree_ended)> settled);

    /// Trees whose keepers were killed: how many have not ended yet, as far as is known.
    [[nodiscard]] std::size_t unsettled() const noexcept { return unsettled_.count(); }

    /// A keeper to launch from. Waits for one at most until `deadline`.
    [[nodiscard]] SpareKeeper take_keeper(SteadyTime deadline, error_code& ec);

    /// Takes back a keeper whose tree is gone.
    void release_keeper(SpareKeeper keeper);

    /// Tells the guardian to end and waits until it has, or until `deadline`.
    void stop(SteadyTime deadline);

    /// On the loop, after `stop`: lets go of the descriptors.
    void close() {
        const std::lock_guard lock(mutex_);
        retry_.cancel();
        control_.close();
        process_.close();
    }

    [[nodiscard]] Pid pid() const {
        const std::lock_guard lock(mutex_);
        return pid_;
    }

    /// How often it was lost in a row, if that is so often that replacing it is slowed down; else 0.
    [[nodiscard]] unsigned frequent_losses() const {
        const std::lock_guard lock(mutex_);
        const SteadyTime now = loop_.now();
        return pace_.is_paced(now) ? pace_.in_a_row(now) : 0;
    }

    /// Whether its keepers are confined as `wanted` says.
    [[nodiscard]] bool confines(const Confinement& wanted) const {
        const std::lock_guard lock(mutex_);
        return inherited_ && inherited_->confinement == wanted;
    }

private:
    void fork(error_code& ec);
    void listen();
    void watch();
    void receive_keepers();
    void ask_for_keepers();  // with the lock held: records are sent without waiting
    void replace();
    void make_another();
    void make_later(std::chrono::milliseconds pause, const error_code& failed);
    void await_keeper(std::unique_lock<std::mutex>& lock, SteadyTime deadline);
    void resume();

    static constexpr std::size_t max_ready = 16;
    static constexpr std::chrono::milliseconds patience{100};  // then an answer is overdue

    IoLoop& loop_;
    Timer retry_;
    const GuardianDuty duty_;
    std::function<void(const GuardianLoss&)> on_lost_;
    std::function<void(Pid)> on_keeper_lost_;
    Lifeline lifeline_;  // where there is no pidfd of the host

    mutable std::mutex mutex_;
    std::condition_variable arrived_;
    std::deque<SpareKeeper> ready_;
    std::shared_ptr<const InheritedAttributes> inherited_;
    std::size_t asked_ = 0;
    std::size_t waiting_ = 0;
    Pid pid_ = 0;
    bool stopping_ = false;
    bool making_ = false;  // another guardian
    ReplacementPace pace_;
    error_code broken_;
    DescriptorWatch control_;
    DescriptorWatch process_;

    UnsettledTrees unsettled_;                      // on the loop
    std::chrono::milliseconds announced_pause_{0};  // on the loop
};

// -- implementation ----------------------------------------------------------

inline void Guardian::start(std::function<void(const GuardianLoss&)> on_lost, std::function<void(Pid)> on_keeper_lost,
                            error_code& ec) {
    on_lost_ = std::move(on_lost);
    on_keeper_lost_ = std::move(on_keeper_lost);
    fork(ec);
    if (ec) return;
    listen();
    watch();
}

inline void Guardian::fork(error_code& ec) {
    ForkedGuardian forked = fork_guardian(duty_, lifeline_, ec);
    if (ec) return;
    const std::lock_guard lock(mutex_);
    ec = control_.open(std::move(forked.control));
    if (!ec) ec = process_.open(std::move(forked.pidfd));
    if (ec) {
        control_.close();
        return end_guardian(forked.pid);
    }
    pid_ = forked.pid;
    inherited_ = std::move(forked.inherited);
    asked_ = 0;
    ready_.clear();
    ask_for_keepers();
}

inline void Guardian::ask_for_keepers() {
    if (!control_.is_open() || stopping_) return;
    const std::size_t low = (duty_.spare_keepers + 1) / 2;
    while (ready_.size() + asked_ < low + waiting_) {
        const GuardianCommand command = GuardianCommand::make_keeper;
        if (send_record(control_.get(), &command, sizeof command, nullptr, 0, nullptr, 0) < 0) return;
        ++asked_;
    }
}

inline void Guardian::listen() {
    control_.wait_readable([self = shared_from_this()](const error_code& ec) {
        if (!ec) self->receive_keepers();
    });
}

inline void Guardian::receive_keepers() {
    std::vector<Pid> ended;
    {
        const std::lock_guard lock(mutex_);
        if (stopping_) return;
        for (;;) {
            KeeperReady ready{};
            int fds[descriptors_beside];
            std::size_t count = 0;
            const long size = receive_record(control_.get(), &ready, sizeof ready, nullptr, 0, fds, count);
            if (size <= 0) {
                if (size == 0) return;  // its end is seen through its pidfd
                break;
            }
            if (ready.tree_ended != 0) {
                ended.push_back(ready.pid);
                continue;
            }
            unsettled_.forget_early(ready.pid);
            if (asked_ > 0) --asked_;
            if (count == 1) ready_.push_back({KeeperSocket(fds[0]), ready.pid, inherited_});
            else broken_ = system_code(ready.pid > 0 ? EMFILE : -ready.pid);  // here, there was no room for its socket
        }
        ask_for_keepers();
    }
    arrived_.notify_all();
    for (const Pid keeper : ended) unsettled_.tree_ended(keeper);
    listen();
}

inline void Guardian::settle(const SpareKeeper& keeper, std::function<void(bool)> settled) {
    on_keeper_lost_(keeper.pid);
    {
        const std::lock_guard lock(mutex_);
        if (stopping_ || !control_.is_open() || keeper.inherited != inherited_) {
            return unsettled_.add_unknown(settled);
        }
    }
    unsettled_.add(keeper.pid, std::move(settled));
    resume();  // its part is to be done now
}

inline void Guardian::resume() {
    const std::lock_guard lock(mutex_);
    if (pid_ != 0 && process_.is_open()) static_cast<void>(signal_pidfd(process_.get(), SIGCONT));
}

inline SpareKeeper Guardian::take_keeper(SteadyTime deadline, error_code& ec) {
    ec.clear();
    const CancellationHeldOff held_off;  // `waiting_` is to be right; the deadline bounds the wait
    std::unique_lock lock(mutex_);
    broken_.clear();  // of another time
    ++waiting_;
    SpareKeeper keeper;
    do {
        ask_for_keepers();
        await_keeper(lock, deadline);
        if (ready_.empty()) {
            ec = stopping_ ? error_code(errc::shut_down) : broken_ ? broken_ : error_code(errc::containment_lost);
            break;
        }
        keeper = std::move(ready_.front());
        ready_.pop_front();
    } while (keeper_ended(keeper));  // somebody has killed it
    --waiting_;
    ask_for_keepers();
    return keeper;
}

/// Waits until there is a keeper, or none will come.
inline void Guardian::await_keeper(std::unique_lock<std::mutex>& lock, SteadyTime deadline) {
    const auto is_over = [&] { return !ready_.empty() || stopping_ || broken_; };
    const SteadyTime began = SteadyTime::clock::now();
    bool killed = false;
    for (SteadyTime now = began; !is_over() && now < deadline; now = SteadyTime::clock::now()) {
        arrived_.wait_until(lock, std::min(deadline, now + patience), is_over);
        if (is_over() || pid_ == 0 || !process_.is_open()) continue;  // it may be being replaced
        const bool kill = !killed && SteadyTime::clock::now() - began > (deadline - began) / 2;
        killed = killed || kill;
        static_cast<void>(signal_pidfd(process_.get(), kill ? SIGKILL : SIGCONT));
    }
}

inline void Guardian::release_keeper(SpareKeeper keeper) {
    {
        const std::lock_guard lock(mutex_);
        // One that has the former guardian's view of the host is not taken back, nor more than may be of use.
        if (stopping_ || keeper.inherited != inherited_ || ready_.size() >= max_ready) return;
        ready_.push_back(std::move(keeper));
    }
    arrived_.notify_one();
}

inline void Guardian::watch() {
    process_.wait_readable([self = shared_from_this()](const error_code& ec) {
        if (!ec) self->replace();
    });
}

inline void Guardian::replace() {
    {
        const std::lock_guard lock(mutex_);
        if (process_.is_open()) static_cast<void>(reap_pidfd(process_.get()));
        pid_ = 0;
        if (stopping_) return;
        while (control_.is_open() && drop_keeper(control_.get())) {}
        process_.close();
        control_.close();
    }
    unsettled_.guardian_lost();
    const auto pause = [&] {
        const std::lock_guard lock(mutex_);
        return pace_.lost(loop_.now());
    }();
    if (pause == pause.zero()) make_another();
    else make_later(pause, {});
}

inline void Guardian::make_later(std::chrono::milliseconds pause, const error_code& failed) {
    arrived_.notify_all();
    retry_.arm(loop_.now() + pause, [self = shared_from_this()] { self->make_another(); });
    const bool is_news = std::exchange(announced_pause_, pause) != pause;
    on_lost_({false, is_news, failed, pause, pace_.in_a_row(loop_.now())});
}

inline void Guardian::make_another() {
    {
        const std::lock_guard lock(mutex_);
        if (stopping_) return;
        making_ = true;  // so that `stop` waits for it
    }
    error_code ec;
    fork(ec);
    std::chrono::milliseconds pause{0};
    unsigned in_a_row = 0;
    bool is_paced = false;
    {
        const std::lock_guard lock(mutex_);
        making_ = false;
        const SteadyTime now = loop_.now();
        if (ec) pause = std::max(pace_.lost(now), ReplacementPace::first_pause);
        in_a_row = pace_.in_a_row(now);
        is_paced = pace_.is_paced(now);
    }
    arrived_.notify_all();
    if (ec) return make_later(pause, ec);
    listen();
    watch();
    if (!is_paced) announced_pause_ = announced_pause_.zero();
    on_lost_({true, !is_paced, {}, {}, in_a_row});
}

inline void Guardian::stop(SteadyTime deadline) {
    int pidfd = -1;
    int control = -1;
    {
        std::unique_lock lock(mutex_);
        stopping_ = true;
        arrived_.wait_until(lock, deadline, [this] { return !making_; });
        ready_.clear();
        if (control_.is_open()) {
            control = control_.get();
            const GuardianCommand command = GuardianCommand::quit;
            const long sent = send_record(control, &command, sizeof command, nullptr, 0, nullptr, 0);
            if (sent < 0) ::shutdown(control, SHUT_WR);  // which says the same
        }
        if (pid_ != 0 && process_.is_open()) pidfd = process_.get();
    }
    arrived_.notify_all();
    int refusals_left = 16;  // of poll(2), for want of memory
    while (pidfd >= 0) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyTime::clock::now());
        struct pollfd ends[2] = {{pidfd, POLLIN, 0}, {control, POLLIN, 0}};
        const int result =
            ::poll(ends, 2, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, patience.count())));
        if (result < 0 && (errno == EINTR || --refusals_left > 0)) continue;
        if (result == 0 && left > patience) {
            static_cast<void>(signal_pidfd(pidfd, SIGCONT));
            continue;
        }
        if (result <= 0) break;
        if (ends[0].revents != 0) {
            static_cast<void>(reap_pidfd(pidfd));
            break;
        }
        // A keeper that comes too late: it lives for as long as its socket is open, and the guardian waits for it.
        if (!drop_keeper(control)) control = -1;
    }
}

}  // namespace warden::detail
#endif
