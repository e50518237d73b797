// SPDX-License-Identifier: MIT
// A handle whose process has ended: on Windows that is known at once.
#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::StopPlan;

TEST_CASE("scenario: a signal for who has ended, while another holds its output, is told so", "[scenario][handles]") {
    TestManager manager;
    auto process = manager->spawn(victim("beside", "ignore-break", "leave"),
                                  {.stdout_ = warden::Output::capture, .stop_plan = StopPlan::now()});
    const HeldProcess held(process.pid());
    REQUIRE(next_line(process) == "ready");
    REQUIRE(held.ends_within(30s));
    for (const int number : {9, 15, 19, 18}) {
        warden::error_code ec;
        process.signal(number, ec);
        INFO(ec.message());
        CHECK(ec == warden::errc::already_ended);
    }
    CHECK(process.wait().code() == 0);
    CHECK(process.tree_alive());
}
