// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/output/alert_matcher.hpp>
#include <warden/output/alert_regex.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using warden::AlertAction;
using warden::AlertGate;
using warden::AlertMatch;
using warden::AlertRule;
using warden::SteadyTime;
using warden::detail::alert_mistakes;
using warden::detail::AlertMatcher;
using warden::detail::AlertSet;

using Hits = std::vector<std::pair<std::size_t, std::string>>;

std::shared_ptr<const AlertSet> compiled(const std::vector<AlertRule>& rules) {
    return std::make_shared<const AlertSet>(rules);
}
AlertMatcher matcher_of(const std::vector<AlertRule>& rules) { return {compiled(rules), &AlertRule::from_stdout}; }

std::vector<AlertRule> literals(const std::vector<std::string>& texts) {
    std::vector<AlertRule> rules;
    for (const auto& text : texts) rules.push_back(AlertRule::literal(text));
    return rules;
}

Hits found(AlertMatcher& matcher, std::string_view lines) {
    Hits hits;
    matcher.find(lines, [&](std::size_t rule, std::string_view line) { hits.emplace_back(rule, line); });
    return hits;
}

Hits found(const std::vector<AlertRule>& rules, std::string_view lines) {
    auto matcher = matcher_of(rules);
    return found(matcher, lines);
}

/// The lines of a text, without LF or CR LF.
std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        if (end < text.size() && line.ends_with('\r')) line.remove_suffix(1);
        lines.push_back(line);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

Hits naive(const std::vector<AlertRule>& rules, std::string_view text) {
    Hits hits;
    for (const std::string_view line : lines_of(text)) {
        for (std::size_t i = 0; i < rules.size(); ++i)
            if (line.find(rules[i].pattern) != line.npos) hits.emplace_back(i, line);
    }
    return hits;
}

std::string only_mistake(const AlertRule& rule) {
    const auto found = alert_mistakes({rule});
    REQUIRE(found.size() == 1);
    return found.front();
}

SteadyTime at(warden::Nanoseconds time) { return SteadyTime(time); }

}  // namespace

TEST_CASE("alert rules: each rule has each line once, in the order of the rules") {
    const auto rules = literals({"b", "abc", "bc", "c", "abcabc", "bc"});
    CHECK(found(rules, "xabcabcx\n") ==
          Hits{{0, "xabcabcx"}, {1, "xabcabcx"}, {2, "xabcabcx"}, {3, "xabcabcx"}, {4, "xabcabcx"}, {5, "xabcabcx"}});
    CHECK(found(rules, "abab\nbc") == Hits{{0, "abab"}, {0, "bc"}, {2, "bc"}, {3, "bc"}, {5, "bc"}});
    CHECK(found(literals({"he", "she", "his", "hers"}), "ushers\n") ==
          Hits{{0, "ushers"}, {1, "ushers"}, {3, "ushers"}});
}

TEST_CASE("alert rules: a hit at the first or last byte of a block is found, one across a line end is not") {
    const auto rules = literals({"ab", "x"});
    CHECK(found(rules, "ab") == Hits{{0, "ab"}});
    CHECK(found(rules, "ab...\n...ab") == Hits{{0, "ab..."}, {0, "...ab"}});
    CHECK(found(rules, "x") == Hits{{1, "x"}});
    CHECK(found(rules, "\n\nx") == Hits{{1, "x"}});
    CHECK(found(rules, "a\nb\na\r\nb").empty());
    CHECK(found(rules, "").empty());
    CHECK(found(rules, {}).empty());
    CHECK(found(std::vector<AlertRule>{}, "ab\n").empty());
}

TEST_CASE("alert rules: the CR of a line end is not in the line, another is") {
    const auto rules = literals({"end\r", "end"});
    CHECK(found(rules, "end\r\n") == Hits{{1, "end"}});
    CHECK(found(rules, "end\r\r\n") == Hits{{0, "end\r"}, {1, "end\r"}});
    CHECK(found(rules, "end\r") == Hits{{0, "end\r"}, {1, "end\r"}});
}

