// SPDX-License-Identifier: MIT
// Members of a tree that /proc hides from the program, which may signal them all the same.
#include <support/fixture.hpp>

#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;

TEST_CASE("stop: a member that /proc hides is asked to end too", "[stop][hidepid]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    SKIP_UNLESS(::geteuid() == 0, "only root hides processes");
    const TestDirectory directory;
    REQUIRE(::chown(directory.path().c_str(), 65534, 65534) == 0);
    std::filesystem::copy_file(WARDEN_TEST_VICTIM, directory / "unreadable");
    REQUIRE(::chmod((directory / "unreadable").c_str(), 0711) == 0);  // whoever executes it cannot be looked at
    const std::string failures = in_subprocess([&](Checks& check) {
        if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount("proc", "/proc", "proc", 0, "hidepid=2") != 0)
            return note_skip("/proc cannot be mounted with hidepid here");
        Handshake handshake(directory / "fifo");
        const bool is_another = ::chown(handshake.path().c_str(), 65534, 65534) == 0 && ::setgroups(0, nullptr) == 0 &&
                                ::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0;
        if (!check.that(is_another, "another user")) return;
        warden::ManagerConfig config;
        config.mechanism = warden::Mechanism::keeper;
        config.data_directory = directory.path();
        config.handle_signals = false;
        warden::ProcessManager manager(config);
        warden::SpawnOptions options;
        options.stdout_ = warden::Output::capture;
        auto process =
            manager.spawn(warden::CommandLine::shell("trap : TERM; " + (directory / "unreadable").string() +
                                                     " --ready " + handshake.path() +
                                                     " trap-slowly 1 & while kill -0 $! 2>/dev/null; do wait $!; done"),
                          options);
        const pid_t hidden = handshake.pid();
        check.that(hidden > 0, "there is a member");
        check.that(::access(("/proc/" + std::to_string(hidden)).c_str(), F_OK) != 0, "it is hidden");
        check.that(process.stop(warden::StopPlan{}.terminate(5s).kill(5s)).clean(), "the stop is clean");
        check.that(process.tail(1) == std::vector<std::string>{"term"}, "it was asked");
    });
    CHECK(failures == "");
}
