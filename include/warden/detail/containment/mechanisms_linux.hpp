// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What can hold trees on Linux, and the choice among it: control group, keeper, process group.
///
/// Knows:         which of them works here, and the guardian that two of them need.
/// Does not know: records of processes; how a process is launched or stopped.
/// Thread-safety: `place` and the reports are safe; the rest is for the set-up and the end.

#include <warden/detail/containment/tree.hpp>
#include <warden/detail/runtime/services.hpp>
#include <warden/detail/runtime/set_up_error.hpp>
#include <warden/detail/system/host_system.hpp>
#include <warden/telemetry/health.hpp>

#if WARDEN_OS_LINUX

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace warden::detail {

class Mechanisms {
public:
    using IsLeader = std::function<bool(Pid)>;

    /// `name` is for what is made outside this program. `is_leader` says on the loop whether that child of this program
    /// is the first process of a tree, whose end is awaited elsewhere.
    Mechanisms(std::shared_ptr<Services> services, IsLeader is_leader, std::string name)
        : services_(std::move(services)),
          is_leader_(std::move(is_leader)),
          name_(std::move(name)),
          sweep_timer_(services_->loop) {}

    /// Chooses by the configuration, and starts the guardian where there is one.
    [[nodiscard]] std::optional<SetUpError> set_up();

    /// What is in force, and what it promises now.
    [[nodiscard]] ContainmentReport report() const {
        ContainmentReport report = report_;
        if (unguarded_) report.covers_host_crash = false;
        report.covers_other_users = report.covers_other_users && reaches_other_users();
        return report;
    }

    /// Makes `tree` ready for the launch of its leader. Returns what holds it, and what that promises. On error the
    /// tree stays empty, and `advice` says more.
    [[nodiscard]] ContainmentReport place(Tree& tree, const ContainmentDemand& demand, std::string& advice,
                                          error_code& ec);

    [[nodiscard]] HealthFinding guardian_health() const;
    [[nodiscard]] Pid guardian_pid() const { return guardian_ ? guardian_->pid() : 0; }

    /// On the loop: a tree is gone; what fell from it to this program is reaped.
    void tree_gone() {
        if (home_ && is_subreaper()) sweep_adopted(10);
    }

    /// Every tree is gone: ends the guardian. Not on the loop.
    void stop(SteadyTime deadline) {
        for (const auto& guardian : guardians()) guardian->stop(deadline);
    }
    /// On the loop, after `stop`.
    void close() {
        sweep_timer_.cancel();
        for (const auto& guardian : guardians()) guardian->close();
        home_.reset();
    }

private:
    [[nodiscard]] std::optional<SetUpError> choose();
    [[nodiscard]] static ContainmentReport with_keeper(std::string why_no_group) {
        return {Mechanism::keeper, true, true, is_superuser(), std::move(why_no_group)};
    }
    [[nodiscard]] std::optional<SetUpError> start_guardian();
    [[nodiscard]] std::shared_ptr<Guardian> make_guardian(GuardianDuty duty, error_code& ec);
    void guardian_lost(const GuardianLoss& loss);
    [[nodiscard]] std::vector<std::shared_ptr<Guardian>> guardians() const;
    /// Whether what this program is allowed to do now reaches members of other users.
    [[nodiscard]] bool reaches_other_users() const;
    /// Puts a keeper in `tree` that is confined as the calling thread is.
    void place_with_keeper(Tree& tree, std::string& advice, error_code& ec);
    [[nodiscard]] std::shared_ptr<Guardian> guardian_for(const Confinement& confinement, std::string& advice,
                                                         error_code& ec);
    void sweep_adopted(int looks);

    const std::shared_ptr<Services> services_;
    const IsLeader is_leader_;
    const std::string name_;
    Timer sweep_timer_;
    ContainmentReport report_;
    std::shared_ptr<CgroupHome> home_;
    std::shared_ptr<Guardian> guardian_;
    std::shared_ptr<const InheritedReader> reader_;
    mutable std::mutex mutex_;
    std::vector<std::shared_ptr<Guardian>> others_;  // for threads that are confined in another way than the first was
    std::atomic<bool> unguarded_{false};             // the guardian was lost and there is no other yet
};

// -- implementation ----------------------------------------------------------

inline constexpr std::string_view keeper_needs = "a keeper needs /proc with the children of threads in it";

inline std::optional<SetUpError> Mechanisms::set_up() {
    if (auto error = choose()) return error;
    return report_.mechanism == Mechanism::process_group ? std::nullopt : start_guardian();
}

inline std::optional<SetUpError> Mechanisms::choose() {
    const Mechanism wanted = services_->config.mechanism;
    std::string why;
    if (wanted == Mechanism::automatic || wanted == Mechanism::cgroup) home_ = CgroupHome::make(name_, why);
    if (home_) {
        report_ = {Mechanism::cgroup, true, true, true, {}};
        return std::nullopt;
    }
    const bool has_children = ::access("/proc/thread-self/children", R_OK) == 0;
    if (wanted == Mechanism::keeper || (wanted == Mechanism::automatic && has_children)) {
        report_ = with_keeper(wanted == Mechanism::keeper ? "the configuration asks for a keeper" : why);
        if (has_children) return std::nullopt;
        return SetUpError{errc::containment_unavailable, std::string(keeper_needs)};
    }
    if (wanted == Mechanism::process_group || wanted == Mechanism::automatic) {
        why = wanted == Mechanism::automatic ? why + "; " + std::string(keeper_needs)
                                             : "the configuration asks for the process group";
        report_ = {Mechanism::process_group, false, false, false, why};
        return std::nullopt;
    }
    if (why.empty()) why = "there is no '" + std::string(to_string(wanted)) + "' on this system";
    report_.why_not_stronger = why;
    return SetUpError{errc::containment_unavailable, why};
}

inline std::optional<SetUpError> Mechanisms::start_guardian() {
    reader_ = std::make_shared<const InheritedReader>();
    static_cast<void>(shares_memory_with_child());  // helpers know then, for they are copies of this program
    GuardianDuty duty;
    duty.reader = reader_;
    if (home_) {
        duty.group = home_->directory();
        duty.group_name = home_->name();
        duty.leaders = home_->leaders().file();
    } else {
        duty.spare_keepers = services_->config.spare_keepers;
    }
    error_code ec;
    guardian_ = make_guardian(std::move(duty), ec);
    report_.covers_host_crash = !ec;
    if (!ec) return std::nullopt;
    return SetUpError{ec, "the guardian process cannot be started"};
}

inline std::shared_ptr<Guardian> Mechanisms::make_guardian(GuardianDuty duty, error_code& ec) {
    auto guardian = std::make_shared<Guardian>(services_->loop, std::move(duty));
    guardian->start([this](const GuardianLoss& loss) { guardian_lost(loss); },
                    [services = services_.get()](Pid keeper) {
                        Event lost;
                        lost.kind = EventKind::guardian_lost;
                        lost.severity = Severity::error;
                        lost.message =
                            "the keeper " + std::to_string(keeper) + " was killed; the guardian ends its tree";
                        services->emit(std::move(lost));
                    },
                    ec);
    return guardian;
}

inline void Mechanisms::guardian_lost(const GuardianLoss& loss) {
    unguarded_ = !loss.is_replaced;
    if (!loss.is_news) return;
    Event lost;
    lost.kind = EventKind::guardian_lost;
    lost.severity = loss.is_replaced ? Severity::error : Severity::critical;
    lost.message = loss.is_replaced ? "the guardian was lost; another one is in place"
                   : loss.failed    ? "the guardian was lost and cannot be replaced: " + loss.failed.message()
                                    : "the guardian was lost " + std::to_string(loss.in_a_row) + " times in a row";
    if (!loss.is_replaced) lost.message += "; another one is made in " + std::to_string(loss.pause.count()) + " ms";
    if (loss.pause == ReplacementPace::longest_pause) lost.message += ", and so on, without further events";
    services_->emit(std::move(lost));
}

inline std::vector<std::shared_ptr<Guardian>> Mechanisms::guardians() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Guardian>> all = others_;
    if (guardian_) all.insert(all.begin(), guardian_);
    return all;
}