TEST_CASE("alert rules: any byte but a newline can be looked for") {
    for (int value = 0; value < 256; ++value) {
        const char c = static_cast<char>(value);
        if (c == '\n') continue;
        const std::string line = std::string("1") + c + "2";
        REQUIRE(found(literals({std::string(1, c)}), line + "\n") == Hits{{0, line}});
        REQUIRE(found(literals({line}), "1" + line + "\n") == Hits{{0, "1" + line}});
    }
    CHECK(found(literals({"größe", "𝄞"}), "die größe\n𝄞\n") == Hits{{0, "die größe"}, {1, "𝄞"}});
}

TEST_CASE("alert rules: literals are found where a naive search finds them") {
    std::mt19937 random(20260131);
    constexpr std::string_view letters = "ab\x80\n\r";
    const auto text_of = [&](std::size_t size, std::size_t letter_count) {
        std::string text(size, '\0');
        for (char& c : text) c = letters[random() % letter_count];
        return text;
    };
    for (int round = 0; round < 3'000; ++round) {
        std::vector<std::string> texts;
        for (std::size_t i = random() % 8; i > 0; --i) texts.push_back(text_of(1 + random() % 6, 2 + random() % 2));
        const auto rules = literals(texts);
        const std::string text = text_of(random() % 200, letters.size() - random() % 2);
        auto matcher = matcher_of(rules);
        INFO("round " << round);
        REQUIRE(found(matcher, text) == naive(rules, text));
        Hits by_line;
        for (const auto line : lines_of(text))
            matcher.match_line(line, [&](std::size_t rule, std::string_view all) { by_line.emplace_back(rule, all); });
        REQUIRE(by_line == naive(rules, text));
    }
}

TEST_CASE("alert rules: a regular expression looks at one line, whose ends are ^ and $") {
    CHECK(found({AlertRule::regex("^a.c$")}, "abc\nxabc\na\rc\r\nabcx\na\nc\n") == Hits{{0, "abc"}, {0, "a\rc"}});
    CHECK(found({AlertRule::regex("^b")}, "a\rb\n").empty());
    CHECK(found({AlertRule::regex("(?i)error: \\d+")}, "Error: 12\nerror: x\n") == Hits{{0, "Error: 12"}});
    CHECK(found({AlertRule::regex("^$")}, "a\n\nb\n") == Hits{{0, ""}});
    CHECK(found({AlertRule::regex(".*ab.*")}, "ab\nb\n") == Hits{{0, "ab"}});
    CHECK(found({AlertRule::regex("^$")}, "").empty());
    CHECK(found({AlertRule::regex(".*")}, "a\n\n") == Hits{{0, "a"}, {0, ""}});
    CHECK(found({AlertRule::regex(".*|a")}, "b\n") == Hits{{0, "b"}});
    CHECK(found({AlertRule::regex(".*?b")}, "ab\n") == Hits{{0, "ab"}});
    CHECK(found({AlertRule::regex(".*+b")}, "ab\n").empty());
    CHECK(found({AlertRule::regex("(\\w)\\1")}, "abab\nabba\n") == Hits{{0, "abba"}});
    CHECK(found({AlertRule::regex("[\\x80-\\xff]")}, "a\n\xff\n") == Hits{{0, "\xff"}});
}

TEST_CASE("alert rules: literals and regular expressions of one line come in the order of the rules") {
    const std::vector<AlertRule> rules{AlertRule::regex("o+"), AlertRule::literal("foo"), AlertRule::regex("x"),
                                       AlertRule::literal("oo")};
    CHECK(found(rules, "foo\nbar\nox\n") == Hits{{0, "foo"}, {1, "foo"}, {3, "foo"}, {0, "ox"}, {2, "ox"}});
}

TEST_CASE("alert rules: a regular expression sees the beginning of a long line, and its cut is no end") {
    constexpr std::size_t most = AlertRule::max_regex_bytes;
    const std::string filled(most - 1, 'a');
    CHECK(found({AlertRule::regex("b")}, filled + "b").size() == 1);
    CHECK(found({AlertRule::regex("b")}, filled + "ab").empty());
    CHECK(found({AlertRule::regex("a$")}, filled + "a").size() == 1);
    CHECK(found({AlertRule::regex("a$")}, filled + "aa").empty());
    CHECK(found(literals({"b"}), filled + "ab").size() == 1);
}

