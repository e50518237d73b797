// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The job around the jobs of all processes of one manager, and the port at which they all tell what happens.
///
/// Knows:         nested jobs (Windows 8); the port of a job cannot be that of an io_context, whose packets carry its
///                own operations; so one thread per manager takes the messages and posts them to the loop.
/// Does not know: what a message means to its tree.
/// Thread-safety: safe.
/// Errors:        system_error from the constructor.

#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/detail/system/utf16_windows.hpp>
#include <warden/error.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

namespace warden::detail {

/// Is told what its job has to tell, on the loop.
class JobListener {
public:
    virtual ~JobListener() = default;
    /// One of JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO and those of limits. May come late, or, says the system, never.
    virtual void on_job_message(DWORD message) = 0;
};

class ManagerJob {
public:
    /// Messages go to `loop`, which must outlive this.
    explicit ManagerJob(boost::asio::io_context& loop);
    ManagerJob(const ManagerJob&) = delete;
    ManagerJob& operator=(const ManagerJob&) = delete;
    ~ManagerJob();

    /// Everything in it ends when its last handle is closed: with this object, or when the program ends in any way.
    [[nodiscard]] HANDLE get() const noexcept { return job_.get(); }
    [[nodiscard]] boost::asio::io_context& loop() const noexcept { return loop_; }

    /// From now on `job` tells `listener`. The number takes that back; what is still under way then is lost.
    [[nodiscard]] std::uintptr_t listen(HANDLE job, std::weak_ptr<JobListener> listener, error_code& ec);
    void remove(std::uintptr_t number);

private:
    void drain();

    boost::asio::io_context& loop_;
    UniqueHandle job_;
    UniqueHandle port_;
    std::mutex mutex_;
    std::uintptr_t last_number_ = 0;
    std::unordered_map<std::uintptr_t, std::weak_ptr<JobListener>> listeners_;
    std::thread thread_;
};

/// Sets what a job allows besides `limits`: it may be left by those who ask for that (CREATE_BREAKAWAY_FROM_JOB), never
/// silently; closing its last handle ends everything in it; a crash shows no dialog that would keep it alive.
[[nodiscard]] inline error_code limit_job(HANDLE job, JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {}) noexcept {
    limits.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_BREAKAWAY_OK |
                                               JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
    const BOOL set = ::SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    return set ? error_code() : last_code();
}

// -- implementation ----------------------------------------------------------

inline ManagerJob::ManagerJob(boost::asio::io_context& loop)
    : loop_(loop),
      job_(::CreateJobObjectW(nullptr, nullptr)),  // no security attributes: not inheritable
      port_(job_ ? ::CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 1) : nullptr) {
    if (!port_) throw_if(last_code(), "CreateJobObject");
    throw_if(limit_job(job_.get()), "SetInformationJobObject");
    thread_ = std::thread([this] { drain(); });
}

inline ManagerJob::~ManagerJob() {
    ::PostQueuedCompletionStatus(port_.get(), 0, 0, nullptr);  // no job has the number 0
    thread_.join();
}

inline std::uintptr_t ManagerJob::listen(HANDLE job, std::weak_ptr<JobListener> listener, error_code& ec) {
    ec.clear();
    std::unique_lock lock(mutex_);
    const std::uintptr_t number = ++last_number_;
    listeners_.emplace(number, std::move(listener));
    lock.unlock();
    JOBOBJECT_ASSOCIATE_COMPLETION_PORT port{reinterpret_cast<void*>(number), port_.get()};
    if (!::SetInformationJobObject(job, JobObjectAssociateCompletionPortInformation, &port, sizeof port)) {
        ec = last_code();
        remove(number);
    }
    return number;
}

inline void ManagerJob::remove(std::uintptr_t number) {
    const std::lock_guard lock(mutex_);
    listeners_.erase(number);
}

inline void ManagerJob::drain() {
    for (;;) {
        DWORD message = 0;
        ULONG_PTR number = 0;
        OVERLAPPED* pid = nullptr;
        if (!::GetQueuedCompletionStatus(port_.get(), &message, &number, &pid, INFINITE) || number == 0) return;
        if (message == JOB_OBJECT_MSG_NEW_PROCESS || message == JOB_OBJECT_MSG_EXIT_PROCESS ||
            message == JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS) {
            continue;  // a tree that starts many others would flood the loop; who is in it, is asked when it matters
        }
        std::unique_lock lock(mutex_);
        const auto found = listeners_.find(number);
        std::shared_ptr<JobListener> listener = found == listeners_.end() ? nullptr : found->second.lock();
        lock.unlock();
        if (listener) {
            boost::asio::post(loop_, [listener = std::move(listener), message] { listener->on_job_message(message); });
        }
    }
}

}  // namespace warden::detail
#endif
