// SPDX-License-Identifier: MIT
// What a stop does step by step, what it reports, and what it must never do.
#include <support/fixture.hpp>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <mutex>

#include <linux/sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::ExitCause;
using warden::ManagedProcess;
using warden::SpawnOptions;
using warden::State;
using warden::StopAction;
using warden::StopPlan;

namespace {

SpawnOptions with_plan(StopPlan plan) {
    SpawnOptions options;
    options.stop_plan = std::move(plan);
    return options;
}

/// A process with exactly this pid, in a group of its own, which waits for a signal; 0 with errno if it could not be
/// made.
pid_t stranger_with_pid(pid_t pid) {
    struct clone_args arguments {};
    arguments.exit_signal = SIGCHLD;
    arguments.set_tid = reinterpret_cast<std::uintptr_t>(&pid);
    arguments.set_tid_size = 1;
    const long child = ::syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0) {
        ::alarm(60);
        ::setpgid(0, 0);
        for (;;) ::pause();
    }
    return child < 0 ? 0 : static_cast<pid_t>(child);
}

/// A process that got the pid that one of ours had before; ended with this object.
class Stranger {
public:
    explicit Stranger(pid_t pid) {
        static_cast<void>(eventually(
            [&] {
                pid_ = stranger_with_pid(pid);
                return pid_ != 0 || errno != EEXIST;
            },
            3s));
        reason_ = errno;
    }
    Stranger(const Stranger&) = delete;
    ~Stranger() {
        if (pid_ == 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    [[nodiscard]] bool exists() const { return pid_ != 0; }
    [[nodiscard]] int reason() const { return reason_; }
    [[nodiscard]] bool unharmed() const {
        const char state = process_state(pid_);  // looked at once: it may go from R to S meanwhile
        return state == 'S' || state == 'R';
    }

private:
    pid_t pid_ = 0;
    int reason_ = 0;
};

/// A v1 freezer group: what is frozen there cannot even be killed. Thawed and removed with this object.
class Freezer {
public:
    Freezer() : path_("/sys/fs/cgroup/freezer/warden-test-" + std::to_string(::getpid())) {
        std::error_code ec;
        made_ =
            std::filesystem::exists("/sys/fs/cgroup/freezer/tasks", ec) && std::filesystem::create_directory(path_, ec);
    }
    Freezer(const Freezer&) = delete;
    ~Freezer() {
        if (!made_) return;
        thaw();
        CHECK(eventually([&] { return ::rmdir(path_.c_str()) == 0; }));
    }
    [[nodiscard]] bool exists() const { return made_; }
    [[nodiscard]] bool freeze(pid_t pid) const {
        std::ofstream(path_ + "/cgroup.procs") << pid;
        std::ofstream(path_ + "/freezer.state") << "FROZEN";
        return eventually([&] { return read_file(path_ + "/freezer.state") == "FROZEN\n"; }, 2s);
    }
    void thaw() const { std::ofstream(path_ + "/freezer.state") << "THAWED"; }

private:
    std::string path_;
    bool made_ = false;
};

}  // namespace

TEMPLATE_TEST_CASE("stop: who obeys keeps its own exit code and was not forced", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "trap-exit0"));
    REQUIRE(handshake.pid() > 0);
    const auto report = process.stop();
    REQUIRE(report.steps.size() == 1);
    CHECK(report.steps[0].action == StopAction::terminate);
    CHECK(report.steps[0].tree_exited);
    CHECK(report.duration < 2s);
    CHECK(process.exit_status()->success());
    CHECK(process.cause() == ExitCause::stopped);
    CHECK(process.state() == State::stopped);
    CHECK(manager->metrics().forced_total == 0);
}

TEMPLATE_TEST_CASE("stop: who needs most of its grace gets it, and its last words arrive", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "trap-slowly", "300"));
    REQUIRE(handshake.pid() > 0);
    const auto report = process.stop(StopPlan::within(10s));
    CHECK(report.steps.size() == 1);
    CHECK(report.duration >= 300ms);
    CHECK(process.exit_status()->success());
    CHECK(process.tail(1) == std::vector<std::string>{"term"});
}

