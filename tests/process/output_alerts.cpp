// SPDX-License-Identifier: MIT
// A line that ends the process politely.
#include <support/fixture.hpp>

using namespace support;
using warden::AlertAction;
using warden::AlertRule;
using warden::ExitCause;
using warden::State;

TEMPLATE_TEST_CASE("alerts: a rule stops the process, by its plan", "[alerts]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn({"sh", {"-c", "echo loading; echo Traceback >&2; sleep 300"}},
                                  {.alerts = {AlertRule::literal("Traceback", AlertAction::stop)}});
    static_cast<void>(process.wait());
    CHECK(process.cause() == ExitCause::stopped);
    CHECK(process.state() == State::stopped);
    REQUIRE(eventually([&] { return !process.tree_alive(); }));
}
