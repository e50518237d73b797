// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Cuts a stream of bytes into lines.
///
/// Knows:         newlines, carriage returns before them, UTF-8, a longest line. Any byte survives.
/// Does not know: where the bytes come from or who gets the lines.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Errors:        `std::bad_alloc` when a chunk ends inside a line; then that end is lost.
/// Allocates:     at most a little over `max_line_bytes`, and only while a line is spread over chunks.

#include <warden/detail/text/text_measure.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace warden {

/// A line, or a part of an over-long one. `text` and `separator` of all views, in order, are the input again.
/// The views are valid only during the callback.
struct LineView {
    std::string_view text;
    std::string_view
        separator;           ///< "\n", "\r\n", or nothing: more of the line follows, or the input ended without one.
    std::uint64_t part = 0;  ///< Counts the parts of one line from 0.
    bool partial = false;    ///< Not the end of the line: another part follows.
};

/// The lines are the same however the input is spread over chunks: LF or CR LF ends one; a lone CR is a byte like any
/// other. A line of more than `max_line_bytes` comes in parts of at most that many, never cut inside a valid UTF-8
/// character. A line that lies within a chunk is not copied.
class LineSplitter {
public:
    static constexpr std::size_t default_max_line_bytes = std::size_t{16} << 10;
    static constexpr std::size_t least_max_line_bytes = 4;  ///< One character; less is taken as this.

    explicit LineSplitter(std::size_t max_line_bytes = default_max_line_bytes) noexcept
        : max_line_bytes_(std::max(max_line_bytes, least_max_line_bytes)) {}

    /// Calls `callback(const LineView&)` for each line and part that `chunk` completes. The callback must neither throw
    /// nor feed this splitter.
    template <class Callback>
    void feed(std::string_view chunk, Callback&& callback);

    /// The input ended: delivers an unterminated last line, if there is one. The next `feed` begins a new line.
    template <class Callback>
    void finish(Callback&& callback);

    /// Bytes of a line that has not ended yet and has not been delivered in parts.
    [[nodiscard]] std::size_t pending_bytes() const noexcept { return held_.size(); }

private:
    /// Delivers full parts from the front of `text` while more is sure to follow in this line; returns the rest.
    template <class Callback>
    std::string_view deliver_parts(std::string_view text, bool at_end, Callback& callback);

    /// Delivers a line that is complete with its newline.
    template <class Callback>
    void deliver_line(std::string_view line, Callback& callback);

    [[nodiscard]] std::size_t part_size(std::string_view text) const noexcept;

    std::size_t max_line_bytes_;
    std::string held_;  // the beginning of a line whose end has not come yet
    std::uint64_t part_ = 0;
};

// -- implementation ----------------------------------------------------------
template <class Callback>
void LineSplitter::feed(std::string_view chunk, Callback&& callback) {
    while (!held_.empty() && !chunk.empty()) {
        // Completes the line, or a part of it: at most what a part, a CR and an LF take.
        const std::size_t room = max_line_bytes_ + 2 - held_.size();
        const std::size_t end = detail::line_end(chunk.substr(0, room), 0);
        held_.append(chunk.substr(0, end));
        chunk.remove_prefix(end);
        if (held_.back() == '\n') {
            deliver_line(held_, callback);
            held_.clear();
        } else {
            const std::size_t rest = deliver_parts(held_, false, callback).size();
            held_.erase(0, held_.size() - rest);
        }
    }
    while (!chunk.empty()) {
        const std::size_t end = detail::line_end(chunk, 0);
        if (chunk[end - 1] != '\n') {
            held_ = deliver_parts(chunk, false, callback);
            return;
        }
        deliver_line(chunk.substr(0, end), callback);
        chunk.remove_prefix(end);
    }
}

template <class Callback>
void LineSplitter::finish(Callback&& callback) {
    if (!held_.empty()) callback(LineView{deliver_parts(held_, true, callback), {}, part_, false});
    held_.clear();
    part_ = 0;
}

template <class Callback>
std::string_view LineSplitter::deliver_parts(std::string_view text, bool at_end, Callback& callback) {
    // The one byte beyond a part may be a CR that belongs to the line end.
    while (text.size() > max_line_bytes_ && (at_end || text.size() > max_line_bytes_ + 1 || text.back() != '\r')) {
        const std::size_t size = part_size(text);
        callback(LineView{text.substr(0, size), {}, part_++, true});
        text.remove_prefix(size);
    }
    return text;
}

template <class Callback>
void LineSplitter::deliver_line(std::string_view line, Callback& callback) {
    const std::size_t separator_size = line.size() > 1 && line[line.size() - 2] == '\r' ? 2 : 1;
    const std::string_view separator = line.substr(line.size() - separator_size);
    line.remove_suffix(separator_size);
    if (line.size() > max_line_bytes_) line = deliver_parts(line, true, callback);
    callback(LineView{line, separator, part_, false});
    part_ = 0;
}

inline std::size_t LineSplitter::part_size(std::string_view text) const noexcept {
    for (std::size_t back = 1; back <= 3; ++back) {
        if (!detail::continues_char(text[max_line_bytes_ - back + 1])) break;
        const auto lead = static_cast<unsigned char>(text[max_line_bytes_ - back]);
        const std::size_t char_size = lead >= 0xF0 ? 4u : lead >= 0xE0 ? 3u : lead >= 0xC0 ? 2u : 1u;
        if (char_size > back) return max_line_bytes_ - back;  // a character begins here and would be cut
    }
    return max_line_bytes_;
}

}  // namespace warden
