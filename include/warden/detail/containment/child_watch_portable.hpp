// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Tells the ends of own children on a loop, by what POSIX has: waitid(2), and what child_news.hpp has.
///
/// Knows:         the children that are awaited, each by its pid: nobody else's child is ever looked at or reaped.
/// Does not know: groups, trees. After a SIGCHLD, which child it is about, since several become one: all that are
///                awaited are looked at, one system call each.
/// Thread-safety: everything on the loop.
/// Errors:        a status that somebody else took is told as lost.
///
/// A child that is awaited must not be reaped by others: if it is (by waitpid(-1) in the host, or because SIGCHLD is
/// ignored), its end is told as lost, and its pid may be a stranger's from then on.
///
/// Without kqueue(2), SIGCHLD is unblocked on the loop's thread, for the host may block it on all of its own. A host
/// that blocks it to take it by sigwait(3) or the like may lose it to our handler. If the host replaces the handler,
/// ends are told late: at the next `await` or `look_again`, which put the handler back in front of the host's.

#include <warden/detail/containment/child_events_portable.hpp>
#include <warden/detail/system/descriptor_watch.hpp>
#include <warden/error.hpp>
#include <warden/exit_status.hpp>
#include <warden/fwd.hpp>
#include <warden/process_info.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include <poll.h>
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
    using Ended = UniqueFunction<void(const ChildState&)>;
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
    void remove(Ticket ticket);

    /// Reaps a child that has been killed, once it has ended. Those that have not when the loop's context is destroyed
    /// are given a second.
    void reap_when_ended(Pid pid) { await(pid, nullptr); }

    /// To be called after an action that may end a child: sees to it that its end will be told. If that was not sure
    /// before, because the host had replaced the handler of SIGCHLD, all that are awaited are looked at, soon.
    void look_again();

private:
    void shutdown() override;
    void wait();
    void look(const EndedChildren& ended);
    void look_at(Ticket ticket, bool and_watch);
    void look_soon(Ticket ticket);

    struct Awaited {
        Pid pid;
        Ended ended;  // null: only to be reaped
    };

    boost::asio::io_context& loop_;
    ChildExitEvents news_;
    DescriptorWatch told_;  // of the news
    std::map<Ticket, Awaited> awaited_;
    std::vector<Ticket> doubtful_;  // may have ended: to be looked at in the next turn of the loop
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
    : boost::asio::execution_context::service(loop), loop_(loop), told_(loop) {
    if (const error_code ec = told_.borrow(news_.descriptor())) throw system_error(ec, "child events");
    wait();
}

inline void ChildWatch::shutdown() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    for (auto at = awaited_.begin(); at != awaited_.end();) {
        const auto entry = at++;
        if (entry->second.ended) remove(entry->first);
    }
    for (;;) {
        look(news_.take());
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        struct pollfd told {
            news_.descriptor(), POLLIN, 0
        };
        if (awaited_.empty() || left.count() <= 0) break;
        ::poll(&told, 1, doubtful_.empty() ? static_cast<int>(left.count()) : 0);
    }
    while (!awaited_.empty()) remove(awaited_.begin()->first);
    told_.close();
}

inline void ChildWatch::wait() {
    told_.wait_readable([this](const error_code& ec) {
        if (ec) return;
        look(news_.take());
        wait();
    });
}

inline void ChildWatch::look_at(Ticket ticket, bool and_watch) {
    const auto found = awaited_.find(ticket);
    if (found == awaited_.end()) return;
    const Pid pid = found->second.pid;
    const ChildState state = look_at_child(pid);
    if (state.kind == ChildState::running) {
        if (and_watch && !news_.watch(pid)) look_soon(ticket);
        return;
    }
    const Ended ended = std::move(found->second.ended);
    remove(ticket);
    if (ended) ended(state);
    else reap_child(pid);
}

inline void ChildWatch::look(const EndedChildren& ended) {
    std::vector<Ticket> tickets = std::exchange(doubtful_, {});  // what is called may change all
    for (const auto& [ticket, awaited] : awaited_) {
        if (std::find(ended.pids.begin(), ended.pids.end(), awaited.pid) != ended.pids.end()) tickets.push_back(ticket);
    }
    const std::size_t watched = tickets.size();
    if (ended.any) {
        for (const auto& entry : awaited_) tickets.push_back(entry.first);
    }
    for (std::size_t i = 0; i < tickets.size(); ++i) look_at(tickets[i], i < watched);
}

inline void ChildWatch::look_soon(Ticket ticket) {
    doubtful_.push_back(ticket);
    if (doubtful_.size() == 1) boost::asio::post(loop_, [this] { look({}); });
}

inline void ChildWatch::look_again() {
    if (!news_.ensure()) boost::asio::post(loop_, [this] { look({true, {}}); });
}

inline void ChildWatch::remove(Ticket ticket) {
    const auto found = awaited_.find(ticket);
    if (found == awaited_.end()) return;
    news_.remove(found->second.pid);
    awaited_.erase(found);
}

inline ChildWatch::Ticket ChildWatch::await(Pid pid, Ended ended) {
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
    look_soon(ticket);
    return ticket;
}

}  // namespace warden::detail
#endif
