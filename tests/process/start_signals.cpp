// SPDX-License-Identifier: MIT
// Signals of the program and of its children, and the statuses that children end with, whoever else waits for them.
#include <support/fixture.hpp>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using warden::ExitCause;
using warden::ExitStatus;
using warden::SpawnOptions;

namespace {

/// A status that is right, or honestly unknown.
bool is_right_or_unknown(const ExitStatus& status, int code) {
    return !status.known() || (status.exited() && status.code() == code);
}

}  // namespace

TEMPLATE_TEST_CASE(
    "signals: a child has an empty mask and default dispositions, whatever the program blocks and ignores", "[start]",
    EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        const auto unsettle = [] {
            sigset_t mask;
            sigfillset(&mask);
            sigdelset(&mask, SIGALRM);
            ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);
            for (const int signal : {SIGINT, SIGTTOU, SIGPIPE, SIGHUP, SIGUSR1, SIGRTMIN + 3})
                ::signal(signal, SIG_IGN);
            ::signal(SIGQUIT, [](int) {});
        };
        for (const bool before : {true, false}) {
            if (before) unsettle();
            TestManager manager{TestType::mechanism};
            unsettle();
            const std::string seen = manager->run(victim("signals")).out;
            check.that(seen == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n",
                       seen);
            struct sigaction action {};
            ::sigaction(SIGPIPE, nullptr, &action);
            check.that(action.sa_handler == SIG_IGN, "the program's own SIGPIPE is as it was");
            sigset_t mask;
            ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
            check.that(::sigismember(&mask, SIGTERM) == 1, "the program's own mask is as it was");
        }
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE(
    "signals: a program's default SIGPIPE stays so, and a child that does not read does not end the program", "[start]",
    EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        ::signal(SIGPIPE, SIG_DFL);
        TestManager manager{TestType::mechanism};
        warden::error_code ec;
        const auto result = manager->run(victim("exit", "3"), {}, std::string(1 << 20, 'x'), ec);
        check.that(!ec && result.status.code() == 3,
                   "the code arrives: " + result.status.to_string() + ' ' + ec.message());
        struct sigaction action {};
        ::sigaction(SIGPIPE, nullptr, &action);
        check.that(action.sa_handler == SIG_DFL, "SIGPIPE is as it was");
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("signals: with SIGCHLD ignored or SA_NOCLDWAIT a status is right or unknown, never 0 and never late",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const bool ignored : {true, false}) {
        for (const bool before : {true, false}) {
            const std::string failures = in_subprocess([&](Checks& check) {
                const auto take_statuses_away = [&] {
                    struct sigaction action {};
                    action.sa_handler = ignored ? SIG_IGN : SIG_DFL;
                    action.sa_flags = ignored ? 0 : SA_NOCLDWAIT;
                    ::sigaction(SIGCHLD, &action, nullptr);
                };
                if (before) take_statuses_away();
                TestManager manager{TestType::mechanism};
                take_statuses_away();
                for (int i = 0; i < 10; ++i) {
                    const auto result = manager->run(victim("exit", "7"));
                    check.that(is_right_or_unknown(result.status, 7), "after exit(7): " + result.status.to_string());
                    check.that(result.status.known() || result.cause == ExitCause::unknown,
                               "what is not known has no cause");
                    check.that(!result.success(), "7 is no success");
                }
                auto killed = manager->spawn(victim("stay"));
                killed.kill();
                const auto status = killed.wait();
                check.that(!status.known() || status.signal() == SIGKILL, "after SIGKILL: " + status.to_string());
            });
            INFO((ignored ? "ignored" : "SA_NOCLDWAIT") << (before ? ", before the manager" : ", after the manager"));
            CHECK(failures == "");
        }
    }
}

