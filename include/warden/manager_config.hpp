// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The settings of a manager, where each came from, and what may be wrong with them.
///
/// Knows:         names, defaults, ranges, how to read them from the environment.
/// Does not know: the file system; directories are made when they are used.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.

#include <warden/containment.hpp>
#include <warden/error.hpp>
#include <warden/output/alert_rules.hpp>
#include <warden/output/log_limits.hpp>
#include <warden/output/log_options.hpp>
#include <warden/stop_plan.hpp>
#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// The log of lifecycle events: JSON, one event a line, bounded.
struct EventLogOptions {
    bool enabled = true;
    std::filesystem::path path{};  ///< Default: `events/<instance id>.jsonl` in the data directory.
    LogLimits limits{20'000, 8'000'000};
    OnLimit on_limit = OnLimit::rotate(1);
};

/// When to raise an alert event.
struct AlertOptions {
    std::size_t active_processes = 50;  ///< More active ones than this.
    std::size_t zombies = 0;            ///< More in the trees than this, at a health tick: ended and not reaped.
    std::size_t orphans = 0;            ///< More in the trees than this: running without the parent that started them.
    std::vector<AlertRule> rules{};     ///< For the output of every process.
};

/// All settings of a `ProcessManager`. Each has a default; those with a variable can be set by a deployment too.
struct ManagerConfig {
    std::size_t max_processes = 100;                         ///< WARDEN_MAX_PROCESSES, 1 to 1,000,000
    Timeout default_timeout = std::chrono::seconds(300);     ///< WARDEN_DEFAULT_TIMEOUT; `none` for `no_timeout`
    Nanoseconds graceful_timeout = std::chrono::seconds(5);  ///< WARDEN_GRACEFUL_TIMEOUT: for all together at cleanup
    union {
        Nanoseconds health_interval = std::chrono::seconds(60);  ///< WARDEN_CLEANUP_INTERVAL: between checks of health
        Nanoseconds cleanup_interval;                            ///< Another name of `health_interval`.
    };
    StopPlan stop_plan = StopPlan::standard();
    std::filesystem::path data_directory{};  ///< WARDEN_DATA_DIRECTORY; default by the XDG rules
    std::filesystem::path log_directory{};   ///< WARDEN_LOG_DIRECTORY; default `logs` in the former
    /// Of log and event files, ended and in use: WARDEN_LOG_MAX_FILES, WARDEN_LOG_MAX_AGE. Looked after
    /// every `health_interval`, and at the end.
    LogRetention log_retention{};
    bool handle_signals = true;                  ///< WARDEN_HANDLE_SIGNALS: SIGTERM, SIGINT, SIGHUP
    Mechanism mechanism = Mechanism::automatic;  ///< WARDEN_MECHANISM
    /// WARDEN_SHIM_PROGRAM: whose `main` begins with `run_shim_if_asked`, for detached processes. Default: this
    /// program, if its `main` does; else `wardenctl` beside it or in PATH.
    std::filesystem::path shim_program{};
    EventLogOptions event_log{};
    AlertOptions alerts{};
    Nanoseconds drain_timeout = std::chrono::seconds(2);  ///< WARDEN_DRAIN_TIMEOUT: for output after the exit
    std::size_t consumer_queue_bytes = 4u << 20;          ///< Per callback or copy; what does not fit is dropped
    std::size_t max_line_bytes = 16u << 10;               ///< Longer lines reach callbacks in parts
    std::size_t pipe_bytes = 1u << 20;                    ///< Asked of the system for output pipes that flood
    std::size_t spare_keepers = 2;                        ///< Kept ready where the mechanism is `keeper`, 1 to 64
    bool redact_arguments = false;                        ///< WARDEN_REDACT_ARGUMENTS: events name the program only
    bool redact_secrets = true;  ///< WARDEN_REDACT_SECRETS: what looks like a secret is not written, see `Redaction`

    /// Where each setting came from that is not a default: its name and the variable.
    std::map<std::string, std::string> sources{};

    /// The defaults, changed by the environment. Durations take a unit (`250ms`, `90s`, `5m`, `2h`); a bare number is
    /// seconds. Of `WARDEN_X` and `PM_X` the former wins. Ignored in set-user-id programs.
    /// @throws system_error errc::invalid_configuration; the message lists every mistake at once.
    [[nodiscard]] static ManagerConfig from_environment();

    /// The same over a map or a test's own function, which returns null for what is not set.
    [[nodiscard]] static ManagerConfig from_environment(const std::function<const char*(const char*)>& read);

