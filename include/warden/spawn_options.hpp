// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Everything that can be said about a start besides the command.
///
/// Knows:         names, values and defaults.
/// Does not know: descriptors, files, signals; the start validates and acts.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.

#include <warden/command_line.hpp>
#include <warden/containment.hpp>
#include <warden/fwd.hpp>
#include <warden/output/alert_rules.hpp>
#include <warden/output/log_options.hpp>
#include <warden/stop_plan.hpp>
#include <warden/timeout.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace warden {

/// The environment of the child: that of the program with changes, or only what is set here.
///
/// Reading the program's environment at a start is as safe as `getenv(3)`: nobody may change it at that moment.
class Environment {
public:
    [[nodiscard]] static Environment inherit() { return Environment(true); }
    [[nodiscard]] static Environment empty() { return Environment(false); }

    Environment() : Environment(true) {}

    /// The last word on a key wins, and one copy of it is passed.
    Environment& set(std::string key, std::string value) & {
        changes_.insert_or_assign(std::move(key), std::move(value));
        return *this;
    }
    Environment& unset(std::string key) & {
        changes_.insert_or_assign(std::move(key), std::nullopt);
        return *this;
    }
    Environment set(std::string key, std::string value) && { return std::move(set(std::move(key), std::move(value))); }
    Environment unset(std::string key) && { return std::move(unset(std::move(key))); }

    [[nodiscard]] bool inherits() const noexcept { return inherits_; }

    /// Keys that were set (a value) or unset (nothing).
    [[nodiscard]] const std::map<std::string, std::optional<std::string>>& changes() const noexcept { return changes_; }

    /// `errc::invalid_environment` for an empty key, a key with `=`, or a NUL byte; else success.
    [[nodiscard]] error_code validate() const noexcept;

    friend bool operator==(const Environment&, const Environment&) = default;

private:
    explicit Environment(bool inherits) : inherits_(inherits) {}

    std::map<std::string, std::optional<std::string>> changes_;
    bool inherits_ = true;
};

/// A pipe between two processes: what one writes is the input of the other, and never passes through this program.
/// Give it as `stdout_` (or `stderr_`) to one and as `stdin_` to the other. Copies are the same pipe. Each end goes to
/// the first process that is started with it, also if that start fails.
class ProcessPipe {
public:
    ProcessPipe() : state_(std::make_shared<State>()) {}

    friend bool operator==(const ProcessPipe&, const ProcessPipe&) = default;

private:
    friend class Input;
    friend class Output;
    friend class detail::PreparedLaunch;

    struct State {
        std::mutex mutex;
        bool made = false;                          // at the first start
        std::array<std::shared_ptr<void>, 2> ends;  // to read, to write
    };

    explicit ProcessPipe(std::nullptr_t) noexcept {}

    std::shared_ptr<State> state_;
};

/// Where the standard input of a child comes from.
class Input {
public:
    enum Kind : std::uint8_t {
        null,     ///< The null device: end of file at once.
        inherit,  ///< That of the program itself.
        pipe,     ///< A pipe that `write` and `close_stdin` of the handle feed.
    };

    Input(Kind kind) : kind_(kind) {}
    /// What another process writes.
    Input(ProcessPipe from) : kind_(from_process), process_pipe_(std::move(from)) {}
    /// A file that is opened for reading at the start.
    [[nodiscard]] static Input from_file(std::filesystem::path path) {
        Input input(null);
        input.kind_ = opened_file;
        input.path_ = std::move(path);
        return input;
    }

    [[nodiscard]] bool is(Kind kind) const noexcept { return kind_ == kind; }
    [[nodiscard]] bool is_file() const noexcept { return kind_ == opened_file; }
    [[nodiscard]] bool is_process_pipe() const noexcept { return kind_ == from_process; }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    [[nodiscard]] const ProcessPipe& process_pipe() const noexcept { return process_pipe_; }

    friend bool operator==(const Input&, const Input&) = default;

private:
    enum : std::uint8_t { opened_file = pipe + 1, from_process };  // these two come with a path or a pipe

    std::uint8_t kind_;
    std::filesystem::path path_;
    ProcessPipe process_pipe_{nullptr};
};

/// Where an output stream of a child goes; several at once with `|`, for example `Output::capture | Output::log`.
///
/// `inherit` alone hands the program's own descriptor to the child; together with others, warden copies to it.
/// `null`, `merge` and a `ProcessPipe` stand alone. `merge` is for stderr: it goes wherever stdout goes, in the order
/// of writing. `to_file` truncates the file and hands it to the child; it stands alone too. For a bounded file use
/// `log`.
class Output {
public:
    enum Kind : std::uint8_t { null = 1, inherit = 2, capture = 4, log = 8, merge = 16 };

