// SPDX-License-Identifier: MIT
// The scenarios of the library on Windows: start, output, ends, stops, trees, limits, as programs use them.
#include <boost/uuid/uuid_io.hpp>

#include <atomic>
#include <future>
#include <set>
#include <thread>

#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::ExitCause;
using warden::Input;
using warden::Output;
using warden::State;

TEST_CASE("scenario: a child's output and exit code arrive", "[scenario]") {
    TestManager manager;
    const auto said = manager->run(victim("argv", "a b", "", "\"q\"", "back\\"));
    CHECK(said.status == warden::ExitStatus::from_code(0));
    CHECK(said.cause == ExitCause::exited);
    CHECK(said.out == "argv\na b\n\n\"q\"\nback\\\n");
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
    CHECK(manager->run(victim("exit", "259")).status.code() == 259);
}

TEST_CASE("scenario: a crash is told from an exit", "[scenario]") {
    TestManager manager;
    const auto crashed = manager->run(victim("crash"));
    CHECK(crashed.status.exited());
    CHECK(static_cast<std::uint32_t>(crashed.status.code()) == 0xC0000005u);
    CHECK(crashed.cause == ExitCause::crashed);
}

TEST_CASE("scenario: what goes in comes out, more than any pipe holds", "[scenario]") {
    TestManager manager;
    std::string text;
    for (int i = 0; i < 200'000; ++i) text += std::to_string(i) + '\n';
    const auto done = manager->run(victim("stdin-to-stdout"), {.capture_bytes = std::size_t{8} << 20}, text);
    CHECK(done.status.success());
    CHECK(done.out == text);
    CHECK_FALSE(done.truncated);
}

TEST_CASE("scenario: what was read is written however soon its reader ends", "[scenario]") {
    TestManager manager;
    for (int i = 0; i < 40; ++i) {
        auto process = manager->spawn(victim("read-once"), {.stdin_ = Input::pipe});
        warden::error_code ec;
        process.write("all of it", ec);
        CHECK(!ec);
        CHECK(process.wait().success());
    }
}

TEST_CASE("scenario: lines are called back in order, and all before the exit is told", "[scenario]") {
    TestManager manager;
    std::atomic<int> lines = 0;
    std::string last;
    warden::SpawnOptions options;
    options.on_line = [&](const warden::OutputLine& line) {
        last = std::string(line.text);
        ++lines;
    };
    auto process = manager->spawn(victim("count-lines", "5000"), std::move(options));
    CHECK(process.wait().success());
    CHECK(lines == 5000);
    CHECK(last == "line 5000");
}

TEST_CASE("scenario: a log keeps its newest lines within its bound, and is read while it is written", "[scenario]") {
    TestManager manager;
    auto process = manager->spawn(victim("count-lines", "100000"));
    const auto path = process.log_path();
    CHECK(process.wait().success());
    const auto tail = process.tail(10);
    REQUIRE(tail.size() == 10);
    CHECK(warden::tail_file(path, 10) == tail);
    CHECK(std::filesystem::file_size(path) <= 10'000);
    CHECK(process.info().dropped_bytes == 0);
}

TEST_CASE("scenario: environment and working directory are what was asked for", "[scenario]") {
    TestManager manager;
    const TestDirectory directory;
    warden::SpawnOptions options;
    options.environment.set("WARDEN_SAYS", "gr\xC3\xBC\xC3\x9F dich");
    options.working_directory = directory.path();
    const auto said = manager->run(victim("env"), options);
    CHECK(said.out.find("WARDEN_SAYS=gr\xC3\xBC\xC3\x9F dich\n") != std::string::npos);
    const auto where = manager->run(victim("cwd"), options).out;
    CHECK(std::filesystem::equivalent(where.substr(0, where.find_first_of("\r\n")), directory.path()));
    options.environment = warden::Environment::empty().set("ONLY", "1");
    const auto little = manager->run(victim("env"), options);
    CHECK(little.out.find("ONLY=1\n") != std::string::npos);
    CHECK(little.out.find("\nPATH=") == std::string::npos);
}

TEST_CASE("scenario: a start that fails says what, where and what to do, and leaves nothing", "[scenario]") {
    TestManager manager;
    const auto failure = [&](const warden::CommandLine& command, const warden::SpawnOptions& options = {}) {
        try {
            static_cast<void>(manager->spawn(command, options));
        } catch (const warden::SpawnError& error) {
            INFO(error.what());
            CHECK(std::string(error.what()).starts_with("cannot start '"));
            return error.step();
        }
        FAIL("it was started");
        return warden::SpawnStep::setup;
    };
    CHECK(failure({"no-such-program"}) == warden::SpawnStep::executable);
    CHECK(failure({"C:\\no\\such.exe"}) == warden::SpawnStep::executable);
    CHECK(failure({""}) == warden::SpawnStep::validation);
    CHECK(failure(victim("exit", "0"), {.working_directory = "C:\\no\\such"}) == warden::SpawnStep::working_directory);
    warden::SpawnOptions identity;
    identity.identity.user = "somebody";
    CHECK_THROWS_AS(static_cast<void>(manager->spawn(victim("exit", "0"), identity)), warden::SpawnError);
    warden::SpawnOptions terminal;
    terminal.terminal = warden::Terminal{};
    CHECK_THROWS_AS(static_cast<void>(manager->spawn(victim("exit", "0"), terminal)), warden::SpawnError);
    CHECK(manager->list().empty());
}

TEST_CASE("scenario: a program that heeds CTRL_BREAK is stopped by the first step", "[scenario]") {
    SKIP_WITHOUT_CONSOLE_EVENTS();
    TestManager manager;
    auto process = manager->spawn(victim("sleep-forever"), {.stdout_ = Output::capture});
    REQUIRE(next_line(process) == "ready");
    const auto report = process.stop(warden::StopPlan{}.terminate(20s).kill(10s));
    CHECK(report.clean());
    REQUIRE(report.steps.size() == 1);
    CHECK(report.steps[0].tree_exited);
    CHECK(process.cause() == ExitCause::stopped);
    CHECK(process.state() == State::stopped);
}

TEST_CASE("scenario: a program that ignores everything is killed, and that is told", "[scenario]") {
    TestManager manager;
    auto process = manager->spawn(victim("ignore-break"), {.stdout_ = Output::capture});
    REQUIRE(next_line(process) == "ready");
    const auto report = process.stop(warden::StopPlan{}.terminate(100ms).kill(20s));
    CHECK(report.clean());
    REQUIRE(report.steps.size() == 2);
    CHECK(report.steps[1].tree_exited);
    CHECK(process.cause() == ExitCause::forced);
    CHECK(process.state() == State::force_killed);
    process.kill();  // once more is no error
}

TEST_CASE("scenario: a timeout stops the process, and the cause says so", "[scenario]") {
    TestManager manager;
    warden::SpawnOptions options;
    options.timeout = 50ms;
    options.stop_plan = warden::StopPlan::now();
    const auto done = manager->run(victim("sleep-forever"), options);
    CHECK(done.cause == ExitCause::timed_out);
}

TEST_CASE("scenario: a grandchild outlives its parent as a member, and ends with the handle", "[scenario]") {
    TestManager manager;
    warden::Pid grandchild = 0;
    {
        auto process = manager->spawn(victim("spawn-child-and-exit"), {.stdout_ = Output::capture});
        const auto line = next_line(process);
        REQUIRE(line);
        grandchild = std::stoi(line->substr(line->find_first_of("0123456789")));
        const HeldProcess held(grandchild);
        REQUIRE(held.is_held());
        CHECK(process.wait().known());
        CHECK(process.tree_alive());
        std::set<warden::Pid> members;
        for (const auto& member : process.tree()) members.insert(member.pid);
        CHECK(members.contains(grandchild));
        CHECK_FALSE(held.has_ended());
        static_cast<void>(process.stop());
        CHECK(held.ends_within(10s));
    }
    CHECK(manager->list().empty());
}

TEST_CASE("scenario: a suspended program makes no progress until it is resumed", "[scenario]") {
    TestManager manager;
    auto process = manager->spawn(victim("stdin-to-stdout"), {.stdin_ = Input::pipe, .stdout_ = Output::capture});
    process.write("one\n");
    REQUIRE(next_line(process) == "one");
    process.suspend();
    process.write("two\n");
    process.resume();
    CHECK(next_line(process) == "two");
    process.close_stdin();
    CHECK(process.wait().success());
}

TEST_CASE("scenario: starts from many threads all succeed, and none is left", "[scenario]") {
    TestManager manager;
    std::atomic<int> good = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 10; ++i) {
                const auto code = std::to_string(t * 10 + i);
                if (manager->run(victim("exit", code)).status.code() == t * 10 + i) ++good;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(good == 40);
    CHECK(manager->list().empty());
    CHECK(manager->metrics().spawned_total == 40);
}

TEST_CASE("scenario: a pipeline passes text on from one program to the next", "[scenario]") {
    TestManager manager;
    const auto done = manager->pipeline(
        {victim("stdin-to-stdout"), victim("stdin-to-stdout"), victim("stdin-to-stdout")}, {}, "x\ny\n");
    REQUIRE(done.stages.size() == 3);
    CHECK(done.stages.back().out == "x\ny\n");
    for (const auto& stage : done.stages) CHECK(stage.status.success());
}

TEST_CASE("scenario: the report names the Job Object and what it promises, and others are refused", "[scenario]") {
    TestManager manager;
    const auto report = manager->containment();
    CHECK(report.mechanism == warden::Mechanism::job_object);
    CHECK(report.covers_setsid);
    CHECK(report.covers_host_crash);
    warden::SpawnOptions demanding;
    demanding.containment.mechanism = warden::Mechanism::cgroup;
    CHECK_THROWS_AS(static_cast<void>(manager->spawn(victim("exit", "0"), demanding)), warden::SpawnError);
    TestManager other([](warden::ManagerConfig& config) { config.mechanism = warden::Mechanism::keeper; });
    CHECK_THROWS_AS(static_cast<void>(other->spawn(victim("exit", "0"))), warden::SpawnError);
}

TEST_CASE("scenario: events tell the life of a process in order", "[scenario]") {
    TestManager manager;
    std::mutex mutex;
    std::vector<warden::EventKind> kinds;
    std::promise<void> gone;
    const auto subscription = manager->subscribe([&](const warden::Event& event) {
        const std::lock_guard lock(mutex);
        kinds.push_back(event.kind);
        if (event.kind == warden::EventKind::exit) gone.set_value();
    });
    CHECK(manager->run(victim("exit", "0")).status.success());
    REQUIRE(gone.get_future().wait_for(20s) == std::future_status::ready);
    const std::lock_guard lock(mutex);
    const auto spawn = std::find(kinds.begin(), kinds.end(), warden::EventKind::spawn);
    const auto exit = std::find(kinds.begin(), kinds.end(), warden::EventKind::exit);
    CHECK(spawn < exit);
}

TEST_CASE("scenario: all processes stop within one grace when the manager ends", "[scenario]") {
    std::vector<HeldProcess> held;
    {
        TestManager manager([](warden::ManagerConfig& config) { config.graceful_timeout = 200ms; });
        std::vector<warden::ManagedProcess> processes;
        for (int i = 0; i < 8; ++i) {
            processes.push_back(manager->spawn(victim("ignore-break"), {.stdout_ = Output::capture}));
            REQUIRE(next_line(processes.back()) == "ready");
            held.emplace_back(processes.back().pid());
        }
        const auto reports = manager->cleanup_all();
        CHECK(reports.size() == 8);
    }
    for (const auto& process : held) CHECK(process.ends_within(10s));
}

TEST_CASE("scenario: the limit of active processes refuses at once", "[scenario]") {
    TestManager manager([](warden::ManagerConfig& config) { config.max_processes = 1; });
    auto process = manager->spawn(victim("sleep-forever"));
    CHECK_THROWS_AS(static_cast<void>(manager->spawn(victim("exit", "0"))), warden::SpawnError);
}

TEST_CASE("scenario: health is well, and needs no guardian", "[scenario]") {
    TestManager manager;
    const auto report = manager->health();
    INFO(report.reasons());
    CHECK(report.status() == warden::HealthStatus::ok);
}
