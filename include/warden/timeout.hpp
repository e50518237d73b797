// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A length of time that cannot overflow, and deadlines made of it.
///
/// Knows:         saturation: hours::max() becomes "never" rather than the past.
/// Does not know: clocks; the time is an argument.
/// Allocates:     never.

#include <chrono>
#include <limits>
#include <type_traits>

namespace warden {

using Nanoseconds = std::chrono::nanoseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

namespace detail {

/// Any duration as nanoseconds, saturating at both ends; a NaN becomes zero.
template <class Rep, class Period>
[[nodiscard]] constexpr Nanoseconds saturated(std::chrono::duration<Rep, Period> value) noexcept {
    using Wide = std::chrono::duration<long double, std::nano>;
    if constexpr (std::is_floating_point_v<Rep>) {
        if (value != value) return Nanoseconds::zero();
    }
    const Wide wide = value;
    if (wide >= Wide(Nanoseconds::max())) return Nanoseconds::max();
    if (wide <= Wide(Nanoseconds::min())) return Nanoseconds::min();
    return std::chrono::duration_cast<Nanoseconds>(value);
}

/// `now + length`, or the end of time if that does not fit.
[[nodiscard]] constexpr SteadyTime deadline_after(SteadyTime now, Nanoseconds length) noexcept {
    if (length > SteadyTime::max() - now) return SteadyTime::max();
    return now + std::chrono::duration_cast<SteadyTime::duration>(length);
}

}  // namespace detail

/// How long a process may run: a positive length, or `no_timeout`. Made from any chrono duration, saturating;
/// zero, negative and not-a-number are refused by the start with `errc::invalid_timeout`.
class Timeout {
public:
    template <class Rep, class Period>
    constexpr Timeout(std::chrono::duration<Rep, Period> length) noexcept : length_(detail::saturated(length)) {}

    [[nodiscard]] constexpr bool is_valid() const noexcept { return length_ > Nanoseconds::zero(); }
    [[nodiscard]] constexpr bool is_never() const noexcept { return length_ == Nanoseconds::max(); }
    [[nodiscard]] constexpr Nanoseconds length() const noexcept { return length_; }

    friend constexpr bool operator==(Timeout, Timeout) = default;

private:
    Nanoseconds length_;
};

/// The explicit way to let a process run for as long as it likes.
inline constexpr Timeout no_timeout{Nanoseconds::max()};

}  // namespace warden
