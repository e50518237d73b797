// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A bounded buffer for the output of a short command: the first bytes stay, the rest is counted.
///
/// Knows:         bytes.
/// Does not know: characters: the cut is at the byte. For the newest text take `TextWindow`.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Errors:        `std::bad_alloc`; then nothing has changed.
/// Allocates:     as it fills, at most twice `max_bytes`.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace warden {

/// What a reader takes of a capture at a time.
enum class CapturePart : std::uint8_t {
    line,   ///< One line, without its LF or CR LF.
    lines,  ///< All whole lines that are there, as they were written.
    bytes,  ///< All that is there.
};

class Capture {
public:
    /// Keeps at most `max_bytes`; 0 only counts.
    explicit Capture(std::size_t max_bytes) noexcept : max_bytes_(max_bytes) {}

    /// Returns how many bytes of `bytes` were kept.
    std::size_t append(std::string_view bytes);

    /// Keeps all of `bytes`, over the bound too: for who takes lines out as they come, and stops the writer at the
    /// bound.
    void append_whole(std::string_view bytes) { kept_.append(bytes); }

    /// Takes the first line, without its LF or CR LF; nothing if its end has not come yet. With `at_end`, and when the
    /// bound is reached, what is there is a line too.
    [[nodiscard]] std::optional<std::string> take_line(bool at_end);

    /// Takes that part from the beginning; nothing if it has not come yet. With `at_end` what is there is a line, or
    /// whole lines, too; so it is when the bound is reached and no line end is there.
    [[nodiscard]] std::optional<std::string> take_part(CapturePart part, bool at_end);

    [[nodiscard]] std::string_view text() const noexcept { return std::string_view(kept_).substr(taken_); }
    [[nodiscard]] bool is_full() const noexcept { return text().size() >= max_bytes_; }
    [[nodiscard]] std::size_t max_bytes() const noexcept { return max_bytes_; }

    /// Bytes that found no room.
    [[nodiscard]] std::uint64_t dropped_bytes() const noexcept { return dropped_bytes_; }
    [[nodiscard]] bool truncated() const noexcept { return dropped_bytes_ > 0; }

    /// Hands out what was kept. The buffer is empty afterwards and has its whole room again; the count stays.
    [[nodiscard]] std::string take() noexcept;

private:
    std::size_t max_bytes_;
    std::string kept_;
    std::size_t taken_ = 0;     // bytes at its beginning that went as lines
    std::size_t searched_ = 0;  // bytes at its beginning after `taken_` without a newline
    std::uint64_t dropped_bytes_ = 0;
};

// -- implementation ----------------------------------------------------------
inline std::size_t Capture::append(std::string_view bytes) {
    const std::size_t fitting = is_full() ? 0 : std::min(bytes.size(), max_bytes_ - text().size());
    kept_.append(bytes.substr(0, fitting));
    dropped_bytes_ += bytes.size() - fitting;
    return fitting;
}

inline std::optional<std::string> Capture::take_line(bool at_end) {
    const std::size_t end = kept_.find('\n', taken_ + searched_);
    if (end == kept_.npos && (text().empty() || !(at_end || is_full()))) {
        searched_ = kept_.size() - taken_;
        return std::nullopt;
    }
    std::string_view line = text().substr(0, end == kept_.npos ? end : end - taken_);
    const std::size_t taken = std::min(taken_ + line.size() + 1, kept_.size());
    if (end != kept_.npos && line.ends_with('\r')) line.remove_suffix(1);
    std::string result(line);
    taken_ = taken;
    searched_ = 0;
    if (taken_ > kept_.size() / 2) {  // each byte is moved once at most
        kept_.erase(0, taken_);
        taken_ = 0;
    }
    return result;
}

inline std::optional<std::string> Capture::take_part(CapturePart part, bool at_end) {
    if (part == CapturePart::line) return take_line(at_end);
    if (text().empty()) return std::nullopt;
    std::size_t end = kept_.size();
    if (part == CapturePart::lines && !at_end) {
        const std::size_t newline = text().substr(searched_).rfind('\n');
        if (newline != std::string_view::npos) {
            end = taken_ + searched_ + newline + 1;
        } else if (!is_full()) {
            searched_ = text().size();
            return std::nullopt;
        }
    }
    std::string rest = kept_.substr(end);
    kept_.resize(end);
    kept_.erase(0, taken_);
    searched_ = rest.size();
    taken_ = 0;
    return std::exchange(kept_, std::move(rest));
}

inline std::string Capture::take() noexcept {
    kept_.erase(0, taken_);
    taken_ = searched_ = 0;
    return std::exchange(kept_, {});
}

}  // namespace warden
