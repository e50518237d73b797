// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The host's side of the guardian: starts it, takes keepers from it, notices its loss and makes a new one.
///
/// Knows:         the socket to the guardian, its pidfd, the keepers that are ready.
/// Does not know: what a keeper is used for.
/// Thread-safety: `take_keeper` from any thread; the rest from the thread that made it. Callbacks come on the loop.
/// Errors:        the system's codes.

#include <warden/detail/containment/guardian_process_linux.hpp>
#include <warden/detail/containment/inherited_linux.hpp>
#include <warden/detail/containment/lifeline_linux.hpp>
#include <warden/detail/containment/pidfd_linux.hpp>
#include <warden/detail/launch/fork_helper_linux.hpp>
#include <warden/detail/system/thread_cancellation.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/timeout.hpp>

#if WARDEN_OS_LINUX
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

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

class Guardian : public std::enable_shared_from_this<Guardian> {
public:
    Guardian(boost::asio::io_context& loop, GuardianDuty duty) : loop_(loop), retry_(loop), duty_(std::move(duty)) {}

    /// Forks the guardian. `on_lost` is called on the loop whenever it ended unasked; a new one has been made then, or
    /// `ec` says why not.
    void start(std::function<void(const error_code&)> on_lost, error_code& ec);

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

    static constexpr std::size_t max_ready = 16;

    boost::asio::io_context& loop_;
    boost::asio::steady_timer retry_;
    const GuardianDuty duty_;
    std::function<void(const error_code&)> on_lost_;
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
};

// -- implementation ----------------------------------------------------------

inline void Guardian::start(std::function<void(const error_code&)> on_lost, error_code& ec) {
    on_lost_ = std::move(on_lost);
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
            if (asked_ > 0) --asked_;
            if (count == 1) ready_.push_back({KeeperSocket(fds[0]), ready.pid, inherited_});
            else broken_ = system_code(ready.pid > 0 ? EMFILE : -ready.pid);  // here, there was no room for its socket
        }
        ask_for_keepers();
    }
    arrived_.notify_all();
    listen();
}

inline SpareKeeper Guardian::take_keeper(SteadyTime deadline, error_code& ec) {
    ec.clear();
    const CancellationHeldOff held_off;  // `waiting_` is to be right; the deadline bounds the wait
    std::unique_lock lock(mutex_);
    broken_.clear();  // of another time
    ++waiting_;
    ask_for_keepers();
    arrived_.wait_until(lock, deadline, [&] { return !ready_.empty() || stopping_ || broken_ || !control_; });
    --waiting_;
    SpareKeeper keeper;
    if (ready_.empty()) {
        ec = stopping_ ? error_code(errc::shut_down) : broken_ ? broken_ : error_code(errc::containment_lost);
        return keeper;
    }
    keeper = std::move(ready_.front());
    ready_.pop_front();
    ask_for_keepers();
    return keeper;
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
        const int result = ::poll(ends, 2, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (result < 0 && errno == EINTR) continue;
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
