// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/manager_config.hpp>

#include <chrono>
#include <map>
#include <string>

using namespace warden;
using namespace std::chrono_literals;

namespace {

using Variables = std::map<std::string, std::string>;

ManagerConfig configured(const Variables& variables) {
    return ManagerConfig::from_environment([&](const char* name) -> const char* {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
    });
}

/// The message of the mistake that these variables are; empty if they are none.
std::string mistakes_of(const Variables& variables) {
    try {
        (void)configured(variables);
    } catch (const system_error& error) {
        CHECK(error.code() == errc::invalid_configuration);
        return error.what();
    }
    return {};
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("configuration: the defaults are valid, and an empty environment changes none") {
    const ManagerConfig defaults;
    CHECK(defaults.validate().empty());
    CHECK(defaults.max_processes == 100);
    CHECK(defaults.default_timeout == Timeout(300s));
    CHECK(defaults.graceful_timeout == 5s);
    CHECK(defaults.health_interval == 60s);
    CHECK(defaults.alerts.active_processes == 50);
    CHECK(defaults.stop_plan == StopPlan::standard());
    CHECK(configured({}).max_processes == 100);
    CHECK(configured({}).sources.empty());
}

TEST_CASE("configuration: every variable sets its setting, and where it came from is known") {
    const auto config = configured({{"WARDEN_MAX_PROCESSES", "7"},
                                    {"WARDEN_DEFAULT_TIMEOUT", "10m"},
                                    {"WARDEN_GRACEFUL_TIMEOUT", "1500ms"},
                                    {"WARDEN_CLEANUP_INTERVAL", "2h"},
                                    {"WARDEN_DATA_DIRECTORY", "/data"},
                                    {"WARDEN_LOG_DIRECTORY", "/logs"},
                                    {"WARDEN_LOG_MAX_FILES", "12"},
                                    {"WARDEN_LOG_MAX_AGE", "3d"},
                                    {"WARDEN_HANDLE_SIGNALS", "no"},
                                    {"WARDEN_MECHANISM", "keeper"},
                                    {"WARDEN_SHIM_PROGRAM", "/shim"},
                                    {"WARDEN_DRAIN_TIMEOUT", "250ms"},
                                    {"WARDEN_EVENT_LOG", "off"},
                                    {"WARDEN_REDACT_ARGUMENTS", "yes"},
                                    {"WARDEN_REDACT_SECRETS", "no"}});
    CHECK(config.max_processes == 7);
    CHECK(config.default_timeout == Timeout(10min));
    CHECK(config.graceful_timeout == 1500ms);
    CHECK(config.health_interval == 2h);
    CHECK(config.data_directory == "/data");
    CHECK(config.log_directory == "/logs");
    CHECK(config.log_retention.max_files == 12);
    CHECK(config.log_retention.max_age == 72h);
    CHECK_FALSE(config.handle_signals);
    CHECK(config.mechanism == Mechanism::keeper);
    CHECK(config.shim_program == "/shim");
    CHECK(config.drain_timeout == 250ms);
    CHECK_FALSE(config.event_log.enabled);
    CHECK(config.redact_arguments);
    CHECK_FALSE(config.redact_secrets);
    CHECK(configured({}).redact_secrets);
    CHECK(config.sources.size() == detail::environment_settings.size());
    CHECK(config.sources.at("DATA_DIRECTORY") == "WARDEN_DATA_DIRECTORY");
}

TEST_CASE("configuration: the short forms are accepted, and the long one wins") {
    const Variables short_forms{{"PM_MAX_PROCESSES", "8"},
                                {"PM_DEFAULT_TIMEOUT", "20"},
                                {"PM_CLEANUP_INTERVAL", "30"},
                                {"PM_GRACEFUL_TIMEOUT", "0.5"},
                                {"PM_DATA_DIRECTORY", "/ignored"}};
    const auto config = configured(short_forms);
    CHECK(config.max_processes == 8);
    CHECK(config.default_timeout == Timeout(20s));
    CHECK(config.health_interval == 30s);
    CHECK(config.graceful_timeout == 500ms);
    CHECK(config.data_directory.empty());
    CHECK(config.sources.at("MAX_PROCESSES") == "PM_MAX_PROCESSES");

    Variables both = short_forms;
    both["WARDEN_MAX_PROCESSES"] = "9";
    CHECK(configured(both).max_processes == 9);
    CHECK(configured(both).sources.at("MAX_PROCESSES") == "WARDEN_MAX_PROCESSES");
    both["PM_MAX_PROCESSES"] = "nonsense";
    CHECK(configured(both).max_processes == 9);
}

TEST_CASE("configuration: no timeout is said in so many words") {
    CHECK(configured({{"WARDEN_DEFAULT_TIMEOUT", "none"}}).default_timeout == no_timeout);
    CHECK(contains(mistakes_of({{"WARDEN_DEFAULT_TIMEOUT", "0"}}), "default_timeout must be positive"));
    CHECK(contains(mistakes_of({{"WARDEN_DEFAULT_TIMEOUT", ""}}), "WARDEN_DEFAULT_TIMEOUT is ''"));
    CHECK(contains(mistakes_of({{"WARDEN_GRACEFUL_TIMEOUT", "none"}}), "WARDEN_GRACEFUL_TIMEOUT"));
}

TEST_CASE("configuration: a duration takes a unit, a bare number is seconds, and nothing else is understood") {
    CHECK(parse_duration("10") == 10s);
    CHECK(parse_duration("0.5") == 500ms);
    CHECK(parse_duration("0") == 0s);
    CHECK(parse_duration("0.1") == 100ms);
    CHECK(parse_duration(".5s") == 500ms);
    CHECK(parse_duration("5.s") == 5s);
    CHECK(parse_duration("00000000000000000000000000001.000001s") == 1000001us);
    CHECK(parse_duration("5ns") == 5ns);
    CHECK(parse_duration("5us") == 5us);
    CHECK(parse_duration("250ms") == 250ms);
    CHECK(parse_duration("90s") == 90s);
    CHECK(parse_duration("5m") == 5min);
    CHECK(parse_duration("5min") == 5min);
    CHECK(parse_duration("1.5h") == 90min);
    CHECK(parse_duration("2d") == 48h);
    for (const char* text : {"",
                             " ",
                             "s",
                             "-1",
                             "-1s",
                             "5 s",
                             " 5s",
                             "5s ",
                             "5x",
                             "1e3",
                             "0x10",
                             "nan",
                             "inf",
                             "1d2h",
                             "5S",
                             "1e300h",
                             "99999999999999999999",
                             "200000d",
                             "..5",
                             ".",
                             ".s",
                             "1.5.5",
                             "+1",
                             "5ms\n"}) {
        INFO(text);
        CHECK_FALSE(parse_duration(text));
    }
}

TEST_CASE("configuration: a flag is one of eight words, and a mechanism is named exactly") {
    for (const char* yes : {"1", "true", "yes", "on"}) {
        CHECK(configured({{"WARDEN_REDACT_ARGUMENTS", yes}}).redact_arguments);
    }
    for (const char* no : {"0", "false", "no", "off"}) {
        CHECK_FALSE(configured({{"WARDEN_HANDLE_SIGNALS", no}}).handle_signals);
    }
    CHECK(contains(mistakes_of({{"WARDEN_HANDLE_SIGNALS", "maybe"}}), "yes or no"));
    CHECK(configured({{"WARDEN_MECHANISM", "auto"}}).mechanism == Mechanism::automatic);
    CHECK(configured({{"WARDEN_MECHANISM", "process_group"}}).mechanism == Mechanism::process_group);
    CHECK(contains(mistakes_of({{"WARDEN_MECHANISM", "Cgroup"}}), "it must be auto, cgroup"));
}

TEST_CASE("configuration: all mistakes are reported together, each with the variable and what it must be") {
    const std::string message = mistakes_of({{"WARDEN_MAX_PROCESSES", "-1"},
                                             {"PM_DEFAULT_TIMEOUT", "soon"},
                                             {"WARDEN_CLEANUP_INTERVAL", "1ms"},
                                             {"WARDEN_HANDLE_SIGNALS", "2"},
                                             {"WARDEN_MECHANISM", "magic"}});
    CHECK(contains(message, "WARDEN_MAX_PROCESSES is '-1'; it must be a whole number"));
    CHECK(contains(message, "PM_DEFAULT_TIMEOUT is 'soon'; it must be a duration"));
    CHECK(contains(message, "health_interval must be 10ms or more"));
    CHECK(contains(message, "WARDEN_HANDLE_SIGNALS is '2'"));
    CHECK(contains(message, "WARDEN_MECHANISM is 'magic'"));
}

TEST_CASE("configuration: numbers out of range are mistakes") {
    CHECK(
        contains(mistakes_of({{"WARDEN_MAX_PROCESSES", "0"}}), "max_processes is 0; it must be between 1 and 1000000"));
    CHECK(contains(mistakes_of({{"WARDEN_MAX_PROCESSES", "1000001"}}), "max_processes"));
    CHECK(contains(mistakes_of({{"WARDEN_MAX_PROCESSES", "99999999999999999999"}}), "whole number"));
    CHECK(contains(mistakes_of({{"WARDEN_MAX_PROCESSES", "7 "}}), "whole number"));
    CHECK(configured({{"WARDEN_MAX_PROCESSES", "1000000"}}).max_processes == 1'000'000);

    ManagerConfig config;
    config.max_processes = 0;
    config.default_timeout = 0s;
    config.graceful_timeout = -1s;
    config.health_interval = 0s;
    config.drain_timeout = -1ns;
    config.consumer_queue_bytes = 0;
    config.max_line_bytes = 0;
    config.pipe_bytes = 0;
    config.spare_keepers = 0;
    config.alerts.active_processes = 0;
    config.stop_plan = StopPlan{};
    config.event_log.limits = {0, 10};
    CHECK(config.validate().size() == 12);
}
