// SPDX-License-Identifier: MIT
// What the scenarios of starts on Windows share besides: lines, handles.
#pragma once

#include <support/start.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <windows/support.hpp>

namespace support {

/// The lines, without their ends.
[[nodiscard]] inline std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size() - 1);
        std::string_view line = text.substr(0, text[end] == '\n' ? end : end + 1);
        if (line.ends_with('\r')) line.remove_suffix(1);
        lines.emplace_back(line);
        text.remove_prefix(end + 1);
    }
    return lines;
}

/// How many handles this program has, of those that it can have when it has few. (Wine 8 does not count them.)
[[nodiscard]] inline int handle_count() {
    int count = 0;
    for (std::uintptr_t number = 4; number < 0x2000; number += 4) {
        DWORD flags = 0;
        count += ::GetHandleInformation(reinterpret_cast<HANDLE>(number), &flags) ? 1 : 0;
    }
    return count;
}

}  // namespace support
