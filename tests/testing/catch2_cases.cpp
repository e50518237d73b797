// SPDX-License-Identifier: MIT
// One case for each leak, with nothing else that is wrong.
#include "leaks.hpp"
#include <warden/testing/catch2_listener.hpp>
#include <warden/warden.hpp>

#include <csignal>

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_test_macros.hpp>
#endif

WARDEN_CATCH2_LEAK_LISTENER

TEST_CASE("leaves nothing") {
    SECTION("first") { leaks::leave("nothing"); }
    SECTION("second") { leaks::leave("nothing"); }
    SUCCEED();
}
TEST_CASE("leaves process") { leaks::leave("process"); }
TEST_CASE("leaves daemon") { leaks::leave("daemon"); }
TEST_CASE("leaves zombie") { leaks::leave("zombie"); }
TEST_CASE("leaves port") { leaks::leave("port"); }
TEST_CASE("leaves pipe") { leaks::leave("pipe"); }
TEST_CASE("leaves process and fails") {
    leaks::leave("process");
    CHECK(1 == 2);
}
TEST_CASE("killed") {
    leaks::leave("daemon");
    std::raise(SIGKILL);
}
TEST_CASE("crashes") {
    leaks::leave("daemon");
    std::raise(SIGABRT);
}

// The first of those that run makes the manager; for the others it is there before.
TEST_CASE("manager: runs a command") { CHECK(warden::ProcessManager::instance().run({"true"}).success()); }
TEST_CASE("manager: stops a process") {
    const auto held = warden::ProcessManager::instance().spawn({"sleep", "60"});
    CHECK(held.running());
}
TEST_CASE("manager: leaves a process") {
    static const auto held = warden::ProcessManager::instance().spawn(
        {"sleep", "60"}, {.stdout_ = warden::Output::null, .stderr_ = warden::Output::null});
    CHECK(held.running());
}
