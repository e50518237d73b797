// SPDX-License-Identifier: MIT
// However the program ends that owns them, no process of its is left: real hosts, started by warden itself, whose trees
// are nested in ours and so must be ended by their own jobs.
#include <string>
#include <thread>
#include <vector>

#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;

namespace {

/// A host that has started its processes, and holds on these.
struct Host {
    Host(TestManager& manager, const std::string& ending, const std::string& kind = "stubborn")
        : process(manager->spawn({beside("windows_host.exe"), ending, (manager.directory / ending).string(), kind},
                                 {.stdin_ = warden::Input::pipe, .stdout_ = warden::Output::capture})) {
        for (int i = 0; i < 2; ++i) {
            const auto line = next_line(process);
            REQUIRE(line);
            held.emplace_back(std::stoi(*line));
            REQUIRE(held.back().is_held());
            CHECK_FALSE(held.back().has_ended());
        }
    }
    warden::ManagedProcess process;
    std::vector<HeldProcess> held;
};

}  // namespace

TEST_CASE("host endings: however a host comes to a bad end, or becomes another program, no process of its lives on",
          "[host]") {
    const std::string ending = GENERATE("exception", "thread-exception", "abort", "crash", "overflow", "exec");
    CAPTURE(ending);
    SKIP_UNLESS(ending != "overflow" || !is_wine(), "Wine 8 does not get out of a stack overflow");
    TestManager manager;
    Host host(manager, ending);
    host.process.write("go\n");
    host.process.wait();
    for (const auto& process : host.held) CHECK(process.ends_within(10s));
}

TEST_CASE("host endings: the usual ways out keep their exit codes, and no process lives on after them", "[host]") {
    struct Ending {
        const char* name;
        int code;
    };
    const auto ending = GENERATE(Ending{"return", 0}, Ending{"caught", 4}, Ending{"exit", 3}, Ending{"_exit", 5},
                                 Ending{"terminate", 6}, Ending{"leak", 7});
    CAPTURE(ending.name);
    TestManager manager;
    Host host(manager, ending.name);
    host.process.write("go\n");
    CHECK(host.process.wait().code() == ending.code);
    for (const auto& process : host.held) CHECK(process.ends_within(10s));
}

TEST_CASE("host endings: no kind of process outlives a crash, an exit or a TerminateProcess of the program", "[host]") {
    struct Pair {
        const char* kind;
        const char* ending;
    };
    const auto pair = GENERATE(Pair{"suspended", "exit"}, Pair{"suspended", "crash"}, Pair{"suspended", "terminate"},
                               Pair{"thread", "terminate"}, Pair{"detached", "terminate"}, Pair{"console", "terminate"},
                               Pair{"twice", "terminate"}, Pair{"job", "terminate"});
    CAPTURE(pair.kind, pair.ending);
    TestManager manager;
    Host host(manager, pair.ending, pair.kind);
    host.process.write("go\n");
    host.process.wait();
    for (const auto& process : host.held) CHECK(process.ends_within(10s));
}

TEST_CASE("host endings: a host that somebody ends by TerminateProcess leaves nothing", "[host]") {
    TestManager manager;
    Host host(manager, "stay");
    const HANDLE raw = ::OpenProcess(PROCESS_TERMINATE, FALSE, static_cast<DWORD>(host.process.pid()));
    REQUIRE(raw != nullptr);
    CHECK(::TerminateProcess(raw, 77));
    ::CloseHandle(raw);
    CHECK(host.process.wait().code() == 77);
    for (const auto& process : host.held) CHECK(process.ends_within(10s));
}

TEST_CASE("host endings: a host that is asked by CTRL_BREAK cleans up and ends", "[host]") {
    SKIP_WITHOUT_CONSOLE_EVENTS();
    TestManager manager;
    Host host(manager, "stay");
    const auto report = host.process.stop(warden::StopPlan{}.terminate(30s).kill(10s));
    REQUIRE_FALSE(report.steps.empty());
    CHECK(report.steps[0].tree_exited);
    for (const auto& process : host.held) CHECK(process.ends_within(10s));
}

TEST_CASE("host endings: a handler that the program had before runs too, and the program goes on", "[host]") {
    SKIP_WITHOUT_CONSOLE_EVENTS();
    TestManager manager;
    Host host(manager, "own-handler");
    host.process.write("go\n");
    host.process.terminate();
    CHECK(next_line(host.process) == "own handler");
    CHECK(host.process.wait().code() == 9);
    for (const auto& process : host.held) CHECK(process.ends_within(10s));
}

TEST_CASE("host endings: a handler of the program that exits at once leaves no process", "[host]") {
    SKIP_WITHOUT_CONSOLE_EVENTS();
    TestManager manager;
    Host host(manager, "own-exit");
    host.process.write("go\n");
    host.process.terminate();
    CHECK(host.process.wait().code() == 42);
    for (const auto& process : host.held) CHECK(process.ends_within(10s));
}

TEST_CASE("host endings: the crash of one program leaves the processes of another alone", "[host]") {
    TestManager manager;
    auto own = manager->spawn(victim("ignore-break"), {.stdout_ = warden::Output::capture});
    REQUIRE(next_line(own) == "ready");
    Host survivor(manager, "return");
    Host crashing(manager, "crash");
    crashing.process.write("go\n");
    crashing.process.wait();
    for (const auto& process : crashing.held) CHECK(process.ends_within(10s));
    for (const auto& process : survivor.held) CHECK_FALSE(process.has_ended());
    CHECK(own.running());
    survivor.process.write("go\n");
    CHECK(survivor.process.wait().success());
    for (const auto& process : survivor.held) CHECK(process.ends_within(10s));
    CHECK(own.running());
    CHECK(own.stop(warden::StopPlan::now()).clean());
}

TEST_CASE("host endings: the end of one manager leaves the processes of another one alone", "[host]") {
    TestManager staying;
    auto process = staying->spawn(victim("ignore-break"), {.stdout_ = warden::Output::capture});
    REQUIRE(next_line(process) == "ready");
    std::vector<HeldProcess> other;
    {
        TestManager ending([](warden::ManagerConfig& config) { config.graceful_timeout = 50ms; });
        const auto kept = ending->spawn(victim("sleep-forever"), {.stop_plan = warden::StopPlan::now()});
        other.emplace_back(kept.pid());
        REQUIRE(other.back().is_held());
        CHECK(ending->cleanup_all().size() == 1);
    }
    CHECK(other.back().ends_within(10s));
    CHECK(process.running());
    CHECK(process.stop(warden::StopPlan::now()).clean());
}

TEST_CASE("host endings: a process that a thread started which has ended runs on", "[host]") {
    TestManager manager;
    warden::ManagedProcess process;
    std::thread([&] { process = manager->spawn(victim("ignore-break"), {.stdout_ = warden::Output::capture}); }).join();
    REQUIRE(next_line(process) == "ready");
    CHECK_FALSE(process.wait_for(100ms));
    CHECK(process.stop(warden::StopPlan::now()).clean());
}
