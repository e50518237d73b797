// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Where the output of one process goes: log files, memory, capture buffers, callbacks, the program's own output.
///
/// Knows:         the destinations of each stream; whoever is slow gets a queue.
/// Does not know: pipes, processes.
/// Thread-safety: written on the loop; `tail` and the counters from any thread; captures once both streams are closed.

#include <warden/detail/consumer_queue.hpp>
#include <warden/output/capture.hpp>
#include <warden/output/line_splitter.hpp>
#include <warden/output/log_sink.hpp>
#include <warden/output/text_window.hpp>
#include <warden/spawn_options.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// The destinations of one stream; what is not wanted is empty.
struct StreamRoute {
    LogSink* log = nullptr;  ///< In the router's `logs`.
    bool log_degraded = false;
    std::optional<Capture> capture;
    std::optional<LineSplitter> lines;
    std::shared_ptr<ConsumerQueue> tee;
};

class OutputRouter {
public:
    std::array<StreamRoute, 2> routes;
    std::vector<std::shared_ptr<LogSink>> logs;  ///< Those of by-name schemes may be shared with other processes.
    bool owns_logs = true;
    std::shared_ptr<ConsumerQueue> line_queue;  ///< Takes lines, each with its stream.
    std::shared_ptr<ConsumerQueue> chunk_queue;
    bool pause_for_slow = false;

    void write(Stream stream, std::string_view bytes);
    /// The stream has ended: an unterminated last line goes out.
    void finish(Stream stream);

    /// Whether reading should pause until a consumer has room.
    [[nodiscard]] bool should_pause() const noexcept;
    void on_room(const std::function<void()>& f);
    /// Called on the loop when a log cannot be written any more, and when it can again. Set it before the first
    /// `write`.
    void on_log_state(std::function<void(const LogSink&)> f) { on_log_state_ = std::move(f); }

    /// The newest lines of both streams together: of the log, if there is one that holds both, else of memory.
    [[nodiscard]] std::vector<std::string> tail(std::size_t count) const;
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t dropped() const;

    void use_limits(const LogLimits& limits) { recent_ = TextWindow(limits); }

private:
    [[nodiscard]] std::array<ConsumerQueue*, 4> queues() const noexcept {
        return {line_queue.get(), chunk_queue.get(), routes[0].tee.get(), routes[1].tee.get()};
    }
    [[nodiscard]] const LogSink* common_log() const noexcept {
        return owns_logs && logs.size() == 1 && routes[0].log == routes[1].log ? logs[0].get() : nullptr;
    }
    void offer_line(Stream stream, const LineView& line);
    void write_log(StreamRoute& route, std::string_view text);

    std::function<void(const LogSink&)> on_log_state_;
    mutable std::mutex mutex_;
    TextWindow recent_;  // unless a log holds both streams
    std::atomic<std::uint64_t> bytes_{0};
    std::atomic<std::uint64_t> capture_dropped_{0};
};

// -- implementation ----------------------------------------------------------

/// A line on its way through a queue: one byte that says whether it is a part, then the text.
inline void OutputRouter::offer_line(Stream stream, const LineView& line) {
    std::string packed(1, line.partial ? '\1' : '\0');
    packed.append(line.text);
    line_queue->offer(stream, packed);
}

inline void OutputRouter::write_log(StreamRoute& route, std::string_view text) {
    route.log->write(text);
    const bool degraded = route.log->stats().degraded;
    if (degraded == route.log_degraded) return;
    for (StreamRoute& other : routes) {  // both streams may go there: one event
        if (other.log == route.log) other.log_degraded = degraded;
    }
    if (on_log_state_) on_log_state_(*route.log);
}

inline void OutputRouter::write(Stream stream, std::string_view text) {
    StreamRoute& route = routes[static_cast<std::size_t>(stream)];
    bytes_.fetch_add(text.size(), std::memory_order_relaxed);
    if (route.log) write_log(route, text);
    if (!common_log()) {
        const std::lock_guard lock(mutex_);
        recent_.append(text);
    }
    if (route.capture) {
        const std::size_t kept = route.capture->append(text);
        capture_dropped_.fetch_add(text.size() - kept, std::memory_order_relaxed);
    }
    if (route.tee) route.tee->offer(stream, text);
    if (chunk_queue) chunk_queue->offer(stream, text);
    if (route.lines) route.lines->feed(text, [&](const LineView& line) { offer_line(stream, line); });
}

inline void OutputRouter::finish(Stream stream) {
    StreamRoute& route = routes[static_cast<std::size_t>(stream)];
    if (route.lines) route.lines->finish([&](const LineView& line) { offer_line(stream, line); });
}

inline bool OutputRouter::should_pause() const noexcept {
    if (!pause_for_slow) return false;
    for (const auto* queue : queues()) {
        if (queue && !queue->has_room()) return true;
    }
    return false;
}

inline void OutputRouter::on_room(const std::function<void()>& f) {
    for (auto* queue : queues()) {
        if (queue) queue->on_room(f);
    }
}

inline std::vector<std::string> OutputRouter::tail(std::size_t count) const {
    if (const LogSink* log = common_log()) return log->tail(count);
    const std::lock_guard lock(mutex_);
    return recent_.tail(count);
}

inline std::uint64_t OutputRouter::dropped() const {
    std::uint64_t sum = capture_dropped_.load(std::memory_order_relaxed);
    for (const auto* queue : queues()) sum += queue ? queue->dropped() : 0;
    for (const auto& log : logs) sum += log->stats().dropped_bytes;
    return sum;
}

}  // namespace warden::detail
