// SPDX-License-Identifier: MIT
// What a stop does to those that are held, suspended or asked by the console, and ends from outside, on Windows.
#include <atomic>
#include <future>
#include <thread>

#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::ExitCause;
using warden::Input;
using warden::ManagedProcess;
using warden::Output;
using warden::SpawnOptions;
using warden::State;
using warden::StopPlan;

namespace {

constexpr int kill_number = 9;

/// A process that has said that it is ready.
ManagedProcess ready(TestManager& manager, const warden::CommandLine& command, SpawnOptions options = {}) {
    options.stdout_ = Output::capture | Output::log;
    auto process = manager->spawn(command, std::move(options));
    REQUIRE(next_line(process) == "ready");
    return process;
}

SpawnOptions piped() {
    SpawnOptions options;
    options.stdin_ = Input::pipe;
    return options;
}

/// Holds a process as a debugger does, and lets it go on whenever something is told of it, until it has ended.
class Debugger {
public:
    explicit Debugger(warden::Pid pid) : thread_([this, pid] { hold(static_cast<DWORD>(pid)); }) {
        holds_ = attached_.get_future().get();
    }
    Debugger(const Debugger&) = delete;
    ~Debugger() { thread_.join(); }
    [[nodiscard]] bool holds() const { return holds_; }

private:
    void hold(DWORD pid) {
        const bool attached = ::DebugActiveProcess(pid) != 0;
        attached_.set_value(attached);
        DEBUG_EVENT event{};
        while (attached && ::WaitForDebugEvent(&event, 30'000)) {
            if (event.dwDebugEventCode == CREATE_PROCESS_DEBUG_EVENT) ::CloseHandle(event.u.CreateProcessInfo.hFile);
            if (event.dwDebugEventCode == LOAD_DLL_DEBUG_EVENT) ::CloseHandle(event.u.LoadDll.hFile);
            ::ContinueDebugEvent(event.dwProcessId, event.dwThreadId, DBG_CONTINUE);
            if (event.dwDebugEventCode == EXIT_PROCESS_DEBUG_EVENT) return;
        }
    }
    std::promise<bool> attached_;
    bool holds_ = false;
    std::thread thread_;
};

/// Ends a process from outside, with that code.
bool end_from_outside(warden::Pid pid, UINT code) {
    const HANDLE raw = ::OpenProcess(PROCESS_TERMINATE, FALSE, static_cast<DWORD>(pid));
    const bool ended = raw != nullptr && ::TerminateProcess(raw, code) != 0;
    if (raw != nullptr) ::CloseHandle(raw);
    return ended;
}

}  // namespace

TEST_CASE("scenario: who obeys CTRL_BREAK keeps its own exit code and was not forced", "[scenario][stop]") {
    SKIP_WITHOUT_CONSOLE_EVENTS();
    TestManager manager;
    auto process = ready(manager, victim("end-on-break"));
    CHECK(process.stop(StopPlan{}.terminate(30s).kill(30s)).steps.size() == 1);
    CHECK(process.exit_status()->code() == 77);
    CHECK(process.cause() == ExitCause::stopped);
    CHECK(manager->metrics().forced_total == 0);
}

TEST_CASE("scenario: who needs most of its grace gets it, and its last words arrive", "[scenario][stop]") {
    TestManager manager;
    auto process = ready(manager, victim("end-with-input", "300"), piped());
    const auto report = process.stop(StopPlan{}.close_stdin(30s).kill(30s));
    CHECK(report.steps.size() == 1);
    CHECK(report.duration >= 300ms);
    CHECK(process.exit_status()->success());
    CHECK(process.cause() == ExitCause::stopped);
    CHECK(process.tail(1) == std::vector<std::string>{"last words"});
}

TEST_CASE("scenario: a suspended process is let go on by the request, so that it can obey", "[scenario][stop]") {
    TestManager manager;
    auto process = ready(manager, victim("end-with-input", "0"), piped());
    process.suspend();
    const auto report = process.stop(StopPlan{}.close_stdin(200ms).terminate(30s).kill(30s));
    REQUIRE(report.steps.size() == 2);
    CHECK_FALSE(report.steps[0].tree_exited);
    CHECK(report.steps[1].tree_exited);
    CHECK(process.exit_status()->success());
    CHECK(process.cause() == ExitCause::stopped);
}

TEST_CASE("scenario: a process that somebody else has suspended is ended by force all the same", "[scenario][stop]") {
    TestManager manager;
    auto process = ready(manager, victim("sleep-forever"));
    const HANDLE raw = ::OpenProcess(PROCESS_SUSPEND_RESUME, FALSE, static_cast<DWORD>(process.pid()));
    REQUIRE(raw != nullptr);
    using Suspend = LONG(WINAPI*)(HANDLE);
    const auto suspend = reinterpret_cast<Suspend>(
        reinterpret_cast<void*>(::GetProcAddress(::GetModuleHandleW(L"ntdll.dll"), "NtSuspendProcess")));
    CHECK(suspend(raw) >= 0);
    CHECK(suspend(raw) >= 0);
    ::CloseHandle(raw);
    CHECK(process.stop(StopPlan{}.terminate(50ms).kill(30s)).clean());
    CHECK(process.exit_status()->signal() == kill_number);
}

TEST_CASE("scenario: a process that a debugger holds is killed and its end is told once", "[scenario][stop]") {
    TestManager manager;
    auto process = ready(manager, victim("ignore-break"));
    std::atomic<int> exits = 0;
    const auto subscription =
        manager->subscribe([&](const warden::Event& event) { exits += event.kind == warden::EventKind::exit ? 1 : 0; });
    {
        const Debugger debugger(process.pid());
        CHECK(debugger.holds());
        CHECK(process.stop(StopPlan{}.terminate(50ms).kill(30s)).clean());
    }
    CHECK(process.exit_status()->signal() == kill_number);
    CHECK(manager->run(victim("exit", "3")).status.code() == 3);
    CHECK(eventually([&] { return exits == 2; }));
}

TEST_CASE("scenario: a signal of other systems is refused, and nothing happens", "[scenario][stop]") {
    TestManager manager;
    auto process = ready(manager, victim("sleep-forever"));
    warden::error_code ec;
    for (const int number : {1, 2, 10, 12, 64}) {
        process.signal(number, ec);
        CHECK(ec == warden::errc::invalid_signal);
    }
    CHECK(process.running());
    CHECK(process.state() == State::running);
    const auto report = process.stop(StopPlan{}.signal(2, 10ms).kill(30s));
    REQUIRE(report.steps.size() == 2);
    CHECK_FALSE(report.steps[0].error.empty());
    CHECK_FALSE(report.steps[0].tree_exited);
    CHECK(report.clean());
}

TEST_CASE("scenario: one member that is stuck does not keep the request from the others", "[scenario][stop]") {
    SKIP_WITHOUT_CONSOLE_EVENTS();
    TestManager manager;
    auto process = ready(manager, victim("beside", "answer-break", "stay"));
    const auto report = process.stop(StopPlan{}.terminate(1s).kill(30s));
    CHECK(report.clean());
    CHECK(process.cause() == ExitCause::forced);
    CHECK(process.tail(1) == std::vector<std::string>{"obeyed"});
}

TEST_CASE("scenario: a command of the plan is given the process id", "[scenario][stop]") {
    TestManager manager;
    auto process = ready(manager, victim("sleep-forever"));
    const auto command = victim("end-process", "{pid}", "5");
    CHECK(process.stop(StopPlan{}.run_command(command, 30s).kill(30s)).steps.size() == 1);
    CHECK(process.exit_status()->code() == 5);
}

TEST_CASE("scenario: the end of the last member is noticed by itself", "[scenario][stop]") {
    TestManager manager;
    auto process = manager->spawn(victim("escape", "plain", "leave"), {.stdout_ = Output::capture});
    const auto line = next_line(process);
    REQUIRE(line);
    CHECK(process.wait().success());
    CHECK(process.tree_alive());
    CHECK(end_from_outside(std::stoi(*line), 1));
    CHECK(eventually([&] { return !process.tree_alive(); }));
}

TEST_CASE("scenario: an end from outside is told as an exit with its code", "[scenario][stop]") {
    TestManager manager;
    auto process = ready(manager, victim("sleep-forever"));
    CHECK(end_from_outside(process.pid(), 9));  // the system does not tell that from an exit
    CHECK(process.wait().code() == 9);
    CHECK(process.cause() == ExitCause::exited);
    CHECK(process.state() == State::failed);
}
