// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Finds the lines that match alert rules, at the speed of a flood of output.
///
/// Knows:         literals, all in one pass (Aho and Corasick, 1975); regular expressions (Boost.Regex, Perl syntax).
/// Does not know: streams, clocks, what happens with a match.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Errors:        of rules: `alert_mistakes`. A regular expression that runs away is switched off and reported.
/// Allocates:     when made; a regular expression while it matches.

#include <warden/output/alert_rules.hpp>
#include <warden/output/text_measure.hpp>

#include <boost/regex.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// What is wrong with the rules, their regular expressions included, in words; empty if nothing is. Tries regular
/// expressions on short texts that let bad ones explode.
[[nodiscard]] inline std::vector<std::string> alert_mistakes(const std::vector<AlertRule>& rules);

/// Which of many literals are in a text: a deterministic automaton, one step a byte, that skips what begins none.
class LiteralScanner {
public:
    using State = std::uint32_t;

    /// Of all literals together; a byte takes up to a kilobyte of the automaton.
    static constexpr std::size_t most_bytes = std::size_t{64} << 10;

    LiteralScanner() = default;
    /// Literals are not empty; each comes with the number that stands for it.
    explicit LiteralScanner(const std::vector<std::pair<std::string_view, std::size_t>>& literals);

    [[nodiscard]] bool empty() const noexcept { return next_.empty(); }

    /// Calls `on_hit(state)` where a literal ends, until it returns true; then returns the place after it, else null.
    template <class OnHit>
    const char* scan(std::string_view text, OnHit on_hit) const;

    /// Calls `use(number)` for the literals that end where the scanner was in `state`.
    template <class Use>
    void for_each(State state, Use use) const;

private:
    [[nodiscard]] std::size_t class_of(char byte) const noexcept { return classes_[static_cast<unsigned char>(byte)]; }
    [[nodiscard]] const char* skip(const char* at, const char* end) const noexcept;
    void note_beginning(char first, char second) noexcept;

    // A state is the place of its row in `next_`; 0 is the root, those from `first_hit_` on are ends of literals.
    std::array<std::uint16_t, 256> classes_{};  // bytes that no literal has are all of class 0
    std::size_t class_count_ = 1;
    State first_hit_ = 0;
    std::vector<State> next_;
    std::vector<std::vector<std::size_t>> hits_;  // of the rows from `first_hit_` on
    std::vector<std::uint64_t> beginnings_;       // one bit for each pair of bytes: whether a literal begins so
};

/// The rules of one stream.
class AlertMatcher {
public:
    using Trouble = std::function<void(std::size_t rule, const std::string& words)>;

    AlertMatcher() = default;
    /// Of rules without mistakes those whose `watched` is true; they are not needed afterwards. `trouble` is told of a
    /// rule that had to be switched off; it must not throw.
    AlertMatcher(const std::vector<AlertRule>& rules, bool AlertRule::*watched, Trouble trouble = {});

    /// Nothing can match.
    [[nodiscard]] bool empty() const noexcept { return literals_.empty() && expressions_.empty(); }

    /// Calls `use(rule, line)` for each rule that the line matches, once, in their order. `use` must not call this
    /// matcher.
    template <class Use>
    void match_line(std::string_view line, Use&& use);

    /// The same for all lines of a text, which end with LF or CR LF, or, the last one, with the text. Much faster than
    /// line by line while there are literals only.
    template <class Use>
    void find(std::string_view lines, Use&& use);

private:
    struct Expression {
        std::size_t rule;
        std::string title;
        boost::regex regex;
    };

    void add_hit(std::size_t rule);
    void match_expressions(std::string_view line);

    LiteralScanner literals_;
    std::vector<Expression> expressions_;
    Trouble trouble_;
    std::vector<std::size_t> hits_;  // of the line
    std::vector<bool> is_hit_;       // by rule
};

// -- implementation ----------------------------------------------------------

