// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/containment/replacement_pace.hpp>

#include <chrono>
#include <vector>

using namespace std::chrono_literals;
using warden::SteadyTime;
using warden::detail::ReplacementPace;

TEST_CASE("pace: a helper that is lost again and again is replaced at once, then ever later, up to a second",
          "[containment]") {
    ReplacementPace pace;
    SteadyTime now{};
    std::vector<std::chrono::milliseconds> pauses;
    for (int i = 0; i < 12; ++i) {
        pauses.push_back(pace.lost(now));
        now += pauses.back();
        CHECK(pace.is_paced(now) == (i >= 3));
        CHECK(pace.in_a_row(now) == static_cast<unsigned>(i + 1));
    }
    CHECK(pauses == std::vector<std::chrono::milliseconds>{0ms, 0ms, 0ms, 10ms, 20ms, 40ms, 80ms, 160ms, 320ms, 640ms,
                                                           1000ms, 1000ms});
}

TEST_CASE("pace: a helper that has held for ten seconds is replaced at once again", "[containment]") {
    ReplacementPace pace;
    SteadyTime now{};
    std::chrono::milliseconds pause{0};
    for (int i = 0; i < 20; ++i) {
        now += pause;  // lost as soon as it is made
        pause = pace.lost(now);
    }
    CHECK(pause == 1s);
    CHECK(pace.is_paced(now + pause + 9999ms));
    CHECK_FALSE(pace.is_paced(now + pause + 10s));
    CHECK(pace.in_a_row(now + pause + 10s) == 0);
    ReplacementPace shaken = pace;
    CHECK(shaken.lost(now + pause + 9999ms) == 1s);
    CHECK(pace.lost(now + pause + 10s) == 0ms);
    CHECK(pace.in_a_row(now + pause + 10s) == 1);
}
