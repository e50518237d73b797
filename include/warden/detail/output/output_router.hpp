// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Where the output of one process goes: log files, memory, capture buffers, callbacks, the program's own output.
///
/// Knows:         the destinations of each stream; whoever is slow gets a queue.
/// Does not know: pipes, processes.
/// Thread-safety: written on the loop; captures, `tail` and the counters from any thread.

#include <warden/callbacks.hpp>
#include <warden/detail/base/job.hpp>
#include <warden/detail/output/consumer_queue.hpp>
#include <warden/detail/output/line_capture.hpp>
#include <warden/detail/output/line_format.hpp>
#include <warden/detail/text/rfc3339.hpp>
#include <warden/logs/log_sink.hpp>
#include <warden/output/line_splitter.hpp>
#include <warden/output/text_window.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
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
    std::optional<LineCapture> capture;
    std::optional<LineSplitter> lines;  ///< For the line callback, and for a log that is not raw.
    std::shared_ptr<ConsumerQueue> tee;
    std::shared_ptr<ConsumerQueue> file;                              ///< Of the user.
    std::uint64_t bound = std::numeric_limits<std::uint64_t>::max();  ///< What comes after so many bytes is dropped.
    std::uint64_t seen = 0;                                           ///< Bytes within the bound.
    std::atomic<bool> is_over = false;                                ///< There were more.
};

class OutputRouter {
public:
    std::array<StreamRoute, 2> routes;
    std::vector<std::shared_ptr<LogSink>> logs;  ///< Those of by-name schemes may be shared with other processes.
    bool owns_logs = true;
    LogFormat log_format = LogFormat::raw;
    std::shared_ptr<ConsumerQueue> line_queue;  ///< Takes lines, each with its stream.
    std::shared_ptr<ConsumerQueue> chunk_queue;
    std::shared_ptr<ConsumerQueue> alert_queue;  ///< Takes lines as text, each with a newline.
    std::shared_ptr<ConsumerQueue> alert_calls;  ///< Takes what `alert_queue` found, for callbacks of rules.
    bool pause_for_slow = false;

    void write(Stream stream, std::string_view bytes);
    /// The stream has ended: an unterminated last line goes out.
    void finish(Stream stream);

    /// Whole lines of a file that the process writes itself; `lost` bytes are missing before or between them.
    void collect(std::string_view lines, std::uint64_t lost);

    /// Whether reading a stream should pause until a consumer has room.
    [[nodiscard]] bool should_pause(Stream stream);
    void on_room(const std::function<void()>& f);
    /// Called on the loop when a log cannot be written any more, and when it can again. Set it before the first
    /// `write`.
    void on_log_state(UniqueFunction<void(const LogSink&)> f) { on_log_state_ = std::move(f); }

    /// Called on the loop when a stream is over its bound, with that. Set it before the first `write`.
    void on_limit(UniqueFunction<void(Stream, std::uint64_t)> f) { on_limit_ = std::move(f); }

    /// On the loop: `f` gets what a stream writes from now on. A number to take that back with, not from within `f`.
    [[nodiscard]] std::uint64_t observe(UniqueFunction<void(Stream, std::string_view)> f);
    void end_observation(std::uint64_t id);

