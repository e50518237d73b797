// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The host's side of the guardian: starts it, takes keepers from it, notices its loss and makes a new one.
///
/// Knows:         the socket to the guardian, its pidfd, the keepers that are ready.
/// Does not know: what a keeper is used for.
/// Thread-safety: `take_keeper` from any thread; the rest from the thread that made it. Callbacks come on the loop.
/// Waits:         for a keeper, until a deadline; for the guardian's end, until a deadline. Meanwhile a guardian that
///                somebody stopped is resumed, again and again; `take_keeper` has it killed and replaced half-way.
/// Errors:        the system's codes.

#include <warden/detail/containment/guardian_process_linux.hpp>
#include <warden/detail/containment/lifeline_linux.hpp>
#include <warden/detail/containment/spare_keeper_linux.hpp>
#include <warden/detail/launch/fork_helper_linux.hpp>
#include <warden/detail/system/thread_cancellation.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/timeout.hpp>

#if WARDEN_OS_LINUX
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

class Guardian : public std::enable_shared_from_this<Guardian> {
public:
    Guardian(boost::asio::io_context& loop, GuardianDuty duty) : loop_(loop), retry_(loop), duty_(std::move(duty)) {}

    /// Forks the guardian. `on_lost` is called on the loop whenever it ended unasked; a new one has been made then, or
    /// `ec` says why not.
    /// `on_keeper_lost` is called on the loop when a keeper with a tree was killed.
    void start(std::function<void(const error_code&)> on_lost, std::function<void(Pid)> on_keeper_lost, error_code& ec);

    /// On the loop: `keeper` was killed. `settled` is called on the loop, once: with true as soon as the guardian has
    /// ended all of its tree; with false if that can no longer be known, since the guardian was killed too.
    void settle(const SpareKeeper& keeper, std::function<void(bool tree_ended)> settled);

    /// Trees whose keepers were killed: how many have not ended yet, as far as is known.
    [[nodiscard]] std::size_t unsettled() const noexcept { return unsettled_count_; }

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
        control_.reset();
        process_.reset();
    }

    [[nodiscard]] Pid pid() const {
        const std::lock_guard lock(mutex_);
        return pid_;
    }

    /// Whether its keepers are confined as `wanted` says.
    [[nodiscard]] bool confines(const Confinement& wanted) const {
        const std::lock_guard lock(mutex_);
        return inherited_ && inherited_->confinement == wanted;
    }

    /// Whether the host's end is seen through its pidfd; else through the end of a pipe.
    [[nodiscard]] bool watches_pidfd() const noexcept { return watches_pidfd_; }

private:
    void fork_guardian(error_code& ec);
    void listen();
    void watch();
    void receive_keepers();
    void ask_for_keepers();  // with the lock held: records are sent without waiting
    void replace();
    [[nodiscard]] static bool drop_keeper(int control) noexcept;
    void await_keeper(std::unique_lock<std::mutex>& lock, SteadyTime deadline);
    void resume() const;
    void keeper_tree_ended(Pid keeper);

    static constexpr std::size_t max_ready = 16;
    static constexpr std::size_t max_early = 256;
    static constexpr std::chrono::milliseconds patience{100};  // then an answer is overdue

    boost::asio::io_context& loop_;
    boost::asio::steady_timer retry_;
    const GuardianDuty duty_;
    std::function<void(const error_code&)> on_lost_;
    std::function<void(Pid)> on_keeper_lost_;
    Lifeline lifeline_;  // where there is no pidfd of the host
    bool watches_pidfd_ = true;

    mutable std::mutex mutex_;
    std::condition_variable arrived_;
    std::deque<SpareKeeper> ready_;
    std::shared_ptr<const InheritedAttributes> inherited_;
    std::size_t asked_ = 0;
    std::size_t waiting_ = 0;
    Pid pid_ = 0;
    bool stopping_ = false;
    error_code broken_;
    std::unique_ptr<boost::asio::posix::stream_descriptor> control_;
    std::unique_ptr<boost::asio::posix::stream_descriptor> process_;

    std::atomic<std::size_t> unsettled_count_{0};  // read by any thread

    // On the loop.
    std::map<Pid, std::function<void(bool)>> unsettled_;
    std::deque<Pid> early_;  // trees that ended before the loss of their keeper was noticed
};

// -- implementation ----------------------------------------------------------

inline void Guardian::start(std::function<void(const error_code&)> on_lost, std::function<void(Pid)> on_keeper_lost,
                            error_code& ec) {
    on_lost_ = std::move(on_lost);
    on_keeper_lost_ = std::move(on_keeper_lost);
    fork_guardian(ec);
    if (ec) return;
    listen();
    watch();
}

inline void Guardian::fork_guardian(error_code& ec) {
    ec.clear();
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        ec = system_code(errno);
        return;
    }
    UniqueFd ours(ends[0]);
    const UniqueFd theirs(ends[1]);
    UniqueFd host(static_cast<int>(raw(SYS_pidfd_open, ::getpid(), 0)));
    watches_pidfd_ = static_cast<bool>(host);
    if (!host) {
        int pipe_ends[2] = {-1, -1};
        if (::pipe2(pipe_ends, O_CLOEXEC) != 0) {
            ec = system_code(errno);
            return;
        }
        host.reset(pipe_ends[0]);
        lifeline_.hold(UniqueFd(pipe_ends[1]));
    }
    auto inherited = std::make_shared<const InheritedAttributes>(duty_.reader->read());
    GuardianPorts ports{theirs.get(), host.get(), duty_.group, duty_.leaders, {}};
    std::strncpy(ports.group_name, duty_.group_name.c_str(), sizeof ports.group_name - 1);
    const Cloned guardian = fork_apart([&ports]() WARDEN_IN_CHILD { run_guardian(ports); });
    if (guardian.error != 0) {
        ec = system_code(guardian.error);
        return;
    }
    const std::lock_guard lock(mutex_);
    pid_ = guardian.pid;
    inherited_ = std::move(inherited);
    ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
    control_ = std::make_unique<boost::asio::posix::stream_descriptor>(loop_, ours.release());
    process_ = std::make_unique<boost::asio::posix::stream_descriptor>(loop_, guardian.pidfd);
    asked_ = 0;
    ready_.clear();
    ask_for_keepers();
}

