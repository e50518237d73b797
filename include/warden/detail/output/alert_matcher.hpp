// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Finds the lines that match alert rules, at the speed of a flood of output.
///
/// Knows:         literals, all in one pass; regular expressions (Boost.Regex, Perl syntax).
/// Does not know: streams, clocks, what happens with a match.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself; an `AlertSet` is never changed.
/// Errors:        of rules: `alert_mistakes`. A regular expression that runs away is switched off and reported.
/// Allocates:     when made; a regular expression while it matches.

#include <warden/detail/text/literal_scanner.hpp>
#include <warden/detail/text/text_measure.hpp>
#include <warden/output/alert_rules.hpp>

#include <boost/regex.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// What is wrong with the rules, their regular expressions included, in words; empty if nothing is. Tries regular
/// expressions on short texts that let bad ones explode.
[[nodiscard]] inline std::vector<std::string> alert_mistakes(const std::vector<AlertRule>& rules);

/// Rules, compiled: what the matchers of any number of streams look for.
class AlertSet {
public:
    /// Of rules without mistakes.
    explicit AlertSet(const std::vector<AlertRule>& rules) { add(rules); }
    /// Those of `first` and then `more`; the regular expressions of `first` are not compiled again.
    AlertSet(const AlertSet& first, const std::vector<AlertRule>& more)
        : rules_(first.rules_), expressions_(first.expressions_) {
        add(more);
    }

    [[nodiscard]] const std::vector<AlertRule>& rules() const noexcept { return rules_; }

private:
    friend class AlertMatcher;

    struct Expression {
        std::size_t rule;
        boost::regex regex;
    };

    void add(const std::vector<AlertRule>& rules);
    [[nodiscard]] std::shared_ptr<const LiteralScanner> scanner(bool AlertRule::*watched) const;

    std::vector<AlertRule> rules_;
    std::vector<Expression> expressions_;
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
    std::vector<const AlertSet::Expression*> expressions_;  // those that are not switched off
    Trouble trouble_;
    std::vector<std::size_t> hits_;  // of the line
    std::vector<bool> is_hit_;       // by rule
};

// -- implementation ----------------------------------------------------------

/// The first and last byte of a line are the ends, whatever is between: a lone CR is a byte like any other.
inline bool regex_finds(const boost::regex& regex, std::string_view line) {
    auto flags = boost::regex_constants::match_single_line | boost::regex_constants::match_any;
    if (line.size() > AlertRule::max_regex_bytes) {
        line = line.substr(0, AlertRule::max_regex_bytes);
        flags |= boost::regex_constants::match_not_eol;
    }
    return boost::regex_search(line.data(), line.data() + line.size(), regex, flags);
}

/// What begins with `.*` is found where the rest is found, and much sooner.
inline boost::regex compile_regex(std::string_view pattern) {
    const bool recursive = pattern.find("(?R") != pattern.npos || pattern.find("(?0") != pattern.npos;
    const bool plain =
        !recursive && pattern.starts_with(".*") && pattern.size() > 2 && !std::strchr("*+?{|)", pattern[2]);
    if (plain) pattern.remove_prefix(2);
    return boost::regex(pattern.begin(), pattern.end(), boost::regex::perl);
}

/// Whether a search takes more steps than Boost.Regex allows, for a short text of bytes that the pattern may like.
inline bool explodes(const boost::regex& regex, std::string_view pattern) {
    const auto has_ways = [](char c) { return std::string_view("*+?{|").find(c) != std::string_view::npos; };
    if (std::count_if(pattern.begin(), pattern.end(), has_ways) < 2) return false;  // nothing to multiply
    std::string bytes;  // those of the pattern in their order, so that neighbours come together
    const auto add = [&bytes](std::string_view from, std::size_t most) {
        for (const char c : from)
            if (bytes.size() < most && bytes.find(c) == bytes.npos) bytes += c;
    };
    add(pattern, 24);
    add("a0 ", bytes.size() + 3);
    const auto tries = [&regex](std::string_view unit, std::size_t size) {
        std::string text;
        while (text.size() < size) text += unit;
        try {
            (void)regex_finds(regex, text);
            (void)regex_finds(regex, text + '\1');
            return false;
        } catch (const std::runtime_error&) {
            return true;
        }
    };
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const std::string_view from_here = std::string_view(bytes).substr(i);
        if (tries(from_here.substr(0, 2), 40) || tries(from_here.substr(0, 1), 400)) return true;
    }
    return false;
}

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
        const bool is_regex = rule.match == AlertMatch::regex && mistakes.empty();
        std::move(mistakes.begin(), mistakes.end(), std::back_inserter(found));
        if (!is_regex) continue;
        const std::string begin = "alert rule '" + rule.title() + "': the regular expression ";
        try {
            (void)boost::regex(rule.pattern);
            if (!explodes(compile_regex(rule.pattern), rule.pattern)) continue;
            found.push_back(begin + "explodes: some short lines take far too long; write it without nested repetition");
        } catch (const boost::regex_error& error) {
            const std::string_view reason = error.what();
            found.push_back(begin + "does not compile, at byte " + std::to_string(error.position()) + ": " +
                            std::string(reason.substr(0, reason.find("  The error occurred"))) +
                            " Correct it, or use AlertRule::literal");
        }
    }
    return found;
}

inline void AlertSet::add(const std::vector<AlertRule>& rules) {
    for (const AlertRule& rule : rules) {
        if (rule.match == AlertMatch::regex) expressions_.push_back({rules_.size(), compile_regex(rule.pattern)});
        rules_.push_back(rule);
    }
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
    for (const AlertSet::Expression& expression : set_->expressions_) {
        if (set_->rules_[expression.rule].*watched) expressions_.push_back(&expression);
    }
}

inline void AlertMatcher::add_hit(std::size_t rule) {
    if (is_hit_[rule]) return;
    hits_.push_back(rule);
    is_hit_[rule] = true;
}

inline void AlertMatcher::match_expressions(std::string_view line) {
    std::erase_if(expressions_, [&](const AlertSet::Expression* expression) {
        try {
            if (regex_finds(expression->regex, line)) add_hit(expression->rule);
            return false;
        } catch (const std::runtime_error&) {
            if (!trouble_) return true;
            trouble_(expression->rule, "alert rule '" + set_->rules_[expression->rule].title() +
                                           "': the regular expression ran away on a line of " +
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
