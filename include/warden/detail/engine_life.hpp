// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of the engine that sets up, stops and cleans up.
///
/// Knows:         what has to be there before the first start, and what has to be gone after the last stop.
/// Thread-safety: see engine.hpp, which includes this.

#include <warden/detail/engine.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <csignal>
#include <latch>

namespace warden::detail {

/// By the XDG base directory rules: `$XDG_STATE_HOME/warden`, else `~/.local/state/warden`.
[[nodiscard]] inline std::filesystem::path default_data_directory() {
    if (const char* state = environment_variable("XDG_STATE_HOME"); state && *state == '/') {
        return std::filesystem::path(state) / "warden";
    }
    if (const char* home = environment_variable("HOME"); home && *home == '/') {
        return std::filesystem::path(home) / ".local/state/warden";
    }
    return std::filesystem::path("/tmp") / ("warden-" + std::to_string(::geteuid()));
}

inline Engine::Engine(ManagerConfig config)
    : services(std::make_shared<Services>(std::move(config), new_uuid())),
      instance_name_("warden-" + to_string(services->instance_id)),
      sweep_timer_(services->loop.context()),
      health_timer_(services->loop.context()) {
    const ManagerConfig& settings = services->config;
    data_directory_ = settings.data_directory.empty() ? default_data_directory() : settings.data_directory;
    log_directory_ = settings.log_directory.empty() ? data_directory_ / "logs" : settings.log_directory;
}

inline void Engine::set_up() {
    open_event_log();
    choose_containment();
    start_guardian();
    handle_signals();
    Event started;
    started.kind = EventKind::configuration;
    started.pid = services->owner;
    const ManagerConfig& settings = services->config;
    const auto seconds = [](Nanoseconds t) { return std::chrono::duration<double>(t).count(); };
    started.attributes = {{"warden.max_processes", static_cast<std::int64_t>(settings.max_processes)},
                          {"warden.default_timeout_s",
                           settings.default_timeout.is_never() ? -1.0 : seconds(settings.default_timeout.length())},
                          {"warden.graceful_timeout_s", seconds(settings.graceful_timeout)},
                          {"warden.data_directory", data_directory_.string()},
                          {"warden.log_directory", log_directory_.string()},
                          {"warden.mechanism", std::string(to_string(containment_.mechanism))},
                          {"warden.why_not_stronger", containment_.why_not_stronger},
                          {"warden.handle_signals", settings.handle_signals}};
    for (const auto& [name, source] : settings.sources)
        started.attributes.emplace_back("warden.source." + name, source);
    if (set_up_error_) started.message = set_up_error_->message;
    services->emit(std::move(started));
    services->loop.post([this] { tick_health(); });
}

inline void Engine::open_event_log() {
    EventLogOptions options = services->config.event_log;
    if (!options.enabled) return;
    if (options.path.empty()) options.path = data_directory_ / "events" / (to_string(services->instance_id) + ".jsonl");
    error_code ec;
    EventLog log = EventLog::open(options, services->config.redact_arguments, ec);
    if (ec) {
        set_up_error_ = {ec, "the event log '" + options.path.string() +
                                 "' cannot be opened; set WARDEN_DATA_DIRECTORY to a directory of your own"};
        return;
    }
    services->loop.call([&] { services->use_event_log(std::move(log)); });
}

inline constexpr std::string_view keeper_needs = "a keeper needs /proc with the children of threads in it";

inline void Engine::choose_containment() {
    const Mechanism wanted = services->config.mechanism;
    std::string why;
    if (wanted == Mechanism::automatic || wanted == Mechanism::cgroup) home_ = CgroupHome::make(instance_name_, why);
    if (home_) {
        containment_ = {Mechanism::cgroup, true, true, true, {}};
        return;
    }
    const bool has_children = ::access("/proc/thread-self/children", R_OK) == 0;
    if (wanted == Mechanism::keeper || (wanted == Mechanism::automatic && has_children)) {
        containment_ = with_keeper(wanted == Mechanism::keeper ? "the configuration asks for a keeper" : why);
        if (!has_children) set_up_error_ = {errc::containment_unavailable, std::string(keeper_needs)};
        return;
    }
    if (wanted == Mechanism::process_group || wanted == Mechanism::automatic) {
        why = wanted == Mechanism::automatic ? why + "; " + std::string(keeper_needs)
                                             : "the configuration asks for the process group";
        containment_ = {Mechanism::process_group, false, false, false, why};
        return;
    }
    if (why.empty()) why = "there is no '" + std::string(to_string(wanted)) + "' on this system";
    containment_.why_not_stronger = why;
    set_up_error_ = {errc::containment_unavailable, why};
}

inline ContainmentReport Engine::with_keeper(std::string why_no_group) {
    return {Mechanism::keeper, true, true, ::geteuid() == 0, std::move(why_no_group)};
}

inline void Engine::start_guardian() {
    if (set_up_error_ || containment_.mechanism == Mechanism::process_group) return;
    GuardianDuty duty;
    duty.group_name = instance_name_;
    if (home_) duty.group = home_->directory();
    else duty.spare_keepers = services->config.spare_keepers;
    guardian_ = std::make_shared<Guardian>(services->loop.context(), duty);
    error_code ec;
    guardian_->start(
        [this, services = services.get()](const error_code& failed) {
            unguarded_ = static_cast<bool>(failed);
            Event lost;
            lost.kind = EventKind::guardian_lost;
            lost.severity = failed ? Severity::critical : Severity::error;
            lost.message = failed ? "the guardian was lost and cannot be replaced: " + failed.message()
                                  : "the guardian was lost; another one is in place";
            services->emit(std::move(lost));
        },
        ec);
    if (ec) set_up_error_ = {ec, "the guardian process cannot be started"};
    containment_.covers_host_crash = !ec;
}

inline void Engine::handle_signals() {
    if (!services->config.handle_signals || set_up_error_) return;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        set_up_error_ = {system_code(errno), "no pipe for the signal handlers"};
        return;
    }
    signal_read_ = std::make_unique<boost::asio::posix::stream_descriptor>(services->loop.context(), ends[0]);
    signal_write_.reset(ends[1]);
    if (!ShutdownHooks::instance().add(signal_write_.get())) {
        set_up_error_ = {errc::invalid_configuration,
                         "more managers handle signals than there is room for; set handle_signals = false"};
        return;
    }
    listen_for_signals();
}