TEST_CASE("alert rules: a regular expression that runs away is switched off and reported, the others go on") {
    const std::vector<AlertRule> rules{AlertRule::regex("(foo|bar|foobar)*baz"), AlertRule::regex("^end"),
                                       AlertRule::literal("end")};
    REQUIRE(alert_mistakes(rules).empty());
    std::vector<std::string> troubles;
    AlertMatcher matcher(compiled(rules), &AlertRule::from_stderr, [&](std::size_t rule, const std::string& words) {
        CHECK(rule == 0);
        troubles.push_back(words);
    });
    std::string bad;
    for (int i = 0; i < 50; ++i) bad += "foobar";
    CHECK(found(matcher, "foobaz\n" + bad + "\n" + bad + "\nend\nfoobaz\n") ==
          Hits{{0, "foobaz"}, {1, "end"}, {2, "end"}});
    CHECK(troubles == std::vector<std::string>{
                          "alert rule '(foo|bar|foobar)*baz': the regular expression ran away on a line of 300 bytes "
                          "and is switched off; write it without nested repetition"});
    CHECK_FALSE(matcher.empty());
    AlertMatcher silent(compiled({rules[0]}), &AlertRule::from_stdout);
    CHECK(found(silent, bad).empty());
    CHECK(silent.empty());
}

TEST_CASE("alert rules: a matcher has the rules of its stream") {
    auto rules = literals({"a", "b", "c"});
    rules[0].from_stdout = false;
    rules[1].from_stderr = false;
    AlertMatcher out(compiled(rules), &AlertRule::from_stdout);
    AlertMatcher err(compiled(rules), &AlertRule::from_stderr);
    CHECK(found(out, "abc\n") == Hits{{1, "abc"}, {2, "abc"}});
    CHECK(found(err, "abc\n") == Hits{{0, "abc"}, {2, "abc"}});
}

TEST_CASE("alert rules: compiled once, they serve many matchers, of which each switches off for itself") {
    const auto first = compiled({AlertRule::regex("(foo|bar|foobar)*baz"), AlertRule::literal("a")});
    const auto both = std::make_shared<const AlertSet>(
        *first, std::vector<AlertRule>{AlertRule::literal("foo"), AlertRule::regex("ba")});
    CHECK(both->rules().size() == 4);
    AlertMatcher one(both, &AlertRule::from_stdout);
    AlertMatcher other(both, &AlertRule::from_stderr);
    AlertMatcher of_first(first, &AlertRule::from_stdout);
    std::string bad;
    for (int i = 0; i < 50; ++i) bad += "foobar";
    CHECK(found(one, bad) == Hits{{1, bad}, {2, bad}, {3, bad}});
    const std::string good = "foobaz";
    CHECK(found(one, good) == Hits{{1, good}, {2, good}, {3, good}});
    CHECK(found(other, good) == Hits{{0, good}, {1, good}, {2, good}, {3, good}});
    CHECK(found(of_first, good) == Hits{{0, good}, {1, good}});
}

TEST_CASE("alert rules: a callback that throws does no harm to the next line") {
    auto matcher = matcher_of(literals({"a", "b"}));
    CHECK_THROWS_AS(matcher.match_line("ab", [](std::size_t, std::string_view) { throw 1; }), int);
    CHECK(found(matcher, "ab\n") == Hits{{0, "ab"}, {1, "ab"}});
}

