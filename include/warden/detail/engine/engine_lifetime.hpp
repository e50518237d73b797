// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of the engine that sets up, stops and cleans up.
///
/// Knows:         what has to be there before the first start, and what has to be gone after the last stop.
/// Thread-safety: see engine.hpp, which includes this.

#include <warden/detail/engine/engine.hpp>
#include <warden/detail/logs/default_directories.hpp>
#include <warden/detail/system/thread_cancellation.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <condition_variable>
#include <mutex>

namespace warden::detail {

inline Engine::Engine(ManagerConfig config)
    : services(std::make_shared<Services>(std::move(config), new_uuid())),
      mechanisms_(
          services, [this](Pid pid) { return table.has_leader(pid); }, "warden-" + to_string(services->instance_id)),
      host_signals_(services->loop) {}

inline void Engine::set_up() {
    open_event_log();
    std::optional<SetUpError> error;
    if (const error_code ec = services->dispatcher.start()) error = {ec, "no threads for callbacks"};
    if (!error) error = mechanisms_.set_up();
    if (!error && services->config.handle_signals)
        error = host_signals_.start([this](int signal) { on_signal(signal); });
    if (error) set_up_error_ = std::move(error);
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
                          {"warden.log_directory", output_.log_directory().string()},
                          {"warden.mechanism", std::string(to_string(containment().mechanism))},
                          {"warden.why_not_stronger", containment().why_not_stronger},
                          {"warden.handle_signals", settings.handle_signals}};
    for (const auto& [name, source] : settings.sources)
        started.attributes.emplace_back("warden.source." + name, source);
    if (set_up_error_) started.message = set_up_error_->message;
    services->emit(std::move(started));
    services->loop.post([this] { health_monitor_.start(); });
}

inline void Engine::open_event_log() {
    EventLogOptions options = services->config.event_log;
    if (!options.enabled) return;
    if (options.path.empty()) options.path = data_directory_ / "events" / (to_string(services->instance_id) + ".jsonl");
    error_code ec;
    const Redaction redaction(services->config.redact_arguments, services->config.redact_secrets);
    EventLog log = EventLog::open(options, redaction, ec);
    if (ec) {
        const std::string why = why_not_trusted(options.path.parent_path());
        set_up_error_ = {ec, "the event log '" + options.path.string() + "' cannot be opened" +
                                 (why.empty() ? "" : ": " + why) +
                                 "; set WARDEN_DATA_DIRECTORY to a directory of your own"};
        return;
    }
    services->loop.call([&] { services->use_event_log(std::move(log)); });
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
        HostSignals::finished(signal);
        const std::lock_guard lock(cleaning_mutex_);
        cleaning_up_ = false;
        cleaned_up_.notify_all();
    };
    for (const auto& record : records) {
        record->stop(hurry ? StopPlan::now() : cleanup_plan(*record), StopReason::host_shutdown, one_less);
    }
    services->loop.post([one_less] { one_less({}); });
}

inline StopPlan Engine::cleanup_plan(const ProcessRecord& record) const {
    return within_budget(record.stop_plan, services->config.graceful_timeout);
}

inline void Engine::tree_emptied(const std::shared_ptr<ProcessRecord>& record) {
    table.tree_empty(record);
    mechanisms_.tree_gone();
}

inline std::vector<StopReport> Engine::stop(const Records& records,
                                            const std::function<StopPlan(const ProcessRecord&)>& plan,
                                            StopReason reason) {
    const CancellationHeldOff held_off;  // the loop uses what is on this stack; the plans bound the wait
    std::vector<StopReport> reports(records.size());
    std::mutex mutex;
    std::condition_variable none_left;
    std::size_t left = records.size();
    ReentrantWaitGuard waiting;
    for (const auto& record : records) waiting.add(record->output.router->queues());
    for (std::size_t i = 0; i < records.size(); ++i) {
        records[i]->stop(plan(*records[i]), reason, [&, i](const StopReport& report) {
            const std::lock_guard lock(mutex);  // until the one who waits has been told: then all of this is gone
            reports[i] = report;
            if (--left == 0) none_left.notify_one();
        });
    }
    std::unique_lock lock(mutex);
    none_left.wait(lock, [&] { return left == 0; });
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

inline void Engine::shut_down() {
    if (!services->is_owner()) return;
    std::call_once(shut_down_once_, [this] {
        {  // a signal is being obeyed: its usual effect, if it has one, ends the program meanwhile
            std::unique_lock lock(cleaning_mutex_);
            cleaned_up_.wait(lock, [this] { return !cleaning_up_; });
        }
        table.close();
        clean_up();
        prune_logs();
        host_signals_.stop();
        mechanisms_.stop(deadline_after(SteadyTime::clock::now(), std::chrono::seconds(5)));
        services->loop.call([this] {
            host_signals_.close();
            health_monitor_.stop();
            for (const auto& record : table.alive()) record->abandon();
            mechanisms_.close();
        });
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
