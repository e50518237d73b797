// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/telemetry/prometheus.hpp>

#include <chrono>
#include <set>
#include <sstream>
#include <string>

using namespace warden;
using namespace std::chrono_literals;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Prometheus' own reader is not here; these are its rules for a line: a comment, or a name, labels and a number.
bool is_valid_line(const std::string& line) {
    if (line.starts_with("# HELP warden_") || line.starts_with("# TYPE warden_")) return true;
    const auto space = line.rfind(' ');
    if (!line.starts_with("warden_") || space == line.npos) return false;
    const std::string name = line.substr(0, line.find_first_of("{ "));
    const std::string value = line.substr(space + 1);
    return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == name.npos && !value.empty() &&
           value.find_first_not_of("0123456789.") == value.npos;
}

}  // namespace

TEST_CASE("prometheus: the figures read as documented") {
    Metrics metrics;
    metrics.spawned(1ms);
    metrics.spawned(3ms);
    metrics.ended(ExitCause::timed_out);
    metrics.stopped(90s);
    const std::string text = to_prometheus(metrics.snapshot());
    CHECK(
        text.starts_with("# HELP warden_active_processes Processes that run now.\n"
                         "# TYPE warden_active_processes gauge\n"
                         "warden_active_processes 1\n"
                         "# HELP warden_spawned_total Processes that were started.\n"
                         "# TYPE warden_spawned_total counter\n"
                         "warden_spawned_total 2\n"));
    CHECK(contains(text,
                   "# HELP warden_exits_total Processes that ended, by cause.\n"
                   "# TYPE warden_exits_total counter\n"
                   "warden_exits_total{cause=\"unknown\"} 0\n"
                   "warden_exits_total{cause=\"exited\"} 0\n"
                   "warden_exits_total{cause=\"stopped\"} 0\n"
                   "warden_exits_total{cause=\"forced\"} 0\n"
                   "warden_exits_total{cause=\"timed_out\"} 1\n"
                   "warden_exits_total{cause=\"memory_limit\"} 0\n"
                   "warden_exits_total{cause=\"cpu_limit\"} 0\n"
                   "warden_exits_total{cause=\"output_limit\"} 0\n"
                   "warden_exits_total{cause=\"crashed\"} 0\n"
                   "warden_exits_total{cause=\"host_shutdown\"} 0\n"));
    CHECK(contains(text,
                   "# HELP warden_spawn_latency_seconds From the call to the running program.\n"
                   "# TYPE warden_spawn_latency_seconds histogram\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.0001\"} 0\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.00025\"} 0\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.0005\"} 0\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.001\"} 1\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.0025\"} 1\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.005\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.01\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.025\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.05\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.1\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.25\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"0.5\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"1\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"2.5\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"5\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"10\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"30\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"60\"} 2\n"
                   "warden_spawn_latency_seconds_bucket{le=\"+Inf\"} 2\n"
                   "warden_spawn_latency_seconds_sum 0.004\n"
                   "warden_spawn_latency_seconds_count 2\n"));
    CHECK(
        text.ends_with("warden_stop_latency_seconds_bucket{le=\"60\"} 0\n"
                       "warden_stop_latency_seconds_bucket{le=\"+Inf\"} 1\n"
                       "warden_stop_latency_seconds_sum 90\n"
                       "warden_stop_latency_seconds_count 1\n"));
}

TEST_CASE("prometheus: every line is valid, every family is described once, and no name comes twice") {
    std::istringstream lines(to_prometheus(Metrics().snapshot()));
    std::set<std::string> seen;
    for (std::string line; std::getline(lines, line);) {
        INFO(line);
        CHECK(is_valid_line(line));
        CHECK(seen.insert(line.substr(0, line.rfind(' '))).second);
    }
}

TEST_CASE("prometheus: labels are on every sample, their values escaped and their names valid") {
    MetricsSnapshot metrics;
    metrics.active = 4;
    const std::string text =
        to_prometheus(metrics, {{"host", "a\\b\"c\nd"}, {"9 lives", "x"}, {"cause", "y"}, {"le", "z"}});
    const std::string labels = R"(host="a\\b\"c\nd",label_9_lives="x",label_cause="y",label_le="z")";
    CHECK(contains(text, "warden_active_processes{" + labels + "} 4\n"));
    CHECK(contains(text, "warden_exits_total{" + labels + ",cause=\"exited\"} 0\n"));
    CHECK(contains(text, "warden_stop_latency_seconds_bucket{" + labels + ",le=\"+Inf\"} 0\n"));
    CHECK(contains(text, "warden_stop_latency_seconds_sum{" + labels + "} 0\n"));
}