TEST_CASE("alert rules: every mistake is said in words, and what to write instead") {
    AlertRule rule = AlertRule::literal("");
    rule.name = "n";
    CHECK(only_mistake(rule) == "alert rule 'n': the pattern is empty, which is in every line; write what to look for");
    rule.pattern = "a\nb";
    CHECK(only_mistake(rule) ==
          "alert rule 'n': a newline is in the pattern, and never in a line; write a rule for each line");
    rule.pattern.assign(AlertRule::longest_pattern + 1, 'x');
    CHECK(only_mistake(rule) == "alert rule 'n': the pattern has 4097 bytes; write at most 4096");
    rule.pattern = "p";
    rule.from_stdout = rule.from_stderr = false;
    CHECK(only_mistake(rule) == "alert rule 'n': it looks at neither stream; set from_stdout or from_stderr");
    rule.from_stderr = true;
    rule.most = 0;
    CHECK(only_mistake(rule) == "alert rule 'n': most is 0, which would tell nothing; write a number from 1 to 1000");
    rule.most = 1001;
    CHECK(only_mistake(rule) == "alert rule 'n': most is 1001; write a number from 1 to 1000");
    rule.most = 1000;
    rule.per = 999ms;
    CHECK(only_mistake(rule) == "alert rule 'n': per is less than a second; write how long a time `most` is for");
    rule.per = 1s;
    rule.dedupe = -1ns;
    CHECK(only_mistake(rule) == "alert rule 'n': dedupe is negative; write 0 to tell equal lines too");
    rule.dedupe = 0s;
    CHECK(alert_mistakes({rule}).empty());
    CHECK(alert_mistakes({AlertRule::literal(""), AlertRule::literal("\n")}).size() == 2);
    const AlertRule longest = AlertRule::literal(std::string(AlertRule::longest_pattern, 'x'));
    CHECK(alert_mistakes(std::vector<AlertRule>(16, longest)).empty());
    CHECK(alert_mistakes(std::vector<AlertRule>(17, longest)) ==
          std::vector<std::string>{"alert rules: the literals have 69632 bytes together; write at most 65536"});
}

TEST_CASE("alert rules: a regular expression that does not compile is a mistake, with the reason and the place") {
    CHECK(
        only_mistake(AlertRule::regex("(a")) ==
        "alert rule '(a': the regular expression does not compile, at byte 2: Unmatched marking parenthesis ( or \\(. "
        "Correct it, or use AlertRule::literal");
    CHECK(only_mistake(AlertRule::regex("ab)")).find("does not compile, at byte 2: ") != std::string::npos);
    for (const char* text : {"a)", "[a", "*", "a**", "\\", "(?<x", "a{2,1}", "[z-a]", "(?R)*a"}) {
        INFO(text);
        CHECK(only_mistake(AlertRule::regex(text)).find("does not compile, at byte ") != std::string::npos);
        CHECK(alert_mistakes({AlertRule::literal(text)}).empty());
    }
}

TEST_CASE("alert rules: a regular expression that explodes on a short line is a mistake, an honest one is not") {
    CHECK(only_mistake(AlertRule::regex("(a+)+$")) ==
          "alert rule '(a+)+$': the regular expression explodes: some short lines take far too long; write it without "
          "nested repetition");
    for (const char* text : {"(a|aa)+$", "([a-zA-Z]+)*x", "(.*)*x", "^(\\w+\\s?)*$", "(a|b|ab)*c", "((ab)*)*c",
                             "(x+x+)+y", "(\\d+)*z", "([^\"]+)+\"", "(\\s*\\S+\\s*)+:"}) {
        INFO(text);
        CHECK(only_mistake(AlertRule::regex(text)).find("explodes") != std::string::npos);
    }
    for (const char* text :
         {".*error.*", "ERROR.*timeout.*user.*[0-9]+", "(?i)(error|exception|traceback).*", "Listening on .*:(\\d+)",
          "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}", "(\\w+)=(\\w+);(\\w+)", "\\S+@\\S+\\.\\S+", "\\s+$",
          "^\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d) (ERROR|FATAL)"}) {
        INFO(text);
        CHECK(alert_mistakes({AlertRule::regex(text)}).empty());
    }
}

TEST_CASE("alert rules: factories, titles and names") {
    const AlertRule rule = AlertRule::literal("x", AlertAction::stop);
    CHECK(rule.match == AlertMatch::literal);
    CHECK(rule.action == AlertAction::stop);
    CHECK(rule.title() == "x");
    CHECK(AlertRule{.name = "n", .pattern = "x"}.title() == "n");
    CHECK(AlertRule::regex("x").match == AlertMatch::regex);
    CHECK(to_string(AlertAction::ready) == "ready");
    CHECK(to_string(AlertMatch::regex) == "regex");
}

TEST_CASE("alert gate: at most so many are told within any window, and those that were not are counted") {
    AlertRule rule = AlertRule::literal("x");
    rule.most = 2;
    rule.per = 10s;
    AlertGate gate(rule);
    CHECK(gate.pass("a", at(0s)) == 0u);
    CHECK(gate.pass("a", at(6s)) == 0u);
    CHECK(gate.pass("a", at(7s)) == std::nullopt);
    CHECK(gate.pass("a", at(10s - 1ns)) == std::nullopt);
    CHECK(gate.suppressed() == 2);
    CHECK(gate.pass("a", at(10s)) == 2u);
    CHECK(gate.suppressed() == 0);
    CHECK(gate.pass("a", at(15s)) == std::nullopt);
    CHECK(gate.pass("a", at(16s)) == 1u);
    CHECK(gate.pass("a", at(100s)) == 0u);
}

