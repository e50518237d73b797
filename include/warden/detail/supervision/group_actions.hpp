// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of a group that runs which acts: launches, stops, reports, and what came of them.
///
/// Thread-safety: see group_runner.hpp, which includes this.

#include <warden/detail/supervision/group_runner.hpp>

#include <boost/uuid/uuid_io.hpp>

namespace warden::detail {

/// Until the machine wants nothing more. What a step below reports at once is seen by the loop that is under way.
inline void GroupRunner::follow() {
    if (is_closed_ || std::exchange(is_following_, true)) return;
    for (auto actions = machine_.take_actions(); !actions.empty(); actions = machine_.take_actions()) {
        for (const ServiceAction& action : actions) act(action);
    }
    is_following_ = false;
    arm_timer();
    {
        const Lock lock(mutex_);
        is_settled_ = machine_.is_settled();
        is_over_ = machine_.is_group_over();
    }
    changed_.notify_all();
}

inline void GroupRunner::arm_timer() {
    const SteadyTime next = machine_.next_time();
    if (next == SteadyTime::max()) return timer_.cancel();
    timer_.arm(next, [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self) return;
        self->machine_.tick(self->loop().now());
        self->follow();
    });
}

inline void GroupRunner::act(const ServiceAction& action) {
    switch (action.kind) {
        case ServiceAction::Kind::launch: return launch(action.service, action.run);
        case ServiceAction::Kind::stop: return stop_process(action);
        case ServiceAction::Kind::phase: return change_phase(action);
        case ServiceAction::Kind::given_up: return give_up(action);
    }
}

inline Event GroupRunner::event(EventKind kind, const Slot& slot) const {
    Event made;
    made.kind = kind;
    made.severity = usual_severity(kind);
    made.time = std::chrono::system_clock::now();
    made.uuid = slot.status.uuid;
    made.pid = slot.status.pid;
    made.name = slot.status.name;
    made.message = slot.status.reason;
    made.attributes = {{"warden.service.group", id_},
                       {"warden.service.restarts", static_cast<std::int64_t>(slot.status.restarts)}};
    return made;
}

inline void GroupRunner::change_phase(const ServiceAction& action) {
    Slot& slot = slots_[action.service];
    const SteadyTime now = loop().now();
    const ServicePhase former = slot.status.phase;
    {
        const Lock lock(mutex_);
        auto& phases = slot.status.phases;
        phases.back().duration = now - slot.phase_began;
        if (phases.size() >= ServiceStatus::max_phases) phases.erase(phases.begin());
        phases.push_back({action.phase, std::chrono::system_clock::now(), {}, action.reason});
        slot.phase_began = now;
        slot.status.phase = action.phase;
        slot.status.reason = action.reason;
        slot.status.restarts = machine_.restarts(action.service);
    }
    if (action.phase == ServicePhase::ready && services_[action.service].liveness)
        begin_probe(action.service, action.run, *services_[action.service].liveness, ProbeUse::liveness);
    else if (action.phase != ServicePhase::running) end_probe(slot);
    Event changed = event(EventKind::phase, slot);
    if (action.phase == ServicePhase::failed) changed.severity = Severity::error;
    changed.attributes.emplace_back("warden.service.former_phase", std::string(to_string(former)));
    changed.attributes.emplace_back("warden.service.phase", std::string(to_string(action.phase)));
    engine_->services->emit(std::move(changed));
}

inline void GroupRunner::give_up(const ServiceAction& action) {
    Event made = event(EventKind::given_up, slots_[action.service]);
    made.message = action.reason;
    Event alert = made;
    alert.kind = EventKind::alert;
    alert.message = "service '" + made.name + "' is given up: it " + action.reason;
    engine_->services->metrics.alerted();
    engine_->services->emit(std::move(made), std::move(alert));
}

// -- launches

