// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Looks for a text in lines that come in pieces.
///
/// Knows:         both streams, and the end of what was seen of each: a text may come in two pieces.
/// Does not know: where the pieces come from.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Allocates:     twice the length of the text.

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace warden::detail {

class LineWatch {
public:
    static constexpr std::size_t max_excerpt = 200;  // bytes

    /// `text` has no newline in it, and is not empty.
    explicit LineWatch(std::string text) : text_(std::move(text)) {}

    /// The first line that holds the text, as far as it is in `piece`; nothing if none does.
    [[nodiscard]] std::optional<std::string> feed(std::size_t stream, std::string_view piece);

private:
    [[nodiscard]] static std::string excerpt(std::string_view piece, std::size_t at);

    std::string text_;
    std::array<std::string, 2> ends_;  // shorter than the text
};

// -- implementation ----------------------------------------------------------

inline std::optional<std::string> LineWatch::feed(std::size_t stream, std::string_view piece) {
    std::string& end = ends_[stream];
    if (!end.empty()) {
        const std::size_t old = end.size();
        end.append(piece.substr(0, text_.size() - 1));
        if (const auto at = end.find(text_); at != std::string::npos) {
            const std::string whole = end.substr(0, old) + std::string(piece.substr(0, max_excerpt));
            return excerpt(whole, at);
        }
    }
    if (const auto at = piece.find(text_); at != std::string_view::npos) return excerpt(piece, at);
    const std::size_t kept = text_.size() - 1;
    if (end.empty() || piece.size() > kept) end = piece.substr(piece.size() - std::min(kept, piece.size()));
    if (end.size() > kept) end.erase(0, end.size() - kept);
    return std::nullopt;
}

inline std::string LineWatch::excerpt(std::string_view piece, std::size_t at) {
    const auto before = piece.rfind('\n', at);
    const std::size_t begin = before == std::string_view::npos ? 0 : before + 1;
    const std::size_t length = std::min(piece.find_first_of("\r\n", at), piece.size()) - begin;
    return std::string(piece.substr(begin, std::min(length, max_excerpt)));
}

}  // namespace warden::detail
