// SPDX-License-Identifier: MIT
// However the program ends that owns them, no process of its is left: endings against kinds of children.
#include <support/fixture.hpp>

#include <cctype>
#include <cerrno>
#include <csignal>
#include <set>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;

namespace {

constexpr const char* signals_are_kept =
    "the thread sanitizer keeps back a signal that comes between two calls that wait, at times for ever";

/// A program that embeds warden, with one process, until `go` lets it come to its end.
class Host {
public:
    Host(warden::Mechanism mechanism, const std::string& kind, const std::string& ending)
        : before_(descendants()), handshake_(directory_ / "fifo") {
        const std::string data = directory_ / "data";
        const std::string out = directory_ / "out";
        const std::string words[] = {
            WARDEN_TEST_HOST, std::string(warden::to_string(mechanism)), kind, handshake_.path(), ending, data};
        std::vector<char*> argv;
        for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
        argv.push_back(nullptr);
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        go_ = ends[1];
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, ends[0], 0);
        ::posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
        const int failed = ::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(ends[0]);
        REQUIRE(failed == 0);
        while (member_ == 0 || guardian_ == 0) {
            const auto line = handshake_.line();
            INFO(output());
            REQUIRE(line);
            const std::string word = line->substr(0, line->find(' '));
            const std::string value = line->substr(word.size() + 1);
            if (word == "ready") member_ = static_cast<pid_t>(std::atoi(value.c_str()));
            if (word == "group") expect_no_control_group(value);
            if (word == "guardian") guardian_ = static_cast<pid_t>(std::atoi(value.c_str()));
        }
    }
    Host(const Host&) = delete;
    ~Host() {
        if (go_ >= 0) ::close(go_);
        for (const pid_t pid : mine()) ::kill(pid, SIGKILL);
        static_cast<void>(all_gone(10s));
    }

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] pid_t member() const { return member_; }
    [[nodiscard]] pid_t guardian() const { return guardian_; }
    [[nodiscard]] std::string output() const { return read_file((directory_ / "out").string()); }
    [[nodiscard]] Handshake& handshake() { return handshake_; }
    [[nodiscard]] const TestDirectory& directory() const { return directory_; }

    void go() {
        CHECK(::write(go_, "g", 1) == 1);
        ::close(go_);
        go_ = -1;
        CHECK(handshake_.line() == "going");  // no signal comes in the middle of its read(2)
    }
    /// Waits for its end; the status as of waitpid.
    [[nodiscard]] int status() {
        int status = -1;
        const bool ended = eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; });
        CHECK(ended);
        return status;
    }
    /// Whether everything that began below this process since then is gone within that time; zombies are reaped, as an
    /// init would.
    [[nodiscard]] bool all_gone(std::chrono::milliseconds patience, pid_t but = 0) {
        return eventually(
            [&] {
                bool any = false;
                for (const pid_t pid : mine()) {
                    if (pid == but) continue;
                    any = true;
                    ::waitpid(pid, nullptr, WNOHANG | __WALL);
                }
                return !any;
            },
            patience);
    }
    [[nodiscard]] std::string leftovers() const {
        std::string text;
        for (const pid_t pid : mine()) text += std::to_string(pid) + ": " + describe_process(pid) + '\n';
        return text;
    }

private:
    [[nodiscard]] std::vector<pid_t> mine() const {
        const std::set<pid_t> kept(before_.begin(), before_.end());
        std::vector<pid_t> found;
        for (const pid_t pid : descendants()) {
            if (kept.count(pid) == 0) found.push_back(pid);
        }
        return found;
    }

    TestDirectory directory_;
    std::vector<pid_t> before_;
    Handshake handshake_;
    int go_ = -1;
    pid_t pid_ = 0;
    pid_t member_ = 0;
    pid_t guardian_ = 0;
};

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