TEMPLATE_TEST_CASE("stop: a suspended process is let go on, so that it can obey", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (const bool by_itself : {true, false}) {
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn(by_itself ? victim(handshake, "stop-self") : victim(handshake, "stay"));
        const pid_t pid = handshake.pid();
        if (!by_itself) process.suspend();
        REQUIRE(eventually([&] { return process_state(pid) == 'T'; }));
        const auto report = process.stop(StopPlan::within(10s));
        CHECK(report.steps.size() == 1);
        CHECK(report.duration < 5s);
        CHECK(process.exit_status()->signal() == SIGTERM);
        CHECK(process.cause() == ExitCause::stopped);
    }
}

TEMPLATE_TEST_CASE("stop: a stranger that got the pid of a process that has ended is never touched", "[stop]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(victim("exit"));
    CHECK(process.wait().success());
    REQUIRE(eventually([&] { return !process.tree_alive(); }));
    const Stranger stranger(static_cast<pid_t>(process.pid()));
    SKIP_UNLESS(stranger.exists() || stranger.reason() != EPERM, "no right to choose a pid");
    REQUIRE(stranger.exists());
    warden::error_code ec;
    for (const int signal : {SIGTERM, SIGKILL, SIGSTOP}) process.signal(signal, ec);
    process.suspend(ec);
    process.terminate(ec);
    process.kill(ec);
    CHECK(process.stop(StopPlan::now()).clean());
    process = ManagedProcess();
    static_cast<void>(manager->cleanup_all());
    CHECK(stranger.unharmed());
}

TEMPLATE_TEST_CASE("stop: a stranger that got the pid of a leader whose tree lives on is never touched", "[stop]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "setsid-daemon", "ignore"));
    const pid_t daemon = handshake.pid();
    CHECK(process.wait().success());
    CHECK(process.tree_alive());
    const Stranger stranger(static_cast<pid_t>(process.pid()));
    SKIP_UNLESS(stranger.exists() || stranger.reason() != EPERM, "no right to choose a pid");
    if (!stranger.exists()) {
        CHECK(process_state(static_cast<pid_t>(process.pid())) == 'Z');  // kept as a zombie: nobody can get the number
    } else {
        warden::error_code ec;
        process.signal(SIGKILL, ec);
        CHECK(ec == warden::errc::already_ended);
        const auto tree = process.tree();
        CHECK(tree.size() == 1);
    }
    CHECK(process.stop(StopPlan::within(100ms)).clean());
    CHECK_FALSE(is_alive(daemon));
    if (stranger.exists()) CHECK(stranger.unharmed());
}

TEMPLATE_TEST_CASE("stop: what cannot be killed is reported by the deadline, and its later death is noticed", "[stop]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const Freezer freezer;
    SKIP_UNLESS(freezer.exists(), "no control group v1 with a freezer");
    TestManager manager{TestType::mechanism};
    std::mutex mutex;
    std::vector<warden::Event> criticals;
    const auto subscription = manager->subscribe([&](const warden::Event& event) {
        const std::lock_guard lock(mutex);
        if (event.kind == warden::EventKind::cleanup_failed) criticals.push_back(event);
    });
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "stay"));
    const pid_t pid = handshake.pid();
    REQUIRE(pid > 0);
    REQUIRE(freezer.freeze(pid));
    const auto began = std::chrono::steady_clock::now();
    const auto report = process.stop(StopPlan{}.terminate(100ms).kill(200ms).last_resort(200ms));
    CHECK(std::chrono::steady_clock::now() - began < 1s);
    CHECK(report.duration >= 500ms);
    CHECK(report.steps.size() == 3);
    REQUIRE(report.survivors.size() == 1);
    CHECK(report.survivors[0].pid == pid);
    if (lists_members) CHECK(report.survivors[0].command.find("victim") != std::string::npos);
    CHECK(report.survivors[0].reason.starts_with(lists_members ? "frozen by a control group" : "exists, in process"));
    CHECK(eventually([&] {
        const std::lock_guard lock(mutex);
        return criticals.size() == 1;
    }));
    {
        const std::lock_guard lock(mutex);
        CHECK(criticals.at(0).severity == warden::Severity::critical);
        CHECK(criticals.at(0).pid == process.pid());
    }
    CHECK(manager->metrics().cleanup_failures_total == 1);
    CHECK(process.running());
    // Meanwhile everything else goes on.
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
    freezer.thaw();
    CHECK(process.info().last_stop.value().survivors.size() == 1);
    const auto status = process.wait_for(5s);
    REQUIRE(status);
    CHECK(status->signaled());
    CHECK(eventually([&] { return !process.tree_alive(); }));
    CHECK(process.info().last_stop.value().survivors.size() == 1);  // what the stop did
    CHECK(process.stop().clean());                                  // and what is now
}

