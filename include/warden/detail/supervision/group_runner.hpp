// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A group of services that runs: does what its machine says, and tells the machine what came of it.
///
/// Knows:         the machine, the processes of the services, what readers see of them.
/// Does not know: when a service is restarted or stopped: the machine does.
/// Thread-safety: what is asked and read, from any thread; all else on the loop. A launch takes its time, and happens
///                on the internal thread of the manager, or, if it runs checks of the program, on one for callbacks.
/// Errors:        the outcome of a launch is one of the service.

#include <warden/detail/engine/engine.hpp>
#include <warden/detail/supervision/notify_listener.hpp>
#include <warden/detail/supervision/probe_run.hpp>
#include <warden/detail/supervision/service_machine.hpp>
#include <warden/supervision/service.hpp>
#include <warden/supervision/service_status.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace warden::detail {

/// Whether it is ready only once something says so.
[[nodiscard]] inline bool shows_readiness(const Service& service) {
    if (service.readiness) return true;
    const auto& rules = service.options.alerts;
    return std::any_of(rules.begin(), rules.end(), [](const auto& rule) { return rule.action == AlertAction::ready; });
}

class GroupRunner final : public std::enable_shared_from_this<GroupRunner> {
public:
    /// The services have no mistakes. `id` tells the events of one group from those of another.
    GroupRunner(std::shared_ptr<Engine> engine, std::vector<Service> services, const Uuid& id);

    // -- from any thread; what they ask for has begun when they return
    void start();
    void stop(const std::string& reason);
    void stop(std::size_t service, const std::string& reason);
    void restart(std::size_t service, const std::string& reason);
    /// From now on nothing is reported any more, and nobody is started.
    void close();

    // -- from any thread
    /// Waits until every service is ready or over; false if `deadline` came first.
    [[nodiscard]] bool wait_settled(SteadyTime deadline) const { return wait_until(deadline, is_settled_); }
    /// Waits until every service is over; false if `deadline` came first.
    [[nodiscard]] bool wait_over(SteadyTime deadline) const { return wait_until(deadline, is_over_); }
    /// Waits until that service is over, or without one every service. From a callback for the output of a process that
    /// is being stopped, not until the rest of its output was consumed.
    void wait_stopped(std::optional<std::size_t> service) const;
    [[nodiscard]] std::vector<ServiceStatus> status() const;
    /// What a service is waiting for that is not ready; empty if nobody knows.
    [[nodiscard]] std::string waits_for(std::size_t service);
    /// What the last stop of each process did.
    [[nodiscard]] std::vector<GroupStopReport::Entry> stop_reports() const;
    [[nodiscard]] const std::vector<Service>& services() const noexcept { return services_; }

private:
    struct Slot {
        std::shared_ptr<ProcessRecord> record;  // the newest
        std::shared_ptr<NotifySource> notify;   // of the newest, if a probe needs it
        std::shared_ptr<ProbeRun> probe;        // for readiness, then for liveness
        ServiceStatus status;
        SteadyTime phase_began{};
        StopReport stop_report;
        std::size_t stops = 0;  // whose reports are to come
        bool had_process = false;
    };
    /// What came of a launch.
    struct Launched {
        std::shared_ptr<ProcessRecord> record{};  // null if there is no process
        std::shared_ptr<NotifySource> notify{};
        LaunchFailure failure = LaunchFailure::may_pass;
        std::string why{};
    };
    using Lock = std::lock_guard<std::mutex>;

    [[nodiscard]] Scheduler& loop() const noexcept { return engine_->services->loop; }
    [[nodiscard]] bool wait_until(SteadyTime deadline, const bool& holds) const;
    [[nodiscard]] static std::vector<ServiceMachine::Traits> traits_of(const std::vector<Service>& services);
    [[nodiscard]] double random() { return static_cast<double>(random_()) / 4294967296.0; }

    // on the loop
    void follow();
    void act(const ServiceAction& action);
    void change_phase(const ServiceAction& action);
    void launch(std::size_t service, std::uint64_t run);
    void launched(std::size_t service, std::uint64_t run, const Launched& made);
    void begin_probe(std::size_t service, std::uint64_t run, const Probe& probe, ProbeUse use);
    void end_probe(Slot& slot);
    void probe_ended(std::size_t service, std::uint64_t run, ProbeUse use, const ProbeOutcome& outcome);
    void launch_ended(std::size_t service, std::uint64_t run, const Launched& made);
    [[nodiscard]] Launched spawn(const Service& service) const;
    void note_restart(Slot& slot, const Uuid& former) const;
    void became_ready(std::size_t service, std::uint64_t run);
    void ended(std::size_t service, std::uint64_t run);
    void tree_emptied(std::size_t service, std::uint64_t run);
    void stop_process(const ServiceAction& action);
    void stop_ended(std::size_t service, std::uint64_t run, const StopReport& report);
    void give_up(const ServiceAction& action);
    void arm_timer();
    [[nodiscard]] Event event(EventKind kind, const Slot& slot) const;

