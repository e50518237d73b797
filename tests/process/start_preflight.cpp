// SPDX-License-Identifier: MIT
// Checks before a start that need a manager themselves.
#include <support/fixture.hpp>
#include <warden/supervision/preflight.hpp>

#include <string>

using namespace support;

TEST_CASE("preflight: a start is refused with every failed check named, and nothing is started", "[start][preflight]") {
    TestManager manager{warden::Mechanism::automatic};
    const warden::SpawnOptions options{
        .preflight = {
            warden::preflight::command_succeeds(*manager, warden::CommandLine::shell("echo no licence >&2; exit 4")),
            warden::preflight::environment_set("WARDEN_TEST_SURELY_NOT_SET"),
            warden::preflight::command_succeeds(*manager, {"true"})}};
    try {
        static_cast<void>(manager->spawn({"sleep", "60"}, options));
        FAIL("it was started");
    } catch (const warden::SpawnError& error) {
        CHECK(error.step() == warden::SpawnStep::preflight);
        CHECK(error.code() == warden::errc::preflight_failed);
        const std::string words = error.what();
        CHECK(words.find("no licence") != std::string::npos);
        CHECK(words.find("WARDEN_TEST_SURELY_NOT_SET") != std::string::npos);
        CHECK(words.find("'true'") == std::string::npos);
    }
    CHECK(manager->active_pids().empty());
    CHECK(manager->spawn({"true"}, {.preflight = {warden::preflight::command_succeeds(*manager, {"true"})}})
              .wait()
              .success());
}
