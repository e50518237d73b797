// SPDX-License-Identifier: MIT
#include "log_watch.hpp"

#include "system.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace demo {

LogWatch::LogWatch(std::filesystem::path path, warden::LogLimits limits, std::size_t rotated_files)
    : files_{std::move(path)}, limits_(limits) {
    for (std::size_t i = 1; i <= rotated_files; ++i)
        files_.push_back(files_.front().string() + '.' + std::to_string(i));
}

void LogWatch::look() {
    ++looks_;
    bytes_now_ = 0;
    for (const auto& file : files_) {
        const std::string text = content_of(file);
        // Counted here in the plainest way, not by what wrote it.
        const auto lines = std::count(text.begin(), text.end(), '\n') + (!text.empty() && text.back() != '\n');
        const auto chars = std::count_if(text.begin(), text.end(),
                                         [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; });
        max_lines_ = std::max(max_lines_, static_cast<std::size_t>(lines));
        max_chars_ = std::max(max_chars_, static_cast<std::size_t>(chars));
        bytes_now_ += text.size();
    }
}

}  // namespace demo