    const std::shared_ptr<Engine> engine_;
    const std::vector<Service> services_;
    const std::string id_;
    ServiceMachine machine_;
    Timer timer_;
    std::mt19937 random_;
    bool is_following_ = false;
    bool is_closed_ = false;

    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::vector<Slot> slots_;  // changed on the loop, under the mutex
    bool is_settled_ = false;
    bool is_over_ = true;
};

// -- implementation ----------------------------------------------------------

inline GroupRunner::GroupRunner(std::shared_ptr<Engine> engine, std::vector<Service> services, const Uuid& id)
    : engine_(std::move(engine)),
      services_(std::move(services)),
      id_(to_string(id)),
      machine_(ServiceGraph(services_), traits_of(services_)),
      timer_(engine_->services->loop),
      random_(static_cast<std::mt19937::result_type>(std::hash<std::string>{}(id_))),
      slots_(services_.size()) {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        slots_[i].status.name = services_[i].name;
        slots_[i].status.phases.push_back({ServicePhase::idle, std::chrono::system_clock::now(), {}, {}});
        slots_[i].phase_began = loop().now();
    }
}

inline std::vector<ServiceMachine::Traits> GroupRunner::traits_of(const std::vector<Service>& services) {
    std::vector<ServiceMachine::Traits> all;
    all.reserve(services.size());
    for (const Service& service : services)
        all.push_back({service.name, service.restart, service.on_failure, shows_readiness(service)});
    return all;
}

// -- asked for

inline void GroupRunner::start() {
    loop().call([this] {
        machine_.start(loop().now());
        follow();
    });
}

inline void GroupRunner::stop(const std::string& reason) {
    loop().call([&] {
        machine_.stop_all(loop().now(), reason);
        follow();
    });
}

inline void GroupRunner::stop(std::size_t service, const std::string& reason) {
    loop().call([&] {
        machine_.stop(service, loop().now(), reason);
        follow();
    });
}

inline void GroupRunner::restart(std::size_t service, const std::string& reason) {
    loop().call([&] {
        machine_.restart(service, loop().now(), reason);
        follow();
    });
}

inline void GroupRunner::close() {
    loop().call([this] {
        is_closed_ = true;
        timer_.cancel();
        for (Slot& slot : slots_) {
            end_probe(slot);
            if (slot.record) engine_->table.remove(slot.record->uuid);  // nobody finds it any more
        }
    });
}

// -- read

inline bool GroupRunner::wait_until(SteadyTime deadline, const bool& holds) const {
    std::unique_lock lock(mutex_);
    while (!holds) {
        if (deadline == SteadyTime::max()) changed_.wait(lock);  // libraries overflow when they convert it
        else if (changed_.wait_until(lock, deadline) == std::cv_status::timeout) return holds;
    }
    return true;
}

/// A process whose launch was under way when its stop was asked for comes later.
inline void GroupRunner::wait_stopped(std::optional<std::size_t> service) const {
    std::vector<std::shared_ptr<ProcessRecord>> held;  // longer than the guard, which knows parts of them
    ReentrantWaitGuard waiting;
    std::unique_lock lock(mutex_);
    for (;;) {
        bool are_reported = true;  // the stops
        for (const Slot& slot : slots_) {
            are_reported = are_reported && slot.stops == 0;
            if (!slot.record || std::find(held.begin(), held.end(), slot.record) != held.end()) continue;
            held.push_back(slot.record);
            waiting.add(slot.record->output.router->queues());
        }
        if (are_reported && (service ? is_over(slots_[*service].status.phase) : is_over_)) return;
        changed_.wait(lock);
    }
}

inline std::vector<ServiceStatus> GroupRunner::status() const {
    std::vector<ServiceStatus> all;
    const SteadyTime now = loop().now();
    const Lock lock(mutex_);
    for (const Slot& slot : slots_) {
        all.push_back(slot.status);
        all.back().phases.back().duration = now - slot.phase_began;
    }
    return all;
}

inline std::string GroupRunner::waits_for(std::size_t service) {
    return loop().call([&] {
        if (machine_.phase(service) == ServicePhase::waiting) return machine_.waits_for(service);
        const auto& probe = slots_[service].probe;
        return machine_.phase(service) == ServicePhase::running && probe ? probe->progress() : std::string();
    });
}

inline std::vector<GroupStopReport::Entry> GroupRunner::stop_reports() const {
    std::vector<GroupStopReport::Entry> all;
    const Lock lock(mutex_);
    for (const Slot& slot : slots_) {
        if (slot.had_process) all.push_back({slot.status.name, slot.stop_report});
    }
    return all;
}

}  // namespace warden::detail

#include <warden/detail/supervision/group_actions.hpp>
