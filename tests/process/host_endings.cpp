// SPDX-License-Identifier: MIT
// However the program ends that owns them, no process of its is left: endings against kinds of children.
#include "host.hpp"

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

using namespace support;
using namespace std::chrono_literals;

namespace {

struct Ending {
    const char* name;
    int exit_code;  // -1: a signal
    int signal;
};
constexpr Ending endings[] = {
    {"return", 3, 0},       {"leak", 3, 0},
    {"caught", 4, 0},       {"exit", 5, 0},
    {"_exit", 6, 0},        {"quick_exit", 7, 0},
    {"abort", -1, SIGABRT}, {"terminate", -1, SIGABRT},
    {"segv", -1, SIGSEGV},  {"kill", -1, SIGKILL},
    {"xcpu", -1, SIGXCPU},  {"overflow", -1, SIGSEGV},
    {"throw", -1, SIGABRT}, {"thread-throw", -1, SIGABRT},
};
constexpr const char* kinds[] = {"plain",   "session",   "cleared",       "daemon",
                                 "ignores", "suspended", "grandchildren", "thread"};

void check_ending(warden::Mechanism mechanism, const char* kind, const Ending& ending,
                  std::vector<std::string> wrapper = {}) {
    INFO("a child of kind " << kind << ", an ending by " << ending.name);
    Host host(mechanism, kind, ending.name, std::move(wrapper));
    CHECK(is_alive(host.member()));
    host.go();
    const int status = host.status();
    if (ending.exit_code >= 0) CHECK((WIFEXITED(status) && WEXITSTATUS(status) == ending.exit_code));
    else CHECK((WIFSIGNALED(status) && WTERMSIG(status) == ending.signal));
    const bool gone = host.all_gone(2s);
    INFO(host.leftovers());
    CHECK(gone);
}

}  // namespace

// Each ending with one kind, each kind with the ending that leaves no time: the two do not depend on each other.
TEMPLATE_TEST_CASE("host: no ending of the program leaves a process", "[host]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const auto& ending : endings) check_ending(TestType::mechanism, "session", ending);
}

TEMPLATE_TEST_CASE("host: code of the program that the manager calls may end the program", "[host]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    std::vector<std::string> wrapper;
    if (WARDEN_HAS_TSAN) {  // it reports a leak, since nobody can join the thread that calls exit(3)
        const char* const options = std::getenv("TSAN_OPTIONS");
        wrapper = {"/usr/bin/env", "TSAN_OPTIONS=" + std::string(options ? options : "") + ":report_thread_leaks=0"};
    }
    for (const char* ending : {"exit-in-preflight", "exit-in-line", "exit-in-event", "exit-in-completion"})
        check_ending(TestType::mechanism, "session", {ending, 5, 0}, wrapper);
    if (!WARDEN_HAS_TSAN) check_ending(TestType::mechanism, "session", {"exit-in-handler", 5, 0});
}

// As valgrind does it: a child of vfork(2) has a copy of the memory, so that what it writes there reaches nobody.
TEMPLATE_TEST_CASE("host: processes start and end where a child never shares memory", "[host]", OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS(!is_sanitized, "valgrind runs no program that is sanitized");
    SKIP_UNLESS(std::filesystem::exists("/usr/bin/valgrind"), "there is no valgrind");
    SKIP_UNLESS_AVAILABLE(TestType);
    Host host(TestType::mechanism, "plain", "return", {"/usr/bin/valgrind", "--tool=none", "-q"});
    host.go();
    const int status = host.status();
    const std::string output = host.output();
    INFO(output);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 3));
    CHECK(output.find("client syscall munmap tried to modify") == output.npos);  // the memory of valgrind itself
    CHECK(host.all_gone(5s));
}

TEMPLATE_TEST_CASE("host: no kind of process outlives a SIGKILL of the program", "[host]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const char* kind : kinds) check_ending(TestType::mechanism, kind, {"kill", -1, SIGKILL});
}

TEMPLATE_TEST_CASE("host: no kind of process outlives a crash or an exit of the program", "[host]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const char* kind : {"ignores", "suspended", "grandchildren"}) {
        for (const Ending& ending : {Ending{"exit", 5, 0}, Ending{"segv", -1, SIGSEGV}, Ending{"_exit", 6, 0}}) {
            check_ending(TestType::mechanism, kind, ending);
        }
    }
}

