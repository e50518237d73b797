// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The control of one tree: who is in it, signals, stops, and what follows from them for why the leader ended.
///
/// Knows:         the tree, the stop plan that is executed against it, and what each step of a plan does to a tree.
/// Does not know: output, waiters, other processes. It asks its owner for what a step does beside the tree.
/// Thread-safety: on the loop only.

#include <warden/detail/containment/tree.hpp>
#include <warden/detail/engine/escalation.hpp>
#include <warden/detail/engine/exit_reasons.hpp>
#include <warden/detail/system/signal_numbers.hpp>
#include <warden/telemetry/event.hpp>

#include <boost/system/errc.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// Takes what a step of a stop plan ran into, from any thread: into the report, or, once that step is over, as an
/// event.
using StepReport = std::function<void(std::string)>;
using StopDone = std::function<void(const StopReport&)>;

/// The process that a tree is of.
class TreeOwner {
public:
    /// Keeps the owner, and the control in it, until the answer is destroyed.
    [[nodiscard]] virtual std::shared_ptr<void> hold() = 0;
    [[nodiscard]] virtual Event event(EventKind kind) const = 0;
    virtual void emit(Event event) = 0;
    /// Somebody asked for the end of the tree while the leader ran.
    virtual void stop_requested() = 0;
    /// What a step does beside the tree: to the input, or by a command or a function. What went wrong, in words.
    [[nodiscard]] virtual std::string take_step_beside(const StopStep& step, StepReport report) = 0;
    /// A plan is over: adds who outlived it.
    virtual void add_survivors(StopReport& report) = 0;
    /// Called before those who wait for the stop.
    virtual void stop_ended(const std::shared_ptr<const StopReport>& report) = 0;
    virtual void leader_ended(const LeaderExit& end) = 0;
    /// The tree is empty; its leader had ended before.
    virtual void tree_emptied() = 0;

protected:
    TreeOwner() = default;
    TreeOwner(const TreeOwner&) = default;
    TreeOwner& operator=(const TreeOwner&) = default;
    ~TreeOwner() = default;
};

class TreeControl final : private EscalationTarget {
public:
    TreeControl(Scheduler& scheduler, TreeOwner& owner)
        : scheduler_(scheduler), owner_(owner), watch_timer_(scheduler) {}
    TreeControl(const TreeControl&) = delete;
    TreeControl& operator=(const TreeControl&) = delete;

    Tree tree;  ///< Set by the start; released when it is empty and everybody knows.

    /// Begins to watch for the ends of the leader and of the tree. A tree that the system refuses to watch is killed;
    /// until its end can be seen, that is tried again.
    void watch();

    [[nodiscard]] bool has_leader_ended() const noexcept { return leader_ended_; }
    [[nodiscard]] bool is_empty() const noexcept { return is_empty_; }
    [[nodiscard]] const ExitReasons& reasons() const noexcept { return reasons_; }
    /// It wrote too much, also if that is seen after its end.
    void note_output_limit() noexcept { reasons_.stop_began(StopReason::output_limit); }

    /// `ec` says why there may be more.
    [[nodiscard]] std::vector<Pid> members(error_code& ec) {
        ec.clear();
        return tree ? tree->members(ec) : std::vector<Pid>{};
    }

    /// Begins to stop the tree, or hurries a stop that is under way; `done` is called at its end, at once if all is
    /// over.
    void stop(StopPlan plan, StopReason reason, StopDone done);

    [[nodiscard]] error_code signal_leader(int signal);
    /// Signals the whole tree; `terminate` counts as a request to stop, `kill` as a stop by force.
    [[nodiscard]] error_code signal_tree(int signal);

    /// What the stop that is under way has done, or else the one before; null if there was none.
    [[nodiscard]] std::shared_ptr<const StopReport> last_stop() const;

    /// Lets go of the tree, which ends it if it is not empty; the stop that is under way is over.
    void release();

private:
    [[nodiscard]] std::string take_step(const StopStep& step) override;
    void step_ended(const StopStep& step, const StopStepResult& result) override;
    void plan_ended(StopReport report) override;

