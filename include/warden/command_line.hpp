// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A command: a program and its arguments, never a shell string.
///
/// Knows:         what the user asked for, byte for byte.
/// Does not know: PATH, files, quoting; a start looks for the program.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.

#include <warden/error.hpp>
#include <warden/stream_output.hpp>

#include <array>
#include <concepts>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {
namespace detail {

/// What may be a word of a command: text of any kind, or a path.
template <class T>
concept WordLike = std::convertible_to<const T&, std::string_view> || std::convertible_to<const T&, std::string> ||
    std::same_as<T, std::filesystem::path>;

[[nodiscard]] inline std::string to_word(std::string_view word) { return std::string(word); }
[[nodiscard]] inline std::string to_word(const std::filesystem::path& word) {
    const std::u8string text = word.u8string();
    return {text.begin(), text.end()};
}
template <class T>
[[nodiscard]] std::string to_word(const T& word) {
    if constexpr (std::convertible_to<const T&, std::string_view>) return to_word(std::string_view(word));
    else return word;
}

/// A word that stands alone in braces. A text without braces is no command: `run("ls -l")` does not compile.
struct Word {
    template <WordLike T>
    Word(const T& word) : text(to_word(word)) {}
    std::string text;
};

}  // namespace detail

/// A program and the arguments that follow it. `argv[0]` is the program as written here.
///
/// A program with a slash is used as it is; a relative one is relative to the working directory of the child. Without a
/// slash it is looked up in the `PATH` of the child's environment; empty elements of PATH are passed over, so the
/// working directory is never searched by accident.
class CommandLine {
public:
    CommandLine() = default;

    /// `{"python3", "-u", "train.py"}`, `CommandLine("python3", script_path)`. A list of constructor arguments and no
    /// std::initializer_list, whose array GCC 12 cannot keep in a coroutine.
    template <detail::WordLike Program, detail::WordLike First, detail::WordLike... Rest>
    CommandLine(const Program& program, const First& first, const Rest&... rest) : program_(detail::to_word(program)) {
        arguments_.resize(1 + sizeof...(rest));
        auto next = arguments_.begin();
        *next = detail::to_word(first);
        ((*++next = detail::to_word(rest)), ...);
    }

    /// `{"ls"}`: a program without arguments.
    CommandLine(detail::Word program) : program_(std::move(program.text)) {}

    /// The first word is the program.
    CommandLine(std::vector<std::string> words) : arguments_(std::move(words)) {
        if (!arguments_.empty()) take_program();
    }

    CommandLine(std::string program, std::vector<std::string> arguments)
        : program_(std::move(program)), arguments_(std::move(arguments)) {}

    /// Asks for a shell by name: `/bin/sh -c text` (Windows: `cmd.exe /d /s /c text`). Quoting inside `text` is yours.
    [[nodiscard]] static CommandLine shell(std::string text);

    [[nodiscard]] const std::string& program() const noexcept { return program_; }
    [[nodiscard]] const std::vector<std::string>& arguments() const noexcept { return arguments_; }

    /// For people and logs: words joined by spaces, quoted where a reader would be misled. Not meant to be parsed.
    [[nodiscard]] std::string to_string() const;

    /// `errc::invalid_command` for an empty program or a NUL byte anywhere; else success.
    [[nodiscard]] error_code validate() const noexcept;

    friend bool operator==(const CommandLine&, const CommandLine&) = default;

private:
    void take_program() {
        program_ = std::move(arguments_.front());
        arguments_.erase(arguments_.begin());
    }

    std::string program_;
    std::vector<std::string> arguments_;
};

// -- implementation ----------------------------------------------------------
namespace detail {

#if WARDEN_OS_WINDOWS
inline constexpr std::array shell_words{"cmd.exe", "/d", "/s", "/c"};
#else
inline constexpr std::array shell_words{"/bin/sh", "-c"};
#endif

[[nodiscard]] inline bool reads_plainly(std::string_view word) noexcept {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    return !word.empty() && word.find_first_not_of(plain) == std::string_view::npos;
}

[[nodiscard]] inline std::string quoted_for_people(std::string_view word) {
    if (reads_plainly(word)) return std::string(word);
    std::string text = "'";
    for (const char c : word) {
        if (c == '\'') text += "'\\''";
        else text += c;
    }
    return text += '\'';
}

}  // namespace detail

inline CommandLine CommandLine::shell(std::string text) {
    std::vector<std::string> words(detail::shell_words.begin(), detail::shell_words.end());
    words.push_back(std::move(text));
    return CommandLine(std::move(words));
}

inline std::string CommandLine::to_string() const {
    std::string text = detail::quoted_for_people(program_);
    for (const auto& argument : arguments_) text += ' ' + detail::quoted_for_people(argument);
    return text;
}

inline error_code CommandLine::validate() const noexcept {
    if (program_.empty() || detail::has_nul(program_)) return errc::invalid_command;
    for (const auto& argument : arguments_) {
        if (detail::has_nul(argument)) return errc::invalid_command;
    }
    return {};
}

}  // namespace warden