// The kernel ignores the default effect of a signal there: a container without an init would never end.
TEMPLATE_TEST_CASE("host: as the first process of a pid namespace it ends by SIGTERM with the code of a shell",
                   "[host]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::vector<std::string> wrapper{"/usr/bin/unshare", "--pid", "--fork", "--mount-proc"};
    SKIP_UNLESS(TestManager()->run({wrapper[0], wrapper[1], wrapper[2], wrapper[3], "true"}).success(),
                "no pid namespace can be made here");
    Host host(TestType::mechanism, "plain", "term", wrapper);
    host.go();
    const int status = host.status();
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGTERM));
    CHECK(host.all_gone(5s));
}

TEST_CASE("host: no misuse of a control group outlives a SIGKILL of the program", "[host]") {
    SKIP_UNLESS_AVAILABLE(OnCgroup);
    for (const char* kind : {"first-thread-ended", "misuse-rights", "misuse-threaded", "misuse-threaded-below",
                             "misuse-nested", "misuse-deep", "misuse-unit", "member-leaves", "leader-leaves"}) {
        check_ending(warden::Mechanism::cgroup, kind, {"kill", -1, SIGKILL});
    }
}

// Nobody has their handles any more, so nobody could ever stop them.
TEMPLATE_TEST_CASE("host: a program that becomes another one by exec leaves no process running", "[host]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Host host(TestType::mechanism, "session", "exec");
    host.go();
    REQUIRE(eventually([&] { return read_file("/proc/" + std::to_string(host.pid()) + "/comm") == "sleep\n"; }));
    CHECK(eventually([&] { return !is_alive(host.member()); }, 2s));
    CHECK(::kill(host.pid(), SIGKILL) == 0);
    static_cast<void>(host.status());
    const bool gone = host.all_gone(2s);
    INFO(host.leftovers());
    CHECK(gone);
}

TEMPLATE_TEST_CASE("host: a process that a thread started which has ended runs on", "[host]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    warden::ManagedProcess process;
    std::thread([&] { process = manager->spawn(victim(handshake, "stay")); }).join();
    REQUIRE(handshake.pid() > 0);
    CHECK_FALSE(process.wait_for(100ms));
    CHECK(process.stop(warden::StopPlan::now()).clean());
}

TEMPLATE_TEST_CASE("host: the crash of one program leaves the processes of another alone", "[host]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager own{TestType::mechanism};
    Handshake handshake(own.directory / "fifo");
    auto process = own->spawn(victim(handshake, "setsid-daemon", "stay"));
    const pid_t member = handshake.pid();
    Host survivor(TestType::mechanism, "session", "return");
    {
        Host crashing(TestType::mechanism, "session", "kill");
        crashing.go();
        static_cast<void>(crashing.status());
        CHECK(crashing.all_gone(2s));
    }
    CHECK(is_alive(survivor.member()));
    CHECK(is_alive(member));
    CHECK(process.running());
    survivor.go();
    CHECK(WEXITSTATUS(survivor.status()) == 3);
    CHECK(survivor.all_gone(2s));
    CHECK(is_alive(member));
    CHECK(process.stop(warden::StopPlan::now()).clean());
}

TEMPLATE_TEST_CASE("host: one manager's end leaves the processes of another one alone", "[host]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager staying{TestType::mechanism};
    Handshake handshake(staying.directory / "fifo");
    auto process = staying->spawn(victim(handshake, "setsid-daemon", "stay"));
    const pid_t member = handshake.pid();
    pid_t other = 0;
    {
        TestManager ending{TestType::mechanism};
        other = static_cast<pid_t>(ending->spawn(victim("stay")).pid());
        static_cast<void>(ending->cleanup_all());
    }
    CHECK_FALSE(is_alive(other));
    CHECK(is_alive(member));
    CHECK(process.running());
    CHECK(process.stop(warden::StopPlan::now()).clean());
}