inline void Guardian::ask_for_keepers() {
    if (!control_ || stopping_) return;
    const std::size_t low = (duty_.spare_keepers + 1) / 2;
    while (ready_.size() + asked_ < low + waiting_) {
        const GuardianCommand command = GuardianCommand::make_keeper;
        if (send_record(control_->native_handle(), &command, sizeof command, nullptr, 0, nullptr, 0) < 0) return;
        ++asked_;
    }
}

inline void Guardian::listen() {
    control_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [self = shared_from_this()](const error_code& ec) {
                             if (ec) return;
                             self->receive_keepers();
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
            const long size = receive_record(control_->native_handle(), &ready, sizeof ready, nullptr, 0, fds, count);
            if (size <= 0) {
                if (size == 0) return;  // its end is seen through its pidfd
                break;
            }
            if (ready.tree_ended != 0) {
                ended.push_back(ready.pid);
                continue;
            }
            std::erase(early_, ready.pid);  // of a former one with that number
            if (asked_ > 0) --asked_;
            if (count == 1) ready_.push_back({KeeperSocket(fds[0]), ready.pid, inherited_});
            else broken_ = system_code(ready.pid > 0 ? EMFILE : -ready.pid);  // here, there was no room for its socket
        }
        ask_for_keepers();
    }
    arrived_.notify_all();
    for (const Pid keeper : ended) keeper_tree_ended(keeper);
    listen();
}

inline void Guardian::keeper_tree_ended(Pid keeper) {
    const auto found = unsettled_.find(keeper);
    if (found == unsettled_.end()) {
        if (early_.size() == max_early) early_.pop_front();
        return early_.push_back(keeper);
    }
    const auto settled = std::move(found->second);
    unsettled_.erase(found);
    --unsettled_count_;
    settled(true);
}

inline void Guardian::settle(const SpareKeeper& keeper, std::function<void(bool)> settled) {
    on_keeper_lost_(keeper.pid);
    {
        const std::lock_guard lock(mutex_);
        if (stopping_ || !control_ || keeper.inherited != inherited_) {
            ++unsettled_count_;  // for good
            return settled(false);
        }
    }
    if (const auto early = std::find(early_.begin(), early_.end(), keeper.pid); early != early_.end()) {
        early_.erase(early);
        return settled(true);
    }
    ++unsettled_count_;
    unsettled_[keeper.pid] = std::move(settled);
    resume();  // its part is to be done now
}

inline void Guardian::resume() const {
    const std::lock_guard lock(mutex_);
    if (pid_ != 0 && process_) static_cast<void>(signal_pidfd(process_->native_handle(), SIGCONT));
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
        if (is_over() || pid_ == 0 || !process_ || !process_->is_open()) continue;  // it may be being replaced
        const bool kill = !killed && SteadyTime::clock::now() - began > (deadline - began) / 2;
        killed = killed || kill;
        static_cast<void>(signal_pidfd(process_->native_handle(), kill ? SIGKILL : SIGCONT));
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

/// Receives a keeper that nobody needs any more, which ends then. False if there is none.
inline bool Guardian::drop_keeper(int control) noexcept {
    KeeperReady ready{};
    int fds[descriptors_beside];
    std::size_t count = 0;
    const long size = receive_record(control, &ready, sizeof ready, nullptr, 0, fds, count);
    for (std::size_t i = 0; i < count; ++i) const KeeperSocket unused(fds[i]);
    return size > 0;
}

inline void Guardian::watch() {
    process_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [self = shared_from_this()](const error_code& ec) {
                             if (!ec) self->replace();
                         });
}

inline void Guardian::replace() {
    {
        const std::lock_guard lock(mutex_);
        if (process_) static_cast<void>(reap_pidfd(process_->native_handle()));
        pid_ = 0;
        if (stopping_) return;
        while (control_ && drop_keeper(control_->native_handle())) {}
        process_.reset();
        control_.reset();
    }
    early_.clear();
    for (auto& [keeper, settled] : std::exchange(unsettled_, {})) settled(false);
    error_code ec;
    fork_guardian(ec);
    if (!ec) {
        listen();
        watch();
    } else {
        arrived_.notify_all();
        retry_.expires_after(std::chrono::seconds(1));
        retry_.async_wait([self = shared_from_this()](const error_code& cancelled) {
            if (!cancelled) self->replace();
        });
    }
    on_lost_(ec);
}

inline void Guardian::stop(SteadyTime deadline) {
    int pidfd = -1;
    int control = -1;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        ready_.clear();
        if (control_ && control_->is_open()) {
            control = control_->native_handle();
            const GuardianCommand command = GuardianCommand::quit;
            send_record(control, &command, sizeof command, nullptr, 0, nullptr, 0);
        }
        if (pid_ != 0 && process_) pidfd = process_->native_handle();
    }
    arrived_.notify_all();
    while (pidfd >= 0) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyTime::clock::now());
        struct pollfd ends[2] = {{pidfd, POLLIN, 0}, {control, POLLIN, 0}};
        const int result =
            ::poll(ends, 2, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, patience.count())));
        if (result < 0 && errno == EINTR) continue;
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