inline LiteralScanner::LiteralScanner(const std::vector<std::pair<std::string_view, std::size_t>>& literals) {
    if (literals.empty()) return;
    for (const auto& [text, number] : literals) {
        for (const char byte : text) {
            auto& its_class = classes_[static_cast<unsigned char>(byte)];
            if (its_class == 0) its_class = static_cast<std::uint16_t>(class_count_++);
        }
    }
    // The tree of all beginnings. Node 0 is the root, and, where a child is missing, a stand-in for it.
    std::vector<std::vector<std::uint32_t>> tree(1, std::vector<std::uint32_t>(class_count_));
    std::vector<std::vector<std::size_t>> ends(1);
    beginnings_.resize((std::size_t{1} << 16) / 64);
    for (const auto& [text, number] : literals) {
        std::uint32_t node = 0;
        for (const char byte : text) {
            std::uint32_t child = tree[node][class_of(byte)];
            if (child == 0) {
                child = tree[node][class_of(byte)] = static_cast<std::uint32_t>(tree.size());
                tree.emplace_back(class_count_);
                ends.emplace_back();
            }
            node = child;
        }
        ends[node].push_back(number);
        if (text.size() > 1) note_beginning(text[0], text[1]);
        for (int second = 0; text.size() == 1 && second < 256; ++second)
            note_beginning(text[0], static_cast<char>(second));
    }
    // Breadth first: where a node has no child, it goes on as its longest proper suffix in the tree does.
    std::vector<std::uint32_t> suffix(tree.size());
    std::vector<std::uint32_t> order{0};
    for (std::size_t i = 0; i < order.size(); ++i) {
        const std::uint32_t node = order[i];
        for (std::size_t c = 0; c < class_count_; ++c) {
            const std::uint32_t elsewhere = node == 0 ? 0 : tree[suffix[node]][c];
            std::uint32_t& child = tree[node][c];
            if (child == 0) {
                child = elsewhere;
                continue;
            }
            suffix[child] = elsewhere;
            ends[child].insert(ends[child].end(), ends[elsewhere].begin(), ends[elsewhere].end());
            order.push_back(child);
        }
    }
    // Into one table, the hits last.
    std::stable_partition(order.begin(), order.end(), [&](std::uint32_t node) { return ends[node].empty(); });
    std::vector<State> state(tree.size());
    for (std::size_t i = 0; i < order.size(); ++i) state[order[i]] = static_cast<State>(i * class_count_);
    next_.reserve(tree.size() * class_count_);
    for (const std::uint32_t node : order) {
        for (const std::uint32_t child : tree[node]) next_.push_back(state[child]);
        if (!ends[node].empty()) hits_.push_back(std::move(ends[node]));
    }
    first_hit_ = static_cast<State>((order.size() - hits_.size()) * class_count_);
}

inline std::size_t pair_at(const char* bytes) noexcept {
    std::uint16_t pair;
    std::memcpy(&pair, bytes, sizeof pair);
    return pair;
}

inline void LiteralScanner::note_beginning(char first, char second) noexcept {
    const std::array<char, 2> bytes{first, second};
    const std::size_t pair = pair_at(bytes.data());
    beginnings_[pair / 64] |= std::uint64_t{1} << (pair % 64);
}

/// The next place where a literal may begin; the last byte is not judged.
inline const char* LiteralScanner::skip(const char* at, const char* end) const noexcept {
    const std::uint64_t* beginnings = beginnings_.data();
    for (; end - at > 1; ++at) {
        const std::size_t pair = pair_at(at);
        if ((beginnings[pair / 64] >> (pair % 64) & 1) != 0) break;
    }
    return at;
}

template <class OnHit>
const char* LiteralScanner::scan(std::string_view text, OnHit on_hit) const {
    const char* at = text.data();
    const char* const end = at + text.size();
    const State* const next = next_.data();
    if (empty()) return nullptr;
    while ((at = skip(at, end)) != end) {
        State state = 0;
        do {
            state = next[state + class_of(*at++)];
            if (state >= first_hit_ && on_hit(state)) return at;
        } while (state != 0 && at != end);
    }
    return nullptr;
}

template <class Use>
void LiteralScanner::for_each(State state, Use use) const {
    for (const std::size_t number : hits_[(state - first_hit_) / class_count_]) use(number);
}

/// The first and last byte of a line are the ends, whatever is between: a lone CR is a byte like any other.
inline bool regex_finds(const boost::regex& regex, std::string_view line) {
    auto flags = boost::regex_constants::match_single_line | boost::regex_constants::match_any;
    if (line.size() > AlertRule::most_regex_bytes) {
        line = line.substr(0, AlertRule::most_regex_bytes);
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
    if (literal_bytes > LiteralScanner::most_bytes) {
        found.push_back("alert rules: the literals have " + std::to_string(literal_bytes) +
                        " bytes together; write at most " + std::to_string(LiteralScanner::most_bytes));
    }
    for (const AlertRule& rule : rules) {
        auto mistakes = rule.mistakes();
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

inline AlertMatcher::AlertMatcher(const std::vector<AlertRule>& rules, bool AlertRule::*watched, Trouble trouble)
    : trouble_(std::move(trouble)), is_hit_(rules.size()) {
    std::vector<std::pair<std::string_view, std::size_t>> literals;
    for (std::size_t i = 0; i < rules.size(); ++i) {
        if (!(rules[i].*watched)) continue;
        if (rules[i].match == AlertMatch::literal) literals.emplace_back(rules[i].pattern, i);
        else expressions_.push_back({i, rules[i].title(), compile_regex(rules[i].pattern)});
    }
    literals_ = LiteralScanner(literals);
}

inline void AlertMatcher::add_hit(std::size_t rule) {
    if (is_hit_[rule]) return;
    hits_.push_back(rule);
    is_hit_[rule] = true;
}

inline void AlertMatcher::match_expressions(std::string_view line) {
    std::erase_if(expressions_, [&](const Expression& expression) {
        try {
            if (regex_finds(expression.regex, line)) add_hit(expression.rule);
            return false;
        } catch (const std::runtime_error&) {
            if (!trouble_) return true;
            trouble_(expression.rule, "alert rule '" + expression.title +
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
    literals_.scan(line, [this](LiteralScanner::State state) {
        literals_.for_each(state, [this](std::size_t rule) { add_hit(rule); });
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
            const char* hit = literals_.scan(lines, [](LiteralScanner::State) { return true; });
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
