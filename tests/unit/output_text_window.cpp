// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/output/text_window.hpp>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using warden::LogLimits;
using warden::TextWindow;
using Random = std::mt19937;

std::size_t pick(Random& random, std::size_t low, std::size_t high) {
    return std::uniform_int_distribution<std::size_t>(low, high)(random);
}

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0u) == 0x80u; }

bool within(std::string_view text, const LogLimits& limits) {
    std::size_t lines = !text.empty() && text.back() != '\n';
    std::size_t chars = 0;
    for (const char byte : text) {
        lines += byte == '\n';
        chars += !continues(byte);
    }
    return lines <= limits.max_lines && chars <= limits.max_chars && text.size() <= 4 * limits.max_chars;
}

/// The definition of the window, word by word.
std::string_view naive_window(std::string_view text, const LogLimits& limits) {
    std::size_t begin = text.size();
    while (begin > 0 && within(text.substr(begin - 1), limits)) --begin;
    while (begin < text.size() && continues(text[begin])) ++begin;
    if (begin == 0 || begin == text.size() || text[begin - 1] == '\n') return text.substr(begin);
    const std::size_t start = text.rfind('\n', begin - 1) + 1;
    const std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    return within(text.substr(start, end - start), limits) ? text.substr(end) : text.substr(begin);
}

std::string random_text(Random& random, std::size_t chars, bool valid) {
    static const std::vector<std::string> alphabet{"a", "b", "\n", "\n", "é", "€", "𝄞", "\r", std::string(1, '\0')};
    const std::size_t newline_rate = pick(random, 0, 3);
    std::string text;
    for (std::size_t i = 0; i < chars; ++i) {
        if (!valid) text += static_cast<char>(pick(random, 0, 255));
        else if (newline_rate == 3) text += alphabet[pick(random, 0, alphabet.size() - 1)];
        else text += pick(random, 0, newline_rate * 40) == 1 ? "\n" : alphabet[pick(random, 3, alphabet.size() - 1)];
    }
    return text;
}

}  // namespace

TEST_CASE("text measure: counts what a loop over the bytes counts") {
    Random random(1);
    for (int round = 0; round < 300; ++round) {
        const std::string text = random_text(random, pick(random, 0, 10'000), round % 2 == 0);
        warden::detail::TextSize expected{0, 0, text.size()};
        for (const char c : text) {
            expected.newlines += c == '\n';
            expected.chars += !continues(c);
        }
        REQUIRE(warden::detail::measure(text) == expected);
    }
    CHECK(warden::detail::measure(std::string(1'000'000, '\n')).newlines == 1'000'000);
}

TEST_CASE("text window: is the naive window of everything appended, for any chunks of valid UTF-8") {
    Random random(2);
    for (int round = 0; round < 400; ++round) {
        const LogLimits limits{pick(random, 1, 30), pick(random, 1, 200)};
        TextWindow window(limits);
        std::string all;
        for (int chunk = 0; chunk < 40; ++chunk) {
            const std::string text = random_text(random, pick(random, 0, chunk % 10 == 9 ? 1'000 : 60), true);
            window.append(text);
            all += text;
            const std::string_view expected = naive_window(all, limits);
            INFO("round " << round << " chunk " << chunk << " limits " << limits.max_lines << ", " << limits.max_chars);
            REQUIRE(window.text() == expected);
            const auto size = warden::detail::measure(expected);
            REQUIRE(window.chars() == size.chars);
            REQUIRE(window.bytes() == size.bytes);
            REQUIRE(window.lines() == size.newlines + (!expected.empty() && expected.back() != '\n'));
            const std::string_view half = window.newest_half();
            REQUIRE(expected.ends_with(half));
            const auto half_size = warden::detail::measure(half);
            const std::size_t half_lines = half_size.newlines + (!half.empty() && half.back() != '\n');
            REQUIRE(
                (half == expected || half_lines * 2 >= limits.max_lines || half_size.chars * 2 >= limits.max_chars));
        }
    }
}

TEST_CASE("text window: any bytes stay within the bound, and what is kept is the end") {
    Random random(3);
    for (int round = 0; round < 200; ++round) {
        const LogLimits limits{pick(random, 1, 30), pick(random, 1, 200)};
        TextWindow window(limits);
        std::string all;
        for (int chunk = 0; chunk < 30; ++chunk) {
            std::string text = random_text(random, pick(random, 0, 300), false);
            if (round % 4 == 0) text.assign(text.size(), '\x80');
            window.append(text);
            all += text;
            REQUIRE(within(window.text(), limits));
            REQUIRE(std::string_view(all).ends_with(window.text()));
        }
    }
}

TEST_CASE("text window: a single line longer than the bound keeps its end, cut between characters") {
    TextWindow window({10, 5});
    window.append("0123456789");
    CHECK(window.text() == "56789");
    window.append("ééé");
    CHECK(window.text() == "89ééé");
    window.append("\n");
    CHECK(window.text() == "9ééé\n");
    window.append("ab\n");
    CHECK(window.text() == "é\nab\n");
}

TEST_CASE("text window: a line that fits leaves as a whole") {
    TextWindow window({10, 10});
    window.append("12345678\nab\n");
    CHECK(window.text() == "ab\n");
    CHECK(window.lines() == 1);
    CHECK(window.chars() == 3);
}

TEST_CASE("text window: the tail is the newest lines, the unterminated last one too") {
    TextWindow window;
    CHECK(window.tail(5).empty());
    window.append("one\n\nthree\nfour");
    CHECK(window.tail(0).empty());
    CHECK(window.tail(2) == std::vector<std::string>{"three", "four"});
    CHECK(window.tail(9) == std::vector<std::string>{"one", "", "three", "four"});
}

TEST_CASE("text window: a bound of one line and one character holds") {
    TextWindow window({1, 1});
    window.append("hello\nx");
    CHECK(window.text() == "x");
    window.append("\n");
    CHECK(window.text() == "\n");
}