    /// The newest lines of both streams together: of the log, if there is one that holds both, else of memory.
    [[nodiscard]] std::vector<std::string> tail(std::size_t count) const;
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
    /// Given to log files.
    [[nodiscard]] std::uint64_t logged() const noexcept { return logged_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t dropped() const;

    /// All that may be slow; null where there is none.
    [[nodiscard]] OutputQueues queues() const noexcept {
        return {line_queue.get(),    chunk_queue.get(),   alert_queue.get(),    alert_calls.get(),
                routes[0].tee.get(), routes[1].tee.get(), routes[0].file.get(), routes[1].file.get()};
    }

    void use_limits(const LogLimits& limits) { recent_ = TextWindow(limits); }

private:
    [[nodiscard]] const LogSink* common_log() const noexcept {
        const bool holds_both = logs.size() == 1 && routes[0].log == routes[1].log;
        return owns_logs && log_format == LogFormat::raw && holds_both ? logs[0].get() : nullptr;
    }
    /// Calls `split` with a callback for lines; what came goes to the log, unless that is raw, in one piece, and each
    /// line to `also`.
    template <class Split, class Also>
    void log_lines(StreamRoute& route, std::string_view source, Split split, Also also);
    /// The same; the line callback and the alert rules get them too, each in one piece.
    template <class Split>
    void route_lines(Stream stream, std::size_t expected_bytes, Split split);
    [[nodiscard]] std::string_view within_bound(Stream stream, std::string_view text);
    void write_log(StreamRoute& route, std::string_view text);
    void remember(std::string_view text);

    struct Observer {
        std::uint64_t id;
        UniqueFunction<void(Stream, std::string_view)> call;
    };
    UniqueFunction<void(const LogSink&)> on_log_state_;
    std::vector<std::unique_ptr<Observer>> observers_;
    std::uint64_t next_observer_ = 1;
    UniqueFunction<void(Stream, std::uint64_t)> on_limit_;
    std::string formatted_;
    mutable std::mutex mutex_;
    TextWindow recent_;  // unless a log holds both streams
    std::atomic<std::uint64_t> bytes_{0};
    std::atomic<std::uint64_t> logged_{0};
    std::atomic<std::uint64_t> capture_dropped_{0};
    std::atomic<std::uint64_t> collect_lost_{0};
    std::atomic<std::uint64_t> over_bound_{0};
};

// -- implementation ----------------------------------------------------------

/// Lines on their way through a queue, one after the other: the size, whether it is a part, the text.
class PackedLines {
public:
    explicit PackedLines(std::size_t expected_bytes) { bytes_.reserve(expected_bytes + expected_bytes / 8 + 64); }

    void add(const LineView& line) {
        const auto size = static_cast<std::uint32_t>(line.text.size());
        char header[header_bytes];
        std::memcpy(header, &size, sizeof size);
        header[sizeof size] = line.partial ? '\1' : '\0';
        bytes_.append(header, header_bytes).append(line.text);
        payload_ += line.text.size();
    }

    /// Calls `use(text, partial)` for each of the lines in `packed`.
    template <class Use>
    static void unpack(std::string_view packed, Use use) {
        while (!packed.empty()) {
            std::uint32_t size = 0;
            std::memcpy(&size, packed.data(), sizeof size);
            const bool partial = packed[sizeof size] != '\0';
            use(packed.substr(header_bytes, size), partial);
            packed.remove_prefix(header_bytes + size);
        }
    }

