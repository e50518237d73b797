// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Turns a command and its options into a plan for a child, with all descriptors open: everything that can fail before
/// a child exists fails here.
///
/// Knows:         options, PATH, pipes, files, users.
/// Does not know: how the child is made or held.
/// Errors:        SpawnError, with the step.

#include <warden/command_line.hpp>
#include <warden/detail/launch/child_plan_posix.hpp>
#include <warden/detail/launch/environment_posix.hpp>
#include <warden/detail/launch/identity_posix.hpp>
#include <warden/detail/launch/launch_extension_posix.hpp>
#include <warden/detail/launch/spawn_failure.hpp>
#include <warden/detail/system/output_file_posix.hpp>
#include <warden/detail/system/pipe_posix.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/spawn_options.hpp>

#if WARDEN_OS_POSIX
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

/// The program's hold on what a child has: one end of a pipe, the child's end of its terminal.
using PipeEnd = UniqueFd;
using TerminalEnd = UniqueFd;

/// Gives a terminal another size: ioctl TIOCSWINSZ, which sends SIGWINCH.
[[nodiscard]] inline error_code resize_terminal(const TerminalEnd& terminal, const Terminal& size) noexcept;

/// Whether a handle of the program is open, before anything else is opened that could get its number.
/// @throws SpawnError
inline void check_native(const CommandLine& command, NativeHandle handle);

/// A plan and everything that its pointers point to.
class PreparedLaunch {
public:
    /// @throws SpawnError. `piped` says for stdout and stderr whether warden reads them.
    PreparedLaunch(const CommandLine& command, const SpawnOptions& options, const Output& out, const Output& err);
    PreparedLaunch(const PreparedLaunch&) = delete;

    /// Lets the extension have its say, then completes the plan.
    void extend(LaunchExtension& extension);

    ChildPlan plan;
    TerminalEnd terminal;            ///< Its end of its terminal, if it gets one.
    PipeEnd input;                   ///< Our end of its standard input, if that is a pipe.
    std::array<PipeEnd, 2> outputs;  ///< Our ends of stdout and stderr, where warden reads them.

    /// There is a child of this plan: the extension is told.
    void succeed(Pid pid) const {
        if (extension_) extension_->succeeded(pid);
    }
    /// The failure of a child of this plan; the extension is notified.
    [[noreturn]] void fail(const ChildAnswer& answer) const;

private:
    void open_terminal(const Terminal& wanted, bool with_input);
    void open_input(const Input& wanted);
    void open_output(std::size_t index, const Output& wanted);
    void find_program();
    [[nodiscard]] gid_t find_group(const std::string& name) const;
    void take_identity(const Identity& identity);
    void take_limits(const ResourceLimits& limits);
    [[nodiscard]] std::pair<UniqueFd, UniqueFd> make_pipe();
    void give_to_user(const UniqueFd& stream) const noexcept;
    [[nodiscard]] UniqueFd take_end(const ProcessPipe& pipe, std::size_t end);
    int hand_over(UniqueFd fd);
    int copy_native(int fd, bool make_blocking);

    const CommandLine& command_;
    const SpawnOptions& options_;
    LaunchExtension* extension_ = nullptr;
    std::vector<std::string> environment_;
    std::vector<const char*> environment_pointers_;
    std::vector<const char*> argv_;
    std::vector<std::string> candidates_;
    std::vector<const char*> candidate_pointers_;
    std::vector<gid_t> groups_;
    std::vector<int> kept_;
    std::vector<UniqueFd> handed_over_;  // the child's ends; closed with this object
};

// -- implementation ----------------------------------------------------------

/// Puts the null device where the program has no standard input, output or error, so that none of our descriptors ever
/// gets such a number. It stays there.
inline void occupy_standard_descriptors() noexcept {
    for (int fd = 0; fd < 3; ++fd) {
        if (::fcntl(fd, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY));
    }
}

