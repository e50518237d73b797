// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How a process is to be stopped, and how it was: both as data.
///
/// Knows:         steps and their graces, in order.
/// Does not know: signals, timers; the escalation engine executes plans.
/// Thread-safety: values.

#include <warden/command_line.hpp>
#include <warden/fwd.hpp>
#include <warden/stream_output.hpp>
#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// What a step does to the tree.
enum class StopAction : std::uint8_t {
    close_stdin,  ///< Closes the standard input of the process.
    write_line,   ///< Writes a line to its standard input.
    run_command,  ///< Runs a command; `{pid}` in its arguments becomes the process id.
    call,         ///< Calls a function of the program; `supervision/http_stop.hpp` has one that makes an HTTP request.
    signal,       ///< Sends a signal to the process, not to its descendants.
    terminate,    ///< Asks the whole tree to end, then lets suspended members go on so that they can obey.
    freeze,       ///< Stops the whole tree from running, so that nothing can be started meanwhile.
    kill,         ///< Ends the whole tree by force.
    last_resort,  ///< Kills the whole tree once more, by every other way there is.
};

/// The name of the enumerator, as it stands in events.
[[nodiscard]] constexpr std::string_view to_string(StopAction action) noexcept;

/// A function for the step `call`: runs on a thread of the manager, is given the process id and the grace of the step,
/// and should be done by then. What it throws, or returns in words, is only reported.
struct StopCall {
    std::string name{};  ///< "POST http://127.0.0.1:8000/shutdown"
    std::function<std::string(Pid, Nanoseconds)> run{};
};

/// One step: an action, and how long the tree may take to be gone before the next step.
struct StopStep {
    StopAction action = StopAction::terminate;
    Nanoseconds grace{};                     ///< Zero or more; the next step comes no earlier.
    int signal_number = 0;                   ///< For `signal`.
    std::string text{};                      ///< For `write_line`, without the newline.
    CommandLine command{};                   ///< For `run_command`.
    std::shared_ptr<const StopCall> call{};  ///< For `call`.

    friend bool operator==(const StopStep&, const StopStep&) = default;
};

/// A list of steps. Built like a sentence:
/// `StopPlan{}.close_stdin(1s).terminate(3s).kill(2s).last_resort(1s)`
class StopPlan {
public:
    StopPlan() = default;

    /// terminate, 3 s, kill, 2 s, last resort, 1 s.
    [[nodiscard]] static StopPlan standard();
    /// close stdin, 2 s, terminate, 10 s, kill, 2 s, last resort, 1 s.
    [[nodiscard]] static StopPlan gentle();
    /// terminate, 500 ms, kill, 2 s, last resort, 1 s.
    [[nodiscard]] static StopPlan prompt();
    /// kill, 2 s, last resort, 1 s.
    [[nodiscard]] static StopPlan now();
    /// terminate, `grace`, kill, 2 s, last resort, 1 s.
    [[nodiscard]] static StopPlan within(Nanoseconds grace);

    StopPlan& close_stdin(Nanoseconds grace) & { return add({StopAction::close_stdin, grace, 0, {}, {}}); }
    StopPlan& write_line(std::string text, Nanoseconds grace) & {
        return add({StopAction::write_line, grace, 0, std::move(text), {}});
    }
    StopPlan& run_command(CommandLine command, Nanoseconds grace) & {
        return add({StopAction::run_command, grace, 0, {}, std::move(command)});
    }
    StopPlan& call(StopCall call, Nanoseconds grace) & {
        return add({StopAction::call, grace, 0, {}, {}, std::make_shared<const StopCall>(std::move(call))});
    }
    StopPlan& signal(int number, Nanoseconds grace) & { return add({StopAction::signal, grace, number, {}, {}}); }
    StopPlan& terminate(Nanoseconds grace) & { return add({StopAction::terminate, grace, 0, {}, {}}); }
    StopPlan& freeze(Nanoseconds grace) & { return add({StopAction::freeze, grace, 0, {}, {}}); }
    StopPlan& kill(Nanoseconds grace) & { return add({StopAction::kill, grace, 0, {}, {}}); }
    StopPlan& last_resort(Nanoseconds grace) & { return add({StopAction::last_resort, grace, 0, {}, {}}); }

    StopPlan close_stdin(Nanoseconds grace) && { return std::move(close_stdin(grace)); }
    StopPlan write_line(std::string text, Nanoseconds grace) && {
        return std::move(write_line(std::move(text), grace));
    }
    StopPlan run_command(CommandLine command, Nanoseconds grace) && {
        return std::move(run_command(std::move(command), grace));
    }
    StopPlan call(StopCall function, Nanoseconds grace) && { return std::move(call(std::move(function), grace)); }
    StopPlan signal(int number, Nanoseconds grace) && { return std::move(signal(number, grace)); }
    StopPlan terminate(Nanoseconds grace) && { return std::move(terminate(grace)); }
    StopPlan freeze(Nanoseconds grace) && { return std::move(freeze(grace)); }
    StopPlan kill(Nanoseconds grace) && { return std::move(kill(grace)); }
    StopPlan last_resort(Nanoseconds grace) && { return std::move(last_resort(grace)); }