inline void Engine::listen_for_signals() {
    signal_read_->async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const error_code& ec) {
        if (ec) return;
        unsigned char number = 0;
        while (::read(signal_read_->native_handle(), &number, 1) == 1) on_signal(number);
        listen_for_signals();
    });
}

/// On the loop: starts to stop everything; a second signal meanwhile takes the graces away.
inline void Engine::on_signal(int signal) {
    const bool hurry = cleaning_up_.exchange(true);
    Event event;
    event.kind = EventKind::cleanup;
    event.severity = Severity::warning;
    event.message = "signal " + std::to_string(signal) +
                    (hurry ? " came again: everything is killed" : " came: everything is stopped");
    services->emit(std::move(event));
    const Records records = table.alive();
    auto left = std::make_shared<std::atomic<std::size_t>>(records.size() + 1);
    const auto one_less = [this, left, signal](const StopReport&) {
        if (left->fetch_sub(1) != 1) return;
        ShutdownHooks::instance().finished(signal);
        cleaning_up_ = false;
        cleaning_up_.notify_all();
    };
    for (const auto& record : records) {
        record->stop(hurry ? StopPlan::now() : cleanup_plan(*record), StopReason::host_shutdown, one_less);
    }
    services->loop.post([one_less] { one_less({}); });
}

inline StopPlan Engine::cleanup_plan(const ProcessRecord& record) const {
    return within_budget(record.stop_plan, services->config.graceful_timeout);
}

inline std::vector<StopReport> Engine::stop(const Records& records,
                                            const std::function<StopPlan(const ProcessRecord&)>& plan,
                                            StopReason reason) {
    std::vector<StopReport> reports(records.size());
    std::latch left(static_cast<std::ptrdiff_t>(records.size()));
    for (std::size_t i = 0; i < records.size(); ++i) {
        records[i]->stop(plan(*records[i]), reason, [&, i](const StopReport& report) {
            reports[i] = report;
            left.count_down();
        });
    }
    left.wait();
    return reports;
}

inline std::map<Uuid, StopReport> Engine::clean_up() {
    const Records records = table.alive();
    const auto reports = stop(
        records, [this](const ProcessRecord& record) { return cleanup_plan(record); }, StopReason::host_shutdown);
    std::map<Uuid, StopReport> result;
    for (std::size_t i = 0; i < records.size(); ++i) {
        Event done = records[i]->event(reports[i].clean() ? EventKind::cleanup : EventKind::cleanup_failed);
        done.duration = reports[i].duration;
        if (reports[i].steps.empty()) done.message = "it was gone already";
        services->emit(std::move(done));
        if (reports[i].clean()) services->metrics.cleaned_up();
        result.emplace(records[i]->uuid, reports[i]);
    }
    return result;
}

/// On the loop: reaps processes of our own groups that fell to this program when their parents ended, because it is a
/// subreaper or the first process of its namespace. Somebody else's are never touched, nor are leaders, which are
/// awaited elsewhere. One may still be on its way: looks again a few times.
inline void Engine::sweep_adopted(int looks) {
    const Records records = table.alive();
    for (const Pid child : procfs::children(services->owner)) {
        const bool is_leader =
            std::any_of(records.begin(), records.end(), [&](const auto& r) { return r->pid == child; });
        if (is_leader || !home_ || !home_->holds(child)) continue;
        siginfo_t info{};
        raw(SYS_waitid, P_PID, child, &info, WEXITED | WNOHANG | __WALL, nullptr);
    }
    if (looks == 0) return;
    sweep_timer_.expires_after(std::chrono::milliseconds(20));
    sweep_timer_.async_wait([this, looks](const error_code& ec) {
        if (!ec) sweep_adopted(looks - 1);
    });
}

inline void Engine::shut_down() {
    if (!services->is_owner()) return;
    std::call_once(shut_down_once_, [this] {
        cleaning_up_.wait(
            true);  // a signal is being obeyed: its usual effect, if it has one, ends the program meanwhile
        table.close();
        clean_up();
        prune_logs();
        if (signal_write_) ShutdownHooks::instance().remove(signal_write_.get());
        if (guardian_) guardian_->stop(deadline_after(SteadyTime::clock::now(), std::chrono::seconds(5)));
        services->loop.call([this] {
            signal_read_.reset();
            sweep_timer_.cancel();
            health_timer_.cancel();
            for (const auto& record : table.alive()) record->abandon();
            if (guardian_) guardian_->close();
        });
        home_.reset();
        const auto finish = [kept = services] {
            kept->dispatcher.stop();
            kept->loop.stop();
        };
        // A callback of the program may be what ends the manager; it cannot wait for itself.
        if (services->dispatcher.is_dispatcher_thread()) std::thread(finish).detach();
        else finish();
    });
}

}  // namespace warden::detail
