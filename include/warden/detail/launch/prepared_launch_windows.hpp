// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Turns a command and its options into a plan for a child, with all handles open: everything that can fail before a
/// child exists fails here.
///
/// Knows:         options, PATH, pipes, files; what Windows cannot do, which is refused rather than left out.
/// Does not know: how the child is made or held.
/// Errors:        SpawnError, with the step.

#include <warden/command_line.hpp>
#include <warden/detail/launch/child_plan_windows.hpp>
#include <warden/detail/launch/command_line_windows.hpp>
#include <warden/detail/launch/environment_windows.hpp>
#include <warden/detail/launch/program_search_windows.hpp>
#include <warden/detail/launch/spawn_failure.hpp>
#include <warden/detail/system/pipe_windows.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/spawn_options.hpp>

#if WARDEN_OS_WINDOWS
#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// Our end of a pipe.
using PipeEnd = UniqueHandle;

/// There are no terminals here yet to have an end of; asking for one fails the start.
struct TerminalEnd {
    explicit operator bool() const noexcept { return false; }
    void reset() noexcept {}
};

/// Whether a handle of the program is open, before anything else is opened that could get its number.
/// @throws SpawnError
inline void check_native(const CommandLine& command, NativeHandle handle);

/// A plan and everything that its pointers point to.
class PreparedLaunch {
public:
    /// @throws SpawnError.
    PreparedLaunch(const CommandLine& command, const SpawnOptions& options, const Output& out, const Output& err);
    PreparedLaunch(const PreparedLaunch&) = delete;

    /// The extension has its say during the launch.
    void extend(LaunchExtension& extension) noexcept { plan.extension = &extension; }

    ChildPlan plan;
    TerminalEnd terminal;
    PipeEnd input;                   ///< Our end of its standard input, if that is a pipe.
    std::array<PipeEnd, 2> outputs;  ///< Our ends of stdout and stderr, where warden reads them.

    /// There is a child of this plan. An extension was told by the launcher.
    void succeed(Pid) const noexcept {}
    /// The failure of a child of this plan. An extension was told by the launcher.
    [[noreturn]] void fail(const ChildAnswer& answer) const;

private:
    void find_program();
    void check_directory();
    void take_identity(const Identity& identity);
    void open_input(const Input& wanted);
    void open_output(std::size_t index, const Output& wanted);
    [[nodiscard]] UniqueHandle take_end(const ProcessPipe& pipe, std::size_t end);
    HANDLE hand_over(UniqueHandle handle);
    HANDLE copy_native(HANDLE handle);
    [[noreturn]] void fail_program(const error_code& code, const std::filesystem::path& path) const;

    const CommandLine& command_;
    const SpawnOptions& options_;
    WideEnvironment variables_;
    std::wstring block_;
    std::filesystem::path program_;  // what the command names
    std::wstring executed_;          // what is executed: the same, or cmd.exe
    std::wstring line_;
    std::vector<UniqueHandle> handed_over_;  // the child's ends; closed with this object
};

/// Nothing to do here: no handle of ours takes the place of a standard stream that is missing.
inline void occupy_standard_descriptors() noexcept {}

/// There are no terminals.
[[nodiscard]] inline error_code resize_terminal(TerminalEnd&, const Terminal&) noexcept {
    return errc::invalid_options;
}

// -- implementation ----------------------------------------------------------

/// The limits as a job has them.
[[nodiscard]] inline JobLimits job_limits(const ResourceLimits& limits) {
    return {limits.cpu_time, limits.memory_bytes, limits.processes, limits.cpu_share};
}

/// The priority class that is nearest to a nice value. Never that of real time, in which one loop stops the machine.
[[nodiscard]] constexpr DWORD priority_class(int nice) noexcept {
    return nice < -10  ? HIGH_PRIORITY_CLASS
           : nice < 0  ? ABOVE_NORMAL_PRIORITY_CLASS
           : nice == 0 ? NORMAL_PRIORITY_CLASS
           : nice < 10 ? BELOW_NORMAL_PRIORITY_CLASS
                       : IDLE_PRIORITY_CLASS;
}

inline void check_native(const CommandLine& command, NativeHandle handle) {
    DWORD flags = 0;
    if (::GetHandleInformation(handle, &flags) != 0) return;
    fail_start(command, last_code(), SpawnStep::descriptors, {}, "an open handle for a stream is not open any more");
}

