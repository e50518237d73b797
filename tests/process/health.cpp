// SPDX-License-Identifier: MIT
// What a look at the manager finds: zombies; and what it leaves alone.
#include <support/fixture.hpp>

#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using warden::HealthStatus;
using warden::StopPlan;

TEMPLATE_TEST_CASE("health: zombies that a child makes are counted, stall nothing, and are gone with it", "[health]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(lists_members, "without /proc nobody can list zombies");
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "zombies", "100"));
    REQUIRE(handshake.pid() > 0);
    CHECK(eventually([&] { return manager->health().zombies.size() == 100; }));
    const auto report = manager->health();
    CHECK(report.status() == HealthStatus::degraded);
    CHECK(report.zombies.front().tree == process.uuid());
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
    CHECK(process.stop(StopPlan::now()).clean());
    CHECK(manager->health().status() == HealthStatus::ok);
}

TEMPLATE_TEST_CASE("health: the program's own children are not looked at", "[health]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const pid_t own = ::fork();
    if (own == 0) ::_exit(7);
    siginfo_t ended{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(own), &ended, WEXITED | WNOWAIT) == 0);  // a zombie of the program's own
    const auto report = manager->health();
    CHECK(report.status() == HealthStatus::ok);
    CHECK(report.zombies.empty());
    int status = 0;
    CHECK(::waitpid(own, &status, 0) == own);
    CHECK(WEXITSTATUS(status) == 7);
}