    [[nodiscard]] error_code try_to_watch();
    void kill_unwatched();
    void begin_stop(StopPlan plan, StopReason reason);
    void end_leader(const LeaderExit& end, bool is_tree_empty);
    void note_empty();
    void note_signal(int signal) noexcept {
        if (!leader_ended_) reasons_.signal_sent(signal);
    }
    [[nodiscard]] error_code send(int signal);
    [[nodiscard]] std::string kill(bool as_last_resort);
    [[nodiscard]] StepReport step_report();
    [[nodiscard]] StopReport former_stop() const;
    void report_stop(const StopReport& report);

    Scheduler& scheduler_;
    TreeOwner& owner_;
    Timer watch_timer_;  // while the system refuses to watch the tree
    std::shared_ptr<Escalation> escalation_;
    std::shared_ptr<const StopReport> last_stop_;
    std::vector<StopDone> stop_waiters_;
    ExitReasons reasons_;
    bool leader_ended_ = false;  // from here on, what is done to the tree is not why it ended
    bool is_empty_ = false;
};

// -- implementation ----------------------------------------------------------

inline void TreeControl::watch() {
    if (const error_code refused = try_to_watch()) {
        Event event = owner_.event(EventKind::kill);
        event.message = "the system refuses to watch it: " + refused.message();
        owner_.emit(std::move(event));
        reasons_.stop_began(StopReason::asked);
        reasons_.killed();
        note_signal(signals::kill);
        owner_.stop_requested();
        kill_unwatched();
    }
}

inline error_code TreeControl::try_to_watch() {
    return tree->watch([this, keep = owner_.hold()](const LeaderExit& end, bool gone) { end_leader(end, gone); },
                       [this, keep = owner_.hold()] {
                           note_empty();
                           owner_.tree_emptied();
                       });
}

/// Its end would never be noticed: it is ended now.
inline void TreeControl::kill_unwatched() {
    constexpr std::chrono::milliseconds pause{50};
    static_cast<void>(tree->kill_tree());
    watch_timer_.arm(scheduler_.now() + pause, [this, keep = owner_.hold()] {
        if (tree && try_to_watch()) kill_unwatched();
    });
}

inline void TreeControl::end_leader(const LeaderExit& end, bool is_tree_empty) {
    leader_ended_ = true;
    if (is_tree_empty) note_empty();
    owner_.leader_ended(end);
}

/// A stop that is under way takes no further step, also while the end is not reported yet.
inline void TreeControl::note_empty() {
    is_empty_ = true;
    if (escalation_) escalation_->end_current_step();
}

inline void TreeControl::stop(StopPlan plan, StopReason reason, StopDone done) {
    if (!tree) {
        if (done) done(former_stop());
        return;
    }
    if (done) stop_waiters_.push_back(std::move(done));
    if (is_empty_) return;  // `release` is on its way
    if (!escalation_) begin_stop(std::move(plan), reason);
    else if (deadline_after(scheduler_.now(), plan.deadline()) < escalation_->deadline())
        escalation_->replace_plan(std::move(plan));
}

inline void TreeControl::begin_stop(StopPlan plan, StopReason reason) {
    if (!leader_ended_) {
        reasons_.stop_began(reason);
        owner_.stop_requested();
    }
    Event began = owner_.event(EventKind::stop);
    constexpr std::array<std::string_view, 4> reasons{"asked for", "timed out", "the host shuts down",
                                                      "too much output"};
    began.attributes = {{"warden.stop.reason", std::string(reasons[static_cast<std::size_t>(reason)])}};
    if (tree->lists_cheaply()) {
        error_code unlisted;
        const std::size_t count = members(unlisted).size();
        if (unlisted) began.attributes.emplace_back("warden.tree.unlisted", unlisted.message());
        else began.attributes.emplace_back("warden.tree.members", static_cast<std::int64_t>(count));
    }
    if (!plan.reason().empty()) began.attributes.emplace_back("warden.stop.because", plan.reason());
    owner_.emit(std::move(began));
    escalation_ = std::make_shared<Escalation>(scheduler_, std::move(plan),
                                               std::shared_ptr<EscalationTarget>(owner_.hold(), this));
    const auto escalation = escalation_;  // it may be over before `start` returns
    escalation->start();
}

inline void TreeControl::step_ended(const StopStep& step, const StopStepResult& result) {
    Event taken = owner_.event(EventKind::stop_step);
    taken.duration = result.duration;
    taken.attributes = {{"warden.stop.action", std::string(to_string(step.action))},
                        {"warden.stop.tree_exited", result.tree_exited},
                        {"warden.stop.error", result.error}};
    owner_.emit(std::move(taken));
}

