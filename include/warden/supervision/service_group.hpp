// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A group of services on a ProcessManager: started in the order of their dependencies, in parallel where that may be,
/// restarted by their policies, stopped in the reverse order.
///
///     warden::ServiceGroup group(manager);
///     group.add({.name = "db", .command = {"postgres", "-D", "data"}, .readiness = warden::Probe::tcp(5432)});
///     group.add({.name = "web", .command = {"./web"}, .restart = warden::RestartPolicy::on_failure(),
///                .depends_on = {{"db"}}});
///     group.start();
///
/// Knows:         its services; they are processes of the manager, which lists and limits them like all others.
/// Does not know: detached processes: when this program ends, however it ends, nothing of the group is left.
/// Thread-safety: all functions from any thread, also from callbacks. No thread per service: the loop of the manager
///                does the work.
/// Errors:        ServiceError from `start`, system_error elsewhere. In a forked copy of the program: `errc::forked`,
///                and the destructor does nothing.

#include <warden/process_manager.hpp>
#include <warden/supervision/service.hpp>
#include <warden/supervision/service_status.hpp>
#include <warden/timeout.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {
namespace detail {
class GroupRunner;
}

class ServiceGroup {
public:
    /// `manager` outlives the group.
    explicit ServiceGroup(ProcessManager& manager);
    ServiceGroup(const ServiceGroup&) = delete;
    ServiceGroup& operator=(const ServiceGroup&) = delete;
    /// Stops all services, and returns when they are over, as `stop` does.
    ~ServiceGroup();

    /// Before the first start. @throws system_error errc::invalid_options after it.
    ServiceGroup& add(Service service);

    /// All that is wrong with the services and what they say of each other, each with what to write; empty if nothing
    /// is.
    [[nodiscard]] std::vector<std::string> validate() const;

    /// Starts all services that are over, and returns when each one is ready, or has completed, or, with
    /// FailureAction::ignore, has failed. After an error the group is as the failures left it: what runs runs on.
    /// @throws system_error errc::invalid_options, naming every mistake: then nothing was started.
    /// @throws ServiceError errc::service_failed, naming all that failed and all that were not started because of them;
    /// errc::timed_out, naming those that are not there yet.
    void start(Timeout timeout = std::chrono::minutes(5));
    /// The same; `ec` is the code of the error.
    void start(Timeout timeout, error_code& ec);

    /// Stops all services by their stop plans, each one when those that depend on it are over, and returns when all
    /// are.
    GroupStopReport stop();
    /// Stops one service, and before it those that need it started or ready. Returns when they are over.
    /// @throws system_error errc::not_found.
    void stop(std::string_view service);

    /// Stops one service and starts it again, alone and without a pause; one that is over is started. What was before
    /// does not count for its limit of restarts. Does nothing while it is being stopped or launched. Returns at once:
    /// `start` waits.
    /// @throws system_error errc::not_found; errc::invalid_options before the first start.
    void restart(std::string_view service);

    /// In the order in which they were added.
    [[nodiscard]] std::vector<ServiceStatus> status() const;
    /// @throws system_error errc::not_found.
    [[nodiscard]] ServiceStatus status(std::string_view service) const;

    /// Waits until every service is over.
    void wait() const;
    /// The same; false if some are not over then. Any duration, saturating; zero or less looks and does not wait.
    template <class Rep, class Period>
    [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> length) const {
        return wait_until(detail::deadline_after(SteadyTime::clock::now(), detail::saturated(length)));
    }

    /// Calls `subscriber` for every change of phase from now on, until the subscription is destroyed: on a thread of
    /// the manager, one change at a time, in order. What it throws is counted; one that falls far behind loses changes.
    /// The same is in the event log as `warden.service.phase`.
    [[nodiscard]] Subscription subscribe(std::function<void(const ServiceChange&)> subscriber);

private:
    [[nodiscard]] std::shared_ptr<detail::GroupRunner> runner() const;
    [[nodiscard]] std::shared_ptr<detail::GroupRunner> runner_to_start();
    [[nodiscard]] std::size_t place(std::string_view service) const;
    [[nodiscard]] bool wait_until(SteadyTime deadline) const;
    void check_owner() const;

    const std::shared_ptr<detail::Engine> engine_;
    const Uuid id_;
    mutable std::mutex mutex_;
    std::vector<Service> services_;  // until the first start
    std::shared_ptr<detail::GroupRunner> runner_;
};

}  // namespace warden

#if !WARDEN_SEPARATE
#include <warden/impl/service_group.hpp>
#endif
