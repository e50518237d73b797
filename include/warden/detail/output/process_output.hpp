// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The output of one process: the router, the pumps that feed it, a log file that is collected, and their end.
///
/// Knows:         when both pipes are closed, and when the consumers have seen everything.
/// Does not know: why the output ends, or what the consumers do.
/// Thread-safety: on the loop, after `start`; the router as it says.

#include <warden/detail/base/job.hpp>
#include <warden/detail/output/io_pump.hpp>
#include <warden/detail/output/log_collector.hpp>
#include <warden/detail/output/output_router.hpp>
#include <warden/detail/runtime/scheduler.hpp>
#include <warden/detail/system/process_listing.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

class ProcessOutput {
public:
    explicit ProcessOutput(Scheduler& scheduler) : flush_timer_(scheduler) {}

    // -- set by the start
    const std::shared_ptr<OutputRouter> router = std::make_shared<OutputRouter>();
    std::array<std::shared_ptr<OutputPump>, 2> pumps;
    std::shared_ptr<LogCollector> collector;

    /// Begins to read. `closed` is called whenever the last open pipe closes.
    void start(const std::function<void()>& closed);

    [[nodiscard]] bool is_open() const noexcept {
        return (pumps[0] && pumps[0]->is_open()) || (pumps[1] && pumps[1]->is_open());
    }

    /// Whether a pipe could not be read to its end.
    [[nodiscard]] bool has_failed() const noexcept {
        return (pumps[0] && pumps[0]->has_failed()) || (pumps[1] && pumps[1]->has_failed());
    }

    /// Reads on after a pause.
    void resume() {
        for (const auto& pump : pumps) {
            if (pump) pump->resume();
        }
    }

    /// Reads what is there now. Somebody may still write.
    void drain_now();
    /// Reads what is there and lets go: whoever still holds a pipe is not read any more.
    void close();
    /// `close` for the pipes alone.
    void close_pipes() {
        for (const auto& pump : pumps) {
            if (pump) pump->close();
        }
    }

    /// Runs `then` on the loop once the consumers have seen all output, or at `deadline`; at once if there are no
    /// consumers. `owner` holds this object until then.
    void after_consumers(SteadyTime deadline, std::shared_ptr<void> owner, Job then);
    /// Whether `after_consumers` waits.
    [[nodiscard]] bool is_flushing() const noexcept { return static_cast<bool>(after_flush_); }
    /// Nobody waits for the consumers any more.
    void cancel_flush() noexcept {
        const Job dropped = std::move(after_flush_);
        flush_timer_.cancel();
    }

    /// Who of `members` has one of the pipes open for writing; 0 if nobody whose descriptors may be read.
    [[nodiscard]] Pid holder(const std::vector<Pid>& members) const;

    /// Moves what was captured of `stream`. Sets `truncated` if that is not all.
    [[nodiscard]] std::string take_capture(Stream stream, bool& truncated) const {
        StreamRoute& route = router->routes[static_cast<std::size_t>(stream)];
        truncated = truncated || (route.capture && route.is_over);
        auto& capture = route.capture;
        return capture ? capture->take(truncated) : std::string();
    }

private:
    void finish_flush();

    Timer flush_timer_;
    Job after_flush_;
};

// -- implementation ----------------------------------------------------------

inline void ProcessOutput::start(const std::function<void()>& closed) {
    for (const auto& pump : pumps) {
        if (!pump) continue;
        pump->start([this, closed] {
            if (!is_open()) closed();
        });
    }
    if (collector) collector->start();
}

inline void ProcessOutput::drain_now() {
    for (const auto& pump : pumps) {
        if (pump) pump->drain_now();
    }
    if (collector) collector->drain_now();
}

inline void ProcessOutput::close() {
    close_pipes();
    if (collector) collector->finish();
}

inline void ProcessOutput::after_consumers(SteadyTime deadline, std::shared_ptr<void> owner, Job then) {
    auto queues = router->queues();
    ConsumerQueue* const calls = router->alert_calls.get();
    std::replace(queues.begin(), queues.end(), calls, static_cast<ConsumerQueue*>(nullptr));
    const auto count = std::count_if(queues.begin(), queues.end(), [](const auto* queue) { return queue != nullptr; });
    if (count == 0) return then();
    after_flush_ = std::move(then);
    auto left = std::make_shared<std::atomic<std::ptrdiff_t>>(count);
    const std::function<void()> one_less = [this, left, owner, &scheduler = flush_timer_.scheduler()] {
        if (left->fetch_sub(1) == 1) scheduler.post([this, owner] { finish_flush(); });
    };
    flush_timer_.arm(deadline, [this, owner] { finish_flush(); });
    for (auto* queue : queues) {
        if (!queue) continue;
        if (queue != router->alert_queue.get() || !calls) queue->after_all(one_less);
        else queue->after_all([calls, one_less, owner] { calls->after_all(one_less); });  // it fills that queue
    }
}

inline void ProcessOutput::finish_flush() {
    Job next = std::exchange(after_flush_, nullptr);
    if (!next) return;
    flush_timer_.cancel();
    next();
}

inline Pid ProcessOutput::holder(const std::vector<Pid>& members) const {
    for (const auto& pump : pumps) {
        const Pid found = pump && pump->is_open() ? pipe_writer(members, pump->pipe_id()) : 0;
        if (found != 0) return found;
    }
    return 0;
}

}  // namespace warden::detail
