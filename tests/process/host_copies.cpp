// SPDX-License-Identifier: MIT
// Copies of a program that were forked without exec: workers of servers, daemons. What belongs to the original is no
// matter of theirs, and they hold up nothing of its end.
#include "host.hpp"

#include <csignal>
#include <map>
#include <thread>

#include <sys/syscall.h>

using namespace support;
using namespace std::chrono_literals;

namespace {

pid_t pid_in(const std::optional<std::string>& line, const std::string& word) {
    const bool is_said = line && line->rfind(word + ' ', 0) == 0;
    CHECK(is_said);
    return is_said ? static_cast<pid_t>(std::atoi(line->c_str() + word.size() + 1)) : 0;
}

/// The pids in the next two lines, "ready" and "copy", which come in any order.
std::pair<pid_t, pid_t> member_and_copy(Host& host) {
    std::map<std::string, pid_t> said;
    for (int i = 0; i < 2; ++i) {
        const std::string line = host.handshake().line().value_or("nothing 0");
        said[line.substr(0, line.find(' '))] = static_cast<pid_t>(std::atoi(line.c_str() + line.find(' ')));
    }
    return {said["ready"], said["copy"]};
}

/// A forked copy of this process that does nothing, until its object goes.
class Copy {
public:
    Copy() : pid_(::fork()) {
        if (pid_ != 0) return;
        ::alarm(30);
        for (;;) ::pause();
    }
    Copy(const Copy&) = delete;
    ~Copy() {
        if (pid_ <= 0) return;  // a number below would name everybody
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

private:
    const pid_t pid_;
};

}  // namespace

TEMPLATE_TEST_CASE("fork: a signal ends a copy as it did before the manager came, and the original hears nothing of it",
                   "[host][signals]", EVERY_MECHANISM) {
    SKIP_UNLESS(!WARDEN_HAS_TSAN, signals_are_kept);
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
        Host host(TestType::mechanism, "plain", "worker");
        host.go();
        const pid_t copy = pid_in(host.handshake().line(), "copy");
        REQUIRE(copy > 0);
        CHECK(::kill(copy, signal) == 0);
        CHECK(host.handshake().line() == "ended " + std::to_string(signal));
        CHECK(host.handshake().line() == "running 1");
        CHECK(is_alive(host.member()));
        CHECK(::kill(host.pid(), signal) == 0);
        const int status = host.status();
        CHECK((WIFSIGNALED(status) && WTERMSIG(status) == signal));
        CHECK(host.all_gone(2s));
    }
}

TEMPLATE_TEST_CASE("fork: a handler of the program's own runs in a copy too, and only there", "[host][signals]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS(!WARDEN_HAS_TSAN, signals_are_kept);
    SKIP_UNLESS_AVAILABLE(TestType);
    Host host(TestType::mechanism, "plain", "worker-own-exit");
    host.go();
    const pid_t copy = pid_in(host.handshake().line(), "copy");
    REQUIRE(copy > 0);
    CHECK(::kill(copy, SIGTERM) == 0);
    CHECK(host.handshake().line() == "exited 42");
    CHECK(host.handshake().line() == "running 1");
    CHECK(is_alive(host.member()));
    CHECK(::kill(host.pid(), SIGKILL) == 0);
    static_cast<void>(host.status());
    ::kill(-host.member(), SIGKILL);  // where a process group held it
    CHECK(host.all_gone(2s));
}

TEMPLATE_TEST_CASE("fork: a signal to a copy with a manager of its own stops that manager's processes, then the copy",
                   "[host][signals]", EVERY_MECHANISM) {
    SKIP_UNLESS(!WARDEN_HAS_TSAN, signals_are_kept);
    SKIP_UNLESS_AVAILABLE(TestType);
    Host host(TestType::mechanism, "ignores", "worker-manager");
    host.go();
    const auto [member, copy] = member_and_copy(host);
    REQUIRE((member > 0 && copy > 0));
    CHECK(::kill(copy, SIGTERM) == 0);
    CHECK(host.handshake().line() == "ended " + std::to_string(SIGTERM));
    CHECK(host.handshake().line() == "running 1");
    CHECK_FALSE(is_alive(member));
    CHECK(is_alive(host.member()));
    CHECK(::kill(host.pid(), SIGTERM) == 0);
    const int status = host.status();
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
    CHECK(host.all_gone(2s));
}