inline PreparedLaunch::PreparedLaunch(const CommandLine& command, const SpawnOptions& options, const Output& out,
                                      const Output& err)
    : command_(command), options_(options) {
    error_code ec;
    variables_ = child_environment(options.environment, ec);
    if (ec) fail_start(command, ec, SpawnStep::validation, {}, "names and values of the environment must be UTF-8");
    block_ = environment_block(variables_);
    plan.environment = block_.c_str();
    check_directory();
    find_program();
    take_identity(options.identity);
    const ResourceLimits& limits = options.limits;
    if (limits.open_files || limits.file_bytes || limits.core_bytes) {
        fail_start(command, errc::invalid_options, SpawnStep::resource_limits, {},
                   "Windows has no limits of open files, file sizes or core files");
    }
    plan.limits = job_limits(limits);
    if (options.terminal)
        fail_start(command, errc::invalid_options, SpawnStep::descriptors, {}, "there are no terminals on Windows");
    open_input(options.stdin_);
    open_output(1, out);
    if (is_joined(out, err)) plan.stdio[2] = plan.stdio[1];
    else open_output(2, err);
}

inline void PreparedLaunch::check_directory() {
    const auto& directory = options_.working_directory;
    if (directory.empty()) return;
    const DWORD attributes = ::GetFileAttributesW(directory.c_str());
    if (attributes == INVALID_FILE_ATTRIBUTES)
        fail_start(command_, last_code(), SpawnStep::working_directory, directory);
    if ((attributes & FILE_ATTRIBUTE_DIRECTORY) == 0)
        fail_start(command_, system_code(ERROR_DIRECTORY), SpawnStep::working_directory, directory);
    plan.directory = directory.c_str();
}

inline void PreparedLaunch::find_program() {
    error_code ec;
    const std::wstring name = to_utf16(command_.program(), ec);
    if (ec) fail_start(command_, ec, SpawnStep::validation, {}, "the name of the program must be UTF-8");
    FoundProgram found = detail::find_program(name, variables_, options_.working_directory);
    program_ = std::move(found.path);
    if (found.error) fail_program(found.error, program_);
    const bool is_batch = is_batch_file(program_.native());
    executed_ = is_batch ? command_interpreter() : program_.native();
    const std::string& zero = options_.argument_zero;
    if (is_batch && !zero.empty()) {
        fail_start(command_, errc::invalid_options, SpawnStep::validation, program_,
                   "argument_zero is not for batch files, which cmd.exe executes");
    }
    const CommandLine seen = zero.empty() ? command_ : CommandLine(zero, command_.arguments());
    line_ = is_batch ? batch_line(executed_, program_.native(), command_, ec) : program_line(seen, ec);
    if (ec == errc::invalid_command) {
        fail_start(command_, ec, SpawnStep::validation, program_,
                   is_batch ? "cmd.exe would change an argument: a batch file cannot be given any of \" % ! ^ & | < > "
                              "( ) or a line end"
                            : "the name of a program cannot hold a quote");
    }
    if (ec == system_code(ERROR_FILENAME_EXCED_RANGE)) {
        fail_start(command_, ec, SpawnStep::validation, program_,
                   "program and arguments together may have " +
                       std::to_string(is_batch ? max_batch_line : max_command_line) + " UTF-16 units, quotes included");
    }
    if (ec) fail_start(command_, ec, SpawnStep::validation, {}, "arguments must be UTF-8");
    plan.program = executed_.c_str();
    plan.command_line = line_.c_str();
}

inline void PreparedLaunch::take_identity(const Identity& identity) {
    if (!identity.user.empty() || !identity.group.empty() || identity.groups || identity.umask) {
        fail_start(command_, errc::invalid_options, SpawnStep::identity, {},
                   "on Windows a process runs as its parent does; there is no other user, group or umask for it");
    }
    if (identity.nice) plan.creation_flags |= priority_class(*identity.nice);
}

/// Keeps `handle` open until the launch is over.
inline HANDLE PreparedLaunch::hand_over(UniqueHandle handle) {
    if (!handle) fail_start(command_, last_code(), SpawnStep::descriptors);
    handed_over_.push_back(std::move(handle));
    return handed_over_.back().get();
}

/// A copy of a handle of the program, for the child.
inline HANDLE PreparedLaunch::copy_native(HANDLE handle) {
    HANDLE copy = nullptr;
    const HANDLE self = ::GetCurrentProcess();
    if (!::DuplicateHandle(self, handle, self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS)) {
        fail_start(command_, last_code(), SpawnStep::descriptors, {},
                   "a handle of the program cannot be given to the child");
    }
    return hand_over(UniqueHandle(copy));
}

inline UniqueHandle PreparedLaunch::take_end(const ProcessPipe& pipe, std::size_t end) {
    ProcessPipe::State& state = *pipe.state_;
    const std::lock_guard lock(state.mutex);
    if (!state.made) {
        auto [to_read, to_write] = make_process_pipe();
        if (!to_read) fail_start(command_, last_code(), SpawnStep::descriptors);
        state.ends = {std::make_shared<UniqueHandle>(std::move(to_read)),
                      std::make_shared<UniqueHandle>(std::move(to_write))};
        state.made = true;
    }
    const auto taken = std::static_pointer_cast<UniqueHandle>(std::exchange(state.ends[end], nullptr));
    if (!taken) {
        fail_start(command_, errc::invalid_options, SpawnStep::descriptors, {},
                   "this end of the ProcessPipe has gone to another process; make a new ProcessPipe for each pair");
    }
    return std::move(*taken);
}

