// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Points in time as RFC 3339 has them.
///
/// Thread-safety: a pure function.
/// Allocates:     never.

#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <chrono>

namespace warden::detail {

/// RFC 3339, UTC, to the nanosecond: "2026-01-31T23:59:59.123456789Z". Independent of time zones and locales.
inline std::array<char, 30> rfc3339(std::chrono::system_clock::time_point time) noexcept {
    using namespace std::chrono;
    std::array<char, 30> text{'0', '0', '0', '0', '-', '0', '0', '-', '0', '0', 'T', '0', '0', ':', '0',
                              '0', ':', '0', '0', '.', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'Z'};
    const auto put = [&text](std::size_t end, auto number) {
        for (; number > 0; number /= 10) text[--end] = static_cast<char>('0' + number % 10);
    };
    const auto day = floor<days>(time);
    const year_month_day date{day};
    const hh_mm_ss clock{duration_cast<Nanoseconds>(time - day)};
    put(4, std::clamp(static_cast<int>(date.year()), 0, 9999));
    put(7, static_cast<unsigned>(date.month()));
    put(10, static_cast<unsigned>(date.day()));
    put(13, clock.hours().count());
    put(16, clock.minutes().count());
    put(19, clock.seconds().count());
    put(29, clock.subseconds().count());
    return text;
}

}  // namespace warden::detail
