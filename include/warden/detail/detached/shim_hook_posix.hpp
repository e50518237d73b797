// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The command that a shim runs when its process has ended: `SpawnOptions::end_hook`.
///
/// Knows:         what the command finds in its environment, and that it is contained and bounded like any process.
/// Does not know: what is done about a failure.
/// Thread-safety: the thread of the shim only, but for the notification.

#include <warden/detached/record.hpp>
#include <warden/detail/detached/record_files.hpp>
#include <warden/detail/engine/engine.hpp>

#if WARDEN_OS_POSIX
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace warden::detail {

class ShimHook {
public:
    /// Starts it; `notify` is called once when it has ended, from any thread. If it cannot be started it does not run.
    void start(Engine& engine, const EndHook& hook, const SpawnOptions& of, const DetachedRecord& record,
               const RecordFiles& files, std::function<void()> notify);
    [[nodiscard]] bool is_running() const noexcept { return static_cast<bool>(process_); }
    /// Asks it to end, if it runs.
    void stop() const {
        if (process_) process_->stop(StopPlan::prompt(), StopReason::host_shutdown, {});
    }
    /// It has ended: how it failed, or an empty text.
    [[nodiscard]] std::string finish();

private:
    std::shared_ptr<ProcessRecord> process_;
    std::string problem_;
};

// -- implementation ----------------------------------------------------------

inline void ShimHook::start(Engine& engine, const EndHook& hook, const SpawnOptions& of, const DetachedRecord& record,
                            const RecordFiles& files, std::function<void()> notify) try {
    SpawnOptions options;
    options.name = record.name + "-end";
    options.type = "end_hook";
    options.environment = of.environment;
    options.environment.set("WARDEN_RECORD", files.path_of(record.uuid).string())
        .set("WARDEN_UUID", uuid_text(record.uuid))
        .set("WARDEN_NAME", record.name)
        .set("WARDEN_LOG", record.log_path.string())
        .set("WARDEN_EXIT", record.exit->status.to_string());
    options.working_directory = record.working_directory;
    options.log.directory = of.log.directory;
    options.timeout = hook.timeout;
    options.stop_plan = StopPlan::prompt();
    options.metadata = {{"hook_of", uuid_text(record.uuid)}};
    process_ = engine.spawn(hook.command, std::move(options), Output::log, nullptr);
    static_cast<void>(process_->state.when(has_ended, std::move(notify)));
} catch (const std::exception& error) {
    problem_ = error.what();
}

inline std::string ShimHook::finish() {
    if (process_) {
        const ProcessFacts facts = process_->state.facts();
        if (!facts.status->success())
            problem_ = facts.status->to_string() + " (" + std::string(to_string(facts.cause)) + ')';
        process_->stop(StopPlan::now(), StopReason::asked, {});  // what it left running
        process_.reset();
    }
    return std::exchange(problem_, {});
}

}  // namespace warden::detail
#endif
