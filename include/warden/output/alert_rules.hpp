// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Lines of output that somebody should know of: what they look like, and what happens then.
///
/// Knows:         rules, and how often one of them speaks.
/// Does not know: how regular expressions are matched; threads, clocks: the time is an argument.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Allocates:     strings; a gate a few kilobytes at most.

#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// How the pattern of a rule is read.
enum class AlertMatch : std::uint8_t {
    literal,  ///< The line contains these bytes. All literals together cost one pass over the output.
    regex,    ///< A part of the line matches, in the syntax of Perl. Costs a search of every line for each rule.
};

/// What happens beside the event, the counter and the callback.
enum class AlertAction : std::uint8_t {
    notify,  ///< Nothing more than that.
    stop,    ///< The process is stopped by its plan.
    ready,   ///< The process counts as ready.
};

/// The names of the enumerators, as they stand in events.
[[nodiscard]] constexpr std::string_view to_string(AlertMatch match) noexcept;
[[nodiscard]] constexpr std::string_view to_string(AlertAction action) noexcept;

/// A line that was told.
struct Alert {
    std::string rule{};            ///< See `AlertRule::title`.
    std::string stream{};          ///< "stdout" or "stderr".
    std::string line{};            ///< As the process wrote it, without its line end.
    std::uint64_t suppressed = 0;  ///< Lines of this rule since the last one told that were not.
    std::chrono::system_clock::time_point time{};

    friend bool operator==(const Alert&, const Alert&) = default;
};

namespace detail {

/// A regular expression, compiled.
class Regex {
public:
    explicit Regex(std::string pattern) : pattern_(std::move(pattern)) {}
    virtual ~Regex() = default;
    Regex(const Regex&) = delete;

    /// Whether a part of `line` matches. @throws std::runtime_error if that takes too many steps.
    [[nodiscard]] virtual bool finds(std::string_view line) const = 0;

    [[nodiscard]] const std::string& pattern() const noexcept { return pattern_; }
    /// Why it cannot be used, and what to do; empty if it can.
    [[nodiscard]] const std::string& mistake() const noexcept { return mistake_; }

protected:
    std::string mistake_;

private:
    const std::string pattern_;
};

/// Complete where <warden/output/alert_regex.hpp> is included.
template <class>
struct RegexCompiler;

}  // namespace detail

/// What to look for. A rule sees each line once, however often its pattern is in it; an over-long line comes in parts,
/// see `LineSplitter`. A regular expression sees the first `max_regex_bytes` of a line; one that takes too long for a
/// line is switched off and reported. `stop` and `ready` act on the first match, whether it is told or not, and never
/// wait for a callback.
struct AlertRule {
    std::string name{};     ///< Default: the pattern.
    std::string pattern{};  ///< Not empty; no newline in it.
    AlertMatch match = AlertMatch::literal;
    AlertAction action = AlertAction::notify;
    bool from_stdout = true;
    bool from_stderr = true;
    std::uint32_t most = 10;                          ///< Told at most within any `per`: 1 to `highest_most`.
    Nanoseconds per = std::chrono::minutes(1);        ///< A second or more.
    Nanoseconds dedupe{};                             ///< The same line is told again after this time at the earliest.
    std::function<void(const Alert&)> callback{};     ///< Runs on `SpawnOptions::executor`; what it throws is counted.
    std::shared_ptr<const detail::Regex> compiled{};  ///< Set by `regex`, for the pattern that it was given.

    static constexpr std::uint32_t highest_most = 1000;
    static constexpr std::size_t longest_pattern = 4096;
    static constexpr std::size_t max_regex_bytes = 4096;

    [[nodiscard]] static AlertRule literal(std::string text, AlertAction action = AlertAction::notify) {
        return {{}, std::move(text), AlertMatch::literal, action};
    }
    /// `^` and `$` are the ends of the line; `(?i)` at the beginning ignores case. The unit that calls this includes
    /// <warden/output/alert_regex.hpp>, which brings Boost.Regex. What is wrong with `text`, `validate` says.
    template <class Text>
    [[nodiscard]] static AlertRule regex(Text text, AlertAction action = AlertAction::notify) {
        constexpr bool has_compiler = requires { sizeof(detail::RegexCompiler<Text>); };
        static_assert(has_compiler, "AlertRule::regex needs #include <warden/output/alert_regex.hpp>");
        AlertRule rule{{}, std::string(std::move(text)), AlertMatch::regex, action};
        if constexpr (has_compiler) rule.compiled = detail::RegexCompiler<Text>::compile(rule.pattern);
        return rule;
    }

