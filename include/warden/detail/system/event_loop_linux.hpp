// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The event loop of Linux: one epoll(7) and a queue of jobs.
///
/// Knows:         registered descriptors by number, and a handler for each kind of readiness that is waited for.
/// Does not know: who owns a descriptor. `DescriptorWatch` is its only user.
/// Thread-safety: see `RunsEvents`. Registrations may be made, changed and removed by any thread.
/// Errors:        system_error from the constructor: too many descriptors.
/// Allocates:     room for as many jobs and registrations as there are at the same time, which it keeps.

#include <warden/detail/base/job.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_LINUX
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace warden::detail {

/// See `RunsEvents`.
class EventLoop {
public:
    using Done = UniqueFunction<void(const error_code&)>;
    enum Readiness : unsigned { readable, writable, exceptional };
    static constexpr unsigned kinds = 3;

    EventLoop();
    ~EventLoop();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    void post(Job job);
    void run();
    void stop();
    void run_queued();

    /// Registers `descriptor`, and says in `place` which registration it is.
    [[nodiscard]] error_code add(int descriptor, std::uint32_t& place);
    /// Calls `done` once, on the loop: when the descriptor is ready so, or with an error. One at a time of each kind.
    void wait(std::uint32_t place, Readiness kind, Done done);
    /// Ends a registration. Who waits is called with `operation canceled`.
    void remove(std::uint32_t place) noexcept;

private:
    static constexpr std::uint32_t nowhere = static_cast<std::uint32_t>(-1);

    /// One registration, or the place of a former one.
    struct Registration {
        int descriptor = -1;           // -1: it has been removed
        std::uint32_t generation = 0;  // a late event of a former one here is not this one's
        std::uint32_t armed = 0;       // the events that the kernel will report, once
        std::uint32_t next = nowhere;  // of the list that it is in
        Done waiting[kinds];
    };
    [[nodiscard]] static std::uint32_t events_of(unsigned kind) noexcept {
        constexpr std::uint32_t events[kinds] = {EPOLLIN, EPOLLOUT, EPOLLPRI};
        return events[kind];
    }
    [[nodiscard]] error_code control(int operation, std::uint32_t place, std::uint32_t events) noexcept;
    [[nodiscard]] error_code arm(std::uint32_t place) noexcept;
    void wake_if_asleep() noexcept;
    [[nodiscard]] bool take_jobs();
    bool run_jobs();
    bool cancel_removed();
    void poll_events(int timeout_ms) noexcept;
    bool deliver_events();
    void deliver(const epoll_event& event);
    void rearm(const epoll_event& event);
    [[nodiscard]] bool is_current(const epoll_event& event);
    [[nodiscard]] static std::uint32_t place_of(const epoll_event& event) noexcept {
        return static_cast<std::uint32_t>(event.data.u64);
    }
    [[nodiscard]] static std::uint32_t generation_of(const epoll_event& event) noexcept {
        return static_cast<std::uint32_t>(event.data.u64 >> 32);
    }

    std::mutex mutex_;  // of what any thread may use
    std::vector<Job> queued_;
    std::vector<Registration> registrations_;
    std::uint32_t free_ = nowhere;     // lists of places
    std::uint32_t removed_ = nowhere;  // whose waiting ones are to be called
    bool is_asleep_ = false;
    std::atomic<bool> is_stopped_{false};

    std::vector<Job> running_;  // from here on: of the thread that runs
    std::size_t next_job_ = 0;
    static constexpr int max_events = 64;  // of one system call
    epoll_event events_[max_events]{};
    int event_count_ = 0;
    int next_event_ = 0;

    UniqueFd epoll_;
    UniqueFd waker_;  // always readable; armed for one event to wake the loop
};

// -- implementation ----------------------------------------------------------

inline EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!epoll_) throw system_error(system_code(errno), "epoll_create1");
    waker_.reset(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!waker_) throw system_error(system_code(errno), "eventfd");
    epoll_event event{};
    event.events = EPOLLONESHOT;
    event.data.u64 = nowhere;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, waker_.get(), &event) != 0)
        throw system_error(system_code(errno), "epoll_ctl");
}

