// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Tells the ends of own children on a loop, by what POSIX has: SIGCHLD and waitid(2).
///
/// Knows:         the children that are awaited, each by its pid: nobody else's child is ever looked at or reaped.
/// Does not know: groups, trees. Which child a SIGCHLD is about, since several become one: all that are awaited are
///                looked at, one system call each.
/// Thread-safety: everything on the loop; `installed` from any thread.
/// Errors:        a status that somebody else took is told as lost.
///
/// SIGCHLD is unblocked on the loop's thread, for the host may block it on all of its own. A host that blocks it to
/// take it by sigwait(3) or the like may lose it to our handler.
///
/// A child that is awaited must not be reaped by others: if it is (by waitpid(-1) in the host, or because SIGCHLD is
/// ignored), its end is told as lost, and its pid may be a stranger's from then on. If the host replaces the handler of
/// SIGCHLD, ends are told late: at the next `await` or `look_again`, which put the handler back in front of the host's.

#include <warden/detail/posix/child_signal.hpp>
#include <warden/detail/posix/pipe.hpp>
#include <warden/error.hpp>
#include <warden/exit_status.hpp>
#include <warden/fwd.hpp>
#include <warden/process_info.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

namespace warden::detail {

/// What wait(2) would say of a child, without reaping it.
struct ChildState {
    enum Kind : std::uint8_t { running, ended, lost } kind = running;
    ExitStatus status;  ///< Of one that has ended.
};

/// Looks at a child of this process by waitid(2); it stays a zombie if it has ended. Lost: it is no child (any more).
[[nodiscard]] inline ChildState look_at_child(Pid pid) noexcept;

/// Reaps a child that has ended; what it used, as far as POSIX tells: CPU time. Nothing if it is lost or runs.
inline ResourceUsage reap_child(Pid pid) noexcept;

/// One per loop; lives as long as the loop's context.
class ChildWatch final : public boost::asio::execution_context::service {
public:
    using Ended = std::function<void(const ChildState&)>;
    using key_type = ChildWatch;
    inline static boost::asio::execution_context::id id;

    /// The watch of a loop, made on first use. @throws system_error if it cannot be made: no descriptors, or
    /// `errc::containment_unavailable` if there are too many loops in the program.
    [[nodiscard]] static ChildWatch& of(boost::asio::io_context& loop) {
        return boost::asio::use_service<ChildWatch>(loop);
    }

    explicit ChildWatch(boost::asio::io_context& loop);

    /// Names one that is awaited; a pid does not, once somebody else has reaped it.
    using Ticket = std::uint64_t;

    /// Calls `ended` on the loop, later, once the child `pid` has ended or is lost. It is not reaped.
    Ticket await(Pid pid, Ended ended);

    /// It is not awaited any more.
    void forget(Ticket ticket) { awaited_.erase(ticket); }

    /// Reaps a child that has been killed, once it has ended. Those that have not when the loop's context is destroyed
    /// are given a second.
    void reap_when_ended(Pid pid) { await(pid, nullptr); }

    /// To be called after an action that may end a child: sees to it that its end will be told. If that was not sure
    /// before, because the host had replaced the handler of SIGCHLD, all that are awaited are looked at, soon.
    void look_again();

    /// Whether the handler of SIGCHLD is in place.
    [[nodiscard]] static bool installed() { return ChildSignal::instance().installed(); }

private:
    void shutdown() override;
    void wait();
    void drain() const noexcept;
    void look();
    void look_at(Ticket ticket);

    struct Awaited {
        Pid pid;
        Ended ended;  // null: only to be reaped
    };

    boost::asio::io_context& loop_;
    UniqueFd write_;
    boost::asio::posix::stream_descriptor signalled_;
    std::map<Ticket, Awaited> awaited_;
    Ticket last_ticket_ = 0;
};

// -- implementation ----------------------------------------------------------

inline ChildState look_at_child(Pid pid) noexcept {
    siginfo_t info{};
    int failed = -1;
    do failed = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT);
    while (failed != 0 && errno == EINTR);
    if (failed != 0) return {ChildState::lost, {}};
    if (info.si_pid == 0) return {};
    if (info.si_code == CLD_EXITED) return {ChildState::ended, ExitStatus::from_code(info.si_status & 0xff)};
    return {ChildState::ended, ExitStatus::from_signal(info.si_status, info.si_code == CLD_DUMPED)};
}

