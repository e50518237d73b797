// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What can go wrong, in the two forms that Asio has: `error_code` and `system_error`.
///
/// Knows:         the errors that a caller can act on; everything else is the system's own code.
/// Thread-safety: values; the category is immutable.
/// Allocates:     the messages.

#include <warden/platform.hpp>
#include <warden/stream_output.hpp>

#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace warden {

using boost::system::error_code;
using boost::system::system_error;

/// What a caller can act on. Compare with `ec == errc::too_many_processes`.
enum class errc : std::uint8_t {
    success = 0,
    invalid_command,          ///< Empty program, or a NUL byte in the program or an argument.
    invalid_environment,      ///< A key that is empty or holds `=`, or a NUL byte.
    invalid_options,          ///< Options that contradict each other or are out of range.
    invalid_timeout,          ///< Zero, negative or not a number; for "none" say `no_timeout`.
    invalid_signal,           ///< Not a signal number of this system.
    invalid_configuration,    ///< `ManagerConfig::validate()` lists what.
    already_configured,       ///< `configure` came after the first use of `instance()`, or twice.
    too_many_processes,       ///< `ManagerConfig::max_processes` are active.
    preflight_failed,         ///< A check before the start said no.
    containment_unavailable,  ///< The demanded containment is not to be had here; the report says why.
    containment_lost,         ///< The process that held the tree ended unexpectedly.
    launch_incomplete,        ///< The child ended before it could execute the program.
    not_found,                ///< No process of that name or uuid.
    ambiguous,                ///< Several uuids begin so.
    no_process,               ///< The handle is empty: default constructed, moved from, or the start failed.
    already_ended,            ///< The process has ended, so it cannot be signalled or written to.
    input_closed,             ///< Its standard input is closed, or was never a pipe.
    timed_out,                ///< The time allowed is over.
    shut_down,                ///< The manager has been destroyed or is being cleaned up.
    forked,                   ///< Called in a forked copy of the program that owns the processes.
    detached,                 ///< The process belongs to its shim; `ProcessManager::detached()` reaches it.
    already_running,          ///< A detached process of that name runs, or may run, or something that it started.
    service_failed,           ///< A service of a group failed, or was not started because another one did.
    probe_failed,             ///< A probe said that the process will not be ready, or does not do its work any more.
};

/// The category of `errc`; its name is "warden".
[[nodiscard]] inline const boost::system::error_category& error_category() noexcept;

/// Found by argument-dependent lookup, so that `error_code ec = errc::forked` works.
[[nodiscard]] inline error_code make_error_code(errc value) noexcept;

/// The steps of a start, in their order. A failed start names the one that failed.
enum class SpawnStep : std::uint8_t {
    validation,
    process_limit,
    preflight,
    working_directory,
    executable,
    descriptors,
    log_file,
    output_file,
    input_file,
    containment,
    identity,
    resource_limits,
    launch,
    setup,  ///< The manager itself could not be set up.
};

/// The name of a step, in words: "working directory".
[[nodiscard]] constexpr std::string_view to_string(SpawnStep step) noexcept;

/// A start that failed: the code, the step, and what it was about. Nothing of the attempt is left.
class SpawnError : public system_error {
public:
    /// `what()` reads: cannot start <program>: <step> '<path>': <the system's words> (<advice>)
    SpawnError(error_code code, SpawnStep step, std::filesystem::path path, const std::string& message)
        : system_error(code, message), step_(step), path_(std::move(path)) {}

    [[nodiscard]] SpawnStep step() const noexcept { return step_; }

    /// The file or directory that the step was about; empty if it was about none.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
    SpawnStep step_;
    std::filesystem::path path_;
};

// -- implementation ----------------------------------------------------------
namespace detail {

inline constexpr std::array<std::string_view, 25> errc_messages{
    "success",
    "the command is empty or holds a NUL byte",
    "an environment key is empty or holds '=', or a NUL byte is in the environment",
    "the options contradict each other or are out of range",
    "a timeout must be positive; say warden::no_timeout for none",
    "not a signal number of this system",
    "the configuration is not valid",
    "the manager is configured already; call configure() once, before the first instance()",
    "the limit of active processes is reached; stop some, or raise max_processes",
    "a preflight check failed",
    "the demanded containment is not available here",
    "the process that held the tree ended unexpectedly",
    "the child ended before it could execute the program",
    "no such process",
    "several processes have a uuid that begins so; write more of it",
    "the handle holds no process",
    "the process has ended",
    "the standard input of the process is closed or not a pipe",
    "the time allowed is over",
    "the manager is shut down",
    "this is a forked copy of the program that owns the processes",
    "the process runs detached; reach it by ProcessManager::detached().find(uuid)",
    "a process of that name runs, or may run",
    "a service failed",
    "a probe of the process failed",
};
static_assert(errc_messages.size() == static_cast<std::size_t>(errc::probe_failed) + 1);

class ErrorCategory final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "warden"; }
    std::string message(int value) const override {
        const auto index = static_cast<std::size_t>(value);
        return std::string(index < errc_messages.size() ? errc_messages[index] : "unknown error");
    }
};

inline constexpr std::array<std::string_view, 14> spawn_step_names{
    "validation",  "process limit", "preflight",   "working directory", "executable",      "descriptors", "log file",
    "output file", "input file",    "containment", "identity",          "resource limits", "launch",      "setup",
};
static_assert(spawn_step_names.size() == static_cast<std::size_t>(SpawnStep::setup) + 1);

/// The code of a failed system call.
[[nodiscard]] inline error_code system_code(int number) noexcept { return {number, boost::system::system_category()}; }

/// Whether a string or the text of a path holds a NUL byte, at which the system would cut it.
template <class Text>
[[nodiscard]] bool has_nul(const Text& text) noexcept {
    return text.find(typename Text::value_type{}) != Text::npos;
}

/// Throws what went wrong, naming the operation.
inline void throw_if(const error_code& ec, const char* operation) {
    if (ec) throw system_error(ec, operation);
}

/// Makes the form that throws of one that has an error code.
template <class F>
inline auto or_throw(const char* operation, F f) {
    error_code ec;
    if constexpr (std::is_void_v<std::invoke_result_t<F, error_code&>>) {
        f(ec);
        throw_if(ec, operation);
    } else {
        auto result = f(ec);
        throw_if(ec, operation);
        return result;
    }
}

}  // namespace detail

WARDEN_ONE_PER_PROGRAM inline const boost::system::error_category& error_category() noexcept {
    static const detail::ErrorCategory category;
    return category;
}

inline error_code make_error_code(errc value) noexcept { return {static_cast<int>(value), error_category()}; }

constexpr std::string_view to_string(SpawnStep step) noexcept {
    return detail::spawn_step_names[static_cast<std::size_t>(step)];
}

}  // namespace warden

template <>
struct boost::system::is_error_code_enum<warden::errc> : std::true_type {};