    [[nodiscard]] std::size_t payload() const noexcept { return payload_; }
    [[nodiscard]] std::string take() noexcept { return std::move(bytes_); }

private:
    static constexpr std::size_t header_bytes = sizeof(std::uint32_t) + 1;
    std::string bytes_;
    std::size_t payload_ = 0;
};

template <class Split, class Also>
void OutputRouter::log_lines(StreamRoute& route, std::string_view source, Split split, Also also) {
    const bool to_log = route.log && log_format != LogFormat::raw;
    const auto time = rfc3339(to_log ? std::chrono::system_clock::now() : std::chrono::system_clock::time_point{});
    formatted_.clear();
    split([&](const LineView& line) {
        if (to_log) append_log_line(formatted_, log_format, {time.data(), time.size()}, source, line);
        also(line);
    });
    if (!formatted_.empty()) write_log(route, formatted_);
}

template <class Split>
void OutputRouter::route_lines(Stream stream, std::size_t expected_bytes, Split split) {
    PackedLines packed(line_queue ? expected_bytes : 0);
    std::string watched;
    if (alert_queue) watched.reserve(expected_bytes + 64);
    log_lines(routes[static_cast<std::size_t>(stream)], to_string(stream), split, [&](const LineView& line) {
        if (line_queue) packed.add(line);
        if (alert_queue) watched.append(line.text).push_back('\n');
    });
    std::string lines = packed.take();
    if (!lines.empty()) line_queue->offer(stream, std::move(lines), packed.payload());
    const std::size_t watched_bytes = watched.size();
    if (watched_bytes > 0) alert_queue->offer(stream, std::move(watched), watched_bytes);
}

inline void OutputRouter::write_log(StreamRoute& route, std::string_view text) {
    route.log->write(text);
    logged_.fetch_add(text.size(), std::memory_order_relaxed);
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
    text = within_bound(stream, text);
    if (text.empty()) return;
    if (route.log && log_format == LogFormat::raw) write_log(route, text);
    remember(text);
    if (route.capture) capture_dropped_.fetch_add(route.capture->append(text), std::memory_order_relaxed);
    if (route.file) route.file->offer(stream, std::string(text), text.size());
    if (route.tee) route.tee->offer(stream, std::string(text), text.size());
    if (chunk_queue) chunk_queue->offer(stream, std::string(text), text.size());
    if (route.lines) route_lines(stream, text.size(), [&](auto each) { route.lines->feed(text, each); });
    for (std::size_t i = 0; i < observers_.size(); ++i) observers_[i]->call(stream, text);
}

inline std::uint64_t OutputRouter::observe(UniqueFunction<void(Stream, std::string_view)> f) {
    observers_.push_back(std::make_unique<Observer>(Observer{next_observer_, std::move(f)}));
    return next_observer_++;
}

inline void OutputRouter::end_observation(std::uint64_t id) {
    std::erase_if(observers_, [id](const auto& observer) { return observer->id == id; });
}

inline std::string_view OutputRouter::within_bound(Stream stream, std::string_view text) {
    StreamRoute& route = routes[static_cast<std::size_t>(stream)];
    const std::string_view kept = text.substr(0, std::min<std::uint64_t>(text.size(), route.bound - route.seen));
    route.seen += kept.size();
    if (kept.size() == text.size()) return kept;
    over_bound_.fetch_add(text.size() - kept.size(), std::memory_order_relaxed);
    if (!route.is_over.exchange(true) && on_limit_) on_limit_(stream, route.bound);
    return kept;
}

inline void OutputRouter::remember(std::string_view text) {
    if (common_log()) return;
    const std::lock_guard lock(mutex_);
    recent_.append(text);
}

inline void OutputRouter::collect(std::string_view lines, std::uint64_t lost) {
    StreamRoute& route = routes[0];
    collect_lost_.fetch_add(lost, std::memory_order_relaxed);
    const auto split = [&](auto each) { LineSplitter(lines.size()).feed(lines, each); };
    if (log_format == LogFormat::raw) write_log(route, lines);
    else log_lines(route, "file", split, [](const LineView&) {});
    remember(lines);
    for (std::size_t i = 0; i < observers_.size(); ++i) observers_[i]->call(Stream::stdout_, lines);
    if (alert_queue) alert_queue->offer(Stream::stdout_, std::string(lines), lines.size());
}

inline void OutputRouter::finish(Stream stream) {
    StreamRoute& route = routes[static_cast<std::size_t>(stream)];
    if (route.lines) route_lines(stream, 0, [&](auto each) { route.lines->finish(each); });
    if (route.capture) route.capture->end();
}

inline bool OutputRouter::should_pause(Stream stream) {
    StreamRoute& route = routes[static_cast<std::size_t>(stream)];
    if (route.capture && route.capture->must_pause()) return true;
    if (route.file && !route.file->has_room()) return true;
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
    for (auto& route : routes) {
        if (route.capture) route.capture->on_room(f);
    }
}

inline std::vector<std::string> OutputRouter::tail(std::size_t count) const {
    if (const LogSink* log = common_log()) return log->tail(count);
    const std::lock_guard lock(mutex_);
    return recent_.tail(count);
}

inline std::uint64_t OutputRouter::dropped() const {
    std::uint64_t sum = capture_dropped_.load(std::memory_order_relaxed) +
                        collect_lost_.load(std::memory_order_relaxed) + over_bound_.load(std::memory_order_relaxed);
    for (const auto* queue : queues()) sum += queue ? queue->dropped() : 0;
    for (const auto& log : logs) sum += log->stats().dropped_bytes;
    return sum;
}

}  // namespace warden::detail
