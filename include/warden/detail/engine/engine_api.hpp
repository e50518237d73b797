// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the templates of the handle and of the manager ask of the engine, without its code: a unit that only uses
/// warden need not compile it.
///
/// Does not know: the engine.
/// Thread-safety: safe.

#include <warden/command_line.hpp>
#include <warden/detail/output/line_capture.hpp>
#include <warden/detail/runtime/callback_executor.hpp>
#include <warden/error.hpp>
#include <warden/exit_status.hpp>
#include <warden/process_info.hpp>
#include <warden/spawn_options.hpp>
#include <warden/stop_plan.hpp>
#include <warden/timeout.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

namespace warden::detail {

class Engine;
class ProcessRecord;

/// The threads of the manager, for handlers that have no executor of their own.
[[nodiscard]] CallbackExecutor callback_executor(Engine& engine);
/// Counts what a handler threw on one of them.
void note_callback_threw(Engine& engine) noexcept;

/// What asynchronous operations of a handle begin. `Done` is called on the loop or at once; what is returned cancels.
template <class... Results>
using Done = std::function<void(const error_code&, Results...)>;
using Cancel = std::function<void()>;
using Record = std::shared_ptr<ProcessRecord>;

[[nodiscard]] Cancel begin_wait(const Record& record, Done<ExitStatus> done);
[[nodiscard]] Cancel begin_wait_ready(const Record& record, Done<> done);
/// Begins to stop the tree, or hurries a stop that is under way.
[[nodiscard]] Cancel begin_stop(const Record& record, StopPlan plan, Done<StopReport> done);
[[nodiscard]] Cancel begin_write(const Record& record, std::string text, Done<> done);
/// The next part, or why there will be none; nothing if somebody has to wait, which `begin_read` does.
[[nodiscard]] std::optional<LineCapture::Answer> read_now(const Record& record, Stream stream, CapturePart part);
[[nodiscard]] Cancel begin_read(const Record& record, Stream stream, CapturePart part, Done<std::string> done);
[[nodiscard]] Cancel begin_communicate(Engine& engine, const Record& record, std::string input, Timeout timeout,
                                       Done<CompletedProcess> done);
[[nodiscard]] Cancel begin_run(const std::shared_ptr<Engine>& engine, CommandLine command, SpawnOptions options,
                               std::string input, Done<CompletedProcess> done);

/// In a forked copy of the program: lets go of what belongs to the original without touching it. Its descriptors,
/// groups and processes are shared with the original, so no destructor may run.
inline void leave_to_owner(std::shared_ptr<void> pointer) noexcept {
    struct Kept {
        std::shared_ptr<void> pointer;
        Kept* next;
    };
    static std::atomic<Kept*> all{nullptr};  // within reach, so that nobody takes it for a leak
    auto* const kept = new (std::nothrow) Kept{std::move(pointer), all.load(std::memory_order_relaxed)};
    while (kept && !all.compare_exchange_weak(kept->next, kept)) {}
}

}  // namespace warden::detail
