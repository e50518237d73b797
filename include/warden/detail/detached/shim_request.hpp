// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a program asks of a shim: the process to start, and the settings of its manager that concern one process.
///
/// Knows:         which options another program can follow, and how they are written as JSON, byte for byte.
/// Does not know: how the request is sent.
/// Thread-safety: functions without state.
/// Errors:        system_error errc::invalid_options for a text that is no request of this version.
/// Allocates:     what it returns.

#include <warden/manager_config.hpp>
#include <warden/output/alert_regex.hpp>
#include <warden/process_info.hpp>
#include <warden/spawn_options.hpp>
#include <warden/version.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace warden::detail {

inline constexpr int shim_protocol_version = 1;

struct ShimRequest {
    Uuid uuid{};
    CommandLine command{};
    SpawnOptions options{};
    /// Of this the shim gets what concerns one process: directories, mechanism, bounds, retention.
    ManagerConfig config{};
    std::optional<Uuid> restarted_from{};
};

/// The options that no other program can follow, each with its reason; empty if there are none.
[[nodiscard]] inline std::vector<std::string> options_that_stay(const SpawnOptions& options);

/// One line of JSON without its newline. Strings keep their bytes, also those that are no UTF-8.
[[nodiscard]] inline std::string write_request(const ShimRequest& request);
/// @throws system_error errc::invalid_options
[[nodiscard]] inline ShimRequest read_request(std::string_view text);

}  // namespace warden::detail

// -- implementation ----------------------------------------------------------
#include <warden/detail/detached/shim_request_json.hpp>

namespace warden::detail {

inline std::vector<std::string> options_that_stay(const SpawnOptions& options) {
    std::vector<std::string> found;
    const auto refuse_if = [&](bool bad, const char* text) {
        if (bad) found.emplace_back(text);
    };
    refuse_if(static_cast<bool>(options.on_line), "on_line is a function of this program");
    refuse_if(static_cast<bool>(options.on_chunk), "on_chunk is a function of this program");
    refuse_if(static_cast<bool>(options.on_exit), "on_exit is a function of this program");
    refuse_if(static_cast<bool>(options.executor), "executor is an object of this program");
    const Input& in = options.stdin_;
    refuse_if(in.is(Input::inherit) || in.is_native() || in.is_process_pipe(),
              "stdin_ is a descriptor of this program; use null, pipe or from_file");
    for (const auto* output : {&options.stdout_, &options.stderr_}) {
        if (!*output) continue;
        const char* const name = output == &options.stdout_ ? "stdout_" : "stderr_";
        if ((*output)->has(Output::inherit) || (*output)->is_native() || (*output)->is_process_pipe())
            found.push_back(std::string(name) + " is a descriptor of this program; use log, null, to_file or merge");
        else if ((*output)->has(Output::capture))
            found.push_back(std::string(name) + " is captured, which is for this program to read; use log");
    }
    if (options.stop_plan) {
        for (const StopStep& step : options.stop_plan->steps())
            refuse_if(step.action == StopAction::call, "stop_plan calls a function of this program; use run_command");
    }
    for (const AlertRule& rule : options.alerts) {
        if (rule.callback)
            found.push_back("the callback of alert rule '" + rule.title() + "' is a function of this program");
    }
    return found;
}

}  // namespace warden::detail
