// SPDX-License-Identifier: MIT
// One test for each leak, with nothing else that is wrong; the `main` is that of GoogleTest.
#include "leaks.hpp"
#include <warden/testing/gtest_listener.hpp>

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
