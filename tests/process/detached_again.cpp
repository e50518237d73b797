// SPDX-License-Identifier: MIT
// Detached processes that are started again, started once, or followed by a command.
#include "detached.hpp"
#include <warden/detail/detached/registry.hpp>

#include <atomic>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

using namespace support;
using namespace std::chrono_literals;
using warden::DetachedState;
using warden::errc;
using warden::IfRunning;

namespace {

std::string content_of(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::size_t count_active(const DetachedRun& run) {
    const auto all = run.processes().list();
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [](const auto& one) { return one.is_active(); }));
}

/// The code of what `action` throws; success if it throws nothing.
template <class Action>
warden::error_code code_of(Action action) {
    try {
        action();
        return {};
    } catch (const warden::system_error& error) {
        return error.code();
    }
}

/// Starts one of that name, and says how.
warden::error_code start(const DetachedRun& run, const char* name, IfRunning wish) {
    return code_of([&] {
        static_cast<void>(run.processes().spawn({"sleep", "60"}, {.name = name, .if_running = wish}));
    });
}

}  // namespace

TEMPLATE_TEST_CASE("detached: a restart starts the same again when all of the old tree is gone", "[detached]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS(WARDEN_OS_LINUX, "a group is not empty here before pid 1 has reaped its orphans");
    SKIP_UNLESS_AVAILABLE(TestType);
    DetachedRun run(TestType::mechanism);
    const std::string held = (run.directory() / "held").string();
    Handshake handshake(run.directory() / "fifo");
    warden::SpawnOptions options;
    options.name = "server";
    options.type = "web";
    options.metadata = {{"owner", "me"}};
    options.environment.set("COLOUR", "blue");
    options.working_directory = run.directory().path();
    options.timeout = warden::no_timeout;
    options.stop_plan = warden::StopPlan{}.terminate(10s).kill(1s).because("its own plan");
    // Only one at a time can make the directory; the old one takes its time.
    const auto first = run.processes().spawn(
        warden::CommandLine::shell("mkdir " + held + " && echo $COLOUR $(basename $PWD); trap 'sleep 0.2; rmdir " +
                                   held + "; exit 0' TERM; echo ready $$ >" + handshake.path() +
                                   "; while :; do sleep 0.01; done"),
        options);
    REQUIRE(handshake.pid() > 0);
    const auto second = first.restart();
    const pid_t pid = handshake.pid();
    CHECK(second.uuid() != first.uuid());
    const auto old = first.info();
    const auto now = second.info();
    CHECK(old.record.exit.value().reason == "its own plan");
    CHECK(now.state == DetachedState::running);
    CHECK(now.record.process.pid == pid);
    CHECK(now.record.restarted_from == first.uuid());
    CHECK(now.record.name == "server");
    CHECK(now.record.type == "web");
    CHECK(now.record.metadata == options.metadata);
    CHECK(now.record.command == old.record.command);
    CHECK(now.record.stop_plan == old.record.stop_plan);
    CHECK(now.record.timeout.is_never());
    CHECK(eventually(
        [&] { return second.tail(1) == std::vector{"blue " + run.directory().path().filename().string()}; }));
    CHECK(run.processes().find("server") == second);
    CHECK(code_of([&] { static_cast<void>(first.restart()); }) == errc::already_running);
    CHECK(second.state() == DetachedState::running);
    CHECK(second.force_stop().clean());
    CHECK(std::filesystem::remove(held));
    const auto third = first.restart();  // of one that ended, and whose successor ended
    CHECK(handshake.pid() > 0);
    CHECK(third.state() == DetachedState::running);
}

TEMPLATE_TEST_CASE("detached: a restart of one whose shim was killed waits for the end of what it left", "[detached]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    DetachedRun run(TestType::mechanism);
    for (int round = 0; round < 5; ++round) {
        Handshake handshake(run.directory() / "fifo");
        const auto process = run.processes().spawn(victim(handshake, "setsid-daemon", "stay"));
        const pid_t member = handshake.pid();
        REQUIRE(is_alive(member));
        REQUIRE(::kill(static_cast<pid_t>(process.info().record.shim.pid), SIGKILL) == 0);
        const auto again = process.restart();
        CHECK_FALSE(is_alive(member));
        CHECK(again.info().record.restarted_from == process.uuid());
        CHECK(process.state() == DetachedState::lost);
        CHECK(handshake.pid() > 0);
        CHECK(again.force_stop().clean());
    }
}

