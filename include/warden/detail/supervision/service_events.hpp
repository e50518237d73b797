// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of the service machine that takes requests and news of processes.
///
/// Thread-safety: see service_machine.hpp, which includes this.

#include <warden/detail/supervision/service_machine.hpp>

namespace warden::detail {

// -- asked by the program

inline void ServiceMachine::start(SteadyTime now) {
    for (std::size_t i = 0; i < size(); ++i) {
        if (is_over(i)) start_anew(i, {});
    }
    run_touched(now);
}

inline void ServiceMachine::stop_all(SteadyTime now, const std::string& reason) {
    for (std::size_t i = 0; i < size(); ++i) want_stop(i, reason);
    run_touched(now);
}

inline void ServiceMachine::stop(std::size_t service, SteadyTime now, const std::string& reason) {
    if (is_over(service)) return;
    want_dependants_stopped(service, reason);
    want_stop(service, reason);
    run_touched(now);
}

inline void ServiceMachine::restart(std::size_t service, SteadyTime now, const std::string& reason) {
    Unit& unit = units_[service];
    const bool runs = unit.phase == ServicePhase::running || unit.phase == ServicePhase::ready;
    if (is_over(service)) {
        start_anew(service, reason);
    } else if (unit.stop_wanted || unit.phase == ServicePhase::waiting || unit.phase == ServicePhase::launching) {
        return;
    } else if (unit.phase == ServicePhase::backing_off) {
        unit.tracker.reset();
        enter(service, ServicePhase::waiting, reason);
    } else {
        unit.restart_wanted = true;
        unit.asked = reason;
        if (runs) {
            enter(service, ServicePhase::stopping, reason);
            send_stop(service);
        }
    }
    run_touched(now);
}

// -- told of a run

inline void ServiceMachine::launched(std::size_t service, std::uint64_t run, SteadyTime now) {
    Unit* const unit = of_run(service, run);
    if (!unit || unit->phase != ServicePhase::launching) return;
    unit->leader_alive = unit->tree_alive = unit->was_launched = true;
    enter(service, ServicePhase::running, {});
    if (!unit->traits.shows_readiness) {
        unit->was_ready = true;
        enter(service, ServicePhase::ready, {});
    }
    run_touched(now);
}

inline void ServiceMachine::launch_failed(std::size_t service, std::uint64_t run, SteadyTime now, LaunchFailure failure,
                                          const std::string& why, double random) {
    Unit* const unit = of_run(service, run);
    if (!unit || unit->phase != ServicePhase::launching) return;
    unit->end = why;
    if (unit->stop_wanted) {
        enter(service, ServicePhase::stopped, unit->asked);
    } else if (failure == LaunchFailure::shut_down) {
        enter(service, ServicePhase::stopped, why);
    } else if (failure == LaunchFailure::permanent) {
        enter(service, ServicePhase::failed, why);
    } else {
        unit->decision = unit->tracker.failed(now, random);
        follow_decision(service, now);
    }
    run_touched(now);
}

inline void ServiceMachine::became_ready(std::size_t service, std::uint64_t run, SteadyTime now) {
    Unit* const unit = of_run(service, run);
    if (!unit || unit->phase != ServicePhase::running) return;
    unit->was_ready = true;
    enter(service, ServicePhase::ready, {});
    run_touched(now);
}

inline void ServiceMachine::readiness_failed(std::size_t service, std::uint64_t run, SteadyTime now,
                                             const std::string& why) {
    const Unit* const unit = of_run(service, run);
    if (!unit || unit->phase != ServicePhase::running) return;
    probe_failed(service, why);
    run_touched(now);
}

inline void ServiceMachine::liveness_failed(std::size_t service, std::uint64_t run, SteadyTime now,
                                            const std::string& why) {
    const Unit* const unit = of_run(service, run);
    if (!unit || (unit->phase != ServicePhase::running && unit->phase != ServicePhase::ready)) return;
    probe_failed(service, why);
    run_touched(now);
}

inline void ServiceMachine::ended(std::size_t service, std::uint64_t run, SteadyTime now, const ServiceEnd& end,
                                  double random) {
    Unit* const unit = of_run(service, run);
    if (!unit || !unit->leader_alive) return;
    unit->leader_alive = false;
    unit->tree_alive = !end.tree_empty;
    if (is_over(service) || unit->phase == ServicePhase::waiting) {  // a survivor of its stop
        touch(service);
        return run_touched(now);
    }
    unit->end = end.status.to_string();
    if (!unit->probe_failure.empty()) unit->end = unit->probe_failure + "; it " + unit->end;
    if (end.is_shutdown) want_stop(service, "the program shuts down");
    if (!unit->stop_wanted && !unit->restart_wanted) {
        const bool is_failure = end.is_failure || !unit->probe_failure.empty();
        unit->decision = is_failure ? unit->tracker.failed(now, random) : unit->tracker.ended(now, end.status, random);
    }
    if (!unit->tree_alive) {
        settle(service, now);
    } else {
        if (unit->phase != ServicePhase::stopping) enter(service, ServicePhase::clearing, unit->end);
        if (!unit->stop_sent) send_stop(service);
    }
    run_touched(now);
}

inline void ServiceMachine::tree_empty(std::size_t service, std::uint64_t run, SteadyTime now) {
    Unit* const unit = of_run(service, run);
    if (!unit || unit->leader_alive || !unit->tree_alive) return;
    unit->tree_alive = false;
    if (unit->phase == ServicePhase::stopping || unit->phase == ServicePhase::clearing) settle(service, now);
    else touch(service);
    run_touched(now);
}

inline void ServiceMachine::stop_left_survivors(std::size_t service, std::uint64_t run, SteadyTime now,
                                                const std::string& who) {
    Unit* const unit = of_run(service, run);
    const bool is_under_way = unit && (unit->phase == ServicePhase::stopping || unit->phase == ServicePhase::clearing);
    if (!is_under_way || !unit->stop_sent || !unit->tree_alive) return;
    unit->has_survivors = true;
    const bool runs_again = unit->restart_wanted || !unit->probe_failure.empty() ||
                            (unit->decision && unit->decision->verdict == RestartVerdict::restart);
    const bool is_last = unit->stop_wanted || !runs_again;
    enter(service, is_last ? ServicePhase::failed : unit->phase, "it outlived its stop plan: " + who);
    run_touched(now);
}

inline void ServiceMachine::tick(SteadyTime now) {
    for (std::size_t i = 0; i < size(); ++i) {
        const Unit& unit = units_[i];
        if (unit.phase == ServicePhase::backing_off && unit.decision->at <= now)
            enter(i, ServicePhase::waiting, std::string(unit.reason));
    }
    run_touched(now);
}

}  // namespace warden::detail