/// What is destroyed here may own watches, which are removed then, and post jobs.
inline EventLoop::~EventLoop() {
    for (bool is_empty = false; !is_empty;) {
        std::vector<Job> jobs = std::exchange(running_, {});
        is_empty = jobs.empty();
        jobs.clear();
        {
            const std::lock_guard lock(mutex_);
            jobs.swap(queued_);
        }
        is_empty = is_empty && jobs.empty();
        jobs.clear();
        for (std::uint32_t place = 0;; ++place) {
            Done held[kinds];
            const std::lock_guard lock(mutex_);  // released before they are destroyed
            if (place >= registrations_.size()) break;
            for (unsigned kind = 0; kind < kinds; ++kind) {
                held[kind] = std::move(registrations_[place].waiting[kind]);
                if (held[kind]) is_empty = false;
            }
        }
    }
}

inline void EventLoop::post(Job job) {
    const std::lock_guard lock(mutex_);
    queued_.push_back(std::move(job));
    wake_if_asleep();
}

inline void EventLoop::stop() {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
    wake_if_asleep();
}

inline void EventLoop::run() {
    while (!is_stopped_) {
        const bool has_jobs = take_jobs();
        static_cast<void>(run_jobs());
        static_cast<void>(cancel_removed());
        if (is_stopped_) return;
        poll_events(has_jobs ? 0 : -1);
        static_cast<void>(deliver_events());
    }
}

inline void EventLoop::run_queued() {
    is_stopped_ = false;
    for (bool has_more = true; has_more;) {
        has_more = deliver_events();  // what a stop has left
        static_cast<void>(take_jobs());
        has_more = run_jobs() || has_more;
        has_more = cancel_removed() || has_more;
        poll_events(0);
        has_more = deliver_events() || has_more;
    }
}

/// Takes over what is queued. If nothing is to be done, the loop counts as asleep from now on.
inline bool EventLoop::take_jobs() {
    const std::lock_guard lock(mutex_);
    if (next_job_ == running_.size()) {
        running_.clear();
        next_job_ = 0;
        running_.swap(queued_);
    }
    const bool has_jobs = !running_.empty() || removed_ != nowhere || is_stopped_;
    is_asleep_ = !has_jobs;
    return has_jobs;
}

inline bool EventLoop::run_jobs() {
    bool has_run = false;
    while (next_job_ < running_.size() && !is_stopped_) {
        const Job job = std::move(running_[next_job_++]);
        job();
        has_run = true;
    }
    return has_run;
}

inline void EventLoop::wake_if_asleep() noexcept {
    if (!std::exchange(is_asleep_, false)) return;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLONESHOT;
    event.data.u64 = nowhere;
    static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, waker_.get(), &event));
}

inline void EventLoop::poll_events(int timeout_ms) noexcept {
    if (next_event_ < event_count_) return;
    next_event_ = 0;
    event_count_ = ::epoll_wait(epoll_.get(), events_, max_events, timeout_ms);
    const std::lock_guard lock(mutex_);
    is_asleep_ = false;
}

inline bool EventLoop::deliver_events() {
    bool has_run = false;
    while (next_event_ < event_count_ && !is_stopped_) {
        const epoll_event event = events_[next_event_++];
        if (event.data.u64 == nowhere) continue;
        deliver(event);
        has_run = true;
    }
    return has_run;
}

inline bool EventLoop::is_current(const epoll_event& event) {
    const std::lock_guard lock(mutex_);
    return registrations_[place_of(event)].generation == generation_of(event);
}

/// A handler may remove the registration, and another one may take its place.
inline void EventLoop::deliver(const epoll_event& event) {
    const bool is_for_all = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
    Done ready[kinds];
    {
        const std::lock_guard lock(mutex_);
        Registration& one = registrations_[place_of(event)];
        if (one.generation != generation_of(event)) return;
        one.armed = 0;
        for (unsigned kind = 0; kind < kinds; ++kind) {
            if (is_for_all || (event.events & events_of(kind)) != 0) ready[kind] = std::move(one.waiting[kind]);
        }
    }
    for (const Done& done : ready) {
        if (done) done(is_current(event) ? error_code{} : system_code(ECANCELED));
    }
    rearm(event);
}

