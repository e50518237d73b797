// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The threads of a manager as an executor of Asio, for completion handlers that have no executor of their own.
///
/// Knows:         what Asio asks of an executor.
/// Does not know: the threads.
/// Thread-safety: safe.

#include <warden/detail/base/job.hpp>

#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/outstanding_work.hpp>

#include <utility>

namespace warden::detail {

/// Runs jobs on threads of its own.
class JobRunner {
public:
    virtual void post(Job job) = 0;
    /// Who has begun work will post a job; the threads do not end before that.
    virtual void begin_work() noexcept = 0;
    virtual void end_work() noexcept = 0;

protected:
    JobRunner() = default;
    JobRunner(const JobRunner&) = delete;
    JobRunner& operator=(const JobRunner&) = delete;
    ~JobRunner() = default;
};

/// Must not outlive its runner. One that tracks outstanding work keeps the threads of the runner.
class CallbackExecutor {
public:
    explicit CallbackExecutor(JobRunner& runner) noexcept : CallbackExecutor(runner, false) {}
    CallbackExecutor(const CallbackExecutor& other) noexcept : CallbackExecutor(*other.runner_, other.tracks_work_) {}
    CallbackExecutor(CallbackExecutor&& other) noexcept
        : runner_(other.runner_), tracks_work_(std::exchange(other.tracks_work_, false)) {}
    CallbackExecutor& operator=(const CallbackExecutor&) = delete;
    ~CallbackExecutor() {
        if (tracks_work_) runner_->end_work();
    }

    template <class F>
    void execute(F f) const {
        runner_->post(Job(std::move(f)));
    }
    friend bool operator==(const CallbackExecutor& a, const CallbackExecutor& b) noexcept {
        return a.runner_ == b.runner_;
    }

    /// It never runs a job before `execute` returns.
    static constexpr boost::asio::execution::blocking_t query(boost::asio::execution::blocking_t) noexcept {
        return boost::asio::execution::blocking_t::never_t();
    }
    [[nodiscard]] CallbackExecutor require(boost::asio::execution::blocking_t::never_t) const noexcept { return *this; }
    [[nodiscard]] CallbackExecutor require(boost::asio::execution::outstanding_work_t::tracked_t) const noexcept {
        return {*runner_, true};
    }
    [[nodiscard]] CallbackExecutor require(boost::asio::execution::outstanding_work_t::untracked_t) const noexcept {
        return {*runner_, false};
    }

private:
    CallbackExecutor(JobRunner& runner, bool tracks_work) noexcept : runner_(&runner), tracks_work_(tracks_work) {
        if (tracks_work_) runner_->begin_work();
    }

    JobRunner* runner_;
    bool tracks_work_;
};

}  // namespace warden::detail
