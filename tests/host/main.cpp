// SPDX-License-Identifier: MIT
// A program that embeds warden, starts processes and comes to an end of every kind.
//
//     host MECHANISM KIND FIFO ENDING DIRECTORY
//
// Or is a shim, or starts a detached process (detach.hpp).
//
// The member of its process that counts announces "ready <pid>" on the FIFO, the host its names; then it waits for a
// byte on its standard input, and ends. Ending `stay` waits for a signal; whatever happens, the host is gone after a
// minute.
#include "detach.hpp"
#include <support/process.hpp>
#include <warden/detached/shim.hpp>
#include <warden/warden.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using warden::CommandLine;
using warden::ManagedProcess;
using warden::ProcessManager;

void announce(const std::string& fifo, const std::string& line) {
    const int fd = ::open(fifo.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0 || ::write(fd, (line + '\n').c_str(), line.size() + 1) < 0) std::_Exit(70);
    ::close(fd);
}

CommandLine command_of(const std::string& kind, const std::string& fifo) {
    const std::string ready = "echo ready $$ >" + fifo + "; ";
    const std::string sleeper = "sh -c '" + ready + "exec sleep 60'";
    if (kind == "plain" || kind == "thread") return CommandLine::shell(ready + "exec sleep 60");
    if (kind == "session") return CommandLine::shell("setsid -f " + sleeper + "; exec sleep 60");
    if (kind == "cleared") return CommandLine::shell("env -i setsid -f " + sleeper + "; exec sleep 60");
    if (kind == "daemon") return {WARDEN_TEST_VICTIM, "--ready", fifo, "setsid-daemon", "stay"};
    if (kind == "ignores") return CommandLine::shell("trap '' TERM HUP INT; " + ready + "sleep 60; sleep 60");
    if (kind == "suspended") return CommandLine::shell(ready + "kill -STOP $$; exec sleep 60");
    if (kind == "grandchildren") return CommandLine::shell("setsid -f " + sleeper);
    if (kind == "polite") return {WARDEN_TEST_VICTIM, "--ready", fifo, "trap-slowly", "50"};
    if (kind == "first-thread-ended") return {WARDEN_TEST_VICTIM, "--ready", fifo, "end-first-thread"};
    if (kind.rfind("misuse-", 0) == 0) return {WARDEN_TEST_VICTIM, "--ready", fifo, "misuse-group", kind.substr(7)};
    if (kind == "member-leaves") return {WARDEN_TEST_VICTIM, "--ready", fifo, "leave-group"};
    if (kind == "leader-leaves") return {WARDEN_TEST_VICTIM, "--ready", fifo, "leave-group", "leader"};
    std::_Exit(64);
}

int overflow(int depth) {
    volatile char space[4096];
    space[0] = static_cast<char>(depth);
    return depth < 0 ? 0 : overflow(depth + 1) + space[0];
}

volatile std::sig_atomic_t own_handler_ran = 0;

void own_handler(int number) {
    own_handler_ran = number;
    static_cast<void>(!::write(STDOUT_FILENO, "own handler\n", 12));
}
void own_handler_that_exits(int) { std::_Exit(42); }
void own_handler_that_cleans_up(int) { std::exit(5); }  // NOLINT: not for a signal handler, but programs do it

[[noreturn]] void stay() {
    for (;;) ::pause();
}

/// Calls exit(3) in code that the manager calls, or in a signal handler while the manager is in use.
void exit_inside(const std::string& where) {
    auto& manager = ProcessManager::instance();
    warden::SpawnOptions options;
    if (where == "preflight") {
        options.preflight.push_back({"exits", []() -> std::optional<std::string> { std::exit(5); }});
    } else if (where == "line") {
        options.on_line = [](const warden::OutputLine&) { std::exit(5); };
    } else if (where == "event") {
        static const auto kept = manager.subscribe([](const warden::Event& event) {
            if (event.kind == warden::EventKind::exit) std::exit(5);
        });
    } else if (where == "handler") {
        std::thread([main = ::pthread_self()] {
            while (!support::eventually([] { return ProcessManager::instance().active_pids().size() > 1; })) {}
            ::pthread_kill(main, SIGTERM);
        }).detach();
        static_cast<void>(manager.run({"sleep", "60"}));
    }
    static auto process = manager.spawn({"echo", "line"}, options);
    if (where == "completion") process.async_wait([](const warden::error_code&, warden::ExitStatus) { std::exit(5); });
    stay();
}

/// Comes to an end in the way of that name; returns for those that return from main.
void come_to_end(const std::string& ending) {
    if (ending == "stay") stay();
    if (ending == "own-handler") {
        while (!support::eventually([] { return own_handler_ran != 0; })) {}
        static_cast<void>(ProcessManager::instance().cleanup_all());
        std::exit(9);
    }
    if (ending == "exit") std::exit(5);
    if (ending.rfind("exit-in-", 0) == 0) exit_inside(ending.substr(8));
    if (ending == "_exit") ::_exit(6);
    if (ending == "quick_exit") std::quick_exit(7);
    if (ending == "abort") std::abort();
    if (ending == "terminate") std::terminate();
    if (ending == "segv") {
        ::signal(SIGSEGV, SIG_DFL);
        ::raise(SIGSEGV);
    }
    if (ending == "kill") ::kill(::getpid(), SIGKILL);
    if (ending == "term") {
        ::kill(::getpid(), SIGTERM);
        stay();
    }
    if (ending == "xcpu") ::raise(SIGXCPU);
    if (ending == "overflow") std::_Exit(overflow(0));
    if (ending == "throw") throw std::runtime_error("nobody catches this");
    if (ending == "thread-throw") {
        std::thread([] { throw std::runtime_error("nobody catches this"); }).detach();
        stay();
    }
    if (ending == "exec") {
        ::execl("/bin/sleep", "sleep", "60", nullptr);
    }
}