inline bool Mechanisms::reaches_other_users() const {
    if (report_.mechanism != Mechanism::cgroup) return is_superuser();
    return home_ && ::faccessat(home_->directory(), "cgroup.procs", W_OK, AT_EACCESS) == 0;
}

inline std::shared_ptr<Guardian> Mechanisms::guardian_for(const Confinement& confinement, std::string& advice,
                                                          error_code& ec) {
    constexpr std::size_t max_others = 64;
    ec.clear();
    const auto all = guardians();
    for (const auto& guardian : all) {
        if (guardian->confines(confinement)) return guardian;
    }
    advice =
        "this thread is confined in another way (namespaces, root directory, capabilities, filters, ...) than the "
        "keepers are that there are, and ";
    if (::access("/proc/thread-self/children", R_OK) != 0) {
        advice.append("there can be none like it: ").append(keeper_needs);
        ec = errc::containment_unavailable;
        return nullptr;
    }
    if (all.size() > max_others) {
        advice += "there are too many other ways already: start processes from fewer kinds of threads";
        ec = errc::containment_unavailable;
        return nullptr;
    }
    GuardianDuty duty;
    duty.reader = reader_;
    auto guardian = make_guardian(std::move(duty), ec);  // a fork of this thread
    if (ec) {
        advice += "no guardian for another keeper can be started";
        return nullptr;
    }
    advice.clear();
    const std::lock_guard lock(mutex_);
    return others_.emplace_back(std::move(guardian));
}

