// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Executes a stop plan against one tree: the one engine behind destructors, stops, timeouts and cleanup.
///
/// Knows:         steps, graces, when the tree is gone; never skips a step, never takes one early.
/// Does not know: signals, processes: its target takes the steps.
/// Thread-safety: on the loop only.

#include <warden/detail/runtime/scheduler.hpp>
#include <warden/error.hpp>
#include <warden/stop_plan.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace warden::detail {

/// `plan` with the graces before its first forceful step cut so that together they are within `budget`.
[[nodiscard]] inline StopPlan within_budget(const StopPlan& plan, Nanoseconds budget);

/// Whether a step ends the tree by force.
[[nodiscard]] constexpr bool is_forceful(StopAction action) noexcept {
    return action == StopAction::kill || action == StopAction::last_resort;
}

/// What a plan is executed against.
class EscalationTarget {
public:
    /// Takes a step; what went wrong with it, in words. It may find the tree gone and say so.
    [[nodiscard]] virtual std::string take_step(const StopStep& step) = 0;
    /// Called once for each step that is over.
    virtual void step_ended(const StopStep& step, const StopStepResult& result) = 0;
    /// Called once, at the end.
    virtual void plan_ended(StopReport report) = 0;

protected:
    EscalationTarget() = default;
    EscalationTarget(const EscalationTarget&) = default;
    EscalationTarget& operator=(const EscalationTarget&) = default;
    ~EscalationTarget() = default;
};

class Escalation : public std::enable_shared_from_this<Escalation> {
public:
    /// Holds `target` until the end.
    Escalation(Scheduler& scheduler, StopPlan plan, std::shared_ptr<EscalationTarget> target)
        : timer_(scheduler), plan_(std::move(plan)), target_(std::move(target)) {}

    void start();

    /// Goes on with `plan` instead, now; what was done stays in the report.
    void replace_plan(StopPlan plan);

    /// The tree is empty: the step under way has ended it. `tree_gone` is still to come.
    void end_current_step() {
        if (target_ && in_step_) end_step(true);
    }
    /// The tree is empty, and everybody may know.
    void tree_gone();

    /// What was done so far.
    [[nodiscard]] const StopReport& report() const noexcept { return report_; }

    /// The place of the step under way in the report.
    [[nodiscard]] std::size_t current() const noexcept { return report_.steps.size() - 1; }

    /// What a step ran into that goes on beside the plan; false if that step is over.
    [[nodiscard]] bool add_error(std::size_t step, const std::string& words);

    /// When the plan will be over at the latest.
    [[nodiscard]] SteadyTime deadline() const noexcept { return deadline_; }

private:
    void take_step();
    void end_step(bool tree_exited);
    void finish();
    [[nodiscard]] SteadyTime now() const noexcept { return timer_.scheduler().now(); }

    Timer timer_;
    StopPlan plan_;
    std::shared_ptr<EscalationTarget> target_;  // null at the end
    StopReport report_;
    SteadyTime began_{};
    SteadyTime deadline_{};
    std::size_t next_ = 0;
    bool in_step_ = false;
};

// -- implementation ----------------------------------------------------------

inline StopPlan within_budget(const StopPlan& plan, Nanoseconds budget) {
    StopPlan shorter;
    shorter.because(plan.reason());
    for (StopStep step : plan.steps()) {
        if (!is_forceful(step.action)) {
            step.grace = std::min(step.grace, budget);
            budget -= step.grace;
        }
        shorter.add(std::move(step));
    }
    return shorter;
}

inline void Escalation::start() {
    began_ = now();
    report_.reason = plan_.reason();
    deadline_ = deadline_after(began_, plan_.deadline());
    take_step();
}

inline void Escalation::replace_plan(StopPlan plan) {
    if (!target_) return;
    if (in_step_) end_step(false);
    plan_ = std::move(plan);
    if (!plan_.reason().empty()) report_.reason = plan_.reason();
    next_ = 0;
    deadline_ = deadline_after(now(), plan_.deadline());
    take_step();
}

inline void Escalation::take_step() {
    const auto self = shared_from_this();  // the end of the plan may release this
    if (next_ == plan_.steps().size()) return finish();
    const StopStep& step = plan_.steps()[next_];
    StopStepResult record;
    record.action = step.action;
    record.began = now() - began_;
    report_.steps.push_back(std::move(record));
    in_step_ = true;
    const auto target = target_;
    std::string error = target->take_step(step);
    if (!target_) return;  // the tree was found gone meanwhile
    report_.steps.back().error = std::move(error);
    if (!in_step_) return;
    timer_.arm(deadline_after(now(), step.grace), [self] {
        if (!self->target_ || !self->in_step_) return;
        self->end_step(false);
        self->take_step();
    });
}

inline bool Escalation::add_error(std::size_t step, const std::string& words) {
    if (!target_ || step >= report_.steps.size()) return false;
    std::string& error = report_.steps[step].error;
    error += error.empty() ? words : "; " + words;
    return in_step_ && step == current();
}

inline void Escalation::end_step(bool tree_exited) {
    in_step_ = false;
    StopStepResult& record = report_.steps.back();
    record.duration = now() - began_ - record.began;
    record.tree_exited = tree_exited;
    report_.duration = record.began + record.duration;
    target_->step_ended(plan_.steps()[next_], record);
    ++next_;
}

inline void Escalation::tree_gone() {
    if (!target_) return;
    end_current_step();
    finish();
}

inline void Escalation::finish() {
    const auto self = shared_from_this();  // the timer may hold the last reference
    timer_.cancel();
    if (const auto target = std::exchange(target_, nullptr)) target->plan_ended(std::move(report_));
}

}  // namespace warden::detail