TEMPLATE_TEST_CASE("host: SIGTERM, SIGINT and SIGHUP clean up, then end the program as they would have", "[host]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS(!WARDEN_HAS_TSAN, signals_are_kept);
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
        for (const char* kind : {"polite", "ignores", "grandchildren"}) {
            INFO("signal " << signal << ", a child of kind " << kind);
            Host host(TestType::mechanism, kind, "stay");
            host.go();
            CHECK(::kill(host.pid(), signal) == 0);
            const int status = host.status();
            CHECK((WIFSIGNALED(status) && WTERMSIG(status) == signal));
            CHECK_FALSE(is_alive(host.member()));  // before the program ended, not some time after
            CHECK(host.all_gone(2s));
            if (kind != std::string("polite")) continue;
            std::string logged;
            for (const auto& entry :
                 std::filesystem::recursive_directory_iterator(host.directory() / "data" / "logs")) {
                if (entry.is_regular_file()) logged += read_file(entry.path().string());
            }
            CHECK(logged == "term\n");  // it was asked, and had its time
        }
    }
}

TEMPLATE_TEST_CASE("host: a handler that the program had before runs too, and the program goes on", "[host]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS(!WARDEN_HAS_TSAN, signals_are_kept);
    SKIP_UNLESS_AVAILABLE(TestType);
    Host host(TestType::mechanism, "session", "own-handler");
    host.go();
    CHECK(::kill(host.pid(), SIGTERM) == 0);
    const int status = host.status();
    INFO(host.output());
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 9));
    CHECK(host.output().find("own handler\n") != std::string::npos);
    CHECK(host.all_gone(2s));
}

TEMPLATE_TEST_CASE("host: a handler of the program that exits at once leaves no process", "[host]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS(!WARDEN_HAS_TSAN, signals_are_kept);
    SKIP_UNLESS_AVAILABLE(TestType);
    Host host(TestType::mechanism, "ignores", "stay-own-exit");
    host.go();
    CHECK(::kill(host.pid(), SIGTERM) == 0);
    const int status = host.status();
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 42));
    CHECK(host.all_gone(2s));
}

TEMPLATE_TEST_CASE("host: a signal that the program ignores stays ignored", "[host]", OnCgroup, OnKeeper) {
    SKIP_UNLESS(!WARDEN_HAS_TSAN, signals_are_kept);
    SKIP_UNLESS_AVAILABLE(TestType);
    Host host(TestType::mechanism, "plain", "stay-ignored");
    host.go();
    CHECK(::kill(host.pid(), SIGHUP) == 0);
    CHECK(::kill(host.pid(), SIGTERM) == 0);
    const int status = host.status();
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
    CHECK(host.all_gone(2s));
}

TEMPLATE_TEST_CASE("host: a guardian that was killed is replaced, and its successor guards", "[host]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Host host(TestType::mechanism, "session", "guardian-then-kill");
    host.go();
    const int status = host.status();
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    const bool gone = host.all_gone(2s);
    INFO(host.leftovers());
    CHECK(gone);
}

TEMPLATE_TEST_CASE("host: a killed guardian is noticed within a second, told, and replaced, and no process is harmed",
                   "[host]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::atomic<int> told{0};
    const auto subscription = manager->subscribe(
        [&](const warden::Event& event) { told += event.kind == warden::EventKind::guardian_lost ? 1 : 0; });
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "setsid-daemon", "stay"));
    const pid_t member = handshake.pid();
    for (int i = 1; i <= 2; ++i) {
        const auto former = manager->guardian_pid();
        REQUIRE(former > 0);
        REQUIRE(::kill(static_cast<pid_t>(former), SIGKILL) == 0);
        CHECK(eventually([&] { return told == i && manager->guardian_pid() != former && manager->guardian_pid() > 0; },
                         1s));
        CHECK(is_alive(static_cast<pid_t>(manager->guardian_pid())));
        CHECK(is_alive(member));
        CHECK(process.running());
        CHECK(manager->run(victim("exit", "3")).status.code() == 3);
    }
    CHECK(process.stop(warden::StopPlan::prompt()).clean());
    CHECK_FALSE(is_alive(member));
    CHECK(eventually(no_keepers_left_to_us));
}

TEST_CASE("host: neither a stopped guardian nor stopped keepers let a process outlive a killed host", "[host]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    Host host(OnKeeper::mechanism, "session", "kill");
    for (const pid_t pid : descendants()) {
        if (read_file("/proc/" + std::to_string(pid) + "/comm") == "warden-keeper\n") CHECK(::kill(pid, SIGSTOP) == 0);
    }
    CHECK(::kill(host.guardian(), SIGSTOP) == 0);
    CHECK(::kill(host.pid(), SIGKILL) == 0);
    static_cast<void>(host.status());
    const bool gone = host.all_gone(5s);
    INFO(host.leftovers());
    CHECK(gone);
}