TEMPLATE_TEST_CASE(
    "fork: a signal to a daemon with a manager of its own stops that manager's processes, then the daemon",
    "[host][signals]", EVERY_MECHANISM) {
    SKIP_UNLESS(!WARDEN_HAS_TSAN, signals_are_kept);
    SKIP_UNLESS_AVAILABLE(TestType);
    Host host(TestType::mechanism, "ignores", "daemon-manager");
    host.go();
    const auto [member, daemon] = member_and_copy(host);
    REQUIRE((member > 0 && daemon > 0));
    const int status = host.status();
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    CHECK(is_alive(member));
    CHECK(::kill(daemon, SIGTERM) == 0);
    int how = -1;
    CHECK(eventually([&] { return ::waitpid(daemon, &how, WNOHANG) == daemon; }));
    CHECK((WIFSIGNALED(how) && WTERMSIG(how) == SIGTERM));
    CHECK_FALSE(is_alive(member));
    ::kill(-host.member(), SIGKILL);  // where a process group held it
    CHECK(host.all_gone(2s));
}

TEMPLATE_TEST_CASE("fork: a copy that lives on holds up neither the end of the program nor that of its processes",
                   "[host]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const char* ending : {"forked-return", "forked-exit", "forked-kill", "forked-segv", "forked-_exit"}) {
        INFO(ending);
        Host host(TestType::mechanism, "session", ending);
        host.go();
        const pid_t copy = pid_in(host.handshake().line(), "copy");
        const auto begin = std::chrono::steady_clock::now();
        static_cast<void>(host.status());
        CHECK(std::chrono::steady_clock::now() - begin < 3s);
        const bool gone = host.all_gone(2s, copy);
        INFO(host.leftovers());
        CHECK(gone);
        CHECK(is_alive(copy));
    }
}

TEMPLATE_TEST_CASE("fork: a copy that lives on holds up nothing of a manager's end", "[host]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        const auto before = descendants().size();
        std::optional<TestManager> manager(TestType::mechanism);
        auto process = (*manager)->spawn(victim("stay"));
        check.that((*manager)->run(victim("exit", "3")).status.code() == 3, "a run before");
        const Copy copy;
        check.that(process.stop(warden::StopPlan::now()).clean(), "the process is stopped");
        process = warden::ManagedProcess();
        const auto begin = std::chrono::steady_clock::now();
        manager.reset();
        check.that(std::chrono::steady_clock::now() - begin < 3s, "the manager ends at once");
        check.that(eventually([&] { return descendants().size() == before + 1; }, 2s), "only the copy is left");
    });
    CHECK(failures == "");
}