TEMPLATE_TEST_CASE("stop: a process that a debugger holds is killed and its end is told once", "[stop]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    Handshake traced(manager.directory / "traced");
    auto process = manager->spawn(victim(handshake, "stay"));
    const pid_t pid = handshake.pid();
    REQUIRE(pid > 0);
    const pid_t tracer = ::fork();
    if (tracer == 0) {
        ::alarm(60);
        int status = 0;
        const bool holds = ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0 &&
                           ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) == 0 &&
                           ::waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status);
        std::ofstream(traced.path()) << "ready " << (holds ? 1 : 2) << std::endl;
        while (holds && ::waitpid(pid, &status, __WALL) == pid && !WIFSIGNALED(status) && !WIFEXITED(status)) {}
        ::_exit(0);
    }
    const pid_t answer = traced.pid();
    std::atomic<int> exits{0};
    const auto subscription =
        manager->subscribe([&](const warden::Event& event) { exits += event.kind == warden::EventKind::exit ? 1 : 0; });
    const auto report = process.stop(StopPlan::within(100ms));
    CHECK(::waitpid(tracer, nullptr, 0) == tracer);
    SKIP_UNLESS(answer == 1, "no right to trace");
    CHECK(report.clean());
    CHECK(process.exit_status()->signal() == SIGKILL);
    CHECK(eventually([&] { return exits == 1; }));
}

TEMPLATE_TEST_CASE("stop: one member that is stuck does not keep the request from the others", "[stop]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    const std::string obedient =
        "setsid -f sh -c 'trap \"echo obeyed; exit\" TERM; echo ready $$ >" + handshake.path() + "; sleep 60 & wait'";
    auto process = manager->spawn(
        {"sh", "-c", obedient + "; trap '' TERM; echo ready $$ >" + handshake.path() + "; sleep 60; sleep 60"});
    REQUIRE(handshake.pid() > 0);
    REQUIRE(handshake.pid() > 0);
    const auto report = process.stop(StopPlan::within(500ms));
    CHECK(report.clean());
    CHECK(process.cause() == ExitCause::forced);
    CHECK(process.tail(1) == std::vector<std::string>{"obeyed"});
}

TEMPLATE_TEST_CASE("stop: the causes of an end by a signal are told apart", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto start = [&](Handshake& handshake, const char* mode, SpawnOptions options = {}) {
        auto process = manager->spawn(victim(handshake, mode), std::move(options));
        REQUIRE(handshake.pid() > 0);
        return process;
    };
    CHECK(manager->run(victim("kill-self", std::to_string(SIGKILL))).cause == ExitCause::crashed);
    Handshake handshake(manager.directory / "fifo");
    {
        auto process = start(handshake, "stay");
        ::kill(static_cast<pid_t>(process.pid()), SIGTERM);  // by a stranger
        static_cast<void>(process.wait());
        CHECK(process.cause() == ExitCause::crashed);
        CHECK(process.state() == State::failed);
    }
    {
        auto process = start(handshake, "trap-exit0");
        process.terminate();
        CHECK(process.wait().success());
        CHECK(process.cause() == ExitCause::stopped);
    }
    {
        SpawnOptions options = with_plan(StopPlan::within(100ms));
        options.timeout = 1s;
        auto process = start(handshake, "trap-exit0", options);
        CHECK(process.wait().success());
        CHECK(process.cause() == ExitCause::timed_out);
        CHECK(process.runtime() >= 1s);
    }
}