inline ResourceUsage reap_child(Pid pid) noexcept {
    ResourceUsage result;
    struct rusage usage {};
    pid_t reaped = -1;
    do reaped = ::wait4(pid, nullptr, WNOHANG, &usage);
    while (reaped < 0 && errno == EINTR);
    if (reaped != pid) return result;
    const auto time = [](const timeval& t) {
        return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
    };
    result.user_time = time(usage.ru_utime);
    result.system_time = time(usage.ru_stime);
    return result;
}

inline ChildWatch::ChildWatch(boost::asio::io_context& loop)
    : boost::asio::execution_context::service(loop), loop_(loop), signalled_(loop) {
    auto [to_read, to_write] = make_closed_pipe();
    if (!to_read) throw system_error(system_code(errno), "pipe for ended children");
    make_nonblocking(to_read.get());
    make_nonblocking(to_write.get());
    signalled_.assign(to_read.release());
    write_ = std::move(to_write);
    if (!ChildSignal::instance().add(write_.get())) {
        throw system_error(errc::containment_unavailable, "too many loops wait for children");
    }
    wait();
}

inline void ChildWatch::shutdown() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    std::erase_if(awaited_, [](const auto& entry) { return entry.second.ended != nullptr; });
    for (;;) {
        drain();
        look();
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        struct pollfd told {
            signalled_.native_handle(), POLLIN, 0
        };
        if (awaited_.empty() || left.count() <= 0) break;
        ::poll(&told, 1, static_cast<int>(left.count()));
    }
    awaited_.clear();
    ChildSignal::instance().remove(write_.get());
    error_code ignored;
    signalled_.close(ignored);
    write_.reset();
}

inline void ChildWatch::wait() {
    signalled_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const error_code& ec) {
        if (ec) return;
        drain();
        look();
        wait();
    });
}

inline void ChildWatch::drain() const noexcept {
    char bytes[256];
    const int fd = const_cast<boost::asio::posix::stream_descriptor&>(signalled_).native_handle();
    while (::read(fd, bytes, sizeof bytes) > 0) {}
}

inline void ChildWatch::look_at(Ticket ticket) {
    const auto found = awaited_.find(ticket);
    if (found == awaited_.end()) return;
    const Pid pid = found->second.pid;
    const ChildState state = look_at_child(pid);
    if (state.kind == ChildState::running) return;
    const Ended ended = std::move(found->second.ended);
    awaited_.erase(found);
    if (ended) ended(state);
    else reap_child(pid);
}

inline void ChildWatch::look() {
    std::vector<Ticket> tickets;  // what is called may change the map
    tickets.reserve(awaited_.size());
    for (const auto& entry : awaited_) tickets.push_back(entry.first);
    for (const Ticket ticket : tickets) look_at(ticket);
}

inline void ChildWatch::look_again() {
    if (!ChildSignal::instance().ensure()) boost::asio::post(loop_, [this] { look(); });
}

inline ChildWatch::Ticket ChildWatch::await(Pid pid, Ended ended) {
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGCHLD);
    ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
    look_again();
    for (auto at = awaited_.begin(); at != awaited_.end();) {
        const bool is_former = at->second.pid == pid;  // the number is given anew: somebody else reaped who had it
        if (is_former && at->second.ended) {
            boost::asio::post(loop_, [former = std::move(at->second.ended)] { former({ChildState::lost, {}}); });
        }
        at = is_former ? awaited_.erase(at) : std::next(at);
    }
    const Ticket ticket = ++last_ticket_;
    awaited_[ticket] = {pid, std::move(ended)};
    boost::asio::post(loop_, [this, ticket] { look_at(ticket); });  // it may have ended before
    return ticket;
}

}  // namespace warden::detail
#endif
