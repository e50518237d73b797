// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How a process ended, and why.
///
/// Knows:         exited, signalled and unknown are three different things.
/// Does not know: how the system encodes them.
/// Thread-safety: values.

#include <warden/error.hpp>
#include <warden/stream_output.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace warden {

/// How a process ended: it exited with a code, a signal ended it, or nobody can tell any more. Never 0 by mistake.
class ExitStatus {
public:
    /// Unknown: the status was taken by somebody else and the system did not keep it.
    constexpr ExitStatus() noexcept = default;

    [[nodiscard]] static constexpr ExitStatus from_code(std::int64_t code) noexcept {
        return {Kind::exited, code, false};
    }
    [[nodiscard]] static constexpr ExitStatus from_signal(int number, bool core_dumped) noexcept {
        return {Kind::signaled, number, core_dumped};
    }

    [[nodiscard]] constexpr bool known() const noexcept { return kind_ != Kind::unknown; }
    [[nodiscard]] constexpr bool exited() const noexcept { return kind_ == Kind::exited; }
    [[nodiscard]] constexpr bool signaled() const noexcept { return kind_ == Kind::signaled; }

    /// The code given to `exit`: 0 to 255 on POSIX, 32 bits on Windows. -1 unless `exited()`.
    [[nodiscard]] constexpr int code() const noexcept { return exited() ? static_cast<int>(value_) : -1; }

    /// The signal that ended it. 0 unless `signaled()`.
    [[nodiscard]] constexpr int signal() const noexcept { return signaled() ? static_cast<int>(value_) : 0; }

    /// Whether the kernel wrote a core file.
    [[nodiscard]] constexpr bool core_dumped() const noexcept { return core_dumped_; }

    /// Exited with code 0.
    [[nodiscard]] constexpr bool success() const noexcept { return exited() && value_ == 0; }

    /// "exited with code 3", "ended by signal 11 (core dumped)", "exit status unknown".
    [[nodiscard]] std::string to_string() const;

    /// Success for exit code 0; else the exit code in `exit_code_category()`, or the signal in `signal_category()`,
    /// where -1 is an unknown status.
    [[nodiscard]] error_code error() const noexcept;

    /// @throws system_error with `error()` unless it is a success.
    void check() const {
        if (const error_code ec = error()) throw system_error(ec, "the process failed");
    }

    friend constexpr bool operator==(const ExitStatus&, const ExitStatus&) = default;

private:
    enum class Kind : std::uint8_t { unknown, exited, signaled };

    constexpr ExitStatus(Kind kind, std::int64_t value, bool core_dumped) noexcept
        : value_(value), kind_(kind), core_dumped_(core_dumped) {}

    std::int64_t value_ = 0;
    Kind kind_ = Kind::unknown;
    bool core_dumped_ = false;
};

/// Exit codes as errors; its name is "exit".
[[nodiscard]] inline const boost::system::error_category& exit_code_category() noexcept;
/// Signals that ended a process as errors; its name is "signal". -1: the exit status is unknown.
[[nodiscard]] inline const boost::system::error_category& signal_category() noexcept;

/// Why a process ended.
enum class ExitCause : std::uint8_t {
    unknown,        ///< It has not ended, or nobody can tell.
    exited,         ///< By itself, with any exit code.
    stopped,        ///< On request, within the grace.
    forced,         ///< On request, by force.
    timed_out,      ///< Its timeout was over.
    memory_limit,   ///< It went over its memory limit.
    cpu_limit,      ///< It went over its CPU time limit.
    output_limit,   ///< It wrote more than `SpawnOptions::max_output_bytes` or `max_stderr_bytes`.
    crashed,        ///< A signal that nobody asked for.
    host_shutdown,  ///< The program that owns it was shutting down.
};

/// The name of the enumerator, as it stands in events: "timed_out".
[[nodiscard]] constexpr std::string_view to_string(ExitCause cause) noexcept;

// -- implementation ----------------------------------------------------------
namespace detail {
inline constexpr std::array<std::string_view, 10> exit_cause_names{
    "unknown",      "exited",    "stopped",      "forced",  "timed_out",
    "memory_limit", "cpu_limit", "output_limit", "crashed", "host_shutdown"};

class ExitCodeCategory final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "exit"; }
    std::string message(int value) const override { return ExitStatus::from_code(value).to_string(); }
};

class SignalCategory final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "signal"; }
    std::string message(int value) const override {
        return (value < 0 ? ExitStatus() : ExitStatus::from_signal(value, false)).to_string();
    }
};

static_assert(exit_cause_names.size() == static_cast<std::size_t>(ExitCause::host_shutdown) + 1);
}  // namespace detail

constexpr std::string_view to_string(ExitCause cause) noexcept {
    return detail::exit_cause_names[static_cast<std::size_t>(cause)];
}

WARDEN_ONE_PER_PROGRAM inline const boost::system::error_category& exit_code_category() noexcept {
    static const detail::ExitCodeCategory category;
    return category;
}

WARDEN_ONE_PER_PROGRAM inline const boost::system::error_category& signal_category() noexcept {
    static const detail::SignalCategory category;
    return category;
}

inline error_code ExitStatus::error() const noexcept {
    if (success()) return {};
    if (exited()) return {code(), exit_code_category()};
    return {signaled() ? signal() : -1, signal_category()};
}

inline std::string ExitStatus::to_string() const {
    if (exited()) return "exited with code " + std::to_string(value_);
    if (!signaled()) return "exit status unknown";
    return "ended by signal " + std::to_string(value_) + (core_dumped_ ? " (core dumped)" : "");
}

}  // namespace warden
