// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The one thread of a shim that takes requests from a Unix socket and obeys what other threads post to it.
///
/// Knows:         connections, each with a bound for its request and deadlines; signals that ask a shim to end.
/// Does not know: what requests mean.
/// Thread-safety: `post` from any thread; everything else from the thread that runs.
/// Errors:        a connection that breaks a bound is closed.
/// Waits:         in poll(2), without waking up while nothing happens.

#include <warden/detail/base/job.hpp>
#include <warden/detail/detached/line_channel_posix.hpp>
#include <warden/detail/detached/shim_socket_posix.hpp>
#include <warden/timeout.hpp>

#if WARDEN_OS_POSIX
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace warden::detail {

class ShimServer {
public:
    using Connection = std::uint64_t;  ///< Never given twice.
    /// Called for a request; it answers now or later.
    using Handler = std::function<void(Connection, std::string_view)>;

    static constexpr std::size_t max_connections = 64;
    static constexpr auto patience = std::chrono::seconds(10);  ///< For a request to come, and an answer to be taken.

    ShimServer() = default;
    ShimServer(const ShimServer&) = delete;

    /// Before it runs: where it listens, and the pipe that wakes it up.
    [[nodiscard]] error_code open(UniqueFd listener, Handler handler);

    /// Runs `job` on the thread of the server.
    void post(Job job);
    /// Async-signal-safe.
    void wake() const noexcept {
        const int kept = errno;
        static_cast<void>(!::write(wake_.second.get(), "", 1));
        errno = kept;
    }

    /// Sends the answer and closes the connection when it was taken; nothing if it is gone.
    void answer(Connection connection, std::string line);
    [[nodiscard]] bool has_answers() const noexcept;

    /// Serves until `is_over()`, which is asked after everything that happens, and at `look_again`.
    template <class IsOver>
    void run(IsOver is_over);
    /// The time at which it looks again although nothing happened.
    void look_again_at(SteadyTime time) noexcept { look_again_ = time; }

private:
    struct Peer {
        Connection number;
        UniqueFd socket;
        std::string received;
        std::string to_send;
        bool is_asked = false;  // its request was taken
        SteadyTime deadline;    // of the request, then of the answer; none while that is made
    };

    void run_jobs();
    void await(std::vector<pollfd>& ready);
    [[nodiscard]] SteadyTime next_deadline() const;
    [[nodiscard]] bool serve(Peer& peer, short events);
    [[nodiscard]] bool receive(Peer& peer);
    [[nodiscard]] static bool send(Peer& peer);

    UniqueFd listener_;
    std::pair<UniqueFd, UniqueFd> wake_;
    Handler handler_;
    std::list<Peer> peers_;
    Connection last_ = 0;
    SteadyTime look_again_ = SteadyTime::max();
    std::mutex mutex_;
    std::vector<Job> jobs_;
};

// -- implementation ----------------------------------------------------------

inline error_code ShimServer::open(UniqueFd listener, Handler handler) {
    listener_ = std::move(listener);
    handler_ = std::move(handler);
    wake_ = make_closed_pipe();
    if (!wake_.first) return system_code(errno);
    make_nonblocking(wake_.first.get());
    make_nonblocking(wake_.second.get());
    return {};
}

inline void ShimServer::post(Job job) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
    }
    wake();
}

inline void ShimServer::run_jobs() {
    char bytes[64];
    while (::read(wake_.first.get(), bytes, sizeof bytes) > 0) {}
    std::vector<Job> jobs;
    {
        const std::lock_guard lock(mutex_);
        jobs.swap(jobs_);
    }
    for (Job& job : jobs) job();
}

inline void ShimServer::answer(Connection connection, std::string line) {
    const auto at =
        std::find_if(peers_.begin(), peers_.end(), [&](const Peer& peer) { return peer.number == connection; });
    if (at == peers_.end()) return;
    at->to_send = std::move(line) + '\n';
    at->deadline = deadline_after(SteadyTime::clock::now(), patience);
}

inline bool ShimServer::has_answers() const noexcept {
    return std::any_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return !peer.to_send.empty(); });
}

template <class IsOver>
void ShimServer::run(IsOver is_over) {
    std::vector<pollfd> ready;
    for (;;) {
        run_jobs();
        if (is_over()) return;
        await(ready);
        std::size_t index = 2;
        const SteadyTime now = SteadyTime::clock::now();
        for (auto at = peers_.begin(); at != peers_.end();) {  // in the order of `ready`
            const short events = ready[index++].revents;
            if (serve(*at, events) && now < at->deadline) ++at;
            else at = peers_.erase(at);
        }
        if ((ready[1].revents & POLLIN) == 0) continue;
        if (UniqueFd socket = accept_peer(listener_.get()))
            peers_.push_back({++last_, std::move(socket), {}, {}, false, deadline_after(now, patience)});
    }
}

inline void ShimServer::await(std::vector<pollfd>& ready) {
    ready.clear();
    ready.push_back({wake_.first.get(), POLLIN, 0});
    ready.push_back({peers_.size() < max_connections ? listener_.get() : -1, POLLIN, 0});
    for (const Peer& peer : peers_) {
        const short events = !peer.to_send.empty() ? POLLOUT : POLLIN;  // who waits for an answer may hang up
        ready.push_back({peer.socket.get(), events, 0});
    }
    const SteadyTime deadline = next_deadline();
    int milliseconds = -1;
    if (deadline != SteadyTime::max()) {
        const auto left =
            std::clamp<Nanoseconds>(deadline - SteadyTime::clock::now(), Nanoseconds::zero(), std::chrono::hours(24));
        milliseconds = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
    }
    if (::poll(ready.data(), ready.size(), milliseconds) > 0) return;
    for (pollfd& one : ready) one.revents = 0;
}

inline SteadyTime ShimServer::next_deadline() const {
    SteadyTime deadline = look_again_;
    for (const Peer& peer : peers_) deadline = std::min(deadline, peer.deadline);
    return deadline;
}

/// False when the connection is done with.
inline bool ShimServer::serve(Peer& peer, short events) {
    if (events == 0) return true;
    return peer.to_send.empty() ? receive(peer) : send(peer);
}

inline bool ShimServer::receive(Peer& peer) {
    char buffer[4096];
    const ssize_t size = ::recv(peer.socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (size < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (size == 0 || peer.is_asked) return false;  // it hung up, or says more than one request
    peer.received.append(buffer, static_cast<std::size_t>(size));
    const std::size_t end = peer.received.find('\n');
    if (end == std::string::npos) return peer.received.size() < max_shim_line;
    peer.is_asked = true;
    peer.deadline = SteadyTime::max();
    const std::string request = std::exchange(peer.received, {}).substr(0, end);
    handler_(peer.number, request);
    return true;
}

/// False also once all of it was sent: one connection is for one request.
inline bool ShimServer::send(Peer& peer) {
    const ssize_t size = ::send(peer.socket.get(), peer.to_send.data(), peer.to_send.size(), send_quietly);
    if (size < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    peer.to_send.erase(0, static_cast<std::size_t>(size));
    return !peer.to_send.empty();
}

}  // namespace warden::detail
#endif
