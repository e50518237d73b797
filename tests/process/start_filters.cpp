// SPDX-License-Identifier: MIT
// A14: containers whose seccomp filter answers new system calls with EPERM or ENOSYS; raw BPF, see
// support/subprocess.cpp.
#include <support/fixture.hpp>

#include <cerrno>
#include <csignal>

#include <sys/syscall.h>
#include <unistd.h>

using namespace support;
using warden::Mechanism;

namespace {

/// The filter is there before the manager is; except that EPERM for clone3 also keeps the C library from making
/// threads, so then the manager's are made first.
template <class Part>
std::string behind_filter(Mechanism mechanism, const std::vector<long>& calls, int error, Part part) {
    return in_subprocess([&](Checks& check) {
        const bool threads_first = error == EPERM && std::find(calls.begin(), calls.end(), SYS_clone3) != calls.end();
        if (!threads_first && !check.that(deny_system_calls(calls, error), "a filter")) return;
        TestManager manager{mechanism};
        if (threads_first) {
            if (!check.that(deny_system_calls(calls, error), "a filter")) return;
            const warden::Pid former = manager->guardian_pid();
            if (former > 0) {
                ::kill(former, SIGKILL);  // the next one, and its keepers, are made behind the filter
                check.that(
                    eventually([&] { return manager->guardian_pid() != former && manager->guardian_pid() != 0; }),
                    "a new guardian");
            }
        }
        part(check, manager);
    });
}

void start_and_stop(Checks& check, TestManager& manager) {
    warden::error_code ec;
    const auto result = manager->run(victim("fds"), {}, {}, ec);
    check.that(!ec && result.status.success(), "a start works: " + ec.message() + ", " + result.status.to_string());
    check.that(split(result.out, '\n').size() == 3, "the child has three descriptors, not\n" + result.out);
    check.that(manager->run(victim("exit", "7"), {}, {}, ec).status.code() == 7, "codes arrive");

    auto process = manager->spawn(victim("stay"), {}, ec);
    if (!check.that(!ec, "another start works: " + ec.message())) return;
    check.that(process.running(), "it runs");
    process.signal(SIGUSR1, ec);
    if (check.that(!ec, "the leader can be signalled: " + ec.message())) {
        check.that(process.wait().signal() == SIGUSR1, "and dies of it");
    }

    if (!manager->containment().covers_setsid) return;
    Handshake ready(manager.directory / "ready");
    auto tree = manager->spawn(victim(ready, "setsid-daemon", "ignore", "stay"), {}, ec);
    const pid_t daemon = ready.pid();
    check.that(daemon > 0 && is_alive(daemon), "there is a daemon");
    check.that(
        tree.stop(warden::StopPlan{}.terminate(std::chrono::milliseconds(50)).kill(std::chrono::seconds(5))).clean(),
        "a tree can be stopped");
    check.that(!is_alive(daemon), "the daemon is gone too");

    static_cast<void>(manager->spawn({"/no/such/program"}, {}, ec));
    check.that(ec.value() == ENOENT, "a failed start is reported: " + ec.message());
}

void check_all(Mechanism mechanism, const std::vector<long>& calls) {
    for (const int error : {EPERM, ENOSYS}) {
        INFO((error == EPERM ? "EPERM" : "ENOSYS"));
        CHECK(behind_filter(mechanism, calls, error, start_and_stop) == "");
    }
}

}  // namespace

TEMPLATE_TEST_CASE("filters: starts and stops work without clone3", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    check_all(TestType::mechanism, {SYS_clone3});
}

TEMPLATE_TEST_CASE("filters: starts and stops work without pidfd_open", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    check_all(TestType::mechanism, {SYS_pidfd_open});
}

TEMPLATE_TEST_CASE("filters: starts and stops work without close_range", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    check_all(TestType::mechanism, {SYS_close_range});
}

TEMPLATE_TEST_CASE("filters: starts and stops work without clone3, pidfd_open and close_range", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    check_all(TestType::mechanism, {SYS_clone3, SYS_pidfd_open, SYS_close_range});
}

TEMPLATE_TEST_CASE("filters: signals arrive without pidfd_send_signal", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    check_all(TestType::mechanism, {SYS_pidfd_send_signal});
}

TEMPLATE_TEST_CASE("filters: with all three refused a host that is killed still leaves nothing", "[start]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory place;
    Handshake ready(place / "ready");
    const std::string failures = in_subprocess([&](Checks& check) {
        if (!check.that(deny_system_calls({SYS_clone3, SYS_pidfd_open, SYS_close_range}, ENOSYS), "a filter")) return;
        ::setenv("TMPDIR", place.path().c_str(), 1);
        TestManager manager{TestType::mechanism};
        auto tree = manager->spawn(victim(ready, "setsid-daemon", "ignore", "stay"));
        const pid_t daemon = ready.pid();
        check.that(daemon > 0 && is_alive(daemon), "there is a daemon");
        ::kill(::getpid(), SIGKILL);
    });  // and it waits until all that was left has ended
    CHECK(failures == "signal 9 ended it\n");
}
