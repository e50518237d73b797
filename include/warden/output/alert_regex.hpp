// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Regular expressions for alert rules: `AlertRule::regex`. Not part of <warden/warden.hpp>: it brings Boost.Regex, but
/// where the code of warden is compiled once.
///
/// Knows:         Boost.Regex, in the syntax of Perl, whose steps are bounded.
/// Does not know: streams, clocks, what happens with a match.
/// Thread-safety: a compiled expression may be used by any number of threads.
/// Errors:        `AlertRule::validate` tells them; an expression that runs away throws while it matches.
/// Allocates:     when compiled, and while it matches.

#include <warden/output/alert_rules.hpp>
#include <warden/platform.hpp>

#include <memory>
#include <string>

namespace warden::detail {

/// Compiles, and tries the expression on short texts that let bad ones explode. Never null; see `Regex::mistake`.
[[nodiscard]] WARDEN_INLINE std::shared_ptr<const Regex> compile_alert_regex(const std::string& pattern);

template <class>
struct RegexCompiler {
    [[nodiscard]] static std::shared_ptr<const Regex> compile(const std::string& pattern) {
        return compile_alert_regex(pattern);
    }
};

}  // namespace warden::detail

// -- implementation ----------------------------------------------------------
#if WARDEN_HAS_BODIES
#include <boost/regex.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace warden::detail {

/// The first and last byte of a line are the ends, whatever is between: a lone CR is a byte like any other.
WARDEN_INLINE bool regex_finds(const boost::regex& regex, std::string_view line) {
    auto flags = boost::regex_constants::match_single_line | boost::regex_constants::match_any;
    if (line.size() > AlertRule::max_regex_bytes) {
        line = line.substr(0, AlertRule::max_regex_bytes);
        flags |= boost::regex_constants::match_not_eol;
    }
    return boost::regex_search(line.data(), line.data() + line.size(), regex, flags);
}

/// An expression that begins with `.*` is found where the rest is found, and much sooner.
WARDEN_INLINE boost::regex compile_regex(std::string_view pattern) {
    const bool recursive = pattern.find("(?R") != pattern.npos || pattern.find("(?0") != pattern.npos;
    const bool plain =
        !recursive && pattern.starts_with(".*") && pattern.size() > 2 && !std::strchr("*+?{|)", pattern[2]);
    if (plain) pattern.remove_prefix(2);
    return boost::regex(pattern.begin(), pattern.end(), boost::regex::perl);
}

/// Whether a search takes more steps than Boost.Regex allows, for a short text of bytes that the pattern may like.
WARDEN_INLINE bool explodes(const boost::regex& regex, std::string_view pattern) {
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

class BoostRegex final : public Regex {
public:
    explicit BoostRegex(const std::string& pattern) : Regex(pattern) {
        const std::string begin = "the regular expression ";
        try {
            (void)boost::regex(pattern);
            regex_ = compile_regex(pattern);
            if (explodes(regex_, pattern))
                mistake_ = begin + "explodes: some short lines take far too long; write it without nested repetition";
        } catch (const boost::regex_error& error) {
            const std::string_view reason = error.what();
            mistake_ = begin + "does not compile, at byte " + std::to_string(error.position()) + ": " +
                       std::string(reason.substr(0, reason.find("  The error occurred"))) +
                       " Correct it, or use AlertRule::literal";
        }
    }

    [[nodiscard]] bool finds(std::string_view line) const override { return regex_finds(regex_, line); }

private:
    boost::regex regex_;
};

WARDEN_INLINE std::shared_ptr<const Regex> compile_alert_regex(const std::string& pattern) {
    return std::make_shared<const BoostRegex>(pattern);
}

}  // namespace warden::detail
#endif
