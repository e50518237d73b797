// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of the service machine that goes from phase to phase.
///
/// Thread-safety: see service_machine.hpp, which includes this.

#include <warden/detail/supervision/service_machine.hpp>

namespace warden::detail {

inline ServiceMachine::ServiceMachine(ServiceGraph graph, std::vector<Traits> traits)
    : graph_(std::move(graph)), is_touched_(graph_.size(), false) {
    units_.reserve(traits.size());
    for (Traits& each : traits) units_.emplace_back(std::move(each));
}

// -- answers

inline SteadyTime ServiceMachine::next_time() const noexcept {
    SteadyTime next = SteadyTime::max();
    for (const Unit& unit : units_) {
        if (unit.phase == ServicePhase::backing_off) next = std::min(next, unit.decision->at);
    }
    return next;
}

inline std::size_t ServiceMachine::restarts(std::size_t service) const noexcept {
    const Unit& unit = units_[service];
    return unit.run > unit.first_run ? static_cast<std::size_t>(unit.run - unit.first_run) : 0;
}

inline bool ServiceMachine::is_group_over() const noexcept {
    return std::all_of(units_.begin(), units_.end(), [](const Unit& unit) { return warden::is_over(unit.phase); });
}

inline bool ServiceMachine::is_settled() const noexcept {
    return std::all_of(units_.begin(), units_.end(), [](const Unit& unit) {
        return unit.phase == ServicePhase::ready || warden::is_over(unit.phase);
    });
}

inline std::string ServiceMachine::waits_for(std::size_t service) const {
    if (units_[service].tree_alive) return "the end of what its former process has left";
    for (const auto& edge : graph_.dependencies[service]) {
        if (is_met(edge) != Met::not_yet) continue;
        return "'" + units_[edge.service].traits.name + "' to be " + std::string(to_string(edge.condition));
    }
    return {};
}

// -- what follows from what

inline ServiceMachine::Unit* ServiceMachine::of_run(std::size_t service, std::uint64_t run) noexcept {
    Unit& unit = units_[service];
    return unit.run == run ? &unit : nullptr;
}

/// One that has failed or was stopped meets nothing any more but that it is completed; nor does one that will be
/// stopped.
inline ServiceMachine::Met ServiceMachine::is_met(const ServiceGraph::Edge& edge) const noexcept {
    const Unit& on = units_[edge.service];
    const auto if_over = [&](bool holds) {
        return holds ? Met::yes : warden::is_over(on.phase) ? Met::never : Met::not_yet;
    };
    const bool failed = on.phase == ServicePhase::failed || on.phase == ServicePhase::stopped;
    const bool leaves = on.stop_wanted && !warden::is_over(on.phase);
    switch (edge.condition) {
        case DependencyCondition::started: return if_over(on.was_launched && !failed && !leaves);
        case DependencyCondition::ready:
            return if_over((on.phase == ServicePhase::ready && !leaves) ||
                           (on.phase == ServicePhase::completed && on.was_ready));
        case DependencyCondition::completed:
            return if_over(on.phase == ServicePhase::completed ||
                           (on.phase == ServicePhase::failed && on.was_launched && !on.tree_alive));
        case DependencyCondition::completed_well: break;
    }
    return if_over(on.phase == ServicePhase::completed);
}

inline void ServiceMachine::enter(std::size_t service, ServicePhase phase, const std::string& reason) {
    Unit& unit = units_[service];
    unit.phase = phase;
    unit.reason = reason;
    actions_.push_back({ServiceAction::Kind::phase, service, unit.run, phase, reason});
    touch(service);
    if (phase == ServicePhase::failed) act_on_failure(service);
}

inline void ServiceMachine::touch_only(std::size_t service) {
    if (is_touched_[service]) return;
    is_touched_[service] = true;
    touched_.push_back(service);
}

/// It and all that look at its phase.
inline void ServiceMachine::touch(std::size_t service) {
    touch_only(service);
    for (const auto& edge : graph_.dependants[service]) touch_only(edge.service);
    for (const auto& edge : graph_.dependencies[service]) touch_only(edge.service);
}

inline void ServiceMachine::run_touched(SteadyTime now) {
    while (!touched_.empty()) {
        const std::size_t service = touched_.back();
        touched_.pop_back();
        is_touched_[service] = false;
        launch_if_it_may(service, now);
        stop_if_it_may(service);
    }
}

/// A restart does not ask for what cannot be any more: the failure of what it depends on has had its effect.
inline void ServiceMachine::launch_if_it_may(std::size_t service, SteadyTime now) {
    const Unit& unit = units_[service];
    if (unit.phase != ServicePhase::waiting || unit.tree_alive) return;
    bool may = true;
    for (const auto& edge : graph_.dependencies[service]) {
        const Met met = is_met(edge);
        if (met == Met::not_yet) may = false;
        if (met != Met::never || unit.was_launched) continue;
        const Unit& on = units_[edge.service];
        return enter(service, ServicePhase::stopped,
                     "it depends on '" + on.traits.name + "', which is " + std::string(to_string(on.phase)));
    }
    if (may) launch(service, now);
}

inline void ServiceMachine::launch(std::size_t service, SteadyTime now) {
    Unit& unit = units_[service];
    ++unit.run;
    unit.tracker.launches(now);
    unit.stop_sent = unit.has_survivors = false;
    unit.probe_failure.clear();
    unit.decision.reset();
    enter(service, ServicePhase::launching, unit.reason);
    actions_.push_back({ServiceAction::Kind::launch, service, unit.run, ServicePhase::launching, {}});
}

inline void ServiceMachine::stop_if_it_may(std::size_t service) {
    const Unit& unit = units_[service];
    const bool runs = unit.phase == ServicePhase::running || unit.phase == ServicePhase::ready;
    if (!runs || !unit.stop_wanted) return;
    for (const auto& edge : graph_.dependants[service]) {
        if (units_[edge.service].stop_wanted && !is_over(edge.service)) return;
    }
    enter(service, ServicePhase::stopping, unit.asked);
    send_stop(service);
}

inline void ServiceMachine::send_stop(std::size_t service) {
    Unit& unit = units_[service];
    unit.stop_sent = true;
    unit.has_survivors = false;
    actions_.push_back({ServiceAction::Kind::stop, service, unit.run, unit.phase, unit.reason});
}

inline void ServiceMachine::want_stop(std::size_t service, const std::string& reason) {
    Unit& unit = units_[service];
    if (is_over(service) || unit.stop_wanted) return;
    unit.stop_wanted = true;
    unit.restart_wanted = false;
    unit.asked = reason;
    if (unit.phase == ServicePhase::waiting || unit.phase == ServicePhase::backing_off)
        return enter(service, ServicePhase::stopped, reason);
    if (unit.has_survivors) send_stop(service);  // once more: somebody waits for what comes of it
    touch(service);
}

inline void ServiceMachine::want_dependants_stopped(std::size_t service, const std::string& reason) {
    std::vector<std::size_t> left{service};
    while (!left.empty()) {
        const std::size_t next = left.back();
        left.pop_back();
        for (const auto& edge : graph_.dependants[next]) {
            const bool needs = edge.condition < DependencyCondition::completed;
            if (!needs || is_over(edge.service) || units_[edge.service].stop_wanted) continue;
            left.push_back(edge.service);
            want_stop(edge.service, reason);
        }
    }
}

inline void ServiceMachine::act_on_failure(std::size_t service) {
    const Traits& traits = units_[service].traits;
    const std::string reason = "'" + traits.name + "' failed";
    if (traits.on_failure == FailureAction::stop_dependants) want_dependants_stopped(service, reason);
    if (traits.on_failure != FailureAction::stop_all) return;
    for (std::size_t i = 0; i < size(); ++i) want_stop(i, reason);
}

inline void ServiceMachine::start_anew(std::size_t service, const std::string& reason) {
    Unit& unit = units_[service];
    unit.tracker.reset();
    unit.first_run = unit.run + 1;
    unit.was_launched = unit.was_ready = unit.stop_wanted = unit.restart_wanted = false;
    enter(service, ServicePhase::waiting, reason);
}

inline void ServiceMachine::probe_failed(std::size_t service, const std::string& why) {
    units_[service].probe_failure = why;
    enter(service, ServicePhase::stopping, why);
    send_stop(service);
}

/// Nothing is left of its process.
inline void ServiceMachine::settle(std::size_t service, SteadyTime now) {
    Unit& unit = units_[service];
    if (std::exchange(unit.restart_wanted, false)) {
        unit.tracker.reset();
        enter(service, ServicePhase::waiting, unit.asked);
    } else if (unit.stop_wanted && (!unit.decision || unit.decision->verdict == RestartVerdict::restart)) {
        enter(service, ServicePhase::stopped, unit.asked);
    } else {
        follow_decision(service, now);
    }
}

inline void ServiceMachine::follow_decision(std::size_t service, SteadyTime now) {
    const Unit& unit = units_[service];
    switch (unit.decision->verdict) {
        case RestartVerdict::completed: return enter(service, ServicePhase::completed, unit.end);
        case RestartVerdict::failed: return enter(service, ServicePhase::failed, unit.end);
        case RestartVerdict::given_up: break;
        case RestartVerdict::restart:
            return enter(service, unit.decision->at <= now ? ServicePhase::waiting : ServicePhase::backing_off,
                         unit.end);
    }
    const std::string reason = unit.end + ", after " + std::to_string(*unit.traits.restart.max_restarts) +
                               " restarts within " + in_seconds(unit.traits.restart.window);
    actions_.push_back({ServiceAction::Kind::given_up, service, unit.run, unit.phase, reason});
    enter(service, ServicePhase::failed, reason);
}

}  // namespace warden::detail

#include <warden/detail/supervision/service_events.hpp>
