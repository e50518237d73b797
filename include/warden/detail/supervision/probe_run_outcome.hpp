// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of a probe run that judges, reports and is waited for; see probe_run.hpp, which includes this.
///
/// Thread-safety: see probe_run.hpp.

#include <warden/detail/supervision/probe_run.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace warden::detail {

// -- implementation ----------------------------------------------------------

inline ProbeVerdict ProbeRun::verdict_of(const Node& node) {
    if (node.parts.empty() || node.cadence.verdict() == ProbeVerdict::bad) return node.cadence.verdict();
    ProbeTally tally(node.probe.kind() == ProbeKind::all_of);
    for (const auto& part : node.parts) {
        if (part->probe.can_say_ready()) tally.add(verdict_of(*part));
    }
    return tally.verdict();
}

inline const ProbeRun::Node* ProbeRun::failed_line(const Node& node) {
    if (node.probe.kind() == ProbeKind::fails_on_line)
        return node.cadence.verdict() == ProbeVerdict::bad ? &node : nullptr;
    for (const auto& part : node.parts) {
        if (const Node* const found = failed_line(*part)) return found;
    }
    return nullptr;
}

inline bool ProbeRun::has_expired(const Node& node) {
    return node.cadence.has_expired() ||
           std::any_of(node.parts.begin(), node.parts.end(), [](const auto& part) { return has_expired(*part); });
}

inline std::string ProbeRun::words_for(const Node& node, bool only_bad) {
    const bool is_group = !node.parts.empty();
    if (!is_group || node.cadence.verdict() == ProbeVerdict::bad) {
        const std::string& reason = node.cadence.reason();
        return is_group ? reason : node.probe.to_string() + (reason.empty() ? "" : ": ") + reason;
    }
    std::string text;
    for (const auto& part : node.parts) {
        const ProbeVerdict verdict = verdict_of(*part);
        if (!part->probe.can_say_ready() || verdict == ProbeVerdict::good) continue;
        if (only_bad && verdict != ProbeVerdict::bad) continue;
        text += (text.empty() ? "" : "; ") + words_for(*part, only_bad);
    }
    return text;
}

inline void ProbeRun::add_up(const Node& node, ProbeOutcome& outcome) {
    outcome.attempts += node.cadence.attempts();
    if (!node.unproven.empty() && node.cadence.verdict() == ProbeVerdict::good)
        outcome.unproven += (outcome.unproven.empty() ? "" : "; ") + node.unproven;
    for (const auto& part : node.parts) add_up(*part, outcome);
}

inline void ProbeRun::evaluate() {
    if (settled_) return;
    if (const Node* const line = failed_line(*root_)) return settle(errc::probe_failed, words_for(*line, true));
    const ProbeVerdict verdict = verdict_of(*root_);
    if (verdict == ProbeVerdict::bad) {
        const bool is_late = use_ == ProbeUse::start_up && has_expired(*root_);
        return settle(is_late ? errc::timed_out : errc::probe_failed, words_for(*root_, true));
    }
    if (verdict == ProbeVerdict::good && use_ == ProbeUse::start_up) {
        ProbeOutcome proof;
        add_up(*root_, proof);
        record_->became_ready(probe_.to_string() + (proof.unproven.empty() ? "" : "; ") + proof.unproven);
        if (record_->state.facts().state == State::ready) return settle({}, {});
        return ended();
    }
    const std::lock_guard lock(mutex_);
    progress_ = words_for(*root_, false);
}

inline void ProbeRun::ended() {
    const auto status = record_->state.facts().status;
    settle(errc::already_ended, status ? "the process has ended: " + status->to_string() : "the process is to end");
}

inline void ProbeRun::settle(error_code code, std::string reason) {
    if (std::exchange(settled_, true)) return;
    ProbeOutcome outcome;
    outcome.code = code;
    outcome.reason = std::move(reason);
    if (root_) outcome.took = services_->scheduler.now() - began_;
    if (root_) add_up(*root_, outcome);
    report(outcome);
    std::map<std::uint64_t, Done> waiting;
    {
        const std::lock_guard lock(mutex_);
        outcome_ = outcome;
        waiting.swap(waiting_);
    }
    changed_.notify_all();
    const auto self = shared_from_this();  // a callback may cancel this, or let go of it
    is_reporting_ = true;
    for (auto& [id, done] : waiting) done(outcome);
    is_reporting_ = false;
    // What called this may be a part of what is released.
    services_->scheduler.post([self] { self->release(); });
}

/// A failure that nobody may be waiting for.
inline void ProbeRun::report(const ProbeOutcome& outcome) {
    if (outcome.code != errc::timed_out && outcome.code != errc::probe_failed) return;
    services_->metrics.alerted();
    Event failed = record_->event(EventKind::alert);
    failed.message = (use_ == ProbeUse::start_up ? "it is not ready: " : "it does not do its work: ") + outcome.reason;
    failed.attributes = {{"warden.alert.rule", std::string(use_ == ProbeUse::start_up ? "readiness" : "liveness")},
                         {"warden.probe.attempts", static_cast<std::int64_t>(outcome.attempts)}};
    services_->emit(std::move(failed));
}

inline void ProbeRun::release() {
    if (end_watch_ != 0) record_->state.cancel(end_watch_);
    if (observation_ != 0) record_->output.router->end_observation(observation_);
    if (notify_) notify_->close(this);
    root_.reset();
}

inline void ProbeRun::start() {
    services_->scheduler.dispatch([self = shared_from_this()] { self->begin(); });
}

inline void ProbeRun::cancel() {
    services_->scheduler.dispatch([self = shared_from_this()] {
        self->settle(aborted(), "nobody asks any more");
        if (!self->is_reporting_) self->release();  // there may be no loop any more
    });
}

inline std::optional<ProbeOutcome> ProbeRun::outcome() const {
    const std::lock_guard lock(mutex_);
    return outcome_;
}

inline bool ProbeRun::wait_until(SteadyTime deadline) const {
    std::unique_lock lock(mutex_);
    const auto is_done = [this] { return outcome_.has_value(); };
    if (deadline <= SteadyTime::clock::now()) return is_done();
    if (deadline == SteadyTime::max()) {  // libraries overflow when they convert it
        changed_.wait(lock, is_done);
        return true;
    }
    return changed_.wait_until(lock, deadline, is_done);
}

inline std::uint64_t ProbeRun::when_done(Done done) {
    {
        const std::lock_guard lock(mutex_);
        if (!outcome_) {
            waiting_.emplace(next_id_, std::move(done));
            return next_id_++;
        }
    }
    done(*outcome_);  // never changes again
    return 0;
}

inline bool ProbeRun::forget(std::uint64_t id) {
    Done destroyed_without_lock;
    const std::lock_guard lock(mutex_);
    const auto at = waiting_.find(id);
    if (at == waiting_.end()) return false;
    destroyed_without_lock = std::move(at->second);
    waiting_.erase(at);
    return true;
}

inline std::string ProbeRun::progress() const {
    const std::lock_guard lock(mutex_);
    if (outcome_) return outcome_->reason;
    return status_.empty() ? progress_ : status_ + (progress_.empty() ? "" : "; ") + progress_;
}

}  // namespace warden::detail
