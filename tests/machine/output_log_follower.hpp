// SPDX-License-Identifier: MIT
// What the tests of followers share: all that can be read now, and numbered lines compared with where they should be.
#pragma once

#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/logs/log_follower.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace log_test {

using warden::error_code;
using warden::FollowedLine;
using warden::LogFollower;

inline constexpr auto patience = std::chrono::seconds(20);  // only bounds a failure

inline void add(const std::filesystem::path& path, std::string_view text) {
    std::ofstream(path, std::ios::app | std::ios::binary) << text;
}

/// All lines that are available without waiting.
inline std::vector<FollowedLine> lines_now(LogFollower& follower) {
    std::vector<FollowedLine> lines;
    while (auto line = follower.try_next()) lines.push_back(std::move(*line));
    return lines;
}

inline std::vector<std::string> texts_now(LogFollower& follower) {
    std::vector<std::string> texts;
    for (auto& line : lines_now(follower)) {
        CHECK_FALSE(line.gap);
        texts.push_back(std::move(line.text));
    }
    return texts;
}

using Texts = std::vector<std::string>;

/// Follows numbered lines and compares each, and where it stands in the stream, with what was written.
struct Numbered {
    std::size_t next = 0;
    std::uint64_t start_of_next = 0;
    std::uint64_t position = 0;
    std::size_t gaps = 0;
    std::string fault{};

    void take(const FollowedLine& line) {
        if (!fault.empty()) return;
        gaps += line.gap;
        position += line.gap_bytes;
        while (start_of_next < position) start_of_next += numbered_line(next++).size();
        const std::string whole = numbered_line(next);
        if (line.gap != (line.gap_bytes > 0)) fault = "a gap without a size at " + line.text;
        else if (start_of_next != position) fault = "the gap before this line is wrong: " + line.text;
        else if (line.partial ? !whole.starts_with(line.text) : line.text + '\n' != whole)
            fault = "not " + whole + line.text;
        position += line.text.size() + !line.partial;
        if (line.partial) return;  // a gap comes next
        start_of_next += whole.size();
        ++next;
    }

    void follow(LogFollower& follower, std::size_t last) {
        while (fault.empty() && next <= last) {
            error_code ec;
            const auto line = follower.next(patience, ec);
            if (ec) fault = ec.message();
            else if (!line) fault = "nothing after " + std::to_string(next);
            else take(*line);
        }
    }
};

}  // namespace log_test
