// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/output/line_splitter.hpp>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using warden::LineSplitter;
using warden::LineView;

struct Line {
    std::string text;
    std::string separator;
    std::uint64_t part = 0;
    bool partial = false;
    friend bool operator==(const Line&, const Line&) = default;
};

std::vector<Line> split(std::size_t max_line_bytes, const std::vector<std::string>& chunks) {
    LineSplitter splitter(max_line_bytes);
    std::vector<Line> lines;
    const auto collect = [&lines](const LineView& line) {
        lines.push_back({std::string(line.text), std::string(line.separator), line.part, line.partial});
    };
    for (const auto& chunk : chunks) {
        splitter.feed(chunk, collect);
        REQUIRE(splitter.pending_bytes() <= max_line_bytes + 1);
    }
    splitter.finish(collect);
    return lines;
}

std::string joined(const std::vector<Line>& lines) {
    std::string text;
    for (const auto& line : lines) text += line.text + line.separator;
    return text;
}

}  // namespace

TEST_CASE("line splitter: LF and CR LF end a line, a lone CR does not") {
    const std::vector<Line> expected{{"a", "\n", 0, false},
                                     {"b", "\r\n", 0, false},
                                     {"", "\n", 0, false},
                                     {"", "\r\n", 0, false},
                                     {"c\rd", "", 0, false}};
    CHECK(split(100, {"a\nb\r\n\n\r\nc\rd"}) == expected);
    CHECK(split(100, {"a\nb\r", "\n\n\r", "\nc", "\rd"}) == expected);
}

TEST_CASE("line splitter: the unterminated last line is delivered, an empty end is not a line") {
    CHECK(split(100, {"a\nb"}).size() == 2);
    CHECK(split(100, {"a\n"}).size() == 1);
    CHECK(split(100, {}).empty());
    CHECK(split(100, {"\r"}) == std::vector<Line>{{"\r", "", 0, false}});
}

TEST_CASE("line splitter: an over-long line comes in marked parts") {
    CHECK(
        split(4, {"0123456789\nx\n"}) ==
        std::vector<Line>{{"0123", "", 0, true}, {"4567", "", 1, true}, {"89", "\n", 2, false}, {"x", "\n", 0, false}});
    CHECK(split(4, {"0123\n"}) == std::vector<Line>{{"0123", "\n", 0, false}});
    CHECK(split(4, {"0123\r", "\n"}) == std::vector<Line>{{"0123", "\r\n", 0, false}});
    CHECK(split(4, {"0123\r"}) == std::vector<Line>{{"0123", "", 0, true}, {"\r", "", 1, false}});
}

TEST_CASE("line splitter: a part never ends inside a character") {
    for (const std::string letter : {"é", "€", "𝄞"}) {
        for (std::size_t limit = 4; limit < 12; ++limit) {
            std::string text;
            for (int i = 0; i < 50; ++i) text += letter;
            for (const auto& line : split(limit, {text})) REQUIRE(line.text.size() % letter.size() == 0);
            for (const auto& line : split(limit, {"x" + text})) {
                REQUIRE((line.text.size() - (line.part == 0)) % letter.size() == 0);
            }
        }
    }
}

TEST_CASE("line splitter: the lines do not depend on the chunks, and together they are the input") {
    std::mt19937 random(4);
    const auto pick = [&random](std::size_t low, std::size_t high) {
        return std::uniform_int_distribution<std::size_t>(low, high)(random);
    };
    const std::vector<std::string> alphabet{
        "a", "\n", "\r", "\r\n", "é", "€", "𝄞", "\x80", "\xF0", "\xFF", std::string(1, '\0')};
    for (int round = 0; round < 2'000; ++round) {
        const std::size_t limit = pick(4, 40);
        const std::size_t newline_rate = pick(0, 4);
        std::string text;
        for (std::size_t i = pick(0, 300); i > 0; --i) {
            text += pick(0, 4) < newline_rate ? alphabet[pick(0, alphabet.size() - 1)]
                                              : alphabet[pick(4, alphabet.size() - 1)];
        }
        std::vector<std::string> chunks;
        for (std::size_t at = 0; at < text.size();) {
            chunks.push_back(text.substr(at, pick(0, round % 3 == 0 ? 2 : 80)));
            at += chunks.back().size();
        }
        const auto lines = split(limit, chunks);
        INFO("round " << round);
        REQUIRE(lines == split(limit, {text}));
        REQUIRE(joined(lines) == text);
        bool was_partial = false;
        for (const auto& line : lines) {
            REQUIRE(line.text.size() <= limit);
            REQUIRE(line.text.find('\n') == std::string::npos);
            REQUIRE((line.part > 0) == was_partial);
            if (line.partial) REQUIRE((line.separator.empty() && line.text.size() + 3 >= limit));
            was_partial = line.partial;
        }
        REQUIRE_FALSE(was_partial);
    }
}

TEST_CASE("line splitter: a line within a chunk is not copied") {
    const std::string chunk = "first\nsecond\n";
    LineSplitter splitter;
    splitter.feed(chunk, [&](const LineView& line) {
        CHECK(line.text.data() >= chunk.data());
        CHECK(line.text.data() < chunk.data() + chunk.size());
    });
    CHECK(splitter.pending_bytes() == 0);
}

TEST_CASE("line splitter: a gigabyte without a newline takes no more memory than a line") {
    LineSplitter splitter;
    const std::string chunk(1 << 20, 'a');
    std::size_t bytes = 0;
    const auto count = [&bytes](const LineView& line) { bytes += line.text.size(); };
    for (int i = 0; i < 1024; ++i) {
        splitter.feed(chunk, count);
        REQUIRE(splitter.pending_bytes() <= LineSplitter::default_max_line_bytes);
    }
    splitter.finish(count);
    CHECK(bytes == std::size_t{1} << 30);
}