TEST_CASE("detached: of two restarts of one process at the same time, one starts it", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    const auto process = run.processes().spawn({"sleep", "60"}, {.name = "server"});
    std::atomic<int> started{0};
    std::atomic<int> refused{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            const auto code = code_of([&] { static_cast<void>(process.restart()); });
            if (!code) ++started;
            if (code == errc::already_running) ++refused;
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(started == 1);
    CHECK(refused == 3);
    CHECK(count_active(run) == 1);
}

TEST_CASE("detached: a restart without what it needs leaves the process alone", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    const auto process = run.processes().spawn({"sleep", "60"});
    const auto request = run.directory() / "data" / "detached" / (to_string(process.uuid()) + ".request");
    CHECK((std::filesystem::status(request).permissions() & std::filesystem::perms::all) ==
          (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
    std::ofstream(request) << "{}";
    CHECK(code_of([&] { static_cast<void>(process.restart()); }) == errc::invalid_options);
    std::filesystem::remove(request);
    CHECK(code_of([&] { static_cast<void>(process.restart()); }) == errc::not_found);
    CHECK(process.state() == DetachedState::running);
}

TEST_CASE("detached: of many starts at the same moment that refuse a second one of the name, one starts",
          "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    std::atomic<int> started{0};
    std::atomic<int> refused{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; ++i) {
        threads.emplace_back([&] {
            const auto code = start(run, "server", IfRunning::refuse);
            if (!code) ++started;
            if (code == errc::already_running) ++refused;
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(started == 1);
    CHECK(refused == 5);
    CHECK(count_active(run) == 1);
    CHECK(start(run, "another", IfRunning::refuse) == warden::error_code());
    CHECK(run.processes().find("server").force_stop().clean());
    CHECK(start(run, "server", IfRunning::refuse) == warden::error_code());
}

TEST_CASE("detached: starts that reuse one of the name have the same one, in one program and in another",
          "[detached]") {
    SKIP_UNLESS(WARDEN_OS_LINUX, "nothing tells a process from another one with its number here");
    DetachedRun run(warden::Mechanism::automatic);
    std::vector<warden::DetachedProcess> got(6);
    std::vector<std::thread> threads;
    for (auto& one : got) {
        threads.emplace_back([&] {
            one = run.processes().spawn({"sleep", "60"}, {.name = "server", .if_running = IfRunning::reuse});
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& one : got) CHECK(one == got.front());
    CHECK(count_active(run) == 1);
    warden::ProcessManager manager(run.config());
    warden::SpawnOptions options;
    options.name = "server";
    options.detached = true;
    options.if_running = IfRunning::refuse;
    CHECK(failed_start(manager, {"sleep", "60"}, options).code() == errc::already_running);
    options.if_running = IfRunning::reuse;  // its handle could not be of the other one
    CHECK(failed_start(manager, {"sleep", "60"}, options).code() == errc::invalid_options);
    options.detached = false;
    CHECK(failed_start(manager, {"sleep", "60"}, options).code() == errc::invalid_options);
}

TEST_CASE("detached: doubt whether one of the name runs is an error, never a second one", "[detached]") {
    SKIP_UNLESS(WARDEN_OS_LINUX, "nothing tells a process from another one with its number here");
    DetachedRun run(warden::Mechanism::automatic);
    const auto process = run.processes().spawn({"sleep", "60"}, {.name = "server"});
    const auto records = run.directory() / "data" / "detached";
    SECTION("a record that cannot be read") {
        std::ofstream(records / "0190f5f2-9c1e-4a6b-8d3e-5f6071829304.json") << "{\"version\":";
        CHECK(start(run, "new", IfRunning::refuse) == errc::already_running);
        CHECK(start(run, "new", IfRunning::reuse) == errc::already_running);
        std::filesystem::remove(records / "0190f5f2-9c1e-4a6b-8d3e-5f6071829304.json");
        CHECK(start(run, "new", IfRunning::refuse) == warden::error_code());
    }
    SECTION("one that is lost, and lives") {
        auto record = process.info().record;
        record.shim.start_ticks = record.shim.pidfs_inode = 1;  // of another process
        record.guardian = {};
        warden::error_code ec;
        std::string why;
        warden::detail::Registry::open(run.directory() / "data", false, ec, why).write(record, ec);
        REQUIRE(process.state() == DetachedState::lost);
        CHECK(start(run, "server", IfRunning::reuse) == errc::already_running);
        CHECK(start(run, "another", IfRunning::reuse) == warden::error_code());
    }
    SECTION("one that has ended, and left something") {
        Handshake handshake(run.directory() / "fifo");
        const auto parent = run.processes().spawn(victim(handshake, "setsid-daemon", "exit"), {.name = "parent"});
        const pid_t member = handshake.pid();
        static_cast<void>(parent.wait());
        REQUIRE(is_alive(member));
        CHECK(start(run, "parent", IfRunning::refuse) == errc::already_running);
        CHECK(parent.stop().clean());
        CHECK(start(run, "parent", IfRunning::refuse) == warden::error_code());
    }
}

TEST_CASE("detached: the hook for the end runs when the record says how, and finds it", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    const std::string out = (run.directory() / "out").string();
    const auto process = run.processes().spawn(
        warden::CommandLine::shell("exit 3"),
        {.name = "job",
         .end_hook = warden::EndHook{warden::CommandLine::shell(
             "cp $WARDEN_RECORD " + out + " && echo $WARDEN_UUID $WARDEN_NAME $WARDEN_EXIT >>" + out)}});
    CHECK(process.wait().code() == 3);
    CHECK(run.shims_are_gone());  // with the hook
    const std::string seen = content_of(out);
    CHECK(seen.find("\"state\":\"exited\"") != seen.npos);
    CHECK(seen.ends_with(to_string(process.uuid()) + " job exited with code 3\n"));
    CHECK(process.info().record.exit.value().hook_problem.empty());
    CHECK(process.state() == DetachedState::exited);
}

TEST_CASE("detached: a hook that fails, hangs or cannot be started is told in the record and as an event",
          "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    const auto problem_of = [&](warden::EndHook hook) {
        const auto process = run.processes().spawn({"true"}, {.name = "job", .end_hook = std::move(hook)});
        CHECK(process.wait().success());
        CHECK(run.shims_are_gone());
        return process.info().record.exit.value().hook_problem;
    };
    CHECK(problem_of({warden::CommandLine::shell("exit 7")}).find("code 7") != std::string::npos);
    CHECK(problem_of({warden::CommandLine{"sleep", "60"}, 100ms}).find("timed_out") != std::string::npos);
    CHECK(problem_of({warden::CommandLine{"/nonexistent/hook"}}).find("/nonexistent/hook") != std::string::npos);
    std::size_t told = 0;
    for (const auto& entry : std::filesystem::directory_iterator(run.directory() / "data" / "events")) {
        if (content_of(entry.path()).find("the end hook failed") != std::string::npos) ++told;
    }
    CHECK(told == 3);
}

TEST_CASE("detached: what a hook leaves running ends with it, and a shim that is asked to end ends its hook",
          "[detached]") {
    SKIP_UNLESS(WARDEN_OS_LINUX, "a process that leaves its group escapes here");
    DetachedRun run(warden::Mechanism::automatic);
    Handshake handshake(run.directory() / "fifo");
    const auto process =
        run.processes().spawn({"true"}, {.end_hook = warden::EndHook{victim(handshake, "setsid-daemon", "exit")}});
    const pid_t member = handshake.pid();
    CHECK(process.wait().success());
    CHECK(run.shims_are_gone());
    CHECK_FALSE(is_alive(member));
    const auto slow = run.processes().spawn({"true"}, {.end_hook = warden::EndHook{warden::CommandLine::shell(
                                                           "echo ready $$ >" + handshake.path() + "; exec sleep 60")}});
    REQUIRE(handshake.pid() > 0);
    REQUIRE(::kill(static_cast<pid_t>(slow.info().record.shim.pid), SIGTERM) == 0);
    CHECK(run.shims_are_gone());
    CHECK(slow.info().record.exit.value().hook_problem.find("host_shutdown") != std::string::npos);
}