    /// The name, or else the pattern.
    [[nodiscard]] const std::string& title() const noexcept { return name.empty() ? pattern : name; }

    /// What is wrong, in words; empty if nothing is.
    [[nodiscard]] std::vector<std::string> validate() const;
};

/// Lets through what a rule may tell. Remembers the `max_remembered` lines that were told last; one that was told
/// before them may be told again early.
class AlertGate {
public:
    static constexpr std::size_t max_remembered = 256;

    explicit AlertGate(const AlertRule& rule) noexcept : most_(rule.most), per_(rule.per), dedupe_(rule.dedupe) {}

    /// Whether to tell a line that matched: how many were not told since the last one that was, or nothing, and then it
    /// counts as one of these. `now` does not go back.
    [[nodiscard]] std::optional<std::uint64_t> pass(std::string_view line, SteadyTime now);

    /// Not told since the last one that was: they come with the next, or never.
    [[nodiscard]] std::uint64_t suppressed() const noexcept { return suppressed_; }

private:
    struct Told {
        std::size_t hash;
        SteadyTime time;
    };

    std::uint32_t most_;
    Nanoseconds per_;
    Nanoseconds dedupe_;
    std::deque<SteadyTime> recent_;  // told within `per_`, oldest first
    std::deque<Told> lines_;         // told within `dedupe_`, oldest first
    std::uint64_t suppressed_ = 0;
};

// -- implementation ----------------------------------------------------------
namespace detail {
inline constexpr std::array<std::string_view, 2> alert_match_names{"literal", "regex"};
static_assert(alert_match_names.size() == static_cast<std::size_t>(AlertMatch::regex) + 1);
inline constexpr std::array<std::string_view, 3> alert_action_names{"notify", "stop", "ready"};
static_assert(alert_action_names.size() == static_cast<std::size_t>(AlertAction::ready) + 1);
}  // namespace detail

constexpr std::string_view to_string(AlertMatch match) noexcept {
    return detail::alert_match_names[static_cast<std::size_t>(match)];
}

constexpr std::string_view to_string(AlertAction action) noexcept {
    return detail::alert_action_names[static_cast<std::size_t>(action)];
}

inline std::vector<std::string> AlertRule::validate() const {
    std::vector<std::string> found;
    const auto add = [&](const std::string& text) { found.push_back("alert rule '" + title() + "': " + text); };
    if (pattern.empty()) add("the pattern is empty, which is in every line; write what to look for");
    if (pattern.find('\n') != std::string::npos) {
        add("a newline is in the pattern, and never in a line; write a rule for each line");
    }
    if (pattern.size() > longest_pattern) {
        add("the pattern has " + std::to_string(pattern.size()) + " bytes; write at most " +
            std::to_string(longest_pattern));
    }
    if (match == AlertMatch::regex && found.empty()) {
        if (!compiled || compiled->pattern() != pattern)
            add("the regular expression is not compiled; make the rule by AlertRule::regex(pattern)");
        else if (!compiled->mistake().empty()) add(compiled->mistake());
    }
    if (!from_stdout && !from_stderr) add("it looks at neither stream; set from_stdout or from_stderr");
    if (most == 0) add("most is 0, which would tell nothing; write a number from 1 to " + std::to_string(highest_most));
    if (most > highest_most) {
        add("most is " + std::to_string(most) + "; write a number from 1 to " + std::to_string(highest_most));
    }
    if (per < std::chrono::seconds(1)) add("per is less than a second; write how long a time `most` is for");
    if (dedupe < Nanoseconds::zero()) add("dedupe is negative; write 0 to tell equal lines too");
    return found;
}

inline std::optional<std::uint64_t> AlertGate::pass(std::string_view line, SteadyTime now) {
    while (!recent_.empty() && now - recent_.front() >= per_) recent_.pop_front();
    while (!lines_.empty() && now - lines_.front().time >= dedupe_) lines_.pop_front();
    const std::size_t hash = std::hash<std::string_view>{}(line);
    const bool again = std::any_of(lines_.begin(), lines_.end(), [hash](const Told& t) { return t.hash == hash; });
    if (again || recent_.size() >= most_) {
        ++suppressed_;
        return std::nullopt;
    }
    recent_.push_back(now);
    if (lines_.size() == max_remembered) lines_.pop_front();
    lines_.push_back({hash, now});
    return std::exchange(suppressed_, 0);
}

}  // namespace warden
