// SPDX-License-Identifier: MIT
// One test for each leak, with nothing else that is wrong; the `main` is that of GoogleTest.
#include "leaks.hpp"
#include <warden/testing/gtest_listener.hpp>
#include <warden/warden.hpp>

#include <csignal>

WARDEN_GTEST_LEAK_LISTENER

TEST(Leaves, Nothing) { leaks::leave("nothing"); }
TEST(Leaves, Process) { leaks::leave("process"); }
TEST(Leaves, Daemon) { leaks::leave("daemon"); }
TEST(Leaves, Zombie) { leaks::leave("zombie"); }
TEST(Leaves, Port) { leaks::leave("port"); }
TEST(Leaves, Pipe) { leaks::leave("pipe"); }
TEST(Ends, Killed) {
    leaks::leave("daemon");
    std::raise(SIGKILL);
}
TEST(Ends, InDeathTest) { EXPECT_EXIT(std::_Exit(3), ::testing::ExitedWithCode(3), ""); }

// The first of those that run makes the manager; for the others it is there before.
TEST(Manager, RunsACommand) { EXPECT_TRUE(warden::ProcessManager::instance().run({"true"}).success()); }
TEST(Manager, StopsAProcess) {
    const auto held = warden::ProcessManager::instance().spawn({"sleep", "60"});
    EXPECT_TRUE(held.running());
}
TEST(Manager, LeavesAProcess) {
    static const auto held = warden::ProcessManager::instance().spawn(
        {"sleep", "60"}, {.stdout_ = warden::Output::null, .stderr_ = warden::Output::null});
    EXPECT_TRUE(held.running());
}
