// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/telemetry/metrics.hpp>

#include <chrono>
#include <thread>
#include <vector>

using namespace warden;
using namespace std::chrono_literals;

TEST_CASE("metrics: nothing is counted before it happens") { CHECK(Metrics().snapshot() == MetricsSnapshot{}); }

TEST_CASE("metrics: each thing is counted where it belongs, and a snapshot stays as it was") {
    Metrics metrics;
    for (int i = 0; i < 3; ++i) metrics.spawned(1ms);
    metrics.ended(ExitCause::exited);
    metrics.ended(ExitCause::forced);
    metrics.spawn_failed();
    metrics.timed_out();
    metrics.restarted();
    metrics.forced();
    metrics.cleaned_up();
    metrics.cleanup_failed();
    metrics.alerted();
    metrics.event_made();
    metrics.output_read(100);
    metrics.logged(70);
    metrics.dropped(30);
    metrics.callback_threw();
    metrics.stopped(2s);
    const MetricsSnapshot seen = metrics.snapshot();
    CHECK(seen.active == 1);
    CHECK(seen.spawned_total == 3);
    CHECK(seen.exits_by(ExitCause::exited) == 1);
    CHECK(seen.exits_by(ExitCause::forced) == 1);
    CHECK(seen.exits_by(ExitCause::crashed) == 0);
    for (const auto one : {seen.spawn_failures_total, seen.timeouts_total, seen.restarts_total, seen.forced_total,
                           seen.cleanup_successes_total, seen.cleanup_failures_total, seen.alerts_total,
                           seen.events_total, seen.callback_exceptions_total, seen.stop_latency.count()}) {
        CHECK(one == 1);
    }
    CHECK(seen.output_bytes_total == 100);
    CHECK(seen.log_bytes_total == 70);
    CHECK(seen.dropped_bytes_total == 30);
    CHECK(seen.spawn_latency.count() == 3);
    CHECK(seen.spawn_latency.sum == 3ms);
    metrics.spawned(1ms);
    CHECK(seen.spawned_total == 3);
}

TEST_CASE("metrics: a latency is in the first bucket that it is not above") {
    Metrics metrics;
    for (const Nanoseconds latency : {Nanoseconds(-1s), Nanoseconds(0), Nanoseconds(100us), Nanoseconds(100us + 1ns),
                                      Nanoseconds(60s), Nanoseconds(60s + 1ns), Nanoseconds(24h)}) {
        metrics.stopped(latency);
    }
    const LatencySnapshot seen = metrics.snapshot().stop_latency;
    CHECK(seen.counts.front() == 3);
    CHECK(seen.counts[1] == 1);
    CHECK(seen.counts[latency_bounds.size() - 1] == 1);
    CHECK(seen.counts.back() == 2);
    CHECK(seen.count() == 7);
    CHECK(seen.sum == 100us + 100us + 60s + 60s + 24h + 2ns);
}

TEST_CASE("metrics: what an end was counted for before its start is never a negative number of processes") {
    Metrics metrics;
    metrics.ended(ExitCause::exited);
    CHECK(metrics.snapshot().active == 0);
}

TEST_CASE("metrics: threads that count at the same time lose nothing") {
    Metrics metrics;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 5000; ++i) {
                metrics.spawned(1us);
                metrics.output_read(2);
                metrics.ended(ExitCause::exited);
                if (i % 1000 == 0) (void)metrics.snapshot();
            }
        });
    }
    for (auto& thread : threads) thread.join();
    const auto seen = metrics.snapshot();
    CHECK(seen.spawned_total == 20'000);
    CHECK(seen.active == 0);
    CHECK(seen.output_bytes_total == 40'000);
    CHECK(seen.spawn_latency.sum == 20ms);
}