inline void check_native(const CommandLine& command, NativeHandle handle) {
    if (::fcntl(handle, F_GETFD) >= 0) return;
    fail_start(command, system_code(errno), SpawnStep::descriptors, {},
               "an open handle for a stream is not open any more");
}

inline PreparedLaunch::PreparedLaunch(const CommandLine& command, const SpawnOptions& options, const Output& out,
                                      const Output& err)
    : command_(command),
      options_(options),
      environment_(child_environment(options.environment, options.working_directory)) {
    argv_.push_back(options.argument_zero.empty() ? command.program().c_str() : options.argument_zero.c_str());
    for (const auto& argument : command.arguments()) argv_.push_back(argument.c_str());
    argv_.push_back(nullptr);
    for (const auto& variable : environment_) environment_pointers_.push_back(variable.c_str());
    environment_pointers_.push_back(nullptr);
    find_program();
    plan.argv = argv_.data();
    plan.environment = environment_pointers_.data();
    if (!options.working_directory.empty()) plan.directory = options.working_directory.c_str();
    take_identity(options.identity);
    take_limits(options.limits);
    if (options.terminal) {
        open_terminal(*options.terminal, options.stdin_.is(Input::pipe));
        return;
    }
    open_input(options.stdin_);
    open_output(1, out);
    if (is_joined(out, err)) plan.stdio[2] = plan.stdio[1];
    else open_output(2, err);
}

inline void PreparedLaunch::find_program() {
    const std::string& program = command_.program();
    if (program.find('/') != std::string::npos) {
        candidates_.push_back(program);
    } else {
        std::string_view path = "/usr/local/bin:/usr/bin:/bin";
        for (const auto& variable : environment_) {
            if (variable.rfind("PATH=", 0) == 0) path = std::string_view(variable).substr(5);
        }
        while (!path.empty()) {
            const auto end = std::min(path.find(':'), path.size());
            if (end > 0 && path[0] == '/') candidates_.push_back(std::string(path.substr(0, end)) + '/' + program);
            path.remove_prefix(std::min(end + 1, path.size()));
        }
    }
    for (const auto& candidate : candidates_) candidate_pointers_.push_back(candidate.c_str());
    candidate_pointers_.push_back(nullptr);
    plan.candidates = candidate_pointers_.data();
}

/// Keeps `fd` open until the launch is over; numbers below 3 are avoided, for they are targets in the child.
inline int PreparedLaunch::hand_over(UniqueFd fd) {
    if (fd && fd.get() < 3) fd = UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
    if (!fd) fail_start(command_, system_code(errno), SpawnStep::descriptors);
    handed_over_.push_back(std::move(fd));
    return handed_over_.back().get();
}

/// A copy of a descriptor of the program, for the child.
inline int PreparedLaunch::copy_native(int fd, bool make_blocking) {
    UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!copy) {
        fail_start(command_, system_code(errno), SpawnStep::descriptors, {},
                   "descriptor " + std::to_string(fd) + " of the program cannot be given to the child");
    }
    const int flags = make_blocking ? ::fcntl(copy.get(), F_GETFL) : -1;
    if (flags >= 0) ::fcntl(copy.get(), F_SETFL, flags & ~O_NONBLOCK);
    return hand_over(std::move(copy));
}

inline std::pair<UniqueFd, UniqueFd> PreparedLaunch::make_pipe() {
    auto ends = make_closed_pipe();
    if (!ends.first) {
        fail_start(command_, system_code(errno), SpawnStep::descriptors, {},
                   "raise the limit of open files (ulimit -n), or run fewer processes at once");
    }
    return ends;
}

/// A pipe or terminal of a child that runs as another user belongs to that user, so that it can be opened by name:
/// /dev/stderr, /proc/self/fd/1, the name that tty(1) says. Who may not give it away cannot become that user either.
inline void PreparedLaunch::give_to_user(const UniqueFd& stream) const noexcept {
    if (plan.change_ids) static_cast<void>(!::fchown(stream.get(), plan.user, static_cast<gid_t>(-1)));
}