    /// Every mistake in words, each with the setting, the value and the range; empty if there is none.
    [[nodiscard]] std::vector<std::string> validate() const;
};

/// "90s", "1500ms", "5m", "2h", "10" (seconds), "0.5"; nothing for anything else, or if it does not fit.
[[nodiscard]] std::optional<Nanoseconds> parse_duration(std::string_view text) noexcept;

// -- implementation ----------------------------------------------------------

inline std::optional<Nanoseconds> parse_duration(std::string_view text) noexcept {
    struct Unit {
        std::string_view name;
        double nanoseconds;
    };
    constexpr std::array units{Unit{"ns", 1},   Unit{"us", 1e3},   Unit{"ms", 1e6},   Unit{"s", 1e9},    Unit{"", 1e9},
                               Unit{"m", 60e9}, Unit{"min", 60e9}, Unit{"h", 3600e9}, Unit{"d", 86400e9}};
    double digits = 0;
    double divisor = 1;
    bool has_digits = false;
    bool has_point = false;
    while (!text.empty()) {  // from_chars(double) is not everywhere, and strtod(3) asks the locale
        const char c = text.front();
        const bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c != '.' || has_point)) break;
        if (is_digit) digits = digits * 10 + (c - '0');
        if (is_digit && has_point) divisor *= 10;
        has_digits = has_digits || is_digit;
        has_point = has_point || c == '.';
        text.remove_prefix(1);
    }
    if (!has_digits) return std::nullopt;
    for (const auto& unit : units) {
        if (text != unit.name) continue;
        const double result = digits * unit.nanoseconds / divisor;
        if (!(result < static_cast<double>(Nanoseconds::max().count()))) return std::nullopt;
        return Nanoseconds(static_cast<Nanoseconds::rep>(result));
    }
    return std::nullopt;
}

namespace detail {

/// One setting that the environment may change: its name, and how to read it; false if the text is no good.
struct EnvironmentSetting {
    std::string_view name;    // without WARDEN_ and PM_
    bool has_short_form;      // PM_ is accepted too
    std::string_view wanted;  // what a good value looks like
    bool (*assign)(ManagerConfig&, std::string_view);
};

inline bool assign_count(std::size_t& to, std::string_view text) {
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), to);
    return failed == std::errc{} && end == text.data() + text.size();
}

inline bool assign_duration(Nanoseconds& to, std::string_view text) {
    const auto value = parse_duration(text);
    if (value) to = *value;
    return value.has_value();
}

inline bool assign_timeout(Timeout& to, std::string_view text) {
    if (text == "none") {
        to = no_timeout;
        return true;
    }
    const auto value = parse_duration(text);
    if (value) to = Timeout(*value);
    return value.has_value();
}

inline bool assign_flag(bool& to, std::string_view text) {
    constexpr std::array<std::string_view, 4> yes{"1", "true", "yes", "on"};
    constexpr std::array<std::string_view, 4> no{"0", "false", "no", "off"};
    for (const auto word : yes) {
        if (text == word) return to = true;
    }
    for (const auto word : no) {
        if (text == word) return !(to = false);
    }
    return false;
}

inline bool assign_mechanism(Mechanism& to, std::string_view text) {
    for (std::size_t i = 0; i < mechanism_names.size(); ++i) {
        if (text != mechanism_names[i]) continue;
        to = static_cast<Mechanism>(i);
        return true;
    }
    return false;
}

inline bool assign_path(std::filesystem::path& to, std::string_view text) {
    to = text;
    return !text.empty();
}

inline constexpr std::string_view a_duration = "a duration such as 90s or 5m";
inline constexpr std::string_view a_flag = "yes or no";

inline constexpr std::array environment_settings{
    EnvironmentSetting{"MAX_PROCESSES", true, "a whole number",
                       [](ManagerConfig& c, std::string_view t) { return assign_count(c.max_processes, t); }},
    EnvironmentSetting{"DEFAULT_TIMEOUT", true, "a duration such as 90s or 5m, or none",
                       [](ManagerConfig& c, std::string_view t) { return assign_timeout(c.default_timeout, t); }},
    EnvironmentSetting{"GRACEFUL_TIMEOUT", true, a_duration,
                       [](ManagerConfig& c, std::string_view t) { return assign_duration(c.graceful_timeout, t); }},
    EnvironmentSetting{"CLEANUP_INTERVAL", true, a_duration,
                       [](ManagerConfig& c, std::string_view t) { return assign_duration(c.health_interval, t); }},
    EnvironmentSetting{"DATA_DIRECTORY", false, "a path",
                       [](ManagerConfig& c, std::string_view t) { return assign_path(c.data_directory, t); }},
    EnvironmentSetting{"LOG_DIRECTORY", false, "a path",
                       [](ManagerConfig& c, std::string_view t) { return assign_path(c.log_directory, t); }},
    EnvironmentSetting{"LOG_MAX_FILES", false, "a whole number, 0 for no bound",
                       [](ManagerConfig& c, std::string_view t) { return assign_count(c.log_retention.max_files, t); }},
    EnvironmentSetting{
        "LOG_MAX_AGE", false, "a duration such as 12h or 30d, 0 for no bound",
        [](ManagerConfig& c, std::string_view t) { return assign_duration(c.log_retention.max_age, t); }},
    EnvironmentSetting{"HANDLE_SIGNALS", false, a_flag,
                       [](ManagerConfig& c, std::string_view t) { return assign_flag(c.handle_signals, t); }},
    EnvironmentSetting{"MECHANISM", false, "auto, cgroup, keeper, process_group or job_object",
                       [](ManagerConfig& c, std::string_view t) { return assign_mechanism(c.mechanism, t); }},
    EnvironmentSetting{"SHIM_PROGRAM", false, "a path",
                       [](ManagerConfig& c, std::string_view t) { return assign_path(c.shim_program, t); }},
    EnvironmentSetting{"DRAIN_TIMEOUT", false, a_duration,
                       [](ManagerConfig& c, std::string_view t) { return assign_duration(c.drain_timeout, t); }},
    EnvironmentSetting{"EVENT_LOG", false, a_flag,
                       [](ManagerConfig& c, std::string_view t) { return assign_flag(c.event_log.enabled, t); }},
    EnvironmentSetting{"REDACT_ARGUMENTS", false, a_flag,
                       [](ManagerConfig& c, std::string_view t) { return assign_flag(c.redact_arguments, t); }},
    EnvironmentSetting{"REDACT_SECRETS", false, a_flag,
                       [](ManagerConfig& c, std::string_view t) { return assign_flag(c.redact_secrets, t); }},
};

