// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The files that one log consists of: their names, and the text at the end of one of them.
///
/// Knows:         that rotation renames `path` to `path.1`, `path.1` to `path.2`, and so on.
/// Does not know: lines; who writes the files, or how they are bounded.
/// Thread-safety: functions without state.
/// Errors:        the system's code.
/// Allocates:     what they return, and buffers of that size.

#include <warden/detail/logs/log_access.hpp>
#include <warden/detail/text/text_measure.hpp>
#include <warden/error.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace warden {

/// What `tail_file` reads at most. Of a line that is longer, the end is returned.
inline constexpr std::size_t max_tail_bytes = std::size_t{64} << 20;

namespace detail {

/// The name that rotation gives a file: `path.1` and so on.
inline std::filesystem::path rotated_path(const std::filesystem::path& path, std::size_t number) {
    std::filesystem::path rotated = path;
    return rotated += '.' + std::to_string(number);
}

/// A hole of a file holds no text: it is skipped, or ends the search.
enum class Holes : bool { skip, stop };

/// The end of a file in which `count` lines begin, or as much of it as `most` bytes allow.
inline std::string end_of_log(const OpenLog& log, std::size_t count, std::size_t most, Holes holes, error_code& ec) {
    std::uint64_t begin = log.status.size;
    std::uint64_t reach = std::uint64_t{8} << 10;  // how far back is looked for data
    std::vector<std::string> blocks;               // the newest first
    std::size_t newlines = 0;
    while (begin > 0 && most > 0 && newlines <= count) {
        const std::uint64_t from = begin - std::min(begin, reach);
        const DataRun data = last_data(log.handle, from, begin);
        if (holes == Holes::stop && data.end < begin) break;
        reach *= 2;
        begin = data.begin < data.end ? data.end : from;
        if (data.begin == data.end) {
            if (holes == Holes::stop) break;
            continue;
        }
        constexpr std::uint64_t max_block = std::uint64_t{1} << 20;
        const auto size = static_cast<std::size_t>(std::min({data.end - data.begin, max_block, std::uint64_t{most}}));
        reach = std::min(reach, max_block);
        std::string block(size, '\0');
        const std::size_t done = read_at(log.handle, begin - size, block.data(), size, ec);
        if (ec) return {};
        if (done < size) blocks.clear();  // somebody cut the file meanwhile: what is left is its end
        block.resize(done);
        newlines += measure(block).newlines;
        blocks.push_back(std::move(block));
        begin -= size;
        most -= size;
    }
    std::string text;
    std::reverse(blocks.begin(), blocks.end());
    for (const std::string& block : blocks) text += block;
    return text;
}

}  // namespace detail
}  // namespace warden