inline UniqueFd PreparedLaunch::take_end(const ProcessPipe& pipe, std::size_t end) {
    ProcessPipe::State& state = *pipe.state_;
    const std::lock_guard lock(state.mutex);
    if (!state.made) {
        auto [to_read, to_write] = make_pipe();
        state.ends = {std::make_shared<UniqueFd>(std::move(to_read)), std::make_shared<UniqueFd>(std::move(to_write))};
        state.made = true;
    }
    const auto taken = std::static_pointer_cast<UniqueFd>(std::exchange(state.ends[end], nullptr));
    if (!taken) {
        fail_start(command_, errc::invalid_options, SpawnStep::descriptors, {},
                   "this end of the ProcessPipe has gone to another process; make a new ProcessPipe for each pair");
    }
    give_to_user(*taken);
    return std::move(*taken);
}

inline error_code resize_terminal(const TerminalEnd& terminal, const Terminal& size) noexcept {
    const struct winsize wanted { size.rows, size.columns, 0, 0 };
    return ::ioctl(terminal.get(), TIOCSWINSZ, &wanted) == 0 ? error_code{} : system_code(errno);
}

inline void PreparedLaunch::open_terminal(const Terminal& wanted, bool with_input) {
    UniqueFd ours(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    char name[64];
    const bool is_named = ours && ::grantpt(ours.get()) == 0 && ::unlockpt(ours.get()) == 0 &&
                          ::ptsname_r(ours.get(), name, sizeof name) == 0;
    UniqueFd theirs(is_named ? ::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1);
    if (!theirs || resize_terminal(theirs, wanted))
        fail_start(command_, system_code(errno), SpawnStep::descriptors, {}, "no pseudoterminal is available");
    give_to_user(theirs);
    if (with_input) {
        input = UniqueFd(::fcntl(ours.get(), F_DUPFD_CLOEXEC, 3));
        if (!input) fail_start(command_, system_code(errno), SpawnStep::descriptors);
    }
    outputs[0] = std::move(ours);
    terminal = UniqueFd(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 3));
    if (!terminal) fail_start(command_, system_code(errno), SpawnStep::descriptors);
    plan.stdio.fill(terminal.get());
    plan.take_terminal = true;
}

inline void PreparedLaunch::open_input(const Input& wanted) {
    if (wanted.is(Input::pipe)) {
        auto [theirs, ours] = make_pipe();
        give_to_user(theirs);
        ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
        input = std::move(ours);
        plan.stdio[0] = hand_over(std::move(theirs));
        return;
    }
    if (wanted.is_process_pipe()) {
        plan.stdio[0] = hand_over(take_end(wanted.process_pipe(), 0));
        return;
    }
    if (wanted.is_native()) {
        plan.stdio[0] = copy_native(wanted.native_handle(), wanted.makes_blocking());
        return;
    }
    if (wanted.is(Input::inherit) && ::fcntl(STDIN_FILENO, F_GETFD) >= 0) {
        plan.stdio[0] = STDIN_FILENO;
        return;
    }
    const std::filesystem::path path = wanted.is_file() ? wanted.path() : "/dev/null";
    UniqueFd file(
        ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));  // a FIFO without a writer: at its end
    if (!file) fail_start(command_, system_code(errno), SpawnStep::input_file, path);
    ::fcntl(file.get(), F_SETFL, 0);
    plan.stdio[0] = hand_over(std::move(file));
}

inline void PreparedLaunch::open_output(std::size_t index, const Output& wanted) {
    if (wanted.is_read()) {
        auto [ours, theirs] = make_pipe();
        give_to_user(theirs);
        ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
        outputs[index - 1] = std::move(ours);
        plan.stdio[index] = hand_over(std::move(theirs));
        return;
    }
    if (wanted.is_process_pipe()) {
        plan.stdio[index] = hand_over(take_end(wanted.process_pipe(), 1));
        return;
    }
    if (wanted.is_native()) {
        plan.stdio[index] = copy_native(wanted.native_handle(), wanted.makes_blocking());
        return;
    }
    const int own = static_cast<int>(index);
    if (wanted.has(Output::inherit) && ::fcntl(own, F_GETFD) >= 0) {
        plan.stdio[index] = own;
        return;
    }
    const std::filesystem::path path = wanted.is_file() ? wanted.path() : "/dev/null";
    UniqueFd file = wanted.is_file() ? open_to_write(path, wanted.appends() ? O_APPEND : O_TRUNC)
                                     : UniqueFd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
    if (!file) fail_start(command_, system_code(errno), SpawnStep::output_file, path);
    plan.stdio[index] = hand_over(std::move(file));
}

