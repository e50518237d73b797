// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Ready-made checks before a start that run a program: what it can, and how new it is.
///
/// Knows:         how programs write versions: numbers with dots between them.
/// Does not know: what the program does; it is run by the manager, contained and bounded like any process.
/// Thread-safety: distinct checks: safe. The manager outlives them.
/// Errors:        the message of a failed check.

#include <warden/process_manager.hpp>
#include <warden/spawn_options.hpp>
#include <warden/timeout.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::preflight {

/// `interpreter` finds the module ("numpy", "torch.cuda"); the module is not imported, but what it is a part of is.
[[nodiscard]] inline PreflightCheck python_module(ProcessManager& manager, std::string module,
                                                  std::string interpreter = "python3",
                                                  Timeout timeout = std::chrono::seconds(30));

/// The first version in what `command` writes is `minimum` or later:
/// `program_version(manager, {"python3", "--version"}, "3.10")`. Numbers are compared, so that 3.9 is before 3.10; what
/// follows them, such as "rc1", is not looked at.
[[nodiscard]] inline PreflightCheck program_version(ProcessManager& manager, CommandLine command, std::string minimum,
                                                    Timeout timeout = std::chrono::seconds(10));

// -- implementation ----------------------------------------------------------
namespace detail {

/// The numbers of the first version in `text`, "Python 3.10.2": {3, 10, 2}; none if there is none. One has a dot, or is
/// all of the text.
[[nodiscard]] inline std::vector<std::uint64_t> version_in(std::string_view text) {
    constexpr std::string_view digits = "0123456789";
    const bool is_alone = !text.empty() && text.find_first_not_of(digits) == text.npos;
    for (std::size_t at = text.find_first_of(digits); at != text.npos; at = text.find_first_of(digits, at)) {
        std::vector<std::uint64_t> numbers;
        for (;;) {
            const std::size_t end = std::min(text.find_first_not_of(digits, at), text.size());
            std::uint64_t number = 0;
            std::from_chars(text.data() + at, text.data() + end, number);
            numbers.push_back(number);
            at = end;
            const bool goes_on = at + 1 < text.size() && text[at] == '.' && digits.find(text[at + 1]) != digits.npos;
            if (!goes_on) break;
            ++at;
        }
        if (numbers.size() > 1 || is_alone) return numbers;
    }
    return {};
}

[[nodiscard]] inline std::string version_in_words(const std::vector<std::uint64_t>& numbers) {
    std::string text;
    for (const std::uint64_t number : numbers) text += (text.empty() ? "" : ".") + std::to_string(number);
    return text;
}

/// Why a command could not be run to its end; empty if it could.
[[nodiscard]] inline std::string run_for(ProcessManager& manager, const CommandLine& command, Timeout timeout,
                                         CompletedProcess& done) {
    SpawnOptions options;
    options.timeout = timeout;
    options.capture_bytes = std::size_t{1} << 16;
    error_code ec;
    done = manager.run(command, std::move(options), {}, ec);
    if (ec) return "'" + command.program() + "' cannot be run (" + ec.message() + "); install it or correct the path";
    return done.cause == ExitCause::timed_out ? "it was not done in time; run it by hand to see why" : std::string();
}

[[nodiscard]] inline std::optional<std::string> check_module(ProcessManager& manager, const std::string& module,
                                                             const std::string& interpreter, Timeout timeout) {
    const CommandLine command(interpreter, "-c",
                              "import importlib.util, sys\n"
                              "try:\n    found = importlib.util.find_spec(sys.argv[1])\n"
                              "except ImportError:\n    found = None\n"
                              "sys.exit(0 if found else 3)",
                              module);
    CompletedProcess done;
    if (auto why = run_for(manager, command, timeout, done); !why.empty()) return why;
    if (done.success()) return std::nullopt;
    if (done.status.exited() && done.status.code() == 3)
        return interpreter + " has no module " + module + "; install it: " + interpreter + " -m pip install " +
               module.substr(0, module.find('.'));
    return interpreter + ' ' + done.status.to_string() + "; run it by hand to see why";
}

[[nodiscard]] inline std::optional<std::string> check_version(ProcessManager& manager, const CommandLine& command,
                                                              const std::string& minimum, Timeout timeout) {
    const auto wanted = version_in(minimum);
    if (wanted.empty()) return "'" + minimum + "' is no version; write for example 3.10";
    CompletedProcess done;
    if (auto why = run_for(manager, command, timeout, done); !why.empty()) return why;
    auto found = version_in(done.out);
    if (found.empty()) found = version_in(done.err);
    if (found.empty())
        return "'" + command.to_string() + "' writes no version; give the arguments that make it write one";
    if (!std::lexicographical_compare(found.begin(), found.end(), wanted.begin(), wanted.end())) return std::nullopt;
    return command.program() + " is version " + version_in_words(found) + ", " + version_in_words(wanted) +
           " or later is needed; install a newer one";
}

}  // namespace detail

inline PreflightCheck python_module(ProcessManager& manager, std::string module, std::string interpreter,
                                    Timeout timeout) {
    return {interpreter + " has the module " + module,
            [&manager, module = std::move(module), interpreter = std::move(interpreter), timeout] {
                return detail::check_module(manager, module, interpreter, timeout);
            }};
}

inline PreflightCheck program_version(ProcessManager& manager, CommandLine command, std::string minimum,
                                      Timeout timeout) {
    return {command.program() + " is version " + minimum + " or later",
            [&manager, command = std::move(command), minimum = std::move(minimum), timeout] {
                return detail::check_version(manager, command, minimum, timeout);
            }};
}

}  // namespace warden::preflight