/// For those who wait for something else than what was reported.
inline void EventLoop::rearm(const epoll_event& event) {
    Done refused[kinds];
    error_code ec;
    {
        const std::lock_guard lock(mutex_);
        Registration& one = registrations_[place_of(event)];
        if (one.generation != generation_of(event)) return;
        ec = arm(place_of(event));
        if (!ec) return;
        for (unsigned kind = 0; kind < kinds; ++kind) refused[kind] = std::move(one.waiting[kind]);
    }
    for (const Done& done : refused) {
        if (done) done(ec);
    }
}

inline error_code EventLoop::control(int operation, std::uint32_t place, std::uint32_t events) noexcept {
    const Registration& one = registrations_[place];
    epoll_event event{};
    event.events = events | EPOLLONESHOT;
    event.data.u64 = std::uint64_t{one.generation} << 32 | place;
    return ::epoll_ctl(epoll_.get(), operation, one.descriptor, &event) == 0 ? error_code{} : system_code(errno);
}

/// A system call only if the kernel would not report all that is waited for.
inline error_code EventLoop::arm(std::uint32_t place) noexcept {
    Registration& one = registrations_[place];
    std::uint32_t events = 0;
    for (unsigned kind = 0; kind < kinds; ++kind) events |= one.waiting[kind] ? events_of(kind) : 0;
    if ((events & ~one.armed) == 0) return {};
    const error_code ec = control(EPOLL_CTL_MOD, place, events);
    if (!ec) one.armed = events;
    return ec;
}

inline error_code EventLoop::add(int descriptor, std::uint32_t& place) {
    const std::lock_guard lock(mutex_);
    if (free_ == nowhere) {
        registrations_.emplace_back();
        free_ = static_cast<std::uint32_t>(registrations_.size() - 1);
    }
    Registration& one = registrations_[free_];
    one.descriptor = descriptor;
    if (const error_code ec = control(EPOLL_CTL_ADD, free_, EPOLLIN)) return ec;
    one.armed = EPOLLIN;
    place = std::exchange(free_, one.next);
    return {};
}

inline void EventLoop::wait(std::uint32_t place, Readiness kind, Done done) {
    std::unique_lock lock(mutex_);
    Done& waiting = registrations_[place].waiting[kind];
    waiting = std::move(done);
    const error_code ec = arm(place);
    if (!ec) return;
    Done refused = std::move(waiting);
    lock.unlock();
    post([refused = std::move(refused), ec] { refused(ec); });
}

inline void EventLoop::remove(std::uint32_t place) noexcept {
    const std::lock_guard lock(mutex_);
    static_cast<void>(control(EPOLL_CTL_DEL, place, 0));
    Registration& one = registrations_[place];
    one.descriptor = -1;
    one.armed = 0;
    ++one.generation;
    bool has_waiting = false;
    for (const Done& waiting : one.waiting) has_waiting = has_waiting || waiting;
    one.next = std::exchange(has_waiting ? removed_ : free_, place);
    if (has_waiting) wake_if_asleep();
}

inline bool EventLoop::cancel_removed() {
    for (bool has_run = false;; has_run = true) {
        Done waiting[kinds];
        {
            const std::lock_guard lock(mutex_);
            if (removed_ == nowhere || is_stopped_) return has_run;
            Registration& one = registrations_[removed_];
            for (unsigned kind = 0; kind < kinds; ++kind) waiting[kind] = std::move(one.waiting[kind]);
            const std::uint32_t place = std::exchange(removed_, one.next);
            one.next = std::exchange(free_, place);
        }
        for (const Done& done : waiting) {
            if (done) done(system_code(ECANCELED));
        }
    }
}

}  // namespace warden::detail
#endif