TEST_CASE("alert gate: the same line is told again after the window, others at once") {
    AlertRule rule = AlertRule::literal("x");
    rule.most = 1000;
    rule.dedupe = 5s;
    AlertGate gate(rule);
    CHECK(gate.pass("a", at(0s)) == 0u);
    CHECK(gate.pass("a", at(1s)) == std::nullopt);
    CHECK(gate.pass("b", at(2s)) == 1u);
    CHECK(gate.pass("a", at(4s)) == std::nullopt);
    CHECK(gate.pass("a", at(5s)) == 1u);  // a window begins with the line that was told, not with one that was not
    CHECK(gate.pass("b", at(6s)) == std::nullopt);
    CHECK(gate.pass("b", at(7s)) == 1u);
}

TEST_CASE("alert gate: a line that the rate limit held back is not taken for one that was told") {
    AlertRule rule = AlertRule::literal("x");
    rule.most = 1;
    rule.per = 1s;
    rule.dedupe = 100s;
    AlertGate gate(rule);
    CHECK(gate.pass("a", at(0s)) == 0u);
    CHECK(gate.pass("b", at(0s)) == std::nullopt);
    CHECK(gate.pass("b", at(1s)) == 1u);
    CHECK(gate.pass("b", at(2s)) == std::nullopt);
    CHECK(gate.pass("c", at(2s)) == 1u);
}

TEST_CASE("alert gate: remembers a bounded number of lines") {
    AlertRule rule = AlertRule::literal("x");
    rule.per = 0s;
    rule.dedupe = 1h;
    AlertGate gate(rule);
    const auto told = [&](std::size_t line) { return gate.pass(std::to_string(line), at(1s)).has_value(); };
    for (std::size_t i = 0; i < AlertGate::max_remembered; ++i) REQUIRE(told(i));
    CHECK_FALSE(told(0));
    CHECK(told(AlertGate::max_remembered));
    CHECK(told(0));
    CHECK_FALSE(told(2));
}

TEST_CASE("alert gate: without a window nothing is held back, also when the time stands still") {
    AlertRule rule = AlertRule::literal("x");
    rule.most = 1;
    rule.per = 0s;
    AlertGate open(rule);
    for (int i = 0; i < 100; ++i) REQUIRE(open.pass("a", at(3s)) == 0u);
    rule.most = 3;
    rule.per = 1ns;
    AlertGate limited(rule);
    for (int i = 0; i < 100; ++i) REQUIRE(limited.pass("a", at(3s)).has_value() == (i < 3));
    CHECK(limited.pass("a", at(3s + 1ns)) == 97u);
}

TEST_CASE("alert gate: whatever comes, every line is told or counted once, and no window has too many") {
    std::mt19937 random(7);
    for (int round = 0; round < 200; ++round) {
        AlertRule rule = AlertRule::literal("x");
        rule.most = 1 + static_cast<std::uint32_t>(random() % 4);
        rule.per = warden::Nanoseconds(random() % 20);
        rule.dedupe = warden::Nanoseconds(random() % 20);
        AlertGate gate(rule);
        warden::Nanoseconds now{};
        std::vector<std::pair<warden::Nanoseconds, std::string>> told;
        std::uint64_t counted = 0;
        for (int i = 0; i < 300; ++i) {
            now += warden::Nanoseconds(random() % 4);
            const std::string line(1, static_cast<char>('a' + random() % 5));
            std::size_t in_window = 0;
            bool again = false;
            for (const auto& [time, text] : told) {
                in_window += now - time < rule.per;
                again = again || (text == line && now - time < rule.dedupe);
            }
            const auto passed = gate.pass(line, at(now));
            REQUIRE(passed.has_value() == (in_window < rule.most && !again));
            if (passed) {
                told.emplace_back(now, line);
                counted += *passed + 1;
            }
        }
        REQUIRE(counted + gate.suppressed() == 300);
    }
}