/// One mistake a line.
[[nodiscard]] inline std::string listed(const std::vector<std::string>& mistakes) {
    std::string text;
    for (const auto& mistake : mistakes) text += "\n  - " + mistake;
    return text;
}

/// Adds the mistakes that are not in the list yet.
inline void add_missing(std::vector<std::string>& list, std::vector<std::string> more) {
    for (auto& mistake : more) {
        if (std::find(list.begin(), list.end(), mistake) == list.end()) list.push_back(std::move(mistake));
    }
}

/// "invalid `what`:" and one mistake a line.
[[nodiscard]] inline std::string invalid(std::string_view what, const std::vector<std::string>& mistakes) {
    return "invalid " + std::string(what) + ':' + listed(mistakes);
}

}  // namespace detail

inline ManagerConfig ManagerConfig::from_environment() {
    return from_environment([](const char* name) { return detail::environment_variable(name); });
}

inline ManagerConfig ManagerConfig::from_environment(const std::function<const char*(const char*)>& read) {
    ManagerConfig config;
    std::vector<std::string> mistakes;
    for (const auto& setting : detail::environment_settings) {
        std::string variable = "WARDEN_" + std::string(setting.name);
        const char* text = read(variable.c_str());
        if (!text && setting.has_short_form) {
            variable = "PM_" + std::string(setting.name);
            text = read(variable.c_str());
        }
        if (!text) continue;
        if (setting.assign(config, text)) config.sources.insert_or_assign(std::string(setting.name), variable);
        else mistakes.push_back(variable + " is '" + text + "'; it must be " + std::string(setting.wanted));
    }
    const auto more = config.validate();
    mistakes.insert(mistakes.end(), more.begin(), more.end());
    if (!mistakes.empty()) throw system_error(errc::invalid_configuration, detail::invalid("configuration", mistakes));
    return config;
}

inline std::vector<std::string> ManagerConfig::validate() const {
    std::vector<std::string> found;
    const auto range = [&](const char* name, std::size_t value, std::size_t low, std::size_t high) {
        if (value >= low && value <= high) return;
        found.push_back(std::string(name) + " is " + std::to_string(value) + "; it must be between " +
                        std::to_string(low) + " and " + std::to_string(high));
    };
    const auto not_negative = [&](const char* name, Nanoseconds value) {
        if (value < Nanoseconds::zero()) found.push_back(std::string(name) + " is negative; it must be 0 or more");
    };
    range("max_processes", max_processes, 1, 1'000'000);
    range("alerts.active_processes", alerts.active_processes, 1, 1'000'000);
    range("alerts.zombies", alerts.zombies, 0, 1'000'000);
    range("alerts.orphans", alerts.orphans, 0, 1'000'000);
    range("consumer_queue_bytes", consumer_queue_bytes, 1024, 1u << 30);
    range("max_line_bytes", max_line_bytes, 16, 1u << 26);
    range("pipe_bytes", pipe_bytes, 4096, 1u << 26);
    range("spare_keepers", spare_keepers, 1, 64);
    not_negative("graceful_timeout", graceful_timeout);
    not_negative("drain_timeout", drain_timeout);
    if (health_interval < std::chrono::milliseconds(10)) found.emplace_back("health_interval must be 10ms or more");
    if (!default_timeout.is_valid()) {
        found.emplace_back("default_timeout must be positive; for none say no_timeout (in the environment: none)");
    }
    const auto append = [&](const std::vector<std::string>& more) {
        found.insert(found.end(), more.begin(), more.end());
    };
    append(stop_plan.validate());
    append(log_retention.validate());
    for (const AlertRule& rule : alerts.rules) append(rule.validate());
    const auto check_path = [&](const char* name, const std::filesystem::path& path) {
        if (detail::has_nul(path.native())) found.push_back("a NUL byte is in " + std::string(name));
    };
    check_path("data_directory", data_directory);
    check_path("log_directory", log_directory);
    check_path("shim_program", shim_program);
    check_path("event_log.path", event_log.path);
    append(event_log.limits.validate());
    append(event_log.on_limit.validate(event_log.limits));
    return found;
}

}  // namespace warden
