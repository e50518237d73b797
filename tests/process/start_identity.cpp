// SPDX-License-Identifier: MIT
// Children that run as another user, and what belongs to them.
#include <support/fixture.hpp>

#include <grp.h>
#include <unistd.h>

using namespace support;

TEMPLATE_TEST_CASE("identity: the streams of a child belong to the user that it runs as", "[start][identity]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(::geteuid() == 0, "only root starts processes of other users");
    TestManager manager{TestType::mechanism};
    warden::SpawnOptions options;
    options.identity.user = "65534";
    options.working_directory = "/";
    const auto by_name = warden::CommandLine::shell(
        "echo one >/dev/stdout && echo two >/proc/self/fd/1 && echo three >/dev/stderr && read x </dev/stdin && echo "
        "$x");
    const auto result = manager->run(by_name, options, "four\n");
    CHECK(result.status.code() == 0);
    CHECK(result.out == "one\ntwo\nfour\n");
    CHECK(result.err == "three\n");
    options.terminal = warden::Terminal{};
    const auto on_terminal = manager->run(warden::CommandLine::shell("echo five >$(tty)"), options);
    CHECK(on_terminal.status.code() == 0);
    CHECK(on_terminal.out == "five\r\n");
}

TEMPLATE_TEST_CASE("identity: one's own needs no rights", "[start][identity]", OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(::geteuid() == 0, "only root becomes a user without rights");
    const TestDirectory directory;
    REQUIRE(::chown(directory.path().c_str(), 65534, 65534) == 0);
    const std::string failures = in_subprocess([&](Checks& check) {
        const bool is_another = ::setgroups(0, nullptr) == 0 && ::setresgid(65534, 65534, 65534) == 0 &&
                                ::setresuid(65534, 65534, 65534) == 0;
        if (!check.that(is_another, "another user")) return;
        warden::ManagerConfig config;
        config.mechanism = TestType::mechanism;
        config.data_directory = directory.path();
        config.handle_signals = false;
        warden::ProcessManager manager(config);
        warden::SpawnOptions options;
        options.identity.user = "65534";
        warden::error_code ec;
        const auto result = manager.run(warden::CommandLine::shell("id -u; id -g"), options, {}, ec);
        check.that(!ec && result.out == "65534\n65534\n", "a start: " + ec.message() + result.out + result.err);
        options.identity.user = "0";
        static_cast<void>(manager.run({"true"}, options, {}, ec));
        check.that(static_cast<bool>(ec), "another identity is refused");
    });
    CHECK(failures == "");
}
