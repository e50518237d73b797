// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The life of a group of services: events with their times go in, actions come out.
///
/// Knows:         phases, dependencies, restarts, failures, the order of stops; a launch never overlaps with what is
///                left of the process before it.
/// Does not know: processes, clocks, threads, random numbers; whoever drives it does what the actions say.
/// Thread-safety: none.

#include <warden/detail/supervision/restart_tracker.hpp>
#include <warden/detail/supervision/service_graph.hpp>
#include <warden/supervision/service.hpp>
#include <warden/supervision/service_status.hpp>
#include <warden/timeout.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

/// What whoever drives the machine does, in this order.
struct ServiceAction {
    enum class Kind : std::uint8_t {
        launch,    ///< Launch the process for `run`; `launched` or `launch_failed` says what came of it.
        stop,      ///< Stop the tree of the process; `ended`, `tree_empty` and `stop_ended` say what came of it.
        phase,     ///< It is in another phase, or in the same for another reason.
        given_up,  ///< It was restarted too often.
    };
    Kind kind = Kind::phase;
    std::size_t service = 0;
    std::uint64_t run = 0;  ///< Counts the launches of the service from 1.
    ServicePhase phase = ServicePhase::idle;
    std::string reason{};

    friend bool operator==(const ServiceAction&, const ServiceAction&) = default;
};

/// The end of the process of a service.
struct ServiceEnd {
    ExitStatus status{};
    bool is_failure = false;   ///< Whatever the status: a limit was hit, or somebody else stopped it.
    bool is_shutdown = false;  ///< The program that owns it shuts down: it is not restarted.
    bool tree_empty = false;   ///< Nothing is left of it.
};

/// Why there is no process.
enum class LaunchFailure : std::uint8_t {
    may_pass,
    permanent,  ///< Another attempt would fail in the same way.
    shut_down,  ///< The program that would own it shuts down.
};

/// Events of a run that is not the newest, and those that cannot happen in the phase, change nothing.
class ServiceMachine {
public:
    /// What the machine has to know of a service.
    struct Traits {
        std::string name{};
        RestartPolicy restart{};
        FailureAction on_failure = FailureAction::stop_dependants;
        bool shows_readiness = false;  ///< Else it is ready once it is launched.
    };

    /// The graph has no mistakes.
    ServiceMachine(ServiceGraph graph, std::vector<Traits> traits);

    // -- asked by the program
    /// Starts all that are over, as if for the first time.
    void start(SteadyTime now);
    /// Stops all; each one when those that depend on it are over.
    void stop_all(SteadyTime now, const std::string& reason);
    /// Stops one, and before it those that need it started or ready.
    void stop(std::size_t service, SteadyTime now, const std::string& reason);
    /// Stops one and starts it again, alone; one that is over is started as if for the first time. Nothing while it is
    /// being stopped for good, or is about to be launched anyway.
    void restart(std::size_t service, SteadyTime now, const std::string& reason);

    // -- told of a run; `random` is at least 0 and below 1
    void launched(std::size_t service, std::uint64_t run, SteadyTime now);
    void launch_failed(std::size_t service, std::uint64_t run, SteadyTime now, LaunchFailure failure,
                       const std::string& why, double random);
    void became_ready(std::size_t service, std::uint64_t run, SteadyTime now);
    void readiness_failed(std::size_t service, std::uint64_t run, SteadyTime now, const std::string& why);
    void liveness_failed(std::size_t service, std::uint64_t run, SteadyTime now, const std::string& why);
    void ended(std::size_t service, std::uint64_t run, SteadyTime now, const ServiceEnd& end, double random);
    /// After `ended`.
    void tree_empty(std::size_t service, std::uint64_t run, SteadyTime now);
    /// The stop plan is over, and this is left: "pid 12 (name): why".
    void stop_left_survivors(std::size_t service, std::uint64_t run, SteadyTime now, const std::string& who);
    /// It is `next_time()` or later.
    void tick(SteadyTime now);

    // -- answers
    /// What is to be done now; each action is given once.
    [[nodiscard]] std::vector<ServiceAction> take_actions() { return std::exchange(actions_, {}); }
    /// When `tick` is to be called; the end of time if nobody waits for a restart.
    [[nodiscard]] SteadyTime next_time() const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return units_.size(); }
    [[nodiscard]] ServicePhase phase(std::size_t service) const noexcept { return units_[service].phase; }
    [[nodiscard]] const std::string& reason(std::size_t service) const noexcept { return units_[service].reason; }
    /// Launches since the start that was asked for, but the first.
    [[nodiscard]] std::size_t restarts(std::size_t service) const noexcept;
    /// Every service is over.
    [[nodiscard]] bool is_group_over() const noexcept;
    /// Every service is ready or over.
    [[nodiscard]] bool is_settled() const noexcept;
    /// What a service that waits is waiting for: "'db' to be ready".
    [[nodiscard]] std::string waits_for(std::size_t service) const;

private:
    struct Unit {
        explicit Unit(Traits of) : traits(std::move(of)), tracker(traits.restart) {}

        const Traits traits;
        RestartTracker tracker;
        ServicePhase phase = ServicePhase::idle;
        std::string reason;
        std::uint64_t run = 0;
        std::uint64_t first_run = 1;  // since the start that was asked for
        bool was_launched = false;    // since then
        bool was_ready = false;
        bool stop_wanted = false;  // for good
        bool restart_wanted = false;
        bool leader_alive = false;
        bool tree_alive = false;
        bool has_survivors = false;  // its stop is over, and something is left
        bool stop_sent = false;      // for this run
        std::string asked;           // why it is to be stopped or restarted
        std::string probe_failure;
        std::string end;
        std::optional<RestartDecision> decision;  // what follows once the tree is empty
    };
    enum class Met : std::uint8_t { yes, not_yet, never };

    [[nodiscard]] Unit* of_run(std::size_t service, std::uint64_t run) noexcept;
    [[nodiscard]] bool is_over(std::size_t service) const noexcept { return warden::is_over(units_[service].phase); }
    [[nodiscard]] Met is_met(const ServiceGraph::Edge& edge) const noexcept;
    void enter(std::size_t service, ServicePhase phase, const std::string& reason);
    void start_anew(std::size_t service, const std::string& reason);
    void want_stop(std::size_t service, const std::string& reason);
    void want_dependants_stopped(std::size_t service, const std::string& reason);
    void send_stop(std::size_t service);
    void launch_if_it_may(std::size_t service, SteadyTime now);
    void launch(std::size_t service, SteadyTime now);
    void stop_if_it_may(std::size_t service);
    void probe_failed(std::size_t service, const std::string& why);
    void settle(std::size_t service, SteadyTime now);
    void follow_decision(std::size_t service, SteadyTime now);
    void act_on_failure(std::size_t service);
    void touch(std::size_t service);
    void touch_only(std::size_t service);
    void run_touched(SteadyTime now);

    ServiceGraph graph_;
    std::vector<Unit> units_;
    std::vector<ServiceAction> actions_;
    std::vector<std::size_t> touched_;  // may launch or stop now
    std::vector<bool> is_touched_;
};

}  // namespace warden::detail

#include <warden/detail/supervision/service_transitions.hpp>
