// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Everything that can be said about a start besides the command.
///
/// Knows:         names, values, defaults, and which of them contradict each other.
/// Does not know: descriptors, files, signals; the start acts.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.

#include <warden/callbacks.hpp>
#include <warden/command_line.hpp>
#include <warden/containment.hpp>
#include <warden/environment.hpp>
#include <warden/fwd.hpp>
#include <warden/output/alert_rules.hpp>
#include <warden/output/log_options.hpp>
#include <warden/resource_limits.hpp>
#include <warden/stop_plan.hpp>
#include <warden/streams.hpp>
#include <warden/timeout.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// A check before the start. `supervision/preflight.hpp` has ready-made ones.
struct PreflightCheck {
    std::string name{};  ///< "python3 is installed"
    /// Nothing if all is well; else what is missing and how to mend it. May throw; that is a failure too.
    std::function<std::optional<std::string>()> run{};
};

/// What the start of a detached process does if one of its name runs.
enum class IfRunning : std::uint8_t {
    start_another,
    refuse,  ///< The start fails with `errc::already_running`.
    reuse,   ///< The start returns the one that runs.
};

/// A command that the shim of a detached process runs when the process itself has ended and its record says how; what
/// it started may live on. The command is contained like any process, as the user of the shim, in the environment and
/// the working directory of the process; its output goes to a log of its own, `<name>-end`. It finds `WARDEN_RECORD`
/// (the path of the record), `WARDEN_UUID`, `WARDEN_NAME`, `WARDEN_LOG` (the path) and `WARDEN_EXIT` (in words) in its
/// environment. That it failed is told as an event, and in the record. It is not run if the shim was killed.
struct EndHook {
    CommandLine command{};
    Nanoseconds timeout = std::chrono::minutes(1);  ///< Then it is stopped, and has failed.
};

/// All of it has defaults; name what differs.
struct SpawnOptions {
    std::string name{};            ///< For people, logs and `find`; default: the file name of the program.
    std::string type = "process";  ///< A free word such as `generation`.
    Environment environment{};
    /// What the program sees as `argv[0]`; default: the program as it was written. Not for batch files.
    std::string argument_zero{};
    /// `PWD`, where it is inherited, follows.
    std::filesystem::path working_directory{};  ///< Default: that of the program at the moment of the start.
    Input stdin_ = Input::null;
    std::optional<Output> stdout_{};  ///< Default: `log` for `spawn`, `capture` for `run`.
    std::optional<Output> stderr_{};  ///< The same.
    /// The process gets a terminal of its own: its controlling one, and its stdin, stdout and stderr. What it writes,
    /// and what the terminal echoes, is its stdout; with `stdin_` as a pipe, `write` types, and `close_stdin` types
    /// Ctrl-D, which is the end of file for a program that reads lines; one that has set the terminal to raw mode reads
    /// it as a byte. A line that is longer than the terminal holds (4,095 bytes on Linux) arrives in parts.
    std::optional<Terminal> terminal{};
    LogOptions log{};
    std::optional<Timeout> timeout{};     ///< From launch to end; default: `ManagerConfig::default_timeout`.
    std::optional<StopPlan> stop_plan{};  ///< Default: `ManagerConfig::stop_plan`.
    ResourceLimits limits{};
    ContainmentDemand containment{};
    Identity identity = Identity();  // with {} GCC 12 warns, wrongly, in the code that makes one of these
    /// The process outlives this program, held by a shim: the program that calls `spawn` includes
    /// <warden/detached/detached.hpp>. The handle that it returns says who the process is, and ends nothing.
    bool detached = false;
    /// For detached processes. With anything but `start_another`, programs that start one of the same name in the same
    /// data directory at the same moment start one. What cannot be told for sure is `errc::already_running`: an
    /// unreadable record, a process that is being stopped, something that one of the name left. `reuse` is for
    /// `DetachedProcesses::spawn`.
    IfRunning if_running = IfRunning::start_another;
    std::optional<EndHook> end_hook{};  ///< For detached processes.
    std::vector<PreflightCheck> preflight{};
    LineCallback on_line{};
    ChunkCallback on_chunk{};
    /// Called once, on `executor`, when the process has ended and its end is known; its descendants may live on.
    std::function<void(const ProcessInfo&)> on_exit{};
    std::vector<AlertRule> alerts{};  ///< Besides those of the manager, `AlertOptions::rules`.
    /// Where the callbacks for lines, chunks and alerts run, one at a time. If nobody runs it, the exit
    /// notification of the process waits for the drain timeout.
    Executor executor{};
    OverflowPolicy overflow_policy = OverflowPolicy::drop;
    std::size_t capture_bytes = 64u << 20;  ///< Per stream, 1 and more; what comes after is dropped and counted.
    std::optional<std::size_t> stderr_capture_bytes{};  ///< For stderr, if that has another bound.
    /// A process that writes more to its stdout, or to its stderr, is stopped by its plan, as `ExitCause::output_limit`
    /// says; 1 and more. What comes after the bound is dropped and counted. For streams that this program reads: log,
    /// capture, a copy.
    std::optional<std::uint64_t> max_output_bytes{};
    std::optional<std::uint64_t> max_stderr_bytes{};  ///< For stderr, if that has another bound.
    /// For output after the exit; default: `ManagerConfig::drain_timeout`.
    std::optional<Nanoseconds> drain_timeout{};
    /// Asked of the system for output pipes that flood; default: `ManagerConfig::pipe_bytes`.
    std::optional<std::size_t> pipe_bytes{};
    std::map<std::string, std::string> metadata{};  ///< Carried into every event of the process.