    Output(Kind kind) : kinds_(kind) {}
    /// To the input of another process.
    Output(ProcessPipe to) : kinds_(to_process), process_pipe_(std::move(to)) {}
    [[nodiscard]] static Output to_file(std::filesystem::path path) {
        Output output(null);
        output.kinds_ = opened_file;
        output.path_ = std::move(path);
        return output;
    }

    friend Output operator|(Output a, const Output& b) {
        a.kinds_ = static_cast<std::uint8_t>(a.kinds_ | b.kinds_);
        if (a.path_.empty()) a.path_ = b.path_;
        return a;
    }
    friend Output operator|(Kind a, Kind b) { return Output(a) | Output(b); }

    [[nodiscard]] bool has(Kind kind) const noexcept { return (kinds_ & kind) != 0; }
    [[nodiscard]] bool is_only(Kind kind) const noexcept { return kinds_ == kind; }
    [[nodiscard]] bool is_file() const noexcept { return kinds_ == opened_file; }
    [[nodiscard]] bool is_process_pipe() const noexcept { return kinds_ == to_process; }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    [[nodiscard]] const ProcessPipe& process_pipe() const noexcept { return process_pipe_; }

    /// Whether the combination makes sense.
    [[nodiscard]] bool is_valid() const noexcept {
        constexpr int combine = int{inherit} | int{capture} | int{log};
        return (kinds_ & ~combine) == 0 || (kinds_ & (kinds_ - 1)) == 0;
    }

    friend bool operator==(const Output&, const Output&) = default;

private:
    enum : std::uint8_t { opened_file = 32, to_process = 64 };  // these two come with a path or a pipe

    std::uint8_t kinds_;
    std::filesystem::path path_;
    ProcessPipe process_pipe_{nullptr};
};

/// Where callbacks run: any executor of Asio (`context.get_executor()`), or what has `execute(f)` like one.
class Executor {
public:
    /// The threads of the manager.
    Executor() = default;

    template <class E>
    requires(!std::same_as<std::remove_cvref_t<E>, Executor>) && requires(const E& executor, std::function<void()> f) {
        executor.execute(std::move(f));
    }
    Executor(E executor)
        : execute_([executor = std::move(executor)](std::function<void()> f) { executor.execute(std::move(f)); }) {}

    explicit operator bool() const noexcept { return static_cast<bool>(execute_); }
    /// Runs `f` there; at once, if the executor does so.
    void operator()(std::function<void()> f) const { execute_(std::move(f)); }

private:
    std::function<void(std::function<void()>)> execute_;
};

/// The two output streams of a process.
enum class Stream : std::uint8_t { stdout_, stderr_ };

[[nodiscard]] constexpr std::string_view to_string(Stream stream) noexcept {
    return stream == Stream::stdout_ ? "stdout" : "stderr";
}

/// A line of output, without its line end. `text` is valid during the call.
struct OutputLine {
    Stream stream = Stream::stdout_;
    std::string_view text;
    bool partial = false;  ///< A part of an over-long line; more of it follows.
};

/// A callback for lines: callable with `(const OutputLine&)`, `(Stream, std::string_view)` or `(std::string_view)`.
/// Runs on `SpawnOptions::executor`, never on the I/O loop; calls for one process come one at a time, in order.
class LineCallback {
public:
    LineCallback() = default;

    template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, LineCallback>) && std::invocable<F&, const OutputLine&> LineCallback(
                                                                         F f)
        : call_(std::move(f)) {}

    template <class F>
    requires(!std::invocable<F&, const OutputLine&>) && std::invocable<F&, Stream, std::string_view> LineCallback(F f)
        : call_([f = std::move(f)](const OutputLine& line) mutable { f(line.stream, line.text); }) {}

    template <class F>
    requires(!std::invocable<F&, const OutputLine&>) && std::invocable<F&, std::string_view> LineCallback(F f)
        : call_([f = std::move(f)](const OutputLine& line) mutable { f(line.text); }) {}

    explicit operator bool() const noexcept { return static_cast<bool>(call_); }
    void operator()(const OutputLine& line) const { call_(line); }

private:
    std::function<void(const OutputLine&)> call_;
};

/// A callback for output as it was read, in chunks of any size. The same promises as `LineCallback`.
using ChunkCallback = std::function<void(Stream, std::string_view)>;

