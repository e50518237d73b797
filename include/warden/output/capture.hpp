// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A bounded buffer for the output of a short command: the first bytes stay, the rest is counted.
///
/// Knows:         bytes.
/// Does not know: lines, characters: the cut is at the byte. For the newest text take `TextWindow`.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Errors:        `std::bad_alloc`; then nothing has changed.
/// Allocates:     as it fills, at most twice `max_bytes`.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace warden {

class Capture {
public:
    /// Keeps at most `max_bytes`; 0 only counts.
    explicit Capture(std::size_t max_bytes) noexcept : max_bytes_(max_bytes) {}

    /// Returns how many bytes of `bytes` were kept.
    std::size_t append(std::string_view bytes);

    [[nodiscard]] std::string_view text() const noexcept { return kept_; }
    [[nodiscard]] std::size_t max_bytes() const noexcept { return max_bytes_; }

    /// Bytes that found no room.
    [[nodiscard]] std::uint64_t dropped_bytes() const noexcept { return dropped_bytes_; }
    [[nodiscard]] bool truncated() const noexcept { return dropped_bytes_ > 0; }

    /// Hands out what was kept. The buffer is empty afterwards and has its whole room again; the count stays.
    [[nodiscard]] std::string take() noexcept { return std::exchange(kept_, {}); }

private:
    std::size_t max_bytes_;
    std::string kept_;
    std::uint64_t dropped_bytes_ = 0;
};

// -- implementation ----------------------------------------------------------
inline std::size_t Capture::append(std::string_view bytes) {
    const std::size_t fitting = std::min(bytes.size(), max_bytes_ - kept_.size());
    kept_.append(bytes.substr(0, fitting));
    dropped_bytes_ += bytes.size() - fitting;
    return fitting;
}

}  // namespace warden