inline void PreparedLaunch::open_input(const Input& wanted) {
    if (wanted.is(Input::pipe)) {
        PipeEnds ends = make_pipe(false);
        plan.stdio[0] = hand_over(std::move(ends.theirs));
        input = std::move(ends.ours);
        return;
    }
    if (wanted.is_process_pipe()) {
        plan.stdio[0] = hand_over(take_end(wanted.process_pipe(), 0));
        return;
    }
    if (wanted.is_native()) {
        plan.stdio[0] = copy_native(wanted.native_handle());
        return;
    }
    UniqueHandle own = wanted.is(Input::inherit) ? own_stream(STD_INPUT_HANDLE) : UniqueHandle();
    const std::filesystem::path path = wanted.is_file() ? wanted.path() : L"NUL";
    if (!own) own = open_to_read(path);
    if (!own) fail_start(command_, last_code(), SpawnStep::input_file, path);
    plan.stdio[0] = hand_over(std::move(own));
}

inline void PreparedLaunch::open_output(std::size_t index, const Output& wanted) {
    if (wanted.is_read()) {
        PipeEnds ends = make_pipe(true);
        plan.stdio[index] = hand_over(std::move(ends.theirs));
        outputs[index - 1] = std::move(ends.ours);
        return;
    }
    if (wanted.is_process_pipe()) {
        plan.stdio[index] = hand_over(take_end(wanted.process_pipe(), 1));
        return;
    }
    if (wanted.is_native()) {
        plan.stdio[index] = copy_native(wanted.native_handle());
        return;
    }
    const DWORD which = index == 1 ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE;
    UniqueHandle own = wanted.has(Output::inherit) ? own_stream(which) : UniqueHandle();
    const std::filesystem::path path = wanted.is_file() ? wanted.path() : L"NUL";
    if (!own) own = open_to_write(path, wanted.appends());
    if (!own) fail_start(command_, last_code(), SpawnStep::output_file, path);
    plan.stdio[index] = hand_over(std::move(own));
}

inline constexpr DWORD elevation_required = 740;  // elevation_required, which some headers lack

/// What to do about a file that could not be executed.
[[nodiscard]] inline std::string advice_for(DWORD error, const std::filesystem::path& path, bool searched) {
    const DWORD attributes = ::GetFileAttributesW(path.c_str());
    const bool exists = attributes != INVALID_FILE_ATTRIBUTES;
    if (error == ERROR_FILE_NOT_FOUND && searched) return "it is in no directory of PATH";
    if (error == ERROR_FILE_NOT_FOUND && exists) return "a part of it, or a library that it needs, is missing";
    if (error == ERROR_ACCESS_DENIED && exists && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
        return "it is a directory";
    if (error == ERROR_ACCESS_DENIED) return "this user may not execute it, or a policy forbids it";
    if (error == ERROR_BAD_EXE_FORMAT || error == ERROR_EXE_MACHINE_TYPE_MISMATCH)
        return "it is no program of this system; a script needs its interpreter as the program";
    if (error == elevation_required) return "it wants to run as administrator; start it from a program that does";
    if (error == ERROR_SHARING_VIOLATION) return "it is open for writing; close it before it is started";
    return {};
}

inline void PreparedLaunch::fail_program(const error_code& code, const std::filesystem::path& path) const {
    const bool searched = command_.program().find_first_of("/\\:") == std::string::npos;
    fail_start(command_, code, SpawnStep::executable, path,
               advice_for(static_cast<DWORD>(code.value()), path, searched));
}

/// What CreateProcessW says of the file rather than of the launch.
inline constexpr std::array<DWORD, 8> errors_of_programs{ERROR_FILE_NOT_FOUND,
                                                         ERROR_PATH_NOT_FOUND,
                                                         ERROR_ACCESS_DENIED,
                                                         ERROR_BAD_FORMAT,
                                                         ERROR_BAD_EXE_FORMAT,
                                                         elevation_required,
                                                         ERROR_EXE_MACHINE_TYPE_MISMATCH,
                                                         ERROR_SHARING_VIOLATION};

inline void PreparedLaunch::fail(const ChildAnswer& answer) const {
    const auto step = static_cast<SpawnStep>(answer.step);
    const error_code code = system_code(answer.error);
    const auto error = static_cast<DWORD>(answer.error);
    if (answer.refusal) fail_start(command_, answer.refusal, SpawnStep::launch, {}, "an initializer reported an error");
    if (step != SpawnStep::launch) fail_start(command_, code, step);
    if (error == ERROR_DIRECTORY) fail_start(command_, code, SpawnStep::working_directory, options_.working_directory);
    if (std::find(errors_of_programs.begin(), errors_of_programs.end(), error) != errors_of_programs.end())
        fail_program(code, program_);
    fail_start(command_, code, step);
}

}  // namespace warden::detail
#endif
