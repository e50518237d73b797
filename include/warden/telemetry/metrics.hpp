// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a manager counts.
///
/// Knows:         counters and histograms, and how to copy them out.
/// Does not know: who reads them, formats.
/// Thread-safety: any thread may count and take snapshots at any time; nobody waits. The numbers of one snapshot may be
///                apart by what was being counted at that moment.
/// Allocates:     never.

#include <warden/exit_status.hpp>
#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace warden {

/// The upper bounds of the buckets of a latency, inclusive; one more bucket is for all above.
inline constexpr std::array<Nanoseconds, 18> latency_bounds{
    std::chrono::microseconds(100), std::chrono::microseconds(250),  std::chrono::microseconds(500),
    std::chrono::milliseconds(1),   std::chrono::microseconds(2500), std::chrono::milliseconds(5),
    std::chrono::milliseconds(10),  std::chrono::milliseconds(25),   std::chrono::milliseconds(50),
    std::chrono::milliseconds(100), std::chrono::milliseconds(250),  std::chrono::milliseconds(500),
    std::chrono::seconds(1),        std::chrono::milliseconds(2500), std::chrono::seconds(5),
    std::chrono::seconds(10),       std::chrono::seconds(30),        std::chrono::seconds(60)};

/// How often which latency was seen.
struct LatencySnapshot {
    std::array<std::uint64_t, latency_bounds.size() + 1> counts{};  ///< Per bucket, not added up.
    Nanoseconds sum{};

    /// Of all buckets.
    [[nodiscard]] constexpr std::uint64_t count() const noexcept;

    friend bool operator==(const LatencySnapshot&, const LatencySnapshot&) = default;
};

/// How many causes of an exit there are.
inline constexpr std::size_t exit_cause_count = detail::exit_cause_names.size();

/// All figures of a manager since it was made.
struct MetricsSnapshot {
    std::uint64_t active = 0;  ///< Running now.
    std::uint64_t spawned_total = 0;
    std::uint64_t spawn_failures_total = 0;
    std::array<std::uint64_t, exit_cause_count> exits{};  ///< By `ExitCause`; see `exits_by`.
    std::uint64_t timeouts_total = 0;
    std::uint64_t restarts_total = 0;
    std::uint64_t forced_total = 0;  ///< Trees that had to be ended by force.
    std::uint64_t cleanup_successes_total = 0;
    std::uint64_t cleanup_failures_total = 0;
    std::uint64_t alerts_total = 0;
    std::uint64_t events_total = 0;
    std::uint64_t dropped_events_total = 0;       ///< Events that a subscriber was too slow for.
    std::uint64_t output_bytes_total = 0;         ///< Read from processes.
    std::uint64_t log_bytes_total = 0;            ///< Given to log files.
    std::uint64_t dropped_bytes_total = 0;        ///< Of output: by slow consumers, full buffers, disk errors.
    std::uint64_t callback_exceptions_total = 0;  ///< Thrown by callbacks of the program, and swallowed.
    LatencySnapshot spawn_latency{};              ///< Of starts that succeeded, from the call to the running program.
    LatencySnapshot stop_latency{};               ///< From the request to the end of the tree or of the plan.

    [[nodiscard]] constexpr std::uint64_t exits_by(ExitCause cause) const noexcept {
        return exits[static_cast<std::size_t>(cause)];
    }

    friend bool operator==(const MetricsSnapshot&, const MetricsSnapshot&) = default;
};

/// Counts. Each function is a few relaxed atomic additions.
class Metrics {
public:
    void spawned(Nanoseconds latency) noexcept;
    void spawn_failed() noexcept { count(spawn_failures_); }

    /// Once for every process that `spawned` was called for; it is not active any more.
    void ended(ExitCause cause) noexcept;

    void timed_out() noexcept { count(timeouts_); }
    void restarted() noexcept { count(restarts_); }
    void forced() noexcept { count(forced_); }
    void stopped(Nanoseconds latency) noexcept { stop_latency_.add(latency); }
    void cleaned_up() noexcept { count(cleanup_successes_); }
    void cleanup_failed() noexcept { count(cleanup_failures_); }
    void alerted() noexcept { count(alerts_); }
    void event_made() noexcept { count(events_); }
    void event_dropped() noexcept { count(dropped_events_); }
    void output_read(std::uint64_t bytes) noexcept { count(output_bytes_, bytes); }
    void logged(std::uint64_t bytes) noexcept { count(log_bytes_, bytes); }
    void dropped(std::uint64_t bytes) noexcept { count(dropped_bytes_, bytes); }
    void callback_threw() noexcept { count(callback_exceptions_); }