TEMPLATE_TEST_CASE("stop: a step by a signal does what it says", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    {
        auto process = manager->spawn(victim("stay"));
        const auto report = process.stop(StopPlan{}.run_command({"sh", "-c", "kill -USR1 {pid}"}, 10s).kill(1s));
        CHECK(report.steps.size() == 1);
        CHECK(process.exit_status()->signal() == SIGUSR1);
    }
    {
        auto process = manager->spawn(victim("stay"));
        CHECK(process.stop(StopPlan{}.signal(SIGINT, 10s).kill(1s)).steps.size() == 1);
        CHECK(process.exit_status()->signal() == SIGINT);
    }
    {
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn(victim(handshake, "ignore-term"));
        REQUIRE(handshake.pid() > 0);
        const auto report = process.stop(StopPlan{}.signal(SIGHUP, 20ms).kill(5s));
        CHECK(report.clean());
        REQUIRE(report.steps.size() == 2);
        CHECK(report.steps[0].action == StopAction::signal);
        CHECK_FALSE(report.steps[0].tree_exited);
        CHECK(report.steps[1].began >= 20ms);
        CHECK(report.steps[1].tree_exited);
    }
}

TEMPLATE_TEST_CASE("stop: a command of the plan is given the process id", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn({"sleep", "60"});
    const auto plan = StopPlan{}.run_command({"kill", "-TERM", "{pid}"}, 10s).kill(2s);
    const auto report = process.stop(plan);
    CHECK(report.clean());
    REQUIRE(report.steps.size() == 1);
    CHECK(process.exit_status()->signal() == SIGTERM);
}

TEMPLATE_TEST_CASE("stop: one that nobody asked for is reported as fully as one that was", "[stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.graceful_timeout = 50ms; }};
    Handshake handshake(manager.directory / "fifo");
    const auto start = [&](SpawnOptions options) {
        auto process = manager->spawn(victim(handshake, "ignore-term"), std::move(options));
        REQUIRE(handshake.pid() > 0);
        CHECK_FALSE(process.info().last_stop);
        return process;
    };
    const auto check = [&](ManagedProcess& process) {
        static_cast<void>(process.wait());
        REQUIRE(eventually([&] { return !process.tree_alive(); }));
        const auto told = process.info().last_stop;
        REQUIRE(told);
        for (const auto& report :
             {*told, process.stop(), manager->stop(process.uuid()), manager->find(process.uuid())->last_stop.value()}) {
            CHECK(report.clean());
            CHECK(report.duration == told->duration);
            REQUIRE(report.steps.size() == 2);
            CHECK(report.steps[0].action == StopAction::terminate);
            CHECK(report.steps[0].duration >= 50ms);
            CHECK_FALSE(report.steps[0].tree_exited);
            CHECK(report.steps[1].action == StopAction::kill);
            CHECK(report.steps[1].tree_exited);
            CHECK(report.duration >= report.steps[1].began);
        }
        CHECK(manager->metrics().stop_latency.count() == 1);
    };
    SECTION("by its timeout") {
        SpawnOptions options = with_plan(StopPlan::within(50ms));
        options.timeout = 1s;
        auto process = start(options);
        check(process);
        CHECK(process.cause() == ExitCause::timed_out);
    }
    SECTION("by an alert rule") {
        SpawnOptions options = with_plan(StopPlan::within(50ms));
        options.alerts = {warden::AlertRule::literal("typed", warden::AlertAction::stop)};
        options.terminal = warden::Terminal{};
        options.stdin_ = warden::Input::pipe;
        auto process = start(options);
        process.write("typed\n");  // the terminal echoes it
        check(process);
        CHECK(process.cause() == ExitCause::forced);
    }
    SECTION("by cleanup") {
        auto process = start({});
        CHECK(manager->cleanup_all().size() == 1);
        check(process);
        CHECK(process.cause() == ExitCause::host_shutdown);
    }
}

TEMPLATE_TEST_CASE("stop: by name, the report of one that has ended is not mixed with that of one that lives", "[stop]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.name = "twin";
    Handshake handshake(manager.directory / "fifo");
    auto first = manager->spawn(victim(handshake, "ignore-term"), options);
    REQUIRE(handshake.pid() > 0);
    CHECK(first.stop(StopPlan::within(20ms)).steps.size() == 2);
    auto second = manager->spawn(victim(handshake, "trap-exit0"), options);
    REQUIRE(handshake.pid() > 0);
    CHECK(manager->stop("twin").steps.size() == 1);
    CHECK(manager->stop("twin").steps.size() == 3);
}
