// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Values in commands and texts that look like secrets, taken out before they are written.
///
/// Knows:         names and shapes, which are these:
///
///     --password X   --token=X   -api-key X     an option whose name is secret
///     PASSWORD=X   AWS_SECRET_KEY=X   token=X   a variable or parameter with a secret name
///     Authorization: Bearer X   "token": "X"    a header or member with a secret name; of a header the whole line
///     https://user:X@host   user:X@host         the password before an @
///
///                A name is secret if its last word is password, passwd, passphrase, secret, token, credential,
///                credentials, authorization, cookie or apikey, or if it has two words or more and the last one is key.
///                Words are parted by - _ and dots, or, as in accessToken, by a capital letter.
/// Does not know: what is secret: a password that is an argument of its own stays, and so does one in a URL's path.
/// Thread-safety: pure functions.
/// Allocates:     the text.

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace warden::detail {

/// What stands in place of a secret.
inline constexpr std::string_view redacted = "[redacted]";

[[nodiscard]] inline bool is_secret_name(std::string_view name);

/// `text` without the values that look like secrets.
[[nodiscard]] inline std::string without_secrets(std::string_view text);

/// The same for the arguments of one command: an option may have its value in the next one.
[[nodiscard]] inline std::vector<std::string> without_secrets(const std::vector<std::string>& arguments);

// -- implementation ----------------------------------------------------------

[[nodiscard]] constexpr bool is_lower(char c) noexcept { return c >= 'a' && c <= 'z'; }
[[nodiscard]] constexpr bool is_upper(char c) noexcept { return c >= 'A' && c <= 'Z'; }
[[nodiscard]] constexpr bool is_word_break(char c) noexcept { return c == '-' || c == '_' || c == '.'; }
[[nodiscard]] constexpr bool is_name_char(char c) noexcept {
    return is_lower(c) || is_upper(c) || (c >= '0' && c <= '9') || is_word_break(c);
}

inline bool is_secret_name(std::string_view name) {
    constexpr std::array<std::string_view, 10> words{"password",   "passwd",      "passphrase",    "secret", "token",
                                                     "credential", "credentials", "authorization", "cookie", "apikey"};
    while (!name.empty() && is_word_break(name.back())) name.remove_suffix(1);
    std::size_t start = name.size();
    while (start > 0 && !is_word_break(name[start - 1])) {
        --start;
        if (is_upper(name[start]) && start > 0 && is_lower(name[start - 1])) break;
    }
    std::string last(name.substr(start));
    std::transform(last.begin(), last.end(), last.begin(),
                   [](char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; });
    const bool has_former_word = name.substr(0, start).find_first_not_of("-_.") != std::string_view::npos;
    return std::find(words.begin(), words.end(), last) != words.end() || (last == "key" && has_former_word);
}

/// Copies a text from its beginning on, but for the secrets in it.
class SecretScanner {
public:
    explicit SecretScanner(std::string_view text) noexcept : left_(text) {}

    [[nodiscard]] std::string run() {
        while (!left_.empty()) {
            if (is_name_char(left_.front())) take_name();
            else take(1);
        }
        return std::move(result_);
    }

private:
    void take(std::size_t count) {
        result_ += left_.substr(0, count);
        left_.remove_prefix(std::min(count, left_.size()));
    }
    void take_spaces() { take(std::min(left_.find_first_not_of(' '), left_.size())); }

    void take_name() {
        const auto end = std::find_if_not(left_.begin(), left_.end(), is_name_char);
        const std::string_view name = left_.substr(0, static_cast<std::size_t>(end - left_.begin()));
        if (take_password_of(name)) return;
        take(name.size());
        if (!is_secret_name(name)) return;
        if (left_.starts_with('"') || left_.starts_with('\'')) {
            if (left_.size() < 2 || (left_[1] != ':' && left_[1] != '=')) return;
            take(1);
        }
        const bool is_header = left_.starts_with(':');
        if (is_header || left_.starts_with('=')) {
            take(1);
            take_spaces();
            redact(is_header ? "\r\n\"'" : " \t\r\n\"'&;,");
        } else if (name.starts_with('-') && left_.starts_with(' ')) {
            take_spaces();
            redact(" \t\r\n\"'&;,");
        }
    }

    /// The part between `name:` and an @, where nothing but a password stands.
    [[nodiscard]] bool take_password_of(std::string_view name) {
        const std::string_view rest = left_.substr(name.size());
        if (!rest.starts_with(':')) return false;
        const std::size_t end = rest.find_first_of("@/ \t\r\n\"'", 1);
        if (end == std::string_view::npos || rest[end] != '@' || end == 1) return false;
        take(name.size() + 1);
        left_.remove_prefix(end - 1);
        result_ += redacted;
        return true;
    }

    /// A value, which ends at its own quote, or at one of `ends`.
    void redact(std::string_view ends) {
        if (left_.empty()) return;
        const char quote = left_.front();
        const bool is_quoted = quote == '"' || quote == '\'';
        if (is_quoted) take(1);
        const std::size_t end = is_quoted ? left_.find(quote) : left_.find_first_of(ends);
        if (end == 0) return;
        left_.remove_prefix(std::min(end, left_.size()));
        result_ += redacted;
    }

    std::string_view left_;
    std::string result_;
};

inline std::string without_secrets(std::string_view text) { return SecretScanner(text).run(); }

inline std::vector<std::string> without_secrets(const std::vector<std::string>& arguments) {
    std::vector<std::string> result;
    result.reserve(arguments.size());
    bool is_value = false;  // of the option before
    for (const std::string_view argument : arguments) {
        const auto end = std::find_if_not(argument.begin(), argument.end(), is_name_char);
        const std::string_view name = argument.substr(0, static_cast<std::size_t>(end - argument.begin()));
        const std::string_view rest = argument.substr(name.size());
        const bool is_secret = is_secret_name(name);
        if (is_value) result.emplace_back(redacted);
        else if (is_secret && rest.size() > 1 && rest.front() == '=')
            result.push_back(std::string(name) + '=' + std::string(redacted));
        else result.push_back(without_secrets(argument));
        is_value = !is_value && is_secret && rest.empty() && argument.starts_with('-');
    }
    return result;
}

}  // namespace warden::detail
