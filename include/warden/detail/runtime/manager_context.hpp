// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the parts of one manager share and tests replace: the clock, the dispatcher, settings, figures, events.
///
/// Does not know: whether the scheduler is a thread, and who gets the events.
/// Thread-safety: safe, except `config`, which never changes.

#include <warden/detail/runtime/dispatcher.hpp>
#include <warden/detail/runtime/scheduler.hpp>
#include <warden/detail/system/host_system.hpp>
#include <warden/manager_config.hpp>
#include <warden/telemetry/event.hpp>
#include <warden/telemetry/metrics.hpp>

#include <utility>

namespace warden::detail {

class ManagerContext {
public:
    ManagerContext(const ManagerContext&) = delete;
    ManagerContext& operator=(const ManagerContext&) = delete;

    const ManagerConfig config;
    const Pid owner = current_pid();
    Metrics metrics;
    Dispatcher dispatcher{metrics};
    Scheduler& scheduler;

    /// To the event log and to all subscribers, in the order of the calls from one thread. Never waits.
    /// An event without a time gets that of the call.
    virtual void emit(Event event) = 0;
    /// Two at once: the loop is woken once.
    virtual void emit(Event first, Event second) = 0;

protected:
    ManagerContext(ManagerConfig settings, Scheduler& loop) : config(std::move(settings)), scheduler(loop) {}
    ~ManagerContext() = default;
};

}  // namespace warden::detail
