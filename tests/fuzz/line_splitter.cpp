// SPDX-License-Identifier: MIT
// LineSplitter: any chunks give the same lines, and these are the input again.
//   input: the longest line (one byte), the sizes of the chunks (one byte), the text
#include "fuzz.hpp"
#include <warden/output/line_splitter.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using fuzz::continues;
using fuzz::require;
using warden::LineSplitter;
using warden::LineView;

struct Line {
    std::string text;
    std::string separator;
    std::uint64_t part = 0;
    bool partial = false;
    friend bool operator==(const Line&, const Line&) = default;
};

/// `chunk_seed` 0: all at once.
std::vector<Line> split(std::string_view text, std::size_t most, std::size_t chunk_seed) {
    LineSplitter splitter(most);
    std::vector<Line> lines;
    const auto collect = [&lines](const LineView& line) {
        lines.push_back({std::string(line.text), std::string(line.separator), line.part, line.partial});
    };
    std::size_t random = chunk_seed;
    while (!text.empty()) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const std::size_t size = chunk_seed == 0 ? text.size() : (random >> 33) % (chunk_seed + 1);
        const std::string chunk(text.substr(0, size));  // a copy: nothing may be read beyond it
        splitter.feed(chunk, collect);
        require(splitter.pending_bytes() <= std::max(most, LineSplitter::least_max_line_bytes) + 1,
                "no more than a line is held");
        text.remove_prefix(chunk.size());
    }
    splitter.finish(collect);
    require(splitter.pending_bytes() == 0, "nothing is held after the end");
    return lines;
}

/// The length of the valid UTF-8 character at the beginning, or 0.
std::size_t char_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const std::size_t length = byte(0) < 0x80 ? 1 : byte(0) < 0xC2 ? 0 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : 4;
    if (byte(0) > 0xF4 || length == 0 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if (!continues(text[i])) return 0;
    if (byte(0) == 0xE0 && byte(1) < 0xA0) return 0;
    if (byte(0) == 0xED && byte(1) > 0x9F) return 0;
    if (byte(0) == 0xF0 && byte(1) < 0x90) return 0;
    return byte(0) == 0xF4 && byte(1) > 0x8F ? 0 : length;
}

/// Lines with their separators, by the definition.
std::vector<std::pair<std::string, std::string>> naive_lines(std::string_view text) {
    std::vector<std::pair<std::string, std::string>> lines;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        if (end == text.npos) {
            lines.emplace_back(text, "");
            break;
        }
        const bool has_cr = end > 0 && text[end - 1] == '\r';
        lines.emplace_back(text.substr(0, end - has_cr), has_cr ? "\r\n" : "\n");
        text.remove_prefix(end + 1);
    }
    return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    const std::size_t asked = input.number() % 64;
    const std::size_t most = std::max(asked, LineSplitter::least_max_line_bytes);
    const std::size_t chunk_seed = input.number() % 80 + 1;
    const std::string_view text = input.rest();

    const std::vector<Line> lines = split(text, asked, chunk_seed);
    require(lines == split(text, asked, 0), "the lines do not depend on the chunks");
    require(lines == split(text, asked, 1), "the lines do not depend on the chunks, one byte at a time");

    std::string all;
    std::vector<std::pair<std::string, std::string>> joined;
    std::uint64_t part = 0;
    for (const Line& line : lines) {
        require(line.part == part, "parts are counted from 0", line.text);
        require(line.text.size() <= most, "no part is too long", line.text);
        require(line.text.find('\n') == line.text.npos, "a newline is only in the separator", line.text);
        if (part == 0) joined.emplace_back();
        joined.back().first += line.text;
        joined.back().second = line.separator;
        all += line.text + line.separator;
        part = line.partial ? part + 1 : 0;
        if (!line.partial) continue;
        require(line.separator.empty(), "a part has no separator");
        require(line.text.size() + 3 >= most, "a part is as long as it can be", line.text);
        for (std::size_t back = 1; back <= 3 && back <= line.text.size(); ++back) {
            const std::string_view from_there = text.substr(all.size() - back);
            require(char_length(from_there) <= back, "no character is cut", from_there);
        }
    }
    require(part == 0, "the last line is no part");
    require(all == text, "texts and separators are the input again", all);
    require(joined == naive_lines(text), "the lines are those of a naive loop");
    return 0;
}
