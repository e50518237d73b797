// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The code of ServiceGroup: what it asks of its runner, and what it makes of a start.
///
/// Knows:         the runner.
/// Thread-safety: see supervision/service_group.hpp.

#include <warden/detail/engine/engine.hpp>
#include <warden/detail/supervision/group_runner.hpp>
#include <warden/supervision/service_group.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace warden {
namespace detail {

/// The phase of that name.
[[nodiscard]] inline ServicePhase phase_named(std::string_view name) noexcept {
    const auto at = std::find(service_phase_names.begin(), service_phase_names.end(), name);
    return static_cast<ServicePhase>(at - service_phase_names.begin());
}

[[nodiscard]] inline std::string_view text_of(const Event& event, std::string_view key) noexcept {
    for (const auto& [name, value] : event.attributes) {
        if (name == key) return std::get<std::string>(value);
    }
    return {};
}

/// Of a group that is at rest, or whose time is over: which services are not where they should be.
[[nodiscard]] inline std::vector<ServiceError::Failure> failures_of(GroupRunner& runner) {
    std::vector<ServiceError::Failure> found;
    const auto all = runner.status();
    for (std::size_t i = 0; i < all.size(); ++i) {
        const ServiceStatus& status = all[i];
        const bool is_ignored = runner.services()[i].on_failure == FailureAction::ignore;
        if (status.phase == ServicePhase::ready || status.phase == ServicePhase::completed) continue;
        if (status.phase == ServicePhase::failed && is_ignored) continue;
        const std::string awaited = runner.waits_for(i);
        found.push_back({status.name, status.phase, awaited.empty() ? status.reason : "for " + awaited});
    }
    return found;
}

}  // namespace detail

WARDEN_INLINE ServiceGroup::ServiceGroup(ProcessManager& manager)
    : engine_(manager.engine().shared_from_this()), id_(detail::new_uuid()) {}

WARDEN_INLINE ServiceGroup::~ServiceGroup() {
    if (!runner_) return;
    if (!engine_->services->is_owner()) {
        detail::leave_to_owner(std::move(runner_));
        return;
    }
    try {
        static_cast<void>(stop());
        runner_->close();
    } catch (...) {  // no memory for it; the manager ends what is left
    }
}

WARDEN_INLINE void ServiceGroup::check_owner() const {
    if (!engine_->services->is_owner()) throw system_error(errc::forked, "a group of services");
}

WARDEN_INLINE ServiceGroup& ServiceGroup::add(Service service) {
    const std::lock_guard lock(mutex_);
    if (runner_) throw system_error(errc::invalid_options, "services are added before the first start of their group");
    services_.push_back(std::move(service));
    return *this;
}

WARDEN_INLINE std::vector<std::string> ServiceGroup::validate() const {
    const std::lock_guard lock(mutex_);
    return detail::service_mistakes(runner_ ? runner_->services() : services_);
}

WARDEN_INLINE std::shared_ptr<detail::GroupRunner> ServiceGroup::runner() const {
    check_owner();
    const std::lock_guard lock(mutex_);
    return runner_;
}

WARDEN_INLINE std::shared_ptr<detail::GroupRunner> ServiceGroup::runner_to_start() {
    check_owner();
    const std::lock_guard lock(mutex_);
    if (runner_) return runner_;
    const auto mistakes = detail::service_mistakes(services_);
    if (!mistakes.empty()) throw system_error(errc::invalid_options, detail::invalid("services", mistakes));
    runner_ = std::make_shared<detail::GroupRunner>(engine_, services_, id_);
    return runner_;
}

WARDEN_INLINE void ServiceGroup::start(Timeout timeout) {
    if (!timeout.is_valid()) throw system_error(errc::invalid_timeout, "the start of a group");
    const auto runner = runner_to_start();
    runner->start();
    const bool in_time = runner->wait_settled(detail::deadline_after(SteadyTime::clock::now(), timeout.length()));
    auto failures = detail::failures_of(*runner);
    if (!failures.empty()) throw ServiceError(in_time ? errc::service_failed : errc::timed_out, std::move(failures));
}

WARDEN_INLINE void ServiceGroup::start(Timeout timeout, error_code& ec) {
    ec.clear();
    try {
        start(timeout);
    } catch (const system_error& error) {
        ec = error.code();
    }
}

WARDEN_INLINE GroupStopReport ServiceGroup::stop() {
    GroupStopReport report;
    const auto running = runner();
    if (!running) return report;
    const SteadyTime began = SteadyTime::clock::now();
    running->stop("asked for");
    running->wait_stopped({});  // the stop plans bound it
    report.services = running->stop_reports();
    report.duration = SteadyTime::clock::now() - began;
    return report;
}

WARDEN_INLINE std::size_t ServiceGroup::place(std::string_view service) const {
    const auto running = runner();
    const std::lock_guard lock(mutex_);
    const auto& all = running ? running->services() : services_;
    const auto at = std::find_if(all.begin(), all.end(), [&](const Service& each) { return each.name == service; });
    if (at == all.end()) throw system_error(errc::not_found, "service '" + std::string(service) + "'");
    return static_cast<std::size_t>(at - all.begin());
}

WARDEN_INLINE void ServiceGroup::stop(std::string_view service) {
    const std::size_t at = place(service);
    const auto running = runner();
    if (!running) return;
    running->stop(at, "asked for");
    running->wait_stopped(at);
}

WARDEN_INLINE void ServiceGroup::restart(std::string_view service) {
    const std::size_t at = place(service);
    const auto running = runner();
    if (!running) throw system_error(errc::invalid_options, "a service is restarted after the start of its group");
    running->restart(at, "asked for");
}

WARDEN_INLINE std::vector<ServiceStatus> ServiceGroup::status() const {
    if (const auto running = runner()) return running->status();
    std::vector<ServiceStatus> all;
    const std::lock_guard lock(mutex_);
    for (const Service& service : services_) {
        all.emplace_back();
        all.back().name = service.name;
    }
    return all;
}

WARDEN_INLINE ServiceStatus ServiceGroup::status(std::string_view service) const { return status()[place(service)]; }

WARDEN_INLINE bool ServiceGroup::wait_until(SteadyTime deadline) const {
    const auto running = runner();
    return !running || running->wait_over(deadline);
}

WARDEN_INLINE void ServiceGroup::wait() const { static_cast<void>(wait_until(SteadyTime::max())); }

WARDEN_INLINE Subscription ServiceGroup::subscribe(std::function<void(const ServiceChange&)> subscriber) {
    check_owner();
    auto filter = [id = to_string(id_), subscriber = std::move(subscriber)](const Event& event) {
        if (event.kind != EventKind::phase || detail::text_of(event, "warden.service.group") != id) return;
        subscriber({event.name, detail::phase_named(detail::text_of(event, "warden.service.former_phase")),
                    detail::phase_named(detail::text_of(event, "warden.service.phase")), event.message, event.uuid,
                    event.time});
    };
    return {engine_, engine_->services->subscribe(std::move(filter))};
}

}  // namespace warden
