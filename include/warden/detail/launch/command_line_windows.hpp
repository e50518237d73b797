// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Makes one string of a program and its arguments, such that the child reads the same arguments from it again.
///
/// Knows:         the rules of the C runtime and of CommandLineToArgvW; what cmd.exe makes of the arguments of a batch
///                file; the string that `CommandLine::shell` wants handed over as it is.
/// Does not know: programs with parsers of their own. PATH; program_search.hpp does.
/// Thread-safety: functions without state.
/// Errors:        errc::invalid_command for what cannot be handed over unchanged; ERROR_FILENAME_EXCED_RANGE for what
///                is too long; ERROR_NO_UNICODE_TRANSLATION for what is not UTF-8.
///
/// Batch files (.bat, .cmd) are run by cmd.exe, which expands and splits before the batch file sees anything. An
/// argument with one of `" % ! ^ & | < > ( )`, a carriage return or a line feed is refused; none is escaped, since no
/// escape holds for both of the times that cmd.exe reads it. All others are put in quotes, which the batch file sees
/// (`%~1` is the argument without them).

#include <warden/command_line.hpp>
#include <warden/detail/system/utf16_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace warden::detail {

/// The longest command line of `CreateProcessW`, and of cmd.exe, in UTF-16 units without the final NUL.
inline constexpr std::size_t max_command_line = 32766;
inline constexpr std::size_t max_batch_line = 8191;

/// Appends `argument` as the C runtime will read it back.
inline void append_argument(std::wstring& line, std::wstring_view argument);

/// Whether Windows hands this file to cmd.exe. `path` is as GetFullPathNameW gives it.
[[nodiscard]] inline bool is_batch_file(std::wstring_view path) noexcept;

/// The command line for a program that is started directly.
[[nodiscard]] inline std::wstring program_line(const CommandLine& command, error_code& ec);

/// The command line for cmd.exe to run the batch file at `path`. `interpreter` is the full path of cmd.exe.
[[nodiscard]] inline std::wstring batch_line(std::wstring_view interpreter, std::wstring_view path,
                                             const CommandLine& command, error_code& ec);

// -- implementation ----------------------------------------------------------

inline void append_argument(std::wstring& line, std::wstring_view argument) {
    if (!argument.empty() && argument.find_first_of(L" \t\n\v\r\"") == std::wstring_view::npos) {
        line += argument;
        return;
    }
    line += L'"';
    std::size_t backslashes = 0;  // they count only before a quote, also the one that we put at the end
    for (const wchar_t c : argument) {
        if (c == L'"') line.append(backslashes + 1, L'\\');
        backslashes = c == L'\\' ? backslashes + 1 : 0;
        line += c;
    }
    line.append(backslashes, L'\\');
    line += L'"';
}

inline bool is_batch_file(std::wstring_view path) noexcept {
    const std::wstring_view extension = path.size() < 4 ? std::wstring_view() : path.substr(path.size() - 4);
    return equal_ignoring_case(extension, L".bat") || equal_ignoring_case(extension, L".cmd");
}

/// The name of the program, for which no backslash escapes anything: quotes only go around it.
inline void append_program(std::wstring& line, std::wstring_view program, error_code& ec) {
    if (program.find(L'"') != std::wstring_view::npos) ec = errc::invalid_command;
    line += L'"';
    line += program;
    line += L'"';
}

/// Whether the command is what `CommandLine::shell` makes: then the last word is for cmd.exe, quotes and all.
[[nodiscard]] inline bool is_shell_text(const CommandLine& command) noexcept {
    const auto& words = command.arguments();
    return command.program() == shell_words.front() && words.size() == shell_words.size() &&
           std::equal(shell_words.begin() + 1, shell_words.end(), words.begin());
}

inline std::wstring program_line(const CommandLine& command, error_code& ec) {
    std::wstring line;
    const std::wstring program = to_utf16(command.program(), ec);
    if (!ec) append_program(line, program, ec);
    const bool shell = is_shell_text(command);
    for (std::size_t i = 0; i < command.arguments().size() && !ec; ++i) {
        const std::wstring argument = to_utf16(command.arguments()[i], ec);
        line += L' ';
        if (shell && i + 1 == command.arguments().size()) line += L'"' + argument + L'"';  // `/s` takes these two off
        else append_argument(line, argument);
    }
    const std::size_t longest = shell ? max_batch_line : max_command_line;
    if (!ec && line.size() > longest) ec = system_code(ERROR_FILENAME_EXCED_RANGE);
    return line;
}

inline std::wstring batch_line(std::wstring_view interpreter, std::wstring_view path, const CommandLine& command,
                               error_code& ec) {
    ec.clear();
    std::wstring line;
    append_program(line, interpreter, ec);
    line += L" /d /e:on /v:off /s /c \"";  // no AutoRun, no delayed expansion; `/s` takes off the outer quotes
    if (path.find_first_of(L"%\r\n") != std::wstring_view::npos) ec = errc::invalid_command;
    append_program(line, path, ec);
    for (std::size_t i = 0; i < command.arguments().size() && !ec; ++i) {
        const std::wstring argument = to_utf16(command.arguments()[i], ec);
        if (argument.find_first_of(L"\"%!^&|<>()\r\n") != std::wstring::npos) ec = errc::invalid_command;
        line += L" \"" + argument + L'"';
    }
    line += L'"';
    if (!ec && line.size() > max_batch_line) ec = system_code(ERROR_FILENAME_EXCED_RANGE);
    return line;
}

}  // namespace warden::detail
#endif