/// What a process may use. Nothing set: what the program itself may use. POSIX: `setrlimit(2)`; a child may lower them
/// further. Windows: its Job Object. A limit that the system in force cannot hold fails the start
/// (`errc::invalid_options`, step `resource_limits`).
struct ResourceLimits {
    std::optional<std::uint64_t> memory_bytes;  ///< Windows. Committed by the tree together; more is not to be had.
    std::optional<Nanoseconds> cpu_time;        ///< Per process of the tree; POSIX: in whole seconds, rounded up.
    std::optional<double> cpu_share;            ///< Windows. Of one processor; 1.5 is one and a half. A hard cap.
    std::optional<std::uint64_t> processes;     ///< Windows. Of the tree at one time; more cannot be started.
    std::optional<std::uint64_t> open_files;    ///< POSIX. Highest descriptor number plus one.
    std::optional<std::uint64_t> file_bytes;    ///< POSIX. Largest file that it may write.
    std::optional<std::uint64_t> core_bytes;    ///< POSIX. Largest core file; 0 for none.

    friend bool operator==(const ResourceLimits&, const ResourceLimits&) = default;
};

/// Who the child runs as. Changing user or group needs the right to; supplementary groups go with the user.
struct Identity {
    std::string user;                    ///< Name or number; empty: the program's own.
    std::string group;                   ///< Name or number; empty: the primary group of `user`, or the program's own.
    std::optional<std::uint32_t> umask;  ///< 0 to 0777.
    std::optional<int> nice;             ///< -20 to 19, the value itself, not an increment.

    friend bool operator==(const Identity&, const Identity&) = default;
};

/// A pseudoterminal for one process; see `SpawnOptions::terminal` and `pty(7)`.
struct Terminal {
    std::uint16_t columns = 80;  ///< 1 and more.
    std::uint16_t rows = 24;     ///< 1 and more.

    [[nodiscard]] bool is_valid() const noexcept { return columns > 0 && rows > 0; }

    friend bool operator==(const Terminal&, const Terminal&) = default;
};

/// A check before the start. `supervision/preflight.hpp` has ready-made ones.
struct PreflightCheck {
    std::string name;  ///< "python3 is installed"
    /// Nothing if all is well; else what is missing and how to mend it. May throw; that is a failure too.
    std::function<std::optional<std::string>()> run;
};

/// What to do with a line or chunk callback, or a copy to the program's own output, that falls behind.
enum class OverflowPolicy : std::uint8_t {
    drop,   ///< Its queue is bounded; what does not fit is dropped and counted. Nobody waits.
    block,  ///< The pipe of this one process is not read meanwhile, so the child waits in `write(2)`. Nothing is lost.
};

/// All of it has defaults; name what differs.
struct SpawnOptions {
    std::string name{};            ///< For people, logs and `find`; default: the file name of the program.
    std::string type = "process";  ///< A free word such as `generation`.
    Environment environment{};
    std::filesystem::path working_directory{};  ///< Default: that of the program at the moment of the start.
    Input stdin_ = Input::null;
    std::optional<Output> stdout_{};  ///< Default: `log` for `spawn`, `capture` for `run`.
    std::optional<Output> stderr_{};  ///< The same.
    /// The process gets a terminal of its own: its controlling one, and its stdin, stdout and stderr. What it writes,
    /// and what the terminal echoes, is its stdout; with `stdin_` as a pipe, `write` types, and `close_stdin` types
    /// Ctrl-D.
    std::optional<Terminal> terminal{};
    LogOptions log{};
    std::optional<Timeout> timeout{};     ///< From launch to end; default: `ManagerConfig::default_timeout`.
    std::optional<StopPlan> stop_plan{};  ///< Default: `ManagerConfig::stop_plan`.
    ResourceLimits limits{};
    ContainmentDemand containment{};
    Identity identity = Identity();  // with {} GCC 12 warns, wrongly, in the code that makes one of these
    std::vector<PreflightCheck> preflight{};
    LineCallback on_line{};
    ChunkCallback on_chunk{};
    std::vector<AlertRule> alerts{};  ///< Besides those of the manager, `AlertOptions::rules`.
    /// Where the callbacks for lines, chunks and alerts run, one at a time. If nobody runs it, the news of the end of
    /// the process waits for the drain budget.
    Executor executor{};
    OverflowPolicy overflow_policy = OverflowPolicy::drop;
    std::size_t capture_bytes = 64u << 20;          ///< Per stream; what comes after is dropped and counted.
    std::map<std::string, std::string> metadata{};  ///< Carried into every event of the process.
};

// -- implementation ----------------------------------------------------------

inline error_code Environment::validate() const noexcept {
    for (const auto& [key, value] : changes_) {
        if (key.empty() || key.find('=') != std::string::npos || key.find('\0') != std::string::npos ||
            (value && value->find('\0') != std::string::npos)) {
            return errc::invalid_environment;
        }
    }
    return {};
}

}  // namespace warden