/// A forked copy, perhaps with a manager of its own, that waits for a signal.
[[noreturn]] void be_copy(const std::string& ending, const std::string& kind, const std::string& fifo,
                          const warden::ManagerConfig& config) {
    ::alarm(20);
    const std::string name = "copy " + std::to_string(::getpid());
    if (ending.find("manager") == std::string::npos) {
        announce(fifo, name);
        stay();
    }
    ProcessManager own(config);
    const ManagedProcess process = own.spawn(command_of(kind, fifo));
    announce(fifo, name);
    stay();
}

}  // namespace

// Crashes of this program are for its parent to see, and a copy of it cannot reach the memory of its threads.
extern "C" const char* __asan_default_options() { return "handle_segv=0:handle_abort=0:detect_leaks=0"; }
extern "C" const char* __tsan_default_options() { return "handle_segv=0:handle_abort=0"; }

int main(int argc, char* argv[]) {
    if (const auto code = warden::run_shim_if_asked(argc, argv)) return *code;
    if (argc > 1 && argv[1] == std::string_view("detach")) return detach(argc, argv);
    if (argc < 6) return 64;
    const std::string kind = argv[2];
    const std::string fifo = argv[3];
    std::string ending = argv[4];
    ::alarm(60);
    const struct rlimit no_core { 0, 0 };
    ::setrlimit(RLIMIT_CORE, &no_core);
    if (ending == "exit-in-handler") ::signal(SIGTERM, own_handler_that_cleans_up);
    if (ending == "own-handler") ::signal(SIGTERM, own_handler);
    if (ending == "stay-own-exit" || ending == "worker-own-exit") ::signal(SIGTERM, own_handler_that_exits);
    if (ending == "stay-ignored") ::signal(SIGHUP, SIG_IGN);

    warden::ManagerConfig config;
    for (const auto mechanism :
         {warden::Mechanism::cgroup, warden::Mechanism::keeper, warden::Mechanism::process_group}) {
        if (to_string(mechanism) == std::string_view(argv[1])) config.mechanism = mechanism;
    }
    config.data_directory = argv[5];
    config.graceful_timeout = 300ms;
    config.stop_plan = warden::StopPlan::within(300ms);
    ProcessManager::configure(config);

    ManagedProcess process;
    const auto start = [&] { process = ProcessManager::instance().spawn(command_of(kind, fifo)); };
    if (kind == "thread") std::thread(start).join();
    else start();
    if (kind == "grandchildren") static_cast<void>(process.wait());
    announce(fifo, "host " + std::to_string(::getpid()));
    announce(fifo, "group warden-" + to_string(ProcessManager::instance().instance_id()));
    announce(fifo, "guardian " + std::to_string(ProcessManager::instance().guardian_pid()));

    char byte = 0;
    if (::read(STDIN_FILENO, &byte, 1) != 1) return 65;
    announce(fifo, "going");

    if (ending == "copy-exits" ||
        ending == "copy-returns") {  // a copy runs the destructors of the program, or of this scope too
        const pid_t copy = ::fork();
        if (copy == 0 && ending == "copy-exits") std::exit(0);
        if (copy == 0) return 0;
        int status = -1;
        ::waitpid(copy, &status, 0);
        const bool well =
            process.running() && ProcessManager::instance().run({"sh", "-c", "exit 3"}).status.code() == 3;
        return status == 0 && well ? 11 : 12;
    }
    if (ending == "guardian-then-kill") {
        auto& manager = ProcessManager::instance();
        const auto former = manager.guardian_pid();
        ::kill(static_cast<pid_t>(former), SIGKILL);
        const auto is_replaced = [&] {
            const auto now = manager.guardian_pid();
            return now != former && now != 0;
        };
        if (!support::eventually(is_replaced, std::chrono::seconds(1)) || !process.running()) return 12;
        ::kill(::getpid(), SIGKILL);
    }
    if (ending.rfind("worker", 0) == 0) {  // a copy of the host gets the signal
        const pid_t copy = ::fork();
        if (copy == 0) be_copy(ending, kind, fifo, config);
        int status = -1;
        ::waitpid(copy, &status, 0);
        announce(fifo, WIFSIGNALED(status) ? "ended " + std::to_string(WTERMSIG(status))
                                           : "exited " + std::to_string(WEXITSTATUS(status)));
        announce(fifo, "running " + std::to_string(process.running() ? 1 : 0));
        stay();
    }
    if (ending == "daemon-manager") {
        if (::daemon(1, 1) != 0) return 12;
        be_copy(ending, kind, fifo, config);
    }
    if (ending.rfind("forked-", 0) == 0) {  // a copy of the host lives on when the host ends
        const pid_t copy = ::fork();
        if (copy == 0) {
            ::alarm(20);
            stay();
        }
        announce(fifo, "copy " + std::to_string(copy));
        ending.erase(0, std::string_view("forked-").size());
    }
    if (ending.rfind("stay-", 0) == 0) stay();
    if (ending == "leak") {  // the handle is never destroyed
        new ManagedProcess(std::move(process));
        return 3;
    }
    if (ending == "caught") {
        try {
            const ManagedProcess held = std::move(process);
            throw std::runtime_error("caught");
        } catch (const std::exception&) {
            return 4;
        }
    }
    if (ending == "return") return 3;
    come_to_end(ending);
    return 0;
}
