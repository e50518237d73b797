// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The JSON of a request to a shim.
///
/// Knows:         Boost.JSON; that a string may hold any bytes, which are neither changed nor refused.
/// Thread-safety: functions without state.
/// Errors:        see shim_request.hpp, which includes this.

#include <warden/detail/detached/shim_request.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/uuid/string_generator.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <array>
#include <chrono>
#include <exception>
#include <utility>

namespace warden::detail {

namespace json = boost::json;

// -- values -----------------------------------------------------------------------------------------------------------

[[nodiscard]] inline json::value json_of(const Nanoseconds& time) { return time.count(); }
[[nodiscard]] inline json::value json_of(const std::string& text) { return json::string(text); }
[[nodiscard]] inline json::value json_of(const std::filesystem::path& path) { return json::string(path.string()); }

template <class T>
[[nodiscard]] json::value json_of_optional(const std::optional<T>& value) {
    return value ? json::value(*value) : json::value(nullptr);
}

[[nodiscard]] inline json::array json_of(const std::vector<std::string>& texts) {
    json::array array;
    for (const std::string& text : texts) array.emplace_back(json_of(text));
    return array;
}

[[nodiscard]] inline json::array json_of(const CommandLine& command) {
    json::array words = json_of(command.arguments());
    words.insert(words.begin(), json_of(command.program()));
    return words;
}

[[nodiscard]] inline std::string text_of(const json::value& value) {
    const json::string& text = value.as_string();
    return {text.data(), text.size()};
}
[[nodiscard]] inline Nanoseconds time_of(const json::value& value) {
    return Nanoseconds(value.to_number<Nanoseconds::rep>());
}
[[nodiscard]] inline std::vector<std::string> texts_of(const json::value& value) {
    std::vector<std::string> texts;
    for (const json::value& text : value.as_array()) texts.push_back(text_of(text));
    return texts;
}
[[nodiscard]] inline CommandLine command_of(const json::value& value) {
    std::vector<std::string> words = texts_of(value);
    return words == std::vector<std::string>{""} ? CommandLine() : CommandLine(std::move(words));
}
template <class T>
[[nodiscard]] std::optional<T> optional_of(const json::value& value) {
    if (value.is_null()) return std::nullopt;
    return value.to_number<T>();
}
template <class Enum>
[[nodiscard]] Enum enumerator_of(const json::value& value, Enum last) {
    const auto number = value.to_number<std::uint8_t>();
    if (number > static_cast<std::uint8_t>(last)) throw system_error(errc::invalid_options, "an unknown enumerator");
    return static_cast<Enum>(number);
}
template <class Enum>
[[nodiscard]] json::value json_of_enumerator(Enum value) {
    return static_cast<std::uint64_t>(value);
}

// -- words ------------------------------------------------------------------------------------------------------------

[[nodiscard]] inline json::value json_of(const StopPlan& plan) {
    json::array steps;
    for (const StopStep& step : plan.steps()) {
        steps.emplace_back(json::object{{"action", json_of_enumerator(step.action)},
                                        {"grace", json_of(step.grace)},
                                        {"signal", step.signal_number},
                                        {"text", json_of(step.text)},
                                        {"command", json_of(step.command)}});
    }
    return json::object{{"steps", std::move(steps)}, {"reason", json_of(plan.reason())}};
}

[[nodiscard]] inline StopPlan plan_of(const json::value& value) {
    StopPlan plan;
    for (const json::value& one : value.at("steps").as_array()) {
        StopStep step;
        step.action = enumerator_of(one.at("action"), StopAction::last_resort);
        step.grace = time_of(one.at("grace"));
        step.signal_number = one.at("signal").to_number<int>();
        step.text = text_of(one.at("text"));
        step.command = command_of(one.at("command"));
        plan.add(std::move(step));
    }
    return plan.because(text_of(value.at("reason")));
}

[[nodiscard]] inline json::value json_of(const Environment& environment) {
    json::array changes;
    for (const auto& [key, value] : environment.changes())
        changes.emplace_back(json::array{json_of(key), value ? json_of(*value) : json::value(nullptr)});
    return json::object{{"inherits", environment.inherits()}, {"changes", std::move(changes)}};
}

[[nodiscard]] inline Environment environment_of(const json::value& value) {
    Environment environment = value.at("inherits").as_bool() ? Environment::inherit() : Environment::empty();
    for (const json::value& change : value.at("changes").as_array()) {
        if (change.at(1).is_null()) environment.unset(text_of(change.at(0)));
        else environment.set(text_of(change.at(0)), text_of(change.at(1)));
    }
    return environment;
}

/// The kinds of output that another program can make.
inline constexpr std::array carried_outputs{Output::null, Output::log, Output::merge};

[[nodiscard]] inline json::value json_of(const Output& output) {
    json::object to;
    for (const auto kind : carried_outputs) {
        if (output.has(kind)) to["kind"] = json_of_enumerator(kind);
    }
    if (output.has_file()) {
        to["path"] = json_of(output.path());
        to["appends"] = output.appends();
    }
    return to;
}

[[nodiscard]] inline std::optional<Output> output_of(const json::value& value) {
    if (value.is_null()) return std::nullopt;
    const json::object& from = value.as_object();
    std::optional<Output> result;
    if (const json::value* path = from.if_contains("path"))
        result = from.at("appends").as_bool() ? Output::append_to(text_of(*path)) : Output::to_file(text_of(*path));
    const json::value* kind = from.if_contains("kind");
    for (const auto known : carried_outputs) {
        if (!kind || kind->to_number<std::uint8_t>() != known) continue;
        result = result ? *result | Output(known) : Output(known);
    }
    if (!result) throw system_error(errc::invalid_options, "an unknown output");
    return result;
}

[[nodiscard]] inline json::value json_of(const LogOptions& log) {
    return json::object{
        {"directory", log.directory ? json_of(*log.directory) : json::value(nullptr)},
        {"naming", log.naming == LogNaming::by_name() ? json::value(nullptr) : json_of(log.naming.pattern())},
        {"max_lines", log.limits.max_lines},
        {"max_chars", log.limits.max_chars},
        {"kept_files", log.on_limit.kept_files()},
        {"format", json_of_enumerator(log.format)},
        {"collect", json_of(log.collect)}};
}

[[nodiscard]] inline LogOptions log_of(const json::value& value) {
    LogOptions log;
    if (!value.at("directory").is_null()) log.directory = text_of(value.at("directory"));
    const json::value& naming = value.at("naming");
    log.naming = naming.is_null() ? LogNaming::by_name() : LogNaming::pattern(text_of(naming));
    log.limits = {value.at("max_lines").to_number<std::size_t>(), value.at("max_chars").to_number<std::size_t>()};
    const auto kept = value.at("kept_files").to_number<std::size_t>();
    log.on_limit = kept == 0 ? OnLimit::keep_newest : OnLimit::rotate(kept);
    log.format = enumerator_of(value.at("format"), LogFormat::json_lines);
    log.collect = text_of(value.at("collect"));
    return log;
}

[[nodiscard]] inline json::value json_of(const ResourceLimits& limits) {
    return json::object{
        {"memory_bytes", json_of_optional(limits.memory_bytes)},
        {"cpu_time", limits.cpu_time ? json_of(*limits.cpu_time) : json::value(nullptr)},
        {"cpu_share", json_of_optional(limits.cpu_share)},
        {"processes", json_of_optional(limits.processes)},
        {"open_files", json_of_optional(limits.open_files)},
        {"file_bytes", json_of_optional(limits.file_bytes)},
        {"core_bytes", json_of_optional(limits.core_bytes)},
    };
}

[[nodiscard]] inline ResourceLimits limits_of(const json::value& value) {
    ResourceLimits limits;
    limits.memory_bytes = optional_of<std::uint64_t>(value.at("memory_bytes"));
    if (!value.at("cpu_time").is_null()) limits.cpu_time = time_of(value.at("cpu_time"));
    limits.cpu_share = optional_of<double>(value.at("cpu_share"));
    limits.processes = optional_of<std::uint64_t>(value.at("processes"));
    limits.open_files = optional_of<std::uint64_t>(value.at("open_files"));
    limits.file_bytes = optional_of<std::uint64_t>(value.at("file_bytes"));
    limits.core_bytes = optional_of<std::uint64_t>(value.at("core_bytes"));
    return limits;
}

[[nodiscard]] inline json::value json_of(const Identity& identity) {
    return json::object{{"user", json_of(identity.user)},
                        {"group", json_of(identity.group)},
                        {"groups", identity.groups ? json::value(json_of(*identity.groups)) : json::value(nullptr)},
                        {"umask", json_of_optional(identity.umask)},
                        {"nice", json_of_optional(identity.nice)}};
}

[[nodiscard]] inline Identity identity_of(const json::value& value) {
    Identity identity;
    identity.user = text_of(value.at("user"));
    identity.group = text_of(value.at("group"));
    if (!value.at("groups").is_null()) identity.groups = texts_of(value.at("groups"));
    identity.umask = optional_of<std::uint32_t>(value.at("umask"));
    identity.nice = optional_of<int>(value.at("nice"));
    return identity;
}

[[nodiscard]] inline json::value json_of(const AlertRule& rule) {
    return json::object{{"name", json_of(rule.name)},
                        {"pattern", json_of(rule.pattern)},
                        {"match", json_of_enumerator(rule.match)},
                        {"action", json_of_enumerator(rule.action)},
                        {"from_stdout", rule.from_stdout},
                        {"from_stderr", rule.from_stderr},
                        {"most", rule.most},
                        {"per", json_of(rule.per)},
                        {"dedupe", json_of(rule.dedupe)}};
}

[[nodiscard]] inline AlertRule rule_of(const json::value& value) {
    const auto action = enumerator_of(value.at("action"), AlertAction::ready);
    const auto match = enumerator_of(value.at("match"), AlertMatch::regex);
    std::string pattern = text_of(value.at("pattern"));
    AlertRule rule = match == AlertMatch::regex ? AlertRule::regex(std::move(pattern), action)
                                                : AlertRule::literal(std::move(pattern), action);
    rule.name = text_of(value.at("name"));
    rule.from_stdout = value.at("from_stdout").as_bool();
    rule.from_stderr = value.at("from_stderr").as_bool();
    rule.most = value.at("most").to_number<std::uint32_t>();
    rule.per = time_of(value.at("per"));
    rule.dedupe = time_of(value.at("dedupe"));
    return rule;
}

// -- the options ------------------------------------------------------------------------------------------------------

[[nodiscard]] inline json::value json_of(const Input& input) {
    if (input.is_file()) return json_of(input.path());
    return json::value(input.is(Input::pipe));
}

[[nodiscard]] inline Input input_of(const json::value& value) {
    if (value.is_string()) return Input::from_file(text_of(value));
    return value.as_bool() ? Input::pipe : Input::null;
}

[[nodiscard]] inline json::object json_of(const SpawnOptions& options) {
    json::object metadata;
    for (const auto& [key, value] : options.metadata) metadata[key] = json_of(value);
    json::array alerts;
    for (const AlertRule& rule : options.alerts) alerts.emplace_back(json_of(rule));
    json::object to{{"name", json_of(options.name)}, {"type", json_of(options.type)}};
    to["environment"] = json_of(options.environment);
    to["argument_zero"] = json_of(options.argument_zero);
    to["working_directory"] = json_of(options.working_directory);
    to["stdin"] = json_of(options.stdin_);
    to["stdout"] = options.stdout_ ? json_of(*options.stdout_) : json::value(nullptr);
    to["stderr"] = options.stderr_ ? json_of(*options.stderr_) : json::value(nullptr);
    if (options.terminal) to["terminal"] = json::array{options.terminal->columns, options.terminal->rows};
    to["log"] = json_of(options.log);
    to["timeout"] = options.timeout ? json_of(options.timeout->length()) : json::value(nullptr);
    to["stop_plan"] = options.stop_plan ? json_of(*options.stop_plan) : json::value(nullptr);
    to["limits"] = json_of(options.limits);
    to["containment"] =
        json::array{json_of_enumerator(options.containment.mechanism), options.containment.covers_setsid,
                    options.containment.covers_host_crash, options.containment.covers_other_users};
    to["identity"] = json_of(options.identity);
    to["alerts"] = std::move(alerts);
    to["drain_timeout"] = options.drain_timeout ? json_of(*options.drain_timeout) : json::value(nullptr);
    to["pipe_bytes"] = json_of_optional(options.pipe_bytes);
    to["max_output_bytes"] = json_of_optional(options.max_output_bytes);
    to["max_stderr_bytes"] = json_of_optional(options.max_stderr_bytes);
    to["metadata"] = std::move(metadata);
    if (const auto& hook = options.end_hook)
        to["end_hook"] = json::object{{"command", json_of(hook->command)}, {"timeout", json_of(hook->timeout)}};
    return to;
}

[[nodiscard]] inline SpawnOptions options_of(const json::value& value) {
    SpawnOptions options;
    options.name = text_of(value.at("name"));
    options.type = text_of(value.at("type"));
    options.environment = environment_of(value.at("environment"));
    options.argument_zero = text_of(value.at("argument_zero"));
    options.working_directory = text_of(value.at("working_directory"));
    options.stdin_ = input_of(value.at("stdin"));
    options.stdout_ = output_of(value.at("stdout"));
    options.stderr_ = output_of(value.at("stderr"));
    if (const json::value* terminal = value.as_object().if_contains("terminal"))
        options.terminal =
            Terminal{terminal->at(0).to_number<std::uint16_t>(), terminal->at(1).to_number<std::uint16_t>()};
    options.log = log_of(value.at("log"));
    if (!value.at("timeout").is_null()) options.timeout = Timeout(time_of(value.at("timeout")));
    if (!value.at("stop_plan").is_null()) options.stop_plan = plan_of(value.at("stop_plan"));
    options.limits = limits_of(value.at("limits"));
    const json::value& containment = value.at("containment");
    options.containment = {enumerator_of(containment.at(0), Mechanism::job_object), containment.at(1).as_bool(),
                           containment.at(2).as_bool(), containment.at(3).as_bool()};
    options.identity = identity_of(value.at("identity"));
    for (const json::value& rule : value.at("alerts").as_array()) options.alerts.push_back(rule_of(rule));
    if (!value.at("drain_timeout").is_null()) options.drain_timeout = time_of(value.at("drain_timeout"));
    options.pipe_bytes = optional_of<std::size_t>(value.at("pipe_bytes"));
    options.max_output_bytes = optional_of<std::uint64_t>(value.at("max_output_bytes"));
    options.max_stderr_bytes = optional_of<std::uint64_t>(value.at("max_stderr_bytes"));
    for (const auto& [key, text] : value.at("metadata").as_object()) options.metadata[std::string(key)] = text_of(text);
    if (const json::value* hook = value.as_object().if_contains("end_hook"))
        options.end_hook = EndHook{command_of(hook->at("command")), time_of(hook->at("timeout"))};
    return options;
}

// -- the request ------------------------------------------------------------------------------------------------------

[[nodiscard]] inline json::value json_of(const ManagerConfig& config) {
    return json::object{
        {"data_directory", json_of(config.data_directory)},  {"log_directory", json_of(config.log_directory)},
        {"mechanism", json_of_enumerator(config.mechanism)}, {"event_log", config.event_log.enabled},
        {"max_files", config.log_retention.max_files},       {"max_age", json_of(config.log_retention.max_age)},
        {"drain_timeout", json_of(config.drain_timeout)},    {"consumer_queue_bytes", config.consumer_queue_bytes},
        {"max_line_bytes", config.max_line_bytes},           {"pipe_bytes", config.pipe_bytes},
        {"redact_arguments", config.redact_arguments},       {"redact_secrets", config.redact_secrets},
        {"shim_program", json_of(config.shim_program)}};
}

[[nodiscard]] inline ManagerConfig config_of(const json::value& value) {
    ManagerConfig config;
    config.data_directory = text_of(value.at("data_directory"));
    config.log_directory = text_of(value.at("log_directory"));
    config.mechanism = enumerator_of(value.at("mechanism"), Mechanism::job_object);
    config.event_log.enabled = value.at("event_log").as_bool();
    config.log_retention.max_files = value.at("max_files").to_number<std::size_t>();
    config.log_retention.max_age = time_of(value.at("max_age"));
    config.drain_timeout = time_of(value.at("drain_timeout"));
    config.consumer_queue_bytes = value.at("consumer_queue_bytes").to_number<std::size_t>();
    config.max_line_bytes = value.at("max_line_bytes").to_number<std::size_t>();
    config.pipe_bytes = value.at("pipe_bytes").to_number<std::size_t>();
    config.redact_arguments = value.at("redact_arguments").as_bool();
    config.redact_secrets = value.at("redact_secrets").as_bool();
    config.shim_program = text_of(value.at("shim_program"));
    return config;
}

inline std::string write_request(const ShimRequest& request) {
    json::object to{{"version", shim_protocol_version}, {"uuid", to_string(request.uuid)}};
    to["command"] = json_of(request.command);
    to["options"] = json_of(request.options);
    to["config"] = json_of(request.config);
    if (request.restarted_from) to["restarted_from"] = to_string(*request.restarted_from);
    return json::serialize(to);
}

/// Text with bytes of any kind, also such that are no UTF-8: arguments and paths may hold them.
[[nodiscard]] inline json::value parse_bytes(std::string_view text) {
    json::parse_options lenient;
    lenient.allow_invalid_utf8 = true;
    lenient.max_depth = 16;
    return json::parse(text, {}, lenient);
}

inline ShimRequest read_request(std::string_view text) {
    try {
        const json::value from = parse_bytes(text);
        if (from.at("version").to_number<int>() != shim_protocol_version)
            throw system_error(errc::invalid_options, "a request of another version");
        ShimRequest request;
        const boost::uuids::string_generator parse_uuid{};
        request.uuid = parse_uuid(text_of(from.at("uuid")));
        request.command = command_of(from.at("command"));
        request.options = options_of(from.at("options"));
        request.config = config_of(from.at("config"));
        if (const json::value* former = from.as_object().if_contains("restarted_from"))
            request.restarted_from = parse_uuid(text_of(*former));
        return request;
    } catch (const system_error& error) {
        throw;
    } catch (const std::exception& error) {
        throw system_error(errc::invalid_options, std::string("no request to a shim: ") + error.what());
    }
}

}  // namespace warden::detail