void check_ending(warden::Mechanism mechanism, const char* kind, const Ending& ending) {
    INFO("a child of kind " << kind << ", an ending by " << ending.name);
    Host host(mechanism, kind, ending.name);
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
TEMPLATE_TEST_CASE("host: no ending of the program leaves a process", "[host][H01][H10][H11]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const auto& ending : endings) check_ending(TestType::mechanism, "session", ending);
}

TEMPLATE_TEST_CASE("host: no kind of process outlives a SIGKILL of the program", "[host][H01][H03][H05]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const char* kind : kinds) check_ending(TestType::mechanism, kind, {"kill", -1, SIGKILL});
}

TEMPLATE_TEST_CASE("host: no kind of process outlives a crash or an exit of the program", "[host][H01]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const char* kind : {"ignores", "suspended", "grandchildren"}) {
        for (const Ending& ending : {Ending{"exit", 5, 0}, Ending{"segv", -1, SIGSEGV}, Ending{"_exit", 6, 0}}) {
            check_ending(TestType::mechanism, kind, ending);
        }
    }
}

// Nobody has their handles any more, so nobody could ever stop them.
TEMPLATE_TEST_CASE("host: a program that becomes another one by exec leaves no process running", "[host][H08]",
                   OnCgroup, OnKeeper) {
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

TEMPLATE_TEST_CASE("host: a process that a thread started which has ended runs on", "[host][H03]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    warden::ManagedProcess process;
    std::thread([&] { process = manager->spawn(victim(handshake, "stay")); }).join();
    REQUIRE(handshake.pid() > 0);
    CHECK_FALSE(process.wait_for(100ms));
    CHECK(process.stop(warden::StopPlan::now()).clean());
}

TEMPLATE_TEST_CASE(
    "host: a copy that was forked and lives on does not shield the processes of a program that is killed",
    "[host][H04]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    Host host(TestType::mechanism, "session", "forked-kill");
    host.go();
    const auto line = host.handshake().line();
    REQUIRE(line);
    const auto copy = static_cast<pid_t>(std::atoi(line->c_str() + 5));
    const int status = host.status();
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    const bool gone = host.all_gone(2s, copy);
    INFO(host.leftovers());
    CHECK(gone);
    CHECK(is_alive(copy));
}

TEMPLATE_TEST_CASE("host: the crash of one program leaves the processes of another alone", "[host][H16]", OnCgroup,
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

TEMPLATE_TEST_CASE("host: one manager's end leaves the processes of another one alone", "[host][H16]", OnCgroup,
                   OnKeeper) {
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

TEMPLATE_TEST_CASE("host: SIGTERM, SIGINT and SIGHUP clean up, then end the program as they would have", "[host][TST]",
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

TEMPLATE_TEST_CASE("host: a handler that the program had before runs too, and the program goes on", "[host][TST]",
                   OnCgroup, OnKeeper) {
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

TEMPLATE_TEST_CASE("host: a handler of the program that exits at once leaves no process", "[host][TST]", OnCgroup,
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

TEMPLATE_TEST_CASE("host: a signal that the program ignores stays ignored", "[host][TST]", OnCgroup, OnKeeper) {
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

TEMPLATE_TEST_CASE("host: a guardian that was killed is replaced, and its successor guards", "[host][H06]", OnCgroup,
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
                   "[host][H06]", OnCgroup, OnKeeper) {
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
    // The keepers of a killed guardian fall to the nearest subreaper, which is this program, and end there.
    CHECK(eventually([&] {
        bool any = false;
        for (const pid_t pid : descendants()) {
            if (read_file("/proc/" + std::to_string(pid) + "/comm") != "warden-keeper\n" ||
                parent_of(pid) != ::getpid())
                continue;
            any = true;
            ::waitpid(pid, nullptr, WNOHANG);
        }
        return !any;
    }));
}

TEMPLATE_TEST_CASE("fork: a copy that exits, or returns, leaves the processes of the original alone", "[host][I01]",
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
                   "[host][I02]", OnCgroup, OnKeeper) {
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
                check.that(process.tree().empty(), "there is no tree to be seen");
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

TEMPLATE_TEST_CASE("fork: a program that a copy executes gets no descriptor of warden", "[host][I03]", OnCgroup,
                   OnKeeper) {
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