TEMPLATE_TEST_CASE("signals: with a foreign waitpid(-1) loop a status is right or unknown, and every handle completes",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        std::atomic<bool> done{false};
        std::thread thief([&] {
            while (!done) {
                if (::waitpid(-1, nullptr, 0) < 0) std::this_thread::yield();  // no child at the moment
            }
        });
        for (int i = 0; i < 50; ++i) {
            const auto result = manager->run(victim("exit", "7"));
            if (!check.that(is_right_or_unknown(result.status, 7), "after exit(7): " + result.status.to_string()))
                break;
        }
        done = true;
        thief.join();
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("signals: the program's own children and its SIGCHLD handler are left alone", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        static std::atomic<int> told{0};
        ::signal(SIGCHLD, [](int) { ++told; });
        TestManager manager{TestType::mechanism};
        const pid_t own = ::fork();
        if (own == 0) ::_exit(9);
        static_cast<void>(manager->run(victim("exit", "0")));
        check.that(std::system("exit 5") == 5 << 8, "system() works");
        int status = 0;
        check.that(::waitpid(own, &status, 0) == own && WEXITSTATUS(status) == 9,
                   "its own child is its own to wait for");
        check.that(told > 0, "its handler runs");
        check.that(::waitpid(-1, nullptr, WNOHANG) == -1, "no child of warden's is seen");
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("signals: every exit code from 0 to 255 arrives as it is", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = warden::Output::null;
    options.stderr_ = warden::Output::null;
    for (int code = 0; code < 256; ++code) {
        auto process = manager->spawn(victim("exit", std::to_string(code)), options);
        const ExitStatus status = process.wait();
        if (status != ExitStatus::from_code(code)) FAIL_CHECK("exit(" << code << ") arrived as: " << status);
        if (process.cause() != ExitCause::exited) FAIL_CHECK("exit(" << code << ") has the cause " << process.cause());
    }
    CHECK(manager->run(victim("exit", "259")).status == ExitStatus::from_code(3));
}

TEMPLATE_TEST_CASE("signals: every fatal signal arrives as that signal, not as a code above 128", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (int signal = 1; signal <= 64; ++signal) {
        if (signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH)
            continue;  // ignored by default
        if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) continue;  // these stop
        if (signal == 32 || signal == 33) continue;  // the C library's own
        const auto result = manager->run(victim("kill-self", std::to_string(signal)));
        INFO("signal " << signal);
        CHECK(result.status == ExitStatus::from_signal(signal, false));
        CHECK(result.cause == (signal == SIGXCPU ? result.cause : ExitCause::crashed));
        CHECK_FALSE(result.success());
    }
    const auto shell = manager->run(warden::CommandLine::shell("exit 143"));
    CHECK(shell.status == ExitStatus::from_code(143));
    CHECK(shell.cause == ExitCause::exited);
}

TEMPLATE_TEST_CASE("signals: whether the kernel wrote a core is told as the kernel tells it", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory place;
    const std::string failures = in_subprocess([&](Checks& check) {
        struct rlimit core {};
        ::getrlimit(RLIMIT_CORE, &core);
        core.rlim_cur = core.rlim_max;
        ::setrlimit(RLIMIT_CORE, &core);
        check.that(::chdir(place.path().c_str()) == 0, "a place for it");
        const pid_t control = ::fork();
        if (control == 0) {
            ::execl(WARDEN_TEST_VICTIM, "victim", "kill-self", std::to_string(SIGABRT).c_str(), "core", nullptr);
            ::_exit(127);
        }
        int status = 0;
        ::waitpid(control, &status, 0);
        TestManager manager{TestType::mechanism};
        const auto result = manager->run(victim("kill-self", std::to_string(SIGABRT), "core"));
        check.that(result.status == ExitStatus::from_signal(SIGABRT, WCOREDUMP(status)),
                   "it says: " + result.status.to_string());
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("signals: a program that orphans fall to is left no zombie by a tree that has ended", "[start]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {  // a subreaper
        TestManager manager{TestType::mechanism};
        Handshake ready(manager.directory / "ready");
        auto process = manager->spawn(victim(ready, "setsid-daemon"));
        const pid_t daemon = ready.pid();
        check.that(daemon > 0 && is_alive(daemon), "there is a daemon");
        static_cast<void>(process.wait());
        check.that(process.stop(warden::StopPlan::now()).clean(), "it can be stopped");
        check.that(!is_alive(daemon), "the daemon is gone");
        check.that(eventually([&] { return process_state(daemon) == '\0'; }, std::chrono::seconds(2)),
                   "and it is no zombie");
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("signals: a leader that has been waited for is no zombie", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (int i = 0; i < 20; ++i) {
        auto process = manager->spawn(victim("exit", "0"));
        const warden::Pid pid = process.pid();
        CHECK(process.wait().success());
        CHECK(process_state(pid) == '\0');
    }
}
