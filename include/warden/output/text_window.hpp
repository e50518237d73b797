// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The newest part of a stream of text that is within a bound: the tail that is kept in memory.
///
/// Knows:         bounds, lines, characters.
/// Does not know: files, clocks, where the text comes from.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Errors:        `std::bad_alloc`; then the window is unchanged.
/// Allocates:     nothing before the first `append`; then a few times the bound at most.

#include <warden/detail/text/text_measure.hpp>
#include <warden/output/log_limits.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace warden {
namespace detail {

/// The bound that `limits` set, `times` over; SIZE_MAX where that is too large.
[[nodiscard]] constexpr TextSize bound_of(const LogLimits& limits, std::size_t times = 1) noexcept {
    const auto product = [times](std::size_t value) { return value > SIZE_MAX / times ? SIZE_MAX : value * times; };
    return {product(limits.max_lines), product(limits.max_chars), product(limits.max_bytes())};
}

}  // namespace detail

/// As much of the end of what was appended as is within the bound and begins a line. If the oldest line that would
/// still fit in part is longer than the whole bound, the window begins inside that line, but never inside a character.
class TextWindow {
public:
    explicit TextWindow(const LogLimits& limits = {}) noexcept : bound_(detail::bound_of(limits)) {}

    /// Of text that is much larger than the bound, only the end is read.
    void append(std::string_view text);

    [[nodiscard]] std::size_t lines() const noexcept { return size_.newlines + open_line(); }
    [[nodiscard]] std::size_t chars() const noexcept { return size_.chars; }
    [[nodiscard]] std::size_t bytes() const noexcept { return size_.bytes; }

    /// Valid until the next call that is not const.
    [[nodiscard]] std::string_view text() const noexcept { return std::string_view(buffer_).substr(begin_); }

    /// The newest part that has half of the bound and begins a line: a good place to start again from.
    [[nodiscard]] std::string_view newest_half() const noexcept;

    /// The newest `count` lines, oldest first, without their newlines.
    [[nodiscard]] std::vector<std::string> tail(std::size_t count) const;

private:
    [[nodiscard]] bool open_line() const noexcept { return !text().empty() && buffer_.back() != '\n'; }
    [[nodiscard]] bool over() const noexcept { return lines() > bound_.newlines || !size_.within(bound_); }
    [[nodiscard]] bool is_long(std::string_view line) const noexcept;
    void replace_by_end_of(std::string_view text);
    void add(std::string_view text, const detail::TextSize& size);
    void drop_oldest() noexcept;
    void drop(const detail::TextSize& size) noexcept;

    detail::TextSize bound_;
    std::string buffer_;  // the window is from begin_ on
    std::size_t begin_ = 0;
    detail::TextSize size_;       // of the window
    bool begins_inside_ = false;  // a line that is longer than the bound
};

/// The newest `count` lines of `text`, without their newlines. A last line needs none.
[[nodiscard]] inline std::vector<std::string> newest_lines(std::string_view text, std::size_t count);

// -- implementation ----------------------------------------------------------
inline void TextWindow::append(std::string_view text) {
    if (text.empty()) return;
    if (text.size() > bound_.bytes) return replace_by_end_of(text);
    const detail::TextSize size = detail::measure(text);
    if (!size.within(bound_)) return replace_by_end_of(text);
    add(text, size);
    while (over()) drop_oldest();
}

inline bool TextWindow::is_long(std::string_view line) const noexcept {
    return line.size() > bound_.bytes || !detail::measure(line).within(bound_);
}

inline void TextWindow::replace_by_end_of(std::string_view text) {
    std::size_t begin = detail::fitting_suffix(text, bound_);
    bool inside = false;
    if (const std::size_t start = detail::line_start(text, begin); start != begin) {
        // The line at `begin` may have begun before this text.
        const std::string_view window = this->text();
        const std::size_t before_start = start == 0 ? detail::line_start(window, window.size()) : window.size();
        const std::string_view before = window.substr(before_start);
        const std::string_view line = text.substr(start, detail::line_end(text, begin) - start);
        const bool reaches_front = start == 0 && before_start == 0 && begins_inside_;
        inside = reaches_front || before.size() + line.size() > bound_.bytes ||
                 !(detail::measure(before) + detail::measure(line)).within(bound_);
        if (!inside) begin = detail::line_end(text, begin);
    }
    const std::string_view kept = text.substr(begin);
    if (buffer_.capacity() < kept.size()) buffer_.reserve(kept.size());
    buffer_.assign(kept);
    begin_ = 0;
    size_ = detail::measure(kept);
    begins_inside_ = inside;
}

inline void TextWindow::add(std::string_view text, const detail::TextSize& size) {
    if (begin_ >= size_.bytes) {  // moving costs no more than what was dropped since
        buffer_.erase(0, begin_);
        begin_ = 0;
    }
    buffer_.append(text);
    size_ += size;
}

inline void TextWindow::drop(const detail::TextSize& size) noexcept {
    begin_ += size.bytes;
    size_ -= size;
}

inline void TextWindow::drop_oldest() noexcept {
    const bool too_many_lines = lines() > bound_.newlines;
    if (!begins_inside_ || too_many_lines) {
        const std::string_view line = text().substr(0, detail::line_end(text(), 0));
        begins_inside_ = !too_many_lines && is_long(line);
        if (!begins_inside_) return drop(detail::measure(line));
    }
    // Just enough of a long line goes, or what is left of it.
    const std::string_view window = text();
    detail::TextSize dropped;
    while (begins_inside_ && !(size_ - dropped).within(bound_)) {
        const char byte = window[dropped.bytes];
        dropped += detail::measure_byte(byte);
        begins_inside_ = byte != '\n';
    }
    for (int skipped = 0; begins_inside_ && skipped < 3 && dropped.bytes < window.size(); ++skipped) {
        if (!detail::continues_char(window[dropped.bytes])) break;
        dropped += detail::measure_byte(window[dropped.bytes]);
    }
    drop(dropped);
}

inline std::string_view TextWindow::newest_half() const noexcept {
    const std::size_t middle = detail::fitting_suffix(text(), detail::half_of(bound_));
    const std::size_t start = detail::line_start(text(), middle);
    return text().substr(start == 0 && begins_inside_ ? middle : start);
}

inline std::vector<std::string> TextWindow::tail(std::size_t count) const { return newest_lines(text(), count); }

inline std::vector<std::string> newest_lines(std::string_view text, std::size_t count) {
    std::vector<std::string> lines;
    while (!text.empty() && lines.size() < count) {
        if (text.back() == '\n') text.remove_suffix(1);
        const std::size_t start = detail::line_start(text, text.size());
        lines.emplace_back(text.substr(start));
        text = text.substr(0, start);
    }
    std::reverse(lines.begin(), lines.end());
    return lines;
}

}  // namespace warden
