// SPDX-License-Identifier: MIT
// Nothing of what is secret is in the processes that warden starts for itself.
#include <support/fixture.hpp>

#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::SpawnOptions;
using warden::StopPlan;

TEMPLATE_TEST_CASE("events: a secret in the environment is in no helper's memory", "[events]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string canary = "canary-" + std::to_string(::getpid()) + "-7d1f";
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.environment.set("SECRET", canary);
    options.stop_plan = StopPlan::within(20ms);
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "ignore-term"), options);
    REQUIRE(handshake.pid() > 0);
    for (const pid_t pid : descendants()) {
        if (pid == process.pid()) continue;
        const std::string where = "/proc/" + std::to_string(pid);
        CHECK(read_file(where + "/cmdline").find(canary) == std::string::npos);
        CHECK(read_file(where + "/environ").find(canary) == std::string::npos);
    }
    process.stop();
}