inline void TreeControl::plan_ended(StopReport report) {
    escalation_.reset();
    owner_.add_survivors(report);
    const auto over = std::make_shared<const StopReport>(std::move(report));
    last_stop_ = over;
    owner_.stop_ended(over);
    report_stop(*over);
}

inline void TreeControl::report_stop(const StopReport& report) {
    for (auto waiters = std::exchange(stop_waiters_, {}); auto& done : waiters) done(report);
}

inline std::shared_ptr<const StopReport> TreeControl::last_stop() const {
    return escalation_ ? std::make_shared<const StopReport>(escalation_->report()) : last_stop_;
}

/// Of a tree that is gone: nothing outlived it.
inline StopReport TreeControl::former_stop() const {
    StopReport report = last_stop_ ? *last_stop_ : StopReport();
    report.survivors.clear();
    return report;
}

inline void TreeControl::release() {
    watch_timer_.cancel();
    if (escalation_) {
        const auto escalation = escalation_;
        escalation->tree_gone();
    } else {
        report_stop(former_stop());
    }
    tree.reset();
}

inline StepReport TreeControl::step_report() {
    return [this, keep = owner_.hold(), weak = std::weak_ptr(escalation_),
            step = escalation_->current()](std::string words) {
        scheduler_.post([this, keep, weak, step, words = std::move(words)] {
            const auto escalation = weak.lock();
            if (escalation && escalation->add_error(step, words)) return;
            Event noted = owner_.event(EventKind::stop_step);
            noted.message = words;
            owner_.emit(std::move(noted));
        });
    };
}

/// What is no error: that nothing was left to signal.
[[nodiscard]] inline std::string signal_trouble(const error_code& ec) {
    return ec && ec != boost::system::errc::no_such_process ? ec.message() : std::string();
}

inline std::string TreeControl::take_step(const StopStep& step) {
    switch (step.action) {
        case StopAction::close_stdin:
        case StopAction::write_line:
        case StopAction::run_command:
        case StopAction::call: return owner_.take_step_beside(step, step_report());
        case StopAction::signal:
            if (leader_ended_) return {};
            note_signal(step.signal_number);
            return signal_trouble(tree->signal_leader(step.signal_number));
        case StopAction::terminate: note_signal(signals::terminate); return signal_trouble(send(signals::terminate));
        case StopAction::freeze: return signal_trouble(send(signals::stop));
        case StopAction::kill: return kill(false);
        case StopAction::last_resort: break;
    }
    return kill(true);
}

inline std::string TreeControl::kill(bool as_last_resort) {
    if (!leader_ended_) reasons_.killed();
    note_signal(signals::kill);
    owner_.emit(owner_.event(EventKind::kill));
    std::string trouble = signal_trouble(send(signals::kill));
    if (as_last_resort && tree) static_cast<void>(tree->last_resort());
    return trouble;
}

/// Sends `signal` to the whole tree; members that are suspended resume at `terminate`, so that they can obey.
inline error_code TreeControl::send(int signal) {
    if (!tree) return errc::already_ended;
    if (signal == signals::kill) return tree->kill_tree();
    const error_code ec = tree->signal_tree(signal);
    if (signal == signals::terminate && tree) static_cast<void>(tree->signal_tree(signals::resume));
    return ec;
}

inline error_code TreeControl::signal_leader(int signal) {
    if (signal < 1 || signal > 64) return errc::invalid_signal;
    if (leader_ended_ || !tree) return errc::already_ended;
    note_signal(signal);
    const error_code ec = tree->signal_leader(signal);
    // It has ended and was reaped; its exit notification is on its way.
    return ec == boost::system::errc::no_such_process ? error_code(errc::already_ended) : ec;
}

inline error_code TreeControl::signal_tree(int signal) {
    if (signal < 1 || signal > 64) return errc::invalid_signal;
    if (is_empty_ || !tree) return errc::already_ended;
    note_signal(signal);
    if (!leader_ended_ && (signal == signals::terminate || signal == signals::kill)) {
        reasons_.stop_began(StopReason::asked);
        if (signal == signals::kill) reasons_.killed();
        owner_.stop_requested();
    }
    if (signal == signals::kill) owner_.emit(owner_.event(EventKind::kill));
    return send(signal);
}

}  // namespace warden::detail
