// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/timeout.hpp>

#include <chrono>
#include <limits>
#include <ratio>

using namespace warden;
using namespace std::chrono_literals;

namespace {
using Seconds = std::chrono::duration<double>;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
}  // namespace

TEST_CASE("timeout: keeps any length that fits") {
    CHECK(Timeout(10min).length() == 600s);
    CHECK(Timeout(1ns).length() == 1ns);
    CHECK(Timeout(Seconds(0.25)).length() == 250ms);
    CHECK(Timeout(1ns).is_valid());
    CHECK_FALSE(Timeout(1h).is_never());
    CHECK(Timeout(1min) == Timeout(60s));
}

TEST_CASE("timeout: what is too long for the clock is never, not the past") {
    CHECK(Timeout(std::chrono::hours::max()).is_never());
    CHECK(Timeout(std::chrono::milliseconds::max()).is_never());
    CHECK(Timeout(Nanoseconds::max()).is_never());
    CHECK(Timeout(Seconds(1e300)).is_never());
    CHECK(Timeout(Seconds(infinity)).is_never());
    CHECK(Timeout(std::chrono::duration<long long, std::giga>(1000)).is_never());
    CHECK(Timeout(std::chrono::hours::max()).is_valid());
    CHECK(Timeout(std::chrono::hours::max()) == no_timeout);
}

TEST_CASE("timeout: zero, negative and not a number are not valid") {
    CHECK_FALSE(Timeout(0s).is_valid());
    CHECK_FALSE(Timeout(-1ns).is_valid());
    CHECK_FALSE(Timeout(std::chrono::hours::min()).is_valid());
    CHECK_FALSE(Timeout(Seconds(not_a_number)).is_valid());
    CHECK_FALSE(Timeout(Seconds(-infinity)).is_valid());
    CHECK_FALSE(Timeout(Seconds(-1e300)).is_valid());
    CHECK(Timeout(std::chrono::duration<float>(std::numeric_limits<float>::quiet_NaN())).length() == 0s);
    CHECK_FALSE(Timeout(Seconds(1e-300)).is_valid());
}

TEST_CASE("deadline: is the end of time where now and the length do not fit together") {
    const SteadyTime now = std::chrono::steady_clock::now();
    CHECK(detail::deadline_after(now, 3s) == now + 3s);
    CHECK(detail::deadline_after(now, 0s) == now);
    CHECK(detail::deadline_after(now, Nanoseconds::max()) == SteadyTime::max());
    CHECK(detail::deadline_after(SteadyTime::max(), 1ns) == SteadyTime::max());
    CHECK(detail::deadline_after(SteadyTime::max() - 1s, 1s) == SteadyTime::max());
    CHECK(detail::deadline_after(now, no_timeout.length()) == SteadyTime::max());
}
