// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Finds the lines that match alert rules, at the speed of a flood of output.
///
/// Knows:         literals, all in one pass; regular expressions, which were compiled when the rule was made.
/// Does not know: streams, clocks, what happens with a match.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself; an `AlertSet` is never changed.
/// Errors:        of rules: `alert_mistakes`. A regular expression that runs away is switched off and reported.
/// Allocates:     when made; a regular expression while it matches.

#include <warden/detail/text/literal_scanner.hpp>
#include <warden/detail/text/text_measure.hpp>
#include <warden/output/alert_rules.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// What is wrong with the rules, each for itself and all together, in words; empty if nothing is.
[[nodiscard]] inline std::vector<std::string> alert_mistakes(const std::vector<AlertRule>& rules);

/// Rules, compiled: what the matchers of any number of streams look for.
class AlertSet {
public:
    /// Of rules without mistakes.
    explicit AlertSet(const std::vector<AlertRule>& rules) { add(rules); }
    /// Those of `first` and then `more`.
    AlertSet(const AlertSet& first, const std::vector<AlertRule>& more) : rules_(first.rules_) { add(more); }

    [[nodiscard]] const std::vector<AlertRule>& rules() const noexcept { return rules_; }

private:
    friend class AlertMatcher;

    void add(const std::vector<AlertRule>& rules);
    [[nodiscard]] std::shared_ptr<const LiteralScanner> scanner(bool AlertRule::*watched) const;

    std::vector<AlertRule> rules_;
    std::shared_ptr<const LiteralScanner> stdout_literals_;
    std::shared_ptr<const LiteralScanner> stderr_literals_;  // the same if both streams are watched for the same
};

/// The rules of one stream.
class AlertMatcher {
public:
    using Trouble = std::function<void(std::size_t rule, const std::string& words)>;

    /// Of the rules in `set` those whose `watched` is true: `from_stdout` or `from_stderr`. `trouble` is told of a rule
    /// that had to be switched off; it must not throw.
    AlertMatcher(std::shared_ptr<const AlertSet> set, bool AlertRule::*watched, Trouble trouble = {});

    /// Nothing can match.
    [[nodiscard]] bool empty() const noexcept { return literals_->empty() && expressions_.empty(); }

    /// Calls `use(rule, line)` for each rule that the line matches, once, in their order. `use` must not call this
    /// matcher.
    template <class Use>
    void match_line(std::string_view line, Use&& use);

    /// The same for all lines of a text, which end with LF or CR LF, or, the last one, with the text. Much faster than
    /// line by line while there are literals only.
    template <class Use>
    void find(std::string_view lines, Use&& use);

private:
    void add_hit(std::size_t rule);
    void match_expressions(std::string_view line);

    std::shared_ptr<const AlertSet> set_;
    std::shared_ptr<const LiteralScanner> literals_;
    std::vector<std::size_t> expressions_;  // rules that are not switched off
    Trouble trouble_;
    std::vector<std::size_t> hits_;  // of the line
    std::vector<bool> is_hit_;       // by rule
};

// -- implementation ----------------------------------------------------------

inline std::vector<std::string> alert_mistakes(const std::vector<AlertRule>& rules) {
    std::vector<std::string> found;
    std::size_t literal_bytes = 0;
    for (const AlertRule& rule : rules) literal_bytes += rule.match == AlertMatch::literal ? rule.pattern.size() : 0;
    if (literal_bytes > LiteralScanner::max_bytes) {
        found.push_back("alert rules: the literals have " + std::to_string(literal_bytes) +
                        " bytes together; write at most " + std::to_string(LiteralScanner::max_bytes));
    }
    for (const AlertRule& rule : rules) {
        auto mistakes = rule.validate();
        std::move(mistakes.begin(), mistakes.end(), std::back_inserter(found));
    }
    return found;
}

inline void AlertSet::add(const std::vector<AlertRule>& rules) {
    rules_.insert(rules_.end(), rules.begin(), rules.end());
    const bool same = std::all_of(rules_.begin(), rules_.end(), [](const AlertRule& rule) {
        return rule.match != AlertMatch::literal || rule.from_stdout == rule.from_stderr;
    });
    stdout_literals_ = scanner(&AlertRule::from_stdout);
    stderr_literals_ = same ? stdout_literals_ : scanner(&AlertRule::from_stderr);
}

inline std::shared_ptr<const LiteralScanner> AlertSet::scanner(bool AlertRule::*watched) const {
    std::vector<std::pair<std::string_view, std::size_t>> literals;
    for (std::size_t i = 0; i < rules_.size(); ++i) {
        if (rules_[i].*watched && rules_[i].match == AlertMatch::literal) literals.emplace_back(rules_[i].pattern, i);
    }
    return std::make_shared<const LiteralScanner>(literals);
}

inline AlertMatcher::AlertMatcher(std::shared_ptr<const AlertSet> set, bool AlertRule::*watched, Trouble trouble)
    : set_(std::move(set)),
      literals_(watched == &AlertRule::from_stdout ? set_->stdout_literals_ : set_->stderr_literals_),
      trouble_(std::move(trouble)),
      is_hit_(set_->rules_.size()) {
    for (std::size_t i = 0; i < set_->rules_.size(); ++i) {
        const AlertRule& rule = set_->rules_[i];
        if (rule.match == AlertMatch::regex && rule.*watched) expressions_.push_back(i);
    }
}

inline void AlertMatcher::add_hit(std::size_t rule) {
    if (is_hit_[rule]) return;
    hits_.push_back(rule);
    is_hit_[rule] = true;
}

inline void AlertMatcher::match_expressions(std::string_view line) {
    std::erase_if(expressions_, [&](std::size_t index) {
        const AlertRule& rule = set_->rules_[index];
        try {
            if (rule.compiled->finds(line)) add_hit(index);
            return false;
        } catch (const std::runtime_error&) {
            if (!trouble_) return true;
            trouble_(index, "alert rule '" + rule.title() + "': the regular expression ran away on a line of " +
                                std::to_string(line.size()) +
                                " bytes and is switched off; write it without nested repetition");
            return true;
        }
    });
}

template <class Use>
void AlertMatcher::match_line(std::string_view line, Use&& use) {
    for (const std::size_t rule : hits_) is_hit_[rule] = false;
    hits_.clear();
    literals_->scan(line, [this](LiteralScanner::State state) {
        literals_->for_each(state, [this](std::size_t rule) { add_hit(rule); });
        return false;
    });
    match_expressions(line);
    std::sort(hits_.begin(), hits_.end());
    for (const std::size_t rule : hits_) use(rule, line);
}

template <class Use>
void AlertMatcher::find(std::string_view lines, Use&& use) {
    while (!lines.empty() && !empty()) {
        std::size_t start = 0;
        std::size_t inside = 0;
        if (expressions_.empty()) {
            const char* hit = literals_->scan(lines, [](LiteralScanner::State) { return true; });
            if (!hit) return;
            inside = static_cast<std::size_t>(hit - lines.data()) - 1;
            start = line_start(lines, inside);
        }
        const std::size_t end = line_end(lines, inside);
        std::string_view line = lines.substr(start, end - start);
        if (line.ends_with('\n')) line.remove_suffix(line.ends_with("\r\n") ? 2 : 1);
        match_line(line, use);
        lines.remove_prefix(end);
    }
}

}  // namespace warden::detail