/// Whether another attempt would fail in the same way.
[[nodiscard]] inline LaunchFailure failure_of(const SpawnError& error) noexcept {
    if (error.code() == errc::shut_down || error.code() == errc::forked) return LaunchFailure::shut_down;
    constexpr std::array lasting{SpawnStep::validation,  SpawnStep::working_directory, SpawnStep::executable,
                                 SpawnStep::containment, SpawnStep::identity,          SpawnStep::setup};
    const bool is_lasting = std::find(lasting.begin(), lasting.end(), error.step()) != lasting.end();
    return is_lasting ? LaunchFailure::permanent : LaunchFailure::may_pass;
}

/// Not on the loop.
inline GroupRunner::Launched GroupRunner::spawn(const Service& service) const {
    Launched made;
    try {
        SpawnOptions options = service.options;
        options.name = service.name;
        options.timeout = options.timeout.value_or(no_timeout);
        const bool watchdog = service.liveness && service.liveness->needs_notify();
        if (watchdog || (service.readiness && service.readiness->needs_notify())) {
            std::string address;
            error_code ec;
            made.notify = open_notify_listener(engine_, address, ec);
            throw_if(ec, "open a notification socket");
            const Nanoseconds often = watchdog ? service.liveness->timing().interval : Nanoseconds();
            set_notify_variables(options.environment, address, often);
        }
        made.record = engine_->spawn(service.command, std::move(options), Output::log, nullptr);
    } catch (const SpawnError& error) {
        made.failure = failure_of(error);
        made.why = error.what();
    } catch (const std::exception& error) {
        made.why = error.what();
    }
    return made;
}

inline void GroupRunner::launch(std::size_t service, std::uint64_t run) {
    auto job = [weak = weak_from_this(), service, run] {
        const auto self = weak.lock();
        if (!self) return;
        self->loop().post([weak, service, run, made = self->spawn(self->services_[service])] {
            if (const auto group = weak.lock()) group->launch_ended(service, run, made);
            else if (made.record) made.record->stop(made.record->stop_plan, StopReason::asked, {});
        });
    };
    Dispatcher& dispatcher = engine_->services->dispatcher;
    if (services_[service].options.preflight.empty()) dispatcher.post_internal(std::move(job));
    else dispatcher.post(std::move(job));
}

inline void GroupRunner::launch_ended(std::size_t service, std::uint64_t run, const Launched& made) {
    if (made.record) return launched(service, run, made);
    machine_.launch_failed(service, run, loop().now(), made.failure, made.why, random());
    follow();
}

inline void GroupRunner::launched(std::size_t service, std::uint64_t run, const Launched& made) {
    Slot& slot = slots_[service];
    const auto& record = made.record;
    const Uuid former = slot.record ? slot.record->uuid : Uuid{};
    {
        const Lock lock(mutex_);
        slot.record = record;
        slot.notify = made.notify;
        slot.had_process = true;
        slot.stop_report = {};
        slot.status.former_uuid = former;
        slot.status.uuid = record->uuid;
        slot.status.pid = record->pid;
        slot.status.log_path = record->log_path;
    }
    if (!former.is_nil()) note_restart(slot, former);
    machine_.launched(service, run, loop().now());
    follow();
    const auto when = [&](auto condition, void (GroupRunner::*call)(std::size_t, std::uint64_t)) {
        static_cast<void>(record->state.when(condition, [weak = weak_from_this(), service, run, call] {
            if (const auto self = weak.lock()) (*self.*call)(service, run);
        }));
    };
    const auto& readiness = services_[service].readiness;
    if (!readiness)
        when([](const ProcessFacts& facts) { return facts.state == State::ready; }, &GroupRunner::became_ready);
    else if (machine_.phase(service) == ServicePhase::running)
        begin_probe(service, run, *readiness, ProbeUse::start_up);
    when(has_ended, &GroupRunner::ended);
    when(is_tree_empty, &GroupRunner::tree_emptied);
}

/// The former process is over, and nobody but this group remembered it.
inline void GroupRunner::note_restart(Slot& slot, const Uuid& former) const {
    engine_->table.remove(former);
    Event made = event(EventKind::restart, slot);
    made.attributes.emplace_back("warden.restart.former_uuid", to_string(former));
    engine_->services->metrics.restarted();
    engine_->services->emit(std::move(made));
}