inline void Mechanisms::place_with_keeper(Tree& tree, std::string& advice, error_code& ec) {
    const SteadyTime deadline = deadline_after(SteadyTime::clock::now(), std::chrono::seconds(10));
    InheritedAttributes now = reader_->read();
    if (now.unreadable) {
        ec = now.unreadable;
        advice = "what a child of this thread inherits cannot be read";
        return;
    }
    for (;;) {
        auto guardian = guardian_for(now.confinement, advice, ec);
        if (ec) return;
        SpareKeeper keeper = guardian->take_keeper(deadline, ec);
        if (ec) {
            advice = "no keeper is available";
            return;
        }
        if (keeper.inherited->confinement != now.confinement) continue;  // the guardian was replaced meanwhile
        tree = hold<KeeperTree>(services_->loop, std::move(guardian), std::move(keeper), std::move(now));
        return;
    }
}

inline ContainmentReport Mechanisms::place(Tree& tree, const ContainmentDemand& demand, std::string& advice,
                                           error_code& ec) {
    ContainmentReport placed = report();
    if (placed.mechanism == Mechanism::cgroup) {
        ControlGroup group = home_->take_group(ec);
        if (!ec) {
            tree = hold<CgroupTree>(services_->loop, home_, std::move(group));
            return placed;
        }
        advice = "a control group could not be made";
        placed = with_keeper(advice + ": " + ec.message());
        if (services_->config.mechanism != Mechanism::automatic || !meets(placed, demand)) return report();
    }
    ec.clear();
    if (placed.mechanism == Mechanism::process_group) {
        tree = hold<ProcessGroupTree>(services_->loop);
        return placed;
    }
    place_with_keeper(tree, advice, ec);
    if (!ec || services_->config.mechanism != Mechanism::automatic) return placed;
    const ContainmentReport weaker = {Mechanism::process_group, false, false, false, advice};
    if (ec != errc::containment_unavailable || !meets(weaker, demand)) return placed;
    ec.clear();
    tree = hold<ProcessGroupTree>(services_->loop);
    return weaker;
}

inline HealthFinding Mechanisms::guardian_health() const {
    const ContainmentReport promises = report();
    if (promises.mechanism == Mechanism::process_group)
        return {"guardian", HealthStatus::ok, "the process group has none: " + promises.why_not_stronger};
    const Pid pid = unguarded_ ? 0 : guardian_pid();
    const std::size_t unsettled = guardian_ ? guardian_->unsettled() : 0;
    const std::size_t stopped = resume_stopped_helpers(pid);
    if (pid != 0 && unsettled + stopped > 0) {
        return {"guardian", HealthStatus::degraded,
                "trees whose keepers were killed, and that may live: " + std::to_string(unsettled) +
                    "; helpers that somebody had stopped, resumed now: " + std::to_string(stopped)};
    }
    const unsigned losses = guardian_ ? guardian_->frequent_losses() : 0;
    const std::string lost =
        losses > 0 ? "; it was lost " + std::to_string(losses) + " times in a row: find out who ends it" : "";
    if (pid == 0)
        return {"guardian", HealthStatus::failing, "there is none; another one is made within a second" + lost};
    return {"guardian", losses > 0 ? HealthStatus::degraded : HealthStatus::ok, "pid " + std::to_string(pid) + lost};
}

/// Reaps processes of our own groups that fell to this program when their parents ended, because it is a subreaper or
/// the first process of its namespace. Somebody else's are never touched, nor are leaders, which are awaited
/// elsewhere. One may still be on its way: looks again a few times.
inline void Mechanisms::sweep_adopted(int looks) {
    error_code unlisted;  // the next look may see them
    for (const Pid child : procfs::children(services_->owner, unlisted)) {
        if (is_leader_(child) || !home_ || !home_->holds(child)) continue;
        siginfo_t info{};
        raw(SYS_waitid, P_PID, child, &info, WEXITED | WNOHANG | __WALL, nullptr);
    }
    if (looks == 0) return;
    sweep_timer_.arm(services_->loop.now() + std::chrono::milliseconds(20),
                     [this, looks] { sweep_adopted(looks - 1); });
}

}  // namespace warden::detail
#endif
