// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What can be known of a process, as values that stay as they were when they were taken.
///
/// Thread-safety: values.

#include <warden/command_line.hpp>
#include <warden/containment.hpp>
#include <warden/exit_status.hpp>
#include <warden/fwd.hpp>
#include <warden/lifecycle.hpp>
#include <warden/stop_plan.hpp>
#include <warden/timeout.hpp>

#include <boost/uuid/uuid.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace warden {

using Uuid = boost::uuids::uuid;

/// CPU time, memory and faults. While the process lives: of its tree as it is now. After its end: of its leader and of
/// the descendants that it waited for, by `wait4(2)`.
struct ResourceUsage {
    Nanoseconds user_time{};
    Nanoseconds system_time{};
    std::uint64_t max_resident_bytes = 0;  ///< While it lives: the sum of the tree's resident sets now.
    std::uint64_t major_faults = 0;

    friend bool operator==(const ResourceUsage&, const ResourceUsage&) = default;
};

/// One member of a process tree.
struct TreeMember {
    Pid pid = 0;
    Pid parent = 0;
    std::string command{};  ///< Its arguments; in brackets the name of one that has none.
    char state = '?';       ///< As `proc(5)` has it: R, S, D, T, Z, ...
    std::uint32_t user = 0;
    Nanoseconds user_time{};
    Nanoseconds system_time{};
    std::uint64_t resident_bytes = 0;
    std::uint64_t major_faults = 0;
    bool escaped = false;  ///< It left the control group of its tree; it is still held, by a pidfd of its own.

    [[nodiscard]] Nanoseconds cpu_time() const noexcept { return user_time + system_time; }
};

/// What a member of a tree runs, where, and with which environment, as far as this program may read it.
struct MemberDetails {
    std::filesystem::path executable{};
    std::filesystem::path directory{};       ///< Its working directory.
    std::vector<std::string> environment{};  ///< "KEY=value", as it was when the program began.
    error_code error{};                      ///< Why something is missing.
};

/// A snapshot of one process.
struct ProcessInfo {
    Uuid uuid{};
    Pid pid = 0;
    std::string name{};
    std::string type{};
    CommandLine command{};
    State state = State::initialized;
    std::optional<ExitStatus> exit_status{};  ///< Set once it has ended.
    ExitCause cause = ExitCause::unknown;
    bool tree_alive = false;  ///< Something of its tree lives; also after its leader has ended.
    std::chrono::system_clock::time_point started_at{};
    Nanoseconds runtime{};                   ///< From the start to now, or to its end.
    std::filesystem::path log_path{};        ///< Empty if nothing is logged.
    std::filesystem::path error_log_path{};  ///< The same as `log_path` unless the naming separates them.
    ContainmentReport containment{};
    bool output_incomplete = false;  ///< It ended while somebody else still held one of its output pipes.
    std::uint64_t output_bytes = 0;
    std::uint64_t dropped_bytes = 0;  ///< By slow consumers, a full capture buffer or a log that could not be written.
    /// What the last stop of it did, once that is over, whoever began it: `stop`, its timeout, an alert rule, cleanup.
    std::optional<StopReport> last_stop{};
};

/// A command that failed. The code is that of `ExitStatus::error`, `errc::timed_out`, or `operation_canceled` for one
/// that was stopped and still ended well.
class ProcessFailed : public system_error {
public:
    static constexpr std::size_t max_err_bytes = 4096;

    /// @see CompletedProcess::check
    explicit ProcessFailed(const CompletedProcess& result);

    [[nodiscard]] const CommandLine& command() const noexcept { return command_; }
    [[nodiscard]] const ExitStatus& status() const noexcept { return status_; }
    [[nodiscard]] ExitCause cause() const noexcept { return cause_; }
    /// The end of its stderr, at most `max_err_bytes`, from the beginning of a line on where one begins.
    [[nodiscard]] const std::string& err() const noexcept { return err_; }

private:
    CommandLine command_;
    ExitStatus status_;
    ExitCause cause_;
    std::string err_;
};

/// The result of `run`.
struct CompletedProcess {
    ExitStatus status{};
    std::string out{};
    std::string err{};
    bool truncated = false;   ///< More was written than `capture_bytes` allows.
    bool incomplete = false;  ///< Somebody still held an output pipe when the drain timeout was over.
    Pid pipe_holder = 0;      ///< Who, if that could be found out.
    Nanoseconds duration{};
    ExitCause cause = ExitCause::unknown;
    CommandLine command{};

    /// Nothing if it was a success; else throws what failed, how, and the end of what it wrote to stderr.
    /// `run({"make"}).check()`
    /// @throws ProcessFailed
    const CompletedProcess& check() const&;
    CompletedProcess check() &&;

    [[nodiscard]] bool success() const noexcept { return status.success() && cause == ExitCause::exited; }
};

/// The result of `pipeline`.
struct CompletedPipeline {
    std::vector<CompletedProcess> stages{};  ///< One per command, in their order.

    /// The check of the first that failed.
    /// @throws ProcessFailed
    const CompletedPipeline& check() const& {
        for (const CompletedProcess& stage : stages) stage.check();
        return *this;
    }
    CompletedPipeline check() && {
        static_cast<const CompletedPipeline&>(*this).check();
        return std::move(*this);
    }

    /// What the last one wrote.
    [[nodiscard]] const std::string& out() const { return stages.back().out; }
    /// Of all of them, as a shell with `pipefail` has it: one that was ended by SIGPIPE failed.
    [[nodiscard]] bool success() const noexcept {
        return std::all_of(stages.begin(), stages.end(), [](const auto& stage) { return stage.success(); });
    }
};

// -- implementation ----------------------------------------------------------
namespace detail {

/// The end of `text`, at most `bytes` of it and without the last newlines; from the beginning of a line on, if one
/// begins there.
[[nodiscard]] inline std::string end_of(std::string_view text, std::size_t bytes) {
    while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
    if (text.size() > bytes) {
        text.remove_prefix(text.size() - bytes);
        const std::size_t line = text.find('\n');
        if (line != std::string_view::npos) text.remove_prefix(line + 1);
    }
    return std::string(text);
}

[[nodiscard]] inline error_code code_of(const CompletedProcess& result) noexcept {
    if (result.cause == ExitCause::timed_out) return errc::timed_out;
    const error_code ec = result.status.error();
    return ec ? ec : make_error_code(boost::system::errc::operation_canceled);
}

/// "'make -k' exited with code 2: no rule"
[[nodiscard]] inline std::string failure_in_words(const CompletedProcess& result) {
    std::string text = "'" + result.command.to_string() + "' " + result.status.to_string();
    if (result.cause != ExitCause::exited) text += " (" + std::string(to_string(result.cause)) + ")";
    const std::string err = end_of(result.err, ProcessFailed::max_err_bytes);
    return err.empty() ? text : text + ": " + err;
}

}  // namespace detail

inline ProcessFailed::ProcessFailed(const CompletedProcess& result)
    : system_error(detail::code_of(result), detail::failure_in_words(result)),
      command_(result.command),
      status_(result.status),
      cause_(result.cause),
      err_(detail::end_of(result.err, max_err_bytes)) {}

inline const CompletedProcess& CompletedProcess::check() const& {
    if (!success()) throw ProcessFailed(*this);
    return *this;
}

inline CompletedProcess CompletedProcess::check() && {
    static_cast<const CompletedProcess&>(*this).check();
    return std::move(*this);
}

}  // namespace warden
