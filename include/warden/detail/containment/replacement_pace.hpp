// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How fast a helper process that is lost again and again is replaced.
///
/// Knows:         when it was lost: the first replacements are made at once, later ones after a pause that doubles up
///                to one second. Once a helper has held for ten seconds, the next loss counts as the first one.
/// Does not know: the helper, clocks, timers.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Allocates:     never.

#include <warden/timeout.hpp>

#include <algorithm>
#include <chrono>

namespace warden::detail {

class ReplacementPace {
public:
    static constexpr unsigned at_once = 3;  // replacements
    static constexpr std::chrono::milliseconds first_pause{10};
    static constexpr std::chrono::milliseconds longest_pause{1000};
    static constexpr std::chrono::seconds stable{10};

    /// The helper was lost, or could not be made, at `now`. The pause before the next one is made.
    constexpr std::chrono::milliseconds lost(SteadyTime now) noexcept;

    /// How often it was lost in a row, as seen at `now`.
    [[nodiscard]] constexpr unsigned in_a_row(SteadyTime now) const noexcept { return is_over(now) ? 0 : losses_; }

    /// Whether its losses are so frequent that the next one is followed by a pause.
    [[nodiscard]] constexpr bool is_paced(SteadyTime now) const noexcept { return in_a_row(now) > at_once; }

private:
    [[nodiscard]] constexpr bool is_over(SteadyTime now) const noexcept {
        return losses_ == 0 || now - last_loss_ >= stable + pause_;
    }

    SteadyTime last_loss_{};
    std::chrono::milliseconds pause_{0};  // after the last loss
    unsigned losses_ = 0;
};

// -- implementation ----------------------------------------------------------

constexpr std::chrono::milliseconds ReplacementPace::lost(SteadyTime now) noexcept {
    if (is_over(now)) *this = {};
    last_loss_ = now;
    if (losses_ < 1'000'000) ++losses_;
    if (losses_ > at_once) pause_ = std::clamp(pause_ * 2, first_pause, longest_pause);
    return pause_;
}

}  // namespace warden::detail