    [[nodiscard]] MetricsSnapshot snapshot() const noexcept;

private:
    using Counter = std::atomic<std::uint64_t>;
    static_assert(Counter::is_always_lock_free);

    static void count(Counter& counter, std::uint64_t by = 1) noexcept {
        counter.fetch_add(by, std::memory_order_relaxed);
    }
    static std::uint64_t read(const Counter& counter) noexcept { return counter.load(std::memory_order_relaxed); }

    class Latency {
    public:
        void add(Nanoseconds latency) noexcept;
        [[nodiscard]] LatencySnapshot snapshot() const noexcept;

    private:
        std::array<Counter, latency_bounds.size() + 1> counts_{};
        Counter sum_{};
    };

    Counter spawned_{};
    Counter spawn_failures_{};
    std::array<Counter, exit_cause_count> exits_{};
    Counter timeouts_{};
    Counter restarts_{};
    Counter forced_{};
    Counter cleanup_successes_{};
    Counter cleanup_failures_{};
    Counter alerts_{};
    Counter events_{};
    Counter dropped_events_{};
    Counter output_bytes_{};
    Counter log_bytes_{};
    Counter dropped_bytes_{};
    Counter callback_exceptions_{};
    Latency spawn_latency_;
    Latency stop_latency_;
};

// -- implementation ----------------------------------------------------------
static_assert(std::is_sorted(latency_bounds.begin(), latency_bounds.end()));

constexpr std::uint64_t LatencySnapshot::count() const noexcept {
    std::uint64_t sum_of_counts = 0;
    for (const std::uint64_t bucket : counts) sum_of_counts += bucket;
    return sum_of_counts;
}

inline void Metrics::Latency::add(Nanoseconds latency) noexcept {
    const auto bucket =
        std::lower_bound(latency_bounds.begin(), latency_bounds.end(), latency) - latency_bounds.begin();
    count(counts_[static_cast<std::size_t>(bucket)]);
    count(sum_, static_cast<std::uint64_t>(std::max(latency, Nanoseconds::zero()).count()));
}

inline LatencySnapshot Metrics::Latency::snapshot() const noexcept {
    LatencySnapshot now;
    for (std::size_t i = 0; i < counts_.size(); ++i) now.counts[i] = read(counts_[i]);
    now.sum = Nanoseconds(static_cast<Nanoseconds::rep>(read(sum_)));
    return now;
}

inline void Metrics::spawned(Nanoseconds latency) noexcept {
    count(spawned_);
    spawn_latency_.add(latency);
}

inline void Metrics::ended(ExitCause cause) noexcept { count(exits_[static_cast<std::size_t>(cause)]); }

inline MetricsSnapshot Metrics::snapshot() const noexcept {
    MetricsSnapshot now;
    std::uint64_t ended = 0;
    for (std::size_t i = 0; i < exits_.size(); ++i) ended += now.exits[i] = read(exits_[i]);
    now.spawned_total = std::max(read(spawned_), ended);  // a thread may see an end before its start
    now.active = now.spawned_total - ended;
    now.spawn_failures_total = read(spawn_failures_);
    now.timeouts_total = read(timeouts_);
    now.restarts_total = read(restarts_);
    now.forced_total = read(forced_);
    now.cleanup_successes_total = read(cleanup_successes_);
    now.cleanup_failures_total = read(cleanup_failures_);
    now.alerts_total = read(alerts_);
    now.events_total = read(events_);
    now.dropped_events_total = read(dropped_events_);
    now.output_bytes_total = read(output_bytes_);
    now.log_bytes_total = read(log_bytes_);
    now.dropped_bytes_total = read(dropped_bytes_);
    now.callback_exceptions_total = read(callback_exceptions_);
    now.spawn_latency = spawn_latency_.snapshot();
    now.stop_latency = stop_latency_.snapshot();
    return now;
}

}  // namespace warden
