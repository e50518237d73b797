// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the templates of the handle and of the manager ask of the engine, without its code: a unit that only uses
/// warden need not compile it.
///
/// Does not know: the engine.
/// Thread-safety: safe.

#include <warden/exit_status.hpp>
#include <warden/process_info.hpp>
#include <warden/stop_plan.hpp>

#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <utility>

namespace warden::detail {

class Engine;
class ProcessRecord;

/// The threads of the manager, for handlers that have no executor of their own.
using CallbackExecutor = boost::asio::thread_pool::executor_type;
[[nodiscard]] CallbackExecutor callback_executor(Engine& engine);

/// Calls `then` on the loop once the process has ended, at once if it has. The number takes it back.
[[nodiscard]] std::uint64_t when_ended(const std::shared_ptr<ProcessRecord>& record,
                                       std::function<void(const ExitStatus&)> then);
void forget_end(ProcessRecord& record, std::uint64_t id);

/// Begins to stop the tree, or hurries a stop that is under way; `done` is called on the loop.
void begin_stop(const std::shared_ptr<ProcessRecord>& record, StopPlan plan,
                std::function<void(const StopReport&)> done);

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