TEST_CASE("fork: without pidfds too a copy that lives on does not shield the processes of a program that is killed",
          "[host]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    const TestDirectory directory;
    const std::string failures = in_subprocess([&](Checks& check) {
        if (!check.that(deny_system_calls({SYS_pidfd_open}, ENOSYS), "a filter")) return;
        Handshake handshake(directory / "fifo");
        const pid_t host = ::fork();
        if (host == 0) {
            warden::ManagerConfig config;
            config.mechanism = warden::Mechanism::keeper;
            config.data_directory = directory / "data";
            warden::ProcessManager manager(config);
            const auto process = manager.spawn(victim(handshake, "stay"));
            if (::fork() == 0) {
                ::alarm(20);
                for (;;) ::pause();
            }
            ::kill(::getpid(), SIGKILL);
        }
        int status = -1;
        ::waitpid(host, &status, 0);
        check.that(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the host was killed");
        // Its process may be ended before it says anything: then nobody is left but the copy.
        const auto left = [] {
            for (const pid_t pid : descendants()) ::waitpid(pid, nullptr, WNOHANG | __WALL);
            return descendants().size();
        };
        check.that(eventually([&] { return left() == 1; }, 2s), "only the copy is left");
        for (const pid_t pid : descendants()) ::kill(pid, SIGKILL);  // the copy
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("fork: a copy that exits, or returns, leaves the processes of the original alone", "[host]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const char* ending : {"copy-exits", "copy-returns"}) {
        INFO(ending);
        Host host(TestType::mechanism, "session", ending);
        host.go();
        const int status = host.status();
        CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 11));
        CHECK(host.all_gone(2s));
    }
}

TEMPLATE_TEST_CASE("fork: in a copy everything answers that it is one, also when threads were starting processes",
                   "[host]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(!WARDEN_HAS_ASAN, "the sanitizer's allocator can be held by a thread that the copy does not have");
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        auto process = manager->spawn(victim("stay"));
        std::atomic<bool> over{false};
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                while (!over) {
                    warden::error_code ec;
                    static_cast<void>(manager->run(victim("exit"), {}, {}, ec));
                }
            });
        }
        for (int i = 0; i < 20; ++i) {
            const pid_t copy = ::fork();
            if (copy == 0) {
                ::alarm(10);
                const auto refused = [&](auto call, const char* name) {
                    try {
                        call();
                    } catch (const warden::system_error& error) {
                        check.that(error.code() == warden::errc::forked, std::string(name) + ": " + error.what());
                        return;
                    }
                    check.failure(std::string(name) + " was not refused");
                };
                refused([&] { static_cast<void>(manager->spawn(victim("exit"))); }, "spawn");
                refused([&] { manager->run(victim("exit")); }, "run");
                refused([&] { static_cast<void>(manager->list()); }, "list");
                refused([&] { manager->stop("victim"); }, "stop");
                refused([&] { static_cast<void>(manager->cleanup_all()); }, "cleanup_all");
                refused([&] { static_cast<void>(manager->active_pids()); }, "active_pids");
                refused([&] { process.wait(); }, "wait");
                refused([&] { process.kill(); }, "kill");
                refused([&] { process.signal(SIGKILL); }, "signal");
                refused([&] { process.stop(); }, "the stop of a handle");
                refused([&] { process.write("x"); }, "write");
                refused([&] { static_cast<void>(process.tree()); }, "tree");
                refused([&] { static_cast<void>(process.usage()); }, "usage");
                process = warden::ManagedProcess();
                ::_exit(0);
            }
            int status = -1;
            ::waitpid(copy, &status, 0);
            check.that(status == 0, "copy " + std::to_string(i) + " ended with status " + std::to_string(status));
        }
        over = true;
        for (auto& thread : threads) thread.join();
        check.that(process.running(), "the process of the original runs");
        check.that(process.stop(warden::StopPlan::now()).clean(), "and can be stopped");
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("fork: a program that a copy executes gets no descriptor of warden", "[host]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        const auto seen_by_copy = [] {
            int ends[2];
            if (::pipe2(ends, O_CLOEXEC) != 0) return std::string("no pipe");
            const pid_t copy = ::fork();
            if (copy == 0) {
                ::dup2(ends[1], 1);
                ::execl(WARDEN_TEST_VICTIM, "victim", "probe-fds", nullptr);
                ::_exit(1);
            }
            ::close(ends[1]);
            std::string text;
            char buffer[4096];
            for (ssize_t size = 0; (size = ::read(ends[0], buffer, sizeof buffer)) > 0;)
                text.append(buffer, static_cast<std::size_t>(size));
            ::close(ends[0]);
            ::waitpid(copy, nullptr, 0);
            return text;
        };
        const std::string before = seen_by_copy();
        TestManager manager{TestType::mechanism, [](auto& config) { config.handle_signals = true; }};
        warden::SpawnOptions options;
        options.stdin_ = warden::Input::pipe;
        const auto one = manager->spawn(victim("stay"), options);
        const auto other = manager->spawn(victim("stay"));
        const std::string during = seen_by_copy();
        check.that(during == before, "descriptors before:" + before + ", with a manager:" + during);
    });
    CHECK(failures == "");
}
