// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How long a log may become, and what happens then.
///
/// Knows:         lines, characters, and which values of them make no sense.
/// Does not know: files, text; `TextWindow` and `LogSink` obey these values.
/// Thread-safety: values.
/// Allocates:     the texts of `mistakes`.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace warden {

/// The bound of a text, by lines and by characters, whichever comes first.
///
/// Lines: the newlines, and one more for an unterminated last line.
/// Characters: Unicode code points, counted as the bytes that are not UTF-8 continuation bytes (10xxxxxx). Every other
/// byte counts one, valid or not; so the count of two texts is the sum of their counts. A continuation byte never
/// counts; therefore a text is also within the bound only if it has at most four bytes per character allowed, which
/// valid UTF-8 always has.
struct LogLimits {
    std::size_t max_lines = 5000;    ///< From 1 to `LogLimits::highest`.
    std::size_t max_chars = 10'000;  ///< From 1 to `LogLimits::highest`.

    static constexpr std::size_t highest =
        sizeof(std::size_t) > 4 ? std::size_t{1} << (sizeof(std::size_t) * 5) : std::size_t{1} << 28;

    /// What `max_chars` characters can take at most. A file or text within the bound is never larger.
    [[nodiscard]] constexpr std::size_t max_bytes() const noexcept;

    /// What is wrong, in words; empty if nothing is.
    [[nodiscard]] std::vector<std::string> validate() const;

    friend auto operator<=>(const LogLimits&, const LogLimits&) = default;
};

/// What happens when the bound is reached. Either way a cut falls between lines, never inside a character; only a
/// single line that is longer than the bound is cut, and keeps its end.
class OnLimit {
public:
    /// The oldest lines go. At least the newest half of the bound stays, or as many whole lines as fit if they are that
    /// long. Costs a few times the bound in memory.
    static const OnLimit keep_newest;

    /// The file becomes `path.1`, that one `path.2`, and so on; `kept_files` of them are kept besides the active one,
    /// each within the bound. From 1 to `OnLimit::max_files`. For high volume.
    [[nodiscard]] static constexpr OnLimit rotate(std::size_t kept_files) noexcept { return OnLimit(true, kept_files); }

    static constexpr std::size_t max_files = 1000;
    static constexpr std::size_t max_chars_in_memory = std::size_t{1} << 26;

    constexpr OnLimit() noexcept = default;

    [[nodiscard]] constexpr bool rotates() const noexcept { return rotates_; }

    /// Files kept besides the active one; 0 with `keep_newest`.
    [[nodiscard]] constexpr std::size_t kept_files() const noexcept { return kept_files_; }

    /// What is wrong, also together with `limits`, in words; empty if nothing is.
    [[nodiscard]] std::vector<std::string> validate(const LogLimits& limits = {}) const;

    friend constexpr bool operator==(const OnLimit&, const OnLimit&) = default;

private:
    constexpr OnLimit(bool rotates, std::size_t kept_files) noexcept : rotates_(rotates), kept_files_(kept_files) {}

    bool rotates_ = false;
    std::size_t kept_files_ = 0;
};

inline constexpr OnLimit OnLimit::keep_newest{};

// -- implementation ----------------------------------------------------------
constexpr std::size_t LogLimits::max_bytes() const noexcept {
    return max_chars > SIZE_MAX / 4 ? SIZE_MAX : max_chars * 4;
}

inline std::vector<std::string> LogLimits::validate() const {
    std::vector<std::string> found;
    const auto check = [&](const char* name, std::size_t value, std::size_t usual) {
        const std::string advice =
            "; write a number from 1 to " + std::to_string(highest) + ", for example " + std::to_string(usual);
        if (value == 0) found.push_back(std::string(name) + " is 0, which would keep nothing" + advice);
        if (value > highest) {
            found.push_back(std::string(name) + " is " + std::to_string(value) +
                            ", no bound at all (a negative number?)" + advice);
        }
    };
    check("max_lines", max_lines, LogLimits{}.max_lines);
    check("max_chars", max_chars, LogLimits{}.max_chars);
    return found;
}

inline std::vector<std::string> OnLimit::validate(const LogLimits& limits) const {
    std::vector<std::string> found;
    if (rotates_ && kept_files_ == 0) {
        found.emplace_back(
            "rotate(0) would keep nothing when the bound is reached; write rotate(1) or more, or keep_newest");
    }
    if (kept_files_ > max_files) {
        found.push_back("rotate(" + std::to_string(kept_files_) + ") is too many files; write a number from 1 to " +
                        std::to_string(max_files));
    }
    if (!rotates_ && limits.max_chars > max_chars_in_memory && limits.max_chars <= LogLimits::highest) {
        found.push_back("max_chars is " + std::to_string(limits.max_chars) +
                        ", and keep_newest holds that in memory; write at most " + std::to_string(max_chars_in_memory) +
                        ", or rotate(n)");
    }
    return found;
}

}  // namespace warden
