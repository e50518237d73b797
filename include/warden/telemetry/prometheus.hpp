// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The figures of a manager in Prometheus' text format.
///
/// Knows:         the text exposition format, version 0.0.4, and the name of each figure.
/// Does not know: sockets, HTTP.
/// Thread-safety: pure functions.
/// Allocates:     the text.

#include <warden/platform.hpp>
#include <warden/telemetry/metrics.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// To be sent as this `Content-Type`.
inline constexpr std::string_view prometheus_content_type = "text/plain; version=0.0.4; charset=utf-8";

/// A name and a value that every sample carries, such as the host of a manager.
using PrometheusLabels = std::vector<std::pair<std::string, std::string>>;

/// All figures, each with its HELP and TYPE. Names of labels are made valid; a label `cause` or `le` is renamed, as
/// these are in use. In values, quotes and newlines are escaped, and control characters, marks of direction and what is
/// no UTF-8 are made visible.
[[nodiscard]] WARDEN_INLINE std::string to_prometheus(const MetricsSnapshot& metrics,
                                                      const PrometheusLabels& labels = {});

namespace detail {

struct PrometheusRow {
    std::string_view name;
    std::string_view type;
    std::string_view help;
    std::uint64_t MetricsSnapshot::*value;
};
inline constexpr std::array prometheus_rows{
    PrometheusRow{"active_processes", "gauge", "Processes that run now.", &MetricsSnapshot::active},
    PrometheusRow{"spawned_total", "counter", "Processes that were started.", &MetricsSnapshot::spawned_total},
    PrometheusRow{"spawn_failures_total", "counter", "Starts that failed.", &MetricsSnapshot::spawn_failures_total},
    PrometheusRow{"timeouts_total", "counter", "Processes whose time was over.", &MetricsSnapshot::timeouts_total},
    PrometheusRow{"restarts_total", "counter", "Processes that were started again.", &MetricsSnapshot::restarts_total},
    PrometheusRow{"forced_total", "counter", "Process trees that were ended by force.", &MetricsSnapshot::forced_total},
    PrometheusRow{"cleanup_successes_total", "counter", "Cleanups that succeeded.",
                  &MetricsSnapshot::cleanup_successes_total},
    PrometheusRow{"cleanup_failures_total", "counter", "Cleanups that failed.",
                  &MetricsSnapshot::cleanup_failures_total},
    PrometheusRow{"alerts_total", "counter", "Alerts that were raised.", &MetricsSnapshot::alerts_total},
    PrometheusRow{"events_total", "counter", "Events that were made.", &MetricsSnapshot::events_total},
    PrometheusRow{"dropped_events_total", "counter", "Events that a subscriber was too slow for.",
                  &MetricsSnapshot::dropped_events_total},
    PrometheusRow{"output_bytes_total", "counter", "Bytes read from processes.", &MetricsSnapshot::output_bytes_total},
    PrometheusRow{"log_bytes_total", "counter", "Bytes given to log files.", &MetricsSnapshot::log_bytes_total},
    PrometheusRow{"dropped_bytes_total", "counter", "Bytes of output that were dropped.",
                  &MetricsSnapshot::dropped_bytes_total},
    PrometheusRow{"callback_exceptions_total", "counter", "Exceptions thrown by callbacks.",
                  &MetricsSnapshot::callback_exceptions_total},
};

}  // namespace detail
}  // namespace warden

// -- implementation ----------------------------------------------------------
#if WARDEN_HAS_BODIES
#include <warden/detail/text/visible_text.hpp>
#include <warden/exit_status.hpp>

#include <charconv>
#include <cstddef>

namespace warden {

namespace detail {

/// Without an exponent, as short as is exact: "0.0025".
inline std::string seconds_text(Nanoseconds time) {
    std::array<char, 64> digits{};
    const double seconds = static_cast<double>(time.count()) / 1e9;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), seconds, std::chars_format::fixed).ptr;
    return {digits.data(), end};
}

inline std::string valid_label_name(std::string_view name) {
    std::string valid(name);
    for (char& c : valid) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter) c = '_';
    }
    const bool in_use = valid == "cause" || valid == "le" || valid.starts_with("__");
    const bool bad_start = valid.empty() || (valid.front() >= '0' && valid.front() <= '9');
    return in_use || bad_start ? "label_" + valid : valid;
}

inline std::string escaped_label_value(std::string_view value) {
    std::string text;
    for (const char c : visible_text(value, "\n")) {
        if (c == '\n') text += "\\n";
        else if (c == '\\' || c == '"') (text += '\\') += c;
        else text += c;
    }
    return text;
}

/// Builds the text, one family of samples after the other.
class PrometheusWriter {
public:
    explicit PrometheusWriter(const PrometheusLabels& labels) {
        for (const auto& [name, value] : labels) {
            if (!labels_.empty()) labels_ += ',';
            labels_ += valid_label_name(name) + "=\"" + escaped_label_value(value) + '"';
        }
    }

    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = "warden_" + std::string(name);
        text_ += "# HELP " + name_ + ' ' + std::string(help) + '\n';
        text_ += "# TYPE " + name_ + ' ' + std::string(type) + '\n';
    }

    /// One sample of the family; `label` is a further one, such as `le="0.1"`.
    void sample(const std::string& value, std::string_view suffix = {}, const std::string& label = {}) {
        (text_ += name_) += suffix;
        const std::string all = labels_ + (labels_.empty() || label.empty() ? "" : ",") + label;
        if (!all.empty()) text_ += '{' + all + '}';
        text_ += ' ' + value + '\n';
    }

    void latency(std::string_view name, std::string_view help, const LatencySnapshot& seen) {
        family(name, "histogram", help);
        std::uint64_t up_to_here = 0;
        for (std::size_t i = 0; i < latency_bounds.size(); ++i) {
            up_to_here += seen.counts[i];
            sample(std::to_string(up_to_here), "_bucket", "le=\"" + seconds_text(latency_bounds[i]) + '"');
        }
        sample(std::to_string(seen.count()), "_bucket", "le=\"+Inf\"");
        sample(seconds_text(seen.sum), "_sum");
        sample(std::to_string(seen.count()), "_count");
    }

    [[nodiscard]] std::string take() noexcept { return std::move(text_); }

private:
    std::string labels_;
    std::string name_;
    std::string text_;
};

}  // namespace detail

WARDEN_INLINE std::string to_prometheus(const MetricsSnapshot& metrics, const PrometheusLabels& labels) {
    detail::PrometheusWriter writer(labels);
    for (const auto& row : detail::prometheus_rows) {
        writer.family(row.name, row.type, row.help);
        writer.sample(std::to_string(metrics.*row.value));
    }
    writer.family("exits_total", "counter", "Processes that ended, by cause.");
    for (std::size_t i = 0; i < exit_cause_count; ++i) {
        const std::string cause(to_string(static_cast<ExitCause>(i)));
        writer.sample(std::to_string(metrics.exits[i]), {}, "cause=\"" + cause + '"');
    }
    writer.latency("spawn_latency_seconds", "From the call to the running program.", metrics.spawn_latency);
    writer.latency("stop_latency_seconds", "From the request to the end of the tree or of the plan.",
                   metrics.stop_latency);
    return writer.take();
}

}  // namespace warden
#endif
