// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Points in time as RFC 3339 has them.
///
/// Thread-safety: pure functions.
/// Allocates:     never.

#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

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

/// The time that `rfc3339` has written so; nothing for any other text, and for a time before 1970 or after 2261.
inline std::optional<std::chrono::system_clock::time_point> parse_rfc3339(std::string_view text) noexcept {
    using namespace std::chrono;
    constexpr std::string_view shape = "dddd-dd-ddTdd:dd:dd.dddddddddZ";
    if (text.size() != shape.size()) return std::nullopt;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i]) return std::nullopt;
    }
    const auto number = [text](std::size_t begin, std::size_t digits) {
        unsigned value = 0;
        for (const char digit : text.substr(begin, digits)) value = value * 10 + static_cast<unsigned>(digit - '0');
        return value;
    };
    const year_month_day date(year(static_cast<int>(number(0, 4))), month(number(5, 2)), day(number(8, 2)));
    if (!date.ok() || date.year() < year(1970) || date.year() > year(2261)) return std::nullopt;
    if (number(11, 2) > 23 || number(14, 2) > 59 || number(17, 2) > 59) return std::nullopt;
    const auto length = sys_days(date).time_since_epoch() + hours(number(11, 2)) + minutes(number(14, 2)) +
                        seconds(number(17, 2)) + Nanoseconds(number(20, 9));
    return system_clock::time_point(duration_cast<system_clock::duration>(length));
}

}  // namespace warden::detail