inline void GroupRunner::became_ready(std::size_t service, std::uint64_t run) {
    machine_.became_ready(service, run, loop().now());
    follow();
}

// -- probes

inline void GroupRunner::begin_probe(std::size_t service, std::uint64_t run, const Probe& probe, ProbeUse use) {
    Slot& slot = slots_[service];
    end_probe(slot);
    const auto notify = probe.needs_notify() ? slot.notify : nullptr;
    slot.probe = std::make_shared<ProbeRun>(engine_, slot.record, probe, use, notify);
    static_cast<void>(slot.probe->when_done([weak = weak_from_this(), service, run, use](const ProbeOutcome& outcome) {
        if (const auto self = weak.lock()) self->probe_ended(service, run, use, outcome);
    }));
    slot.probe->start();
}

inline void GroupRunner::end_probe(Slot& slot) {
    if (const auto probe = std::exchange(slot.probe, nullptr)) probe->cancel();
}

/// That its process has ended is told otherwise.
inline void GroupRunner::probe_ended(std::size_t service, std::uint64_t run, ProbeUse use,
                                     const ProbeOutcome& outcome) {
    if (outcome.is_ready()) return became_ready(service, run);
    if (outcome.code != errc::timed_out && outcome.code != errc::probe_failed) return;
    if (use == ProbeUse::start_up) machine_.readiness_failed(service, run, loop().now(), outcome.reason);
    else machine_.liveness_failed(service, run, loop().now(), outcome.reason);
    follow();
}

// -- ends

inline void GroupRunner::ended(std::size_t service, std::uint64_t run) {
    Slot& slot = slots_[service];
    const ProcessFacts facts = slot.record->state.facts();
    ServiceEnd end;
    end.status = facts.status.value_or(ExitStatus());
    end.is_failure = facts.cause != ExitCause::exited;
    end.is_shutdown = facts.cause == ExitCause::host_shutdown;
    end.tree_empty = is_tree_empty(facts);
    {
        const Lock lock(mutex_);
        slot.status.pid = 0;
        slot.status.last_exit = end.status;
        slot.status.last_cause = facts.cause;
    }
    machine_.ended(service, run, loop().now(), end, random());
    follow();
}

inline void GroupRunner::tree_emptied(std::size_t service, std::uint64_t run) {
    machine_.tree_empty(service, run, loop().now());
    follow();
}

inline void GroupRunner::stop_process(const ServiceAction& action) {
    Slot& slot = slots_[action.service];
    {
        const Lock lock(mutex_);
        ++slot.stops;
    }
    StopPlan plan = slot.record->stop_plan;
    if (plan.reason().empty()) plan.because(action.reason);
    slot.record->stop(std::move(plan), StopReason::asked,
                      [weak = weak_from_this(), service = action.service, run = action.run](const StopReport& report) {
                          if (const auto self = weak.lock()) self->stop_ended(service, run, report);
                      });
}

/// "pid 12 (name): runs as user 0 ..."
[[nodiscard]] inline std::string survivors_in_words(const std::vector<Survivor>& survivors) {
    std::string text;
    for (const Survivor& survivor : survivors) {
        if (!text.empty()) text += ", ";
        if (survivor.pid != 0) text += "pid " + std::to_string(survivor.pid) + " (" + survivor.command + "): ";
        text += survivor.reason;
    }
    return text;
}

inline void GroupRunner::stop_ended(std::size_t service, std::uint64_t run, const StopReport& report) {
    {
        const Lock lock(mutex_);
        slots_[service].stop_report = report;
        --slots_[service].stops;
    }
    changed_.notify_all();
    if (report.clean()) return;  // that the tree is empty is on its way
    machine_.stop_left_survivors(service, run, loop().now(), survivors_in_words(report.survivors));
    follow();
}

}  // namespace warden::detail