    static constexpr std::size_t max_capture_bytes = static_cast<std::size_t>(-1) / 2;

    /// Everything that is wrong, in words; empty if nothing is. `default_output` is where streams go that are not set.
    /// Whether files, users and regular expressions are as they should be, the start says.
    [[nodiscard]] std::vector<std::string> validate(const Output& default_output = Output::log) const;
};

// -- implementation ----------------------------------------------------------
namespace detail {

/// The streams of a start, once each is known: what contradicts something.
inline void add_stream_mistakes(const SpawnOptions& options, const Output& out, const Output& err,
                                std::vector<std::string>& found) {
    if (!out.is_valid() || !err.is_valid())
        found.emplace_back(
            "null, merge, an open handle and a ProcessPipe stand alone, and there is one file for a stream; they "
            "cannot "
            "be combined with |");
    if (out.has(Output::merge)) found.emplace_back("merge is for stderr only");
    if (out.is_process_pipe() && out == err)
        found.emplace_back("both streams cannot take the same end of a ProcessPipe: set stderr_ to merge");
    if (!options.log.collect.empty() && !out.has(Output::log))
        found.emplace_back("what is collected goes to the log of stdout: set stdout_ to log");
    if (options.max_output_bytes && !out.is_read() && (options.max_stderr_bytes || !err.is_read()))
        found.emplace_back("max_output_bytes bounds a stream that is read: log, capture, or a copy to a file");
    if (options.max_stderr_bytes && !err.is_read())
        found.emplace_back("max_stderr_bytes bounds a stderr that is read: log, capture, or a copy to a file");
    const auto check_file = [&](const char* name, bool is_file, const std::filesystem::path& path) {
        if (is_file && path.empty()) found.push_back("the path of the file for " + std::string(name) + " is empty");
        if (has_nul(path.native())) found.push_back("a NUL byte is in the path of the file for " + std::string(name));
    };
    check_file("stdin", options.stdin_.is_file(), options.stdin_.path());
    check_file("stdout", out.has_file(), out.path());
    check_file("stderr", err.has_file(), err.path());
    if (!options.terminal) return;
    if (!options.terminal->is_valid()) found.emplace_back("a terminal has at least one column and one row");
    if (out.is_file() || out.is_process_pipe() || out.is_native() || out.is_only(Output::inherit))
        found.emplace_back("with a terminal stdout is null, or read: capture, log, or one of them with inherit");
    if (options.stderr_.value_or(Output::merge) != Output(Output::merge))
        found.emplace_back("with a terminal stderr is stdout: leave it, or say merge");
    if (!options.stdin_.is(Input::null) && !options.stdin_.is(Input::pipe))
        found.emplace_back("a terminal cannot inherit stdin; use pipe or null");
}

}  // namespace detail

inline std::vector<std::string> SpawnOptions::validate(const Output& default_output) const {
    std::vector<std::string> found;
    const auto append = [&](std::vector<std::string> more) {
        for (auto& mistake : more) found.push_back(std::move(mistake));
    };
    if (detail::has_nul(name)) found.emplace_back("a NUL byte is in the name");
    if (detail::has_nul(type)) found.emplace_back("a NUL byte is in the type");
    if (const error_code ec = environment.validate()) found.push_back(ec.message());
    if (detail::has_nul(argument_zero)) found.emplace_back("a NUL byte is in argument_zero");
    if (detail::has_nul(working_directory.native())) found.emplace_back("a NUL byte is in the working directory");
    detail::add_stream_mistakes(*this, stdout_.value_or(default_output),
                                terminal ? Output::merge : stderr_.value_or(default_output), found);
    append(log.validate());
    if (timeout && !timeout->is_valid()) found.push_back(make_error_code(errc::invalid_timeout).message());
    if (stop_plan) append(stop_plan->validate());
    append(limits.validate());
    append(identity.validate());
    for (const AlertRule& rule : alerts) append(rule.validate());
    const auto range = [&](const char* what, std::optional<std::size_t> value, std::size_t low, std::size_t high) {
        if (!value || (*value >= low && *value <= high)) return;
        found.push_back(std::string(what) + " is " + std::to_string(*value) + "; it must be between " +
                        std::to_string(low) + " and " + std::to_string(high));
    };
    range("capture_bytes", capture_bytes, 1, max_capture_bytes);
    range("stderr_capture_bytes", stderr_capture_bytes, 1, max_capture_bytes);
    range("pipe_bytes", pipe_bytes, 4096, std::size_t{1} << 26);
    if ((max_output_bytes && *max_output_bytes == 0) || (max_stderr_bytes && *max_stderr_bytes == 0))
        found.emplace_back("a bound on output is 0; for no output at all set the stream to null");
    if (!detached && (if_running != IfRunning::start_another || end_hook))
        found.emplace_back("if_running and end_hook are for detached processes");
    if (end_hook && end_hook->command.validate())
        found.emplace_back("the command of end_hook is empty or holds a NUL byte");
    if (end_hook && end_hook->timeout <= Nanoseconds::zero())
        found.emplace_back("the timeout of end_hook is not positive");
    if (drain_timeout && *drain_timeout < Nanoseconds::zero())
        found.emplace_back("drain_timeout is negative; it must be 0 or more");
    return found;
}

}  // namespace warden
