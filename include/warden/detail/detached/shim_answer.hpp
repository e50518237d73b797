// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a shim answers: errors and reports as JSON, and back.
///
/// Knows:         the categories of codes that pass from one program to another.
/// Thread-safety: functions without state.
/// Errors:        an answer that cannot be read is `bad_message`.

#include <warden/detail/detached/shim_request.hpp>
#include <warden/detail/detached/shim_request_json.hpp>
#include <warden/error.hpp>
#include <warden/exit_status.hpp>
#include <warden/stop_plan.hpp>

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace warden::detail {

[[nodiscard]] inline json::object json_of(const error_code& code) {
    const bool is_own = code.category() == error_category();
    return json::object{{"category", is_own ? "warden" : "system"}, {"value", code.value()}};
}

[[nodiscard]] inline error_code code_of(const json::value& value) {
    const int number = value.at("value").to_number<int>();
    if (value.at("category").as_string() == "warden") return {number, error_category()};
    return {number, boost::system::system_category()};
}

/// `{"error": ...}`
[[nodiscard]] inline std::string refusal(const error_code& code, std::string_view message) {
    json::object error = json_of(code);
    error["message"] = std::string(message);
    return json::serialize(json::object{{"error", std::move(error)}});
}

/// The same for a start that failed.
[[nodiscard]] inline std::string refusal(const SpawnError& failed) {
    json::object error = json_of(failed.code());
    error["message"] = failed.what();
    error["step"] = json_of_enumerator(failed.step());
    error["path"] = json_of(failed.path());
    return json::serialize(json::object{{"error", std::move(error)}});
}

/// The `what()` of a SpawnError ends with the words of its code, which the receiver adds anew.
[[nodiscard]] inline std::string without_code(std::string what, const error_code& code) {
    const std::string end = ": " + code.what();
    if (what.ends_with(end)) what.erase(what.size() - end.size());
    return what;
}

/// @throws SpawnError or system_error, as the answer says, unless it is a success.
inline void throw_if_refused(const json::value& answer) {
    const json::value* error = answer.as_object().if_contains("error");
    if (!error) return;
    const error_code code = code_of(*error);
    const std::string message = without_code(text_of(error->at("message")), code);
    if (!error->as_object().contains("step")) throw system_error(code, message);
    throw SpawnError(code, enumerator_of(error->at("step"), SpawnStep::setup), text_of(error->at("path")), message);
}

[[nodiscard]] inline json::value json_of(const ExitStatus& status) {
    if (status.exited()) return json::object{{"code", status.code()}};
    if (!status.signaled()) return nullptr;
    return json::object{{"signal", status.signal()}, {"core_dumped", status.core_dumped()}};
}

[[nodiscard]] inline ExitStatus status_of(const json::value& value) {
    if (value.is_null()) return {};
    const json::object& status = value.as_object();
    if (const json::value* code = status.if_contains("code"))
        return ExitStatus::from_code(code->to_number<std::int64_t>());
    return ExitStatus::from_signal(status.at("signal").to_number<int>(), status.at("core_dumped").as_bool());
}

[[nodiscard]] inline json::object json_of(const StopReport& report) {
    json::array steps;
    for (const StopStepResult& step : report.steps) {
        steps.emplace_back(json::object{{"action", json_of_enumerator(step.action)},
                                        {"began", json_of(step.began)},
                                        {"duration", json_of(step.duration)},
                                        {"tree_exited", step.tree_exited},
                                        {"error", json_of(step.error)}});
    }
    json::array survivors;
    for (const Survivor& survivor : report.survivors) {
        survivors.emplace_back(json::object{
            {"pid", survivor.pid}, {"command", json_of(survivor.command)}, {"reason", json_of(survivor.reason)}});
    }
    return json::object{{"steps", std::move(steps)},
                        {"survivors", std::move(survivors)},
                        {"reason", json_of(report.reason)},
                        {"duration", json_of(report.duration)}};
}

[[nodiscard]] inline StopReport report_of(const json::value& value) {
    StopReport report;
    for (const json::value& one : value.at("steps").as_array()) {
        report.steps.push_back({enumerator_of(one.at("action"), StopAction::last_resort), time_of(one.at("began")),
                                time_of(one.at("duration")), one.at("tree_exited").as_bool(),
                                text_of(one.at("error"))});
    }
    for (const json::value& one : value.at("survivors").as_array()) {
        report.survivors.push_back(
            {one.at("pid").to_number<Pid>(), text_of(one.at("command")), text_of(one.at("reason"))});
    }
    report.reason = text_of(value.at("reason"));
    report.duration = time_of(value.at("duration"));
    return report;
}

}  // namespace warden::detail