inline void PreparedLaunch::extend(LaunchExtension& extension) {
    try {
        if (const error_code ec = extension.prepare(command_.program(), plan.argv, plan.environment, kept_)) {
            fail_start(command_, ec, SpawnStep::launch, {}, "an initializer reported an error");
        }
    } catch (const SpawnError&) {
        throw;
    } catch (const std::exception& thrown) {
        fail_start(command_, errc::launch_incomplete, SpawnStep::launch, {},
                   std::string("an initializer threw: ") + thrown.what());
    } catch (...) {
        fail_start(command_, errc::launch_incomplete, SpawnStep::launch, {},
                   "an initializer threw something that is no std::exception");
    }
    std::erase_if(kept_, [](int fd) { return fd < 3; });
    std::sort(kept_.begin(), kept_.end());
    kept_.erase(std::unique(kept_.begin(), kept_.end()), kept_.end());
    plan.kept = kept_.data();
    plan.kept_count = static_cast<std::uint32_t>(kept_.size());
    plan.hook = [](void* raw_extension) { return static_cast<LaunchExtension*>(raw_extension)->run_in_child(); };
    plan.hook_argument = &extension;
    extension_ = &extension;
}

/// What to do about an executable that could not be executed.
[[nodiscard]] inline std::string advice_for(int error, const std::string& path, bool searched) {
    struct stat status {};
    const bool exists = ::stat(path.c_str(), &status) == 0;
    if (error == ENOENT && exists) return "the interpreter that its first line or its ELF header names is missing";
    if (error == ENOENT && searched) return "it is in no directory of PATH";
    if (error == EACCES && exists && S_ISDIR(status.st_mode)) return "it is a directory";
    if (error == EACCES && exists) return "it is not executable for this user, or its file system is mounted noexec";
    if (error == ENOEXEC) return "it is no program of this system; a script needs a first line such as #!/bin/sh";
    if (error == ETXTBSY) return "it is open for writing; close it before it is started";
    if (error == E2BIG) return "arguments and environment together are too long";
    return {};
}

inline void PreparedLaunch::fail(const ChildAnswer& answer) const {
    const auto step = static_cast<SpawnStep>(answer.step);
    try {
        if (extension_) extension_->failed(system_code(answer.error), step == SpawnStep::launch);
    } catch (...) {  // the error of the start says more
    }
    const error_code code = answer.error == ECANCELED ? error_code(errc::launch_incomplete) : system_code(answer.error);
    if (step == SpawnStep::working_directory) fail_start(command_, code, step, options_.working_directory);
    if (step == SpawnStep::executable) {
        const bool searched = command_.program().find('/') == std::string::npos;
        std::string path = command_.program();
        bool there = false;
        for (const auto& candidate : candidates_) {  // the one that was there
            if (!searched || ::access(candidate.c_str(), F_OK) != 0) continue;
            path = candidate;
            there = true;
            break;
        }
        // A directory of PATH that may not be searched says EACCES of everything.
        const int error = searched && !there && answer.error == EACCES ? ENOENT : answer.error;
        std::filesystem::path shown = path;
        if (!searched && shown.is_relative() && !options_.working_directory.empty())
            path = options_.working_directory / shown;
        fail_start(command_, error == answer.error ? code : system_code(error), step, shown,
                   advice_for(error, path, searched));
    }
    fail_start(command_, code, step);
}

}  // namespace warden::detail

#include <warden/detail/launch/prepared_identity_posix.hpp>
#endif