    /// Why, in words for people: it comes back in the report and in the events of the stop.
    /// `process.stop(StopPlan::prompt().because("a newer version is here"))`
    StopPlan& because(std::string reason) & {
        reason_ = std::move(reason);
        return *this;
    }
    StopPlan because(std::string reason) && { return std::move(because(std::move(reason))); }

    [[nodiscard]] const std::vector<StopStep>& steps() const noexcept { return steps_; }
    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

    /// The longest that the plan can take: the sum of its graces, saturating.
    [[nodiscard]] Nanoseconds deadline() const noexcept;

    /// What is wrong with the plan, in words; empty if nothing is. A plan ends with `kill` or `last_resort`, and its
    /// graces are not negative.
    [[nodiscard]] std::vector<std::string> validate() const;

    /// Any step, as data.
    StopPlan& add(StopStep step) & {
        steps_.push_back(std::move(step));
        return *this;
    }

    friend bool operator==(const StopPlan&, const StopPlan&) = default;

private:
    std::vector<StopStep> steps_;
    std::string reason_;
};

/// A step that was taken.
struct StopStepResult {
    StopAction action{};
    Nanoseconds began{};       ///< Since the stop began.
    Nanoseconds duration{};    ///< Until the tree was gone or the grace was over.
    bool tree_exited = false;  ///< The tree was gone within this step.
    std::string error{};       ///< What the step itself ran into; empty if nothing.
};

/// A process that outlived the whole plan.
struct Survivor {
    Pid pid = 0;
    std::string command{};
    std::string reason{};  ///< "runs as user 0, which this program may not signal", "uninterruptible (D) in ...", ...
};

/// What a stop did. A stop of a process that had ended by itself has no steps and is clean; of one that a former stop
/// had ended, whoever began that, it reports what that one did.
struct StopReport {
    std::vector<StopStepResult> steps{};
    std::vector<Survivor> survivors{};
    std::string reason{};  ///< That of the plan, see `StopPlan::because`; of the last plan that gave one.
    Nanoseconds duration{};

    /// Nothing of the tree is left.
    [[nodiscard]] bool clean() const noexcept { return survivors.empty(); }
};

// -- implementation ----------------------------------------------------------
namespace detail {
inline constexpr std::array<std::string_view, 9> stop_action_names{
    "close_stdin", "write_line", "run_command", "call", "signal", "terminate", "freeze", "kill", "last_resort"};
static_assert(stop_action_names.size() == static_cast<std::size_t>(StopAction::last_resort) + 1);
}  // namespace detail

constexpr std::string_view to_string(StopAction action) noexcept {
    return detail::stop_action_names[static_cast<std::size_t>(action)];
}

inline StopPlan StopPlan::within(Nanoseconds grace) {
    using std::chrono_literals::operator""s;
    return StopPlan{}.terminate(grace).kill(2s).last_resort(1s);
}
inline StopPlan StopPlan::standard() { return within(std::chrono::seconds(3)); }
inline StopPlan StopPlan::prompt() { return within(std::chrono::milliseconds(500)); }
inline StopPlan StopPlan::gentle() {
    using std::chrono_literals::operator""s;
    return StopPlan{}.close_stdin(2s).terminate(10s).kill(2s).last_resort(1s);
}
inline StopPlan StopPlan::now() {
    using std::chrono_literals::operator""s;
    return StopPlan{}.kill(2s).last_resort(1s);
}

inline Nanoseconds StopPlan::deadline() const noexcept {
    Nanoseconds sum{};
    for (const auto& step : steps_) {
        if (step.grace > Nanoseconds::max() - sum) return Nanoseconds::max();
        sum += std::max(step.grace, Nanoseconds::zero());
    }
    return sum;
}

inline std::vector<std::string> StopPlan::validate() const {
    std::vector<std::string> found;
    const auto forceful = [](StopAction a) { return a == StopAction::kill || a == StopAction::last_resort; };
    if (steps_.empty() || !forceful(steps_.back().action)) {
        found.emplace_back("a stop plan must end with kill or last_resort, so that nothing outlives it");
    }
    for (const auto& step : steps_) {
        if (step.grace < Nanoseconds::zero()) {
            found.push_back("the grace of '" + std::string(to_string(step.action)) + "' is negative");
        }
        if (step.action == StopAction::signal && (step.signal_number < 1 || step.signal_number > 64)) {
            found.push_back("signal " + std::to_string(step.signal_number) + " is not one of 1 to 64");
        }
        if (step.action == StopAction::call && !(step.call && step.call->run))
            found.emplace_back("the function of 'call' is empty");
        if (step.action == StopAction::run_command && step.command.validate()) {
            found.emplace_back("the command of 'run_command' is empty or holds a NUL byte");
        }
    }
    return found;
}

}  // namespace warden
