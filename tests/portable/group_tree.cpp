// SPDX-License-Identifier: MIT
// The containment that every POSIX system has: launch by fork, waiting for children by their pids, the process group.
// Compiled with WARDEN_PORTABLE_POSIX where something better is to be had.
#include "group_tree.hpp"

#include <warden/detail/system/process_listing_portable.hpp>

#include <cstdlib>
#include <fstream>
#include <thread>

#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

using namespace support;
using warden::SpawnStep;

namespace {

constexpr bool is_sanitized = WARDEN_HAS_ASAN || WARDEN_HAS_TSAN;

/// What a program writes to its standard output until it has ended.
std::string output_of(const Program& program) {
    IoLoop loop;
    auto [to_read, to_write] = make_closed_pipe();
    REQUIRE(to_read);
    ChildPlan plan = program.plan;
    plan.stdio[1] = to_write.get();
    Tree tree(loop, plan);
    if (tree.answer.error != 0) return "not started: " + std::to_string(tree.answer.error);
    to_write.reset();
    std::string text;
    char buffer[4096];
    for (ssize_t size = 0; (size = ::read(to_read.get(), buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<std::size_t>(size));
    return tree.status().success() ? text : text + tree.status().to_string();
}

/// The error and step of a start that must fail and leave nothing.
std::pair<int, SpawnStep> failure_of(const Program& program) {
    ProcessGroupTree tree;
    ChildAnswer answer;
    tree.launch(program.plan, answer);
    CHECK(tree.pid() == 0);
    return {answer.error, static_cast<SpawnStep>(answer.step)};
}

/// Keeps a loop from doing anything while it lives.
class Busy {
public:
    explicit Busy(IoLoop& loop) {
        loop.post([this] {
            entered_.set_value();
            go_on_.get_future().wait();
            left_.set_value();
        });
        entered_.get_future().wait();
    }
    ~Busy() {
        go_on_.set_value();
        left_.get_future().wait();
    }

private:
    std::promise<void> entered_;
    std::promise<void> go_on_;
    std::promise<void> left_;
};

using Identified = std::pair<int, SpawnStep>;

}  // namespace

TEST_CASE("portable launch: arguments, environment and directory arrive as they are", "[portable]") {
    CHECK(output_of(victim("args", "one", "", "two words")) == std::string("one\0\0two words\0", 15));
    Program program = victim("env");
    program.environment = {"A=1", "B=two words", "C=", nullptr};
    program.plan.environment = program.environment.data();
    CHECK(output_of(program) == std::string("A=1\0B=two words\0C=\0", 19));
    Program elsewhere = victim("cwd");
    elsewhere.plan.directory = "/usr";
    CHECK(output_of(elsewhere) == "/usr");
    const UniqueFd start(::open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Program relative = victim("cwd");
    relative.plan.start_directory = start.get();
    relative.plan.directory = "bin/..";
    CHECK(output_of(relative) == "/usr");
}

TEST_CASE("portable launch: the leader is the head of a session and group of its own, and a child of this program",
          "[portable]") {
    IoLoop loop;
    Handshake ready(fifo_path());
    Tree tree(loop, victim("--ready", ready.path(), "stay"));
    REQUIRE(ready.pid() == tree.pid());
    CHECK(::getpgid(tree.pid()) == tree.pid());
    CHECK(::getsid(tree.pid()) == tree.pid());
    CHECK(parent_of(tree.pid()) == ::getpid());
    CHECK(tree.members() == std::vector<Pid>{tree.pid()});
    warden::error_code unread;
    const auto listed = member(tree.pid(), unread);
    REQUIRE(listed);
    CHECK(listed->pid == tree.pid());
    CHECK(why_alive(*listed) == "exists, in process group " + std::to_string(tree.pid()) + " of session " +
                                    std::to_string(tree.pid()) + "; this system tells no more");
    CHECK(!tree.signal_tree(SIGKILL));
    CHECK(tree.status() == ExitStatus::from_signal(SIGKILL, false));
    CHECK(tree.becomes_extinct());
    CHECK(tree.members().empty());
    CHECK(!member(tree.pid(), unread));
    CHECK_FALSE(unread);
    CHECK(why_alive(*listed) == "gone by now");
    CHECK(tree.signal_leader(SIGTERM) == system_code(ESRCH));
    CHECK(tree.signal_tree(SIGTERM) == system_code(ESRCH));
}

TEST_CASE("portable launch: a child has its standard descriptors and those kept, and no other", "[portable]") {
    const UniqueFd kept(::fcntl(STDERR_FILENO, F_DUPFD, 40));
    const UniqueFd leaking(::fcntl(STDERR_FILENO, F_DUPFD, 41));
    const UniqueFd far(::fcntl(STDERR_FILENO, F_DUPFD, 900));
    CHECK(output_of(victim("probe-fds")) == " 0 1 2");
    Program program = victim("probe-fds");
    const int list[] = {kept.get(), far.get()};
    program.plan.kept = list;
    program.plan.kept_count = 2;
    CHECK(output_of(program) == " 0 1 2 " + std::to_string(kept.get()) + ' ' + std::to_string(far.get()));
}

TEST_CASE("portable launch: descriptors above a limit that was lowered later are closed too", "[portable]") {
    const std::string failures = in_subprocess([](Checks& check) {
        const UniqueFd far(::fcntl(STDERR_FILENO, F_DUPFD, 700));
        const struct rlimit low { 100, 100 };
        check.that(far && ::setrlimit(RLIMIT_NOFILE, &low) == 0, "a limit of 100");
        check.that(descriptor_bound() > far.get(), "the bound is above what is open");
        const std::string seen = output_of(victim("probe-fds"));
        check.that(seen == " 0 1 2", seen);
    });
    CHECK(failures == "");
}

TEST_CASE(
    "portable launch: a child has an empty mask and default dispositions, whatever the program blocks and ignores",
    "[portable]") {
    const std::string failures = in_subprocess([](Checks& check) {
        for (const int signal : {SIGINT, SIGTTOU, SIGPIPE, SIGHUP, SIGUSR1, SIGRTMIN + 3, SIGRTMAX})
            ::signal(signal, SIG_IGN);
        ::signal(SIGQUIT, [](int) {});
        sigset_t mask;
        sigfillset(&mask);
        sigdelset(&mask, SIGALRM);
        ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);
        const std::string seen = output_of(victim("signals"));
        check.that(seen == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n", seen);
        sigset_t after;
        ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
        check.that(::sigismember(&after, SIGTERM) == 1, "the program's own mask is as it was");
        struct sigaction action {};
        ::sigaction(SIGPIPE, nullptr, &action);
        check.that(action.sa_handler == SIG_IGN, "the program's own SIGPIPE is as it was");
    });
    CHECK(failures == "");
}

TEST_CASE("portable launch: a terminal becomes the controlling terminal of the child's session", "[portable]") {
    UniqueFd ours(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    REQUIRE((::grantpt(ours.get()) == 0 && ::unlockpt(ours.get()) == 0));
    const UniqueFd theirs(::open(::ptsname(ours.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    IoLoop loop;
    Handshake ready(fifo_path());
    Program program = victim("--ready", ready.path(), "stay");
    program.plan.stdio.fill(theirs.get());
    program.plan.take_terminal = true;
    Tree tree(loop, program);
    REQUIRE(ready.pid() == tree.pid());
    CHECK(::tcgetsid(ours.get()) == tree.pid());
    ours.reset();  // a hangup
    CHECK(tree.status() == ExitStatus::from_signal(SIGHUP, false));
}

TEST_CASE("portable launch: limits, umask, priority and ids are as planned", "[portable]") {
    Program program = victim("limits");
    program.plan.limits[0] = {RLIMIT_NOFILE, 77};
    program.plan.limits[1] = {RLIMIT_CORE, 0};
    program.plan.limit_count = 2;
    program.plan.umask = 027;
    program.plan.change_nice = true;
    program.plan.nice = 19;
    const bool may_change = ::geteuid() == 0;
    const gid_t groups[] = {1234, 1235};
    program.plan.change_ids = may_change;
    program.plan.user = 65534;
    program.plan.group = 65533;
    program.plan.groups = groups;
    program.plan.group_count = 2;
    const std::string seen = output_of(program);
    INFO(seen);
    CHECK(seen.find("files 77 77\n") != std::string::npos);
    CHECK(seen.find("core 0 0\n") != std::string::npos);
    CHECK(seen.find("umask 027\n") != std::string::npos);
    CHECK(seen.find("nice 19\n") != std::string::npos);
    SKIP_UNLESS(may_change, "only root may change the ids of a child");
    CHECK(seen.find("ids 65534 65534 65534 65533 65533 65533\ngroups 1234 1235\n") != std::string::npos);
}

TEST_CASE("portable launch: a start that fails tells the step and the reason and leaves no zombie", "[portable]") {
    CHECK(failure_of(Program({"/nonexistent/program"})) == Identified(ENOENT, SpawnStep::executable));
    CHECK(failure_of(Program({"/dev/null/program"})) == Identified(ENOTDIR, SpawnStep::executable));
    CHECK(failure_of(Program({"/usr"})) == Identified(EACCES, SpawnStep::executable));
    const std::string text = (std::filesystem::temp_directory_path() / "text").string();
    std::ofstream(text) << "no program\n";
    CHECK(failure_of(Program({text})) == Identified(EACCES, SpawnStep::executable));
    std::filesystem::permissions(text, std::filesystem::perms(0755));
    CHECK(failure_of(Program({text})) == Identified(ENOEXEC, SpawnStep::executable));
    std::filesystem::remove(text);

    Program searched = victim("exit");
    searched.candidates = {"/nonexistent", "/usr", "/nonexistent/too", nullptr};
    searched.plan.candidates = searched.candidates.data();
    CHECK(failure_of(searched) == Identified(EACCES, SpawnStep::executable));
    searched.candidates = {"/nonexistent", "/dev/null/too", nullptr};
    searched.plan.candidates = searched.candidates.data();
    CHECK(failure_of(searched) == Identified(ENOENT, SpawnStep::executable));

    Program program = victim("exit");
    program.plan.directory = "/nonexistent";
    CHECK(failure_of(program) == Identified(ENOENT, SpawnStep::working_directory));
    program = victim("exit");
    program.plan.stdio[2] = 4000;
    CHECK(failure_of(program) == Identified(EBADF, SpawnStep::descriptors));
    program = victim("exit");
    program.plan.limits[0] = {9999, 1};
    program.plan.limit_count = 1;
    CHECK(failure_of(program) == Identified(EINVAL, SpawnStep::resource_limits));
    program = victim("exit");
    program.plan.hook = [](void*) { return EDOM; };
    CHECK(failure_of(program) == Identified(EDOM, SpawnStep::launch));
    program.plan.hook = [](void*) { return ::raise(SIGKILL); };
    CHECK(failure_of(program) == Identified(ECANCELED, SpawnStep::launch));
    program.plan.hook = [](void*) {  // gets on without a way to answer
        for (int fd = 3; fd < 1024; ++fd) ::close(fd);
        return 0;
    };
    CHECK(failure_of(program) == Identified(ECANCELED, SpawnStep::launch));

    CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
    CHECK(errno == ECHILD);
}

TEST_CASE("portable launch: a child that may not have its ids, or a program without descriptors or processes, says so",
          "[portable]") {
    const std::string failures = in_subprocess([](Checks& check) {
        if (::geteuid() == 0 && ::setuid(65534) != 0) check.failure("cannot become another user");
        Program program = victim("exit");
        program.plan.change_ids = true;
        ChildAnswer answer;
        check.that(fork_child(program.plan, answer) == 0, "no child became root");
        check.that(answer.error == EPERM && answer.step == static_cast<int>(SpawnStep::identity), "step identity");
        const struct rlimit none { 0, 0 };
        ::setrlimit(RLIMIT_NPROC, &none);
        check.that(fork_child(program.plan, answer) == 0, "no child without processes");
        check.that(answer.error == EAGAIN && answer.step == static_cast<int>(SpawnStep::launch), "step launch");
        ::setrlimit(RLIMIT_NOFILE, &none);
        check.that(fork_child(program.plan, answer) == 0, "no child without descriptors");
        check.that(answer.error == EMFILE && answer.step == static_cast<int>(SpawnStep::descriptors),
                   "step descriptors");
    });
    CHECK(failures == "");
}

TEST_CASE("portable launch: closed standard descriptors of the program do not confuse it", "[portable]") {
    const std::string failures = in_subprocess([](Checks& check) {
        Program program = victim("args", "here");
        for (int fd = 0; fd < 3; ++fd) ::close(fd);
        ChildAnswer answer;
        auto [to_read, to_write] = make_closed_pipe();
        check.that(to_read && move_above_stdio(to_read) == 0 && move_above_stdio(to_write) == 0, "a pipe");
        program.plan.stdio[1] = to_write.get();
        const Pid pid = fork_child(program.plan, answer);
        check.that(pid > 0 && answer.error == 0, "it starts: " + std::to_string(answer.error));
        to_write.reset();
        char text[16] = {};
        check.that(::read(to_read.get(), text, sizeof text) == 5 && std::string(text) == "here", "its words arrive");
        check.that(::waitpid(pid, nullptr, 0) == pid, "it can be waited for");
    });
    CHECK(failures == "");
}

TEST_CASE("portable group: exit codes and signals arrive, and nothing is left of the group then", "[portable]") {
    IoLoop loop;
    for (const int code : {0, 3, 127, 255}) {
        Tree tree(loop, victim("exit", std::to_string(code)));
        CHECK(tree.status() == ExitStatus::from_code(code));
        CHECK(tree.end().second);
        CHECK(tree.becomes_extinct());
        CHECK(process_state(tree.pid()) == '\0');
    }
    for (const int signal : {SIGKILL, SIGTERM, SIGSEGV, SIGABRT}) {
        Tree tree(loop, victim("kill-self", std::to_string(signal)));
        CHECK(tree.status() == ExitStatus::from_signal(signal, false));
        CHECK(tree.end().second);
    }
}

TEST_CASE("portable group: what a leader used is told with its end", "[portable]") {
    IoLoop loop;
    Tree tree(loop, victim("chain-forker", "0"));
    CHECK(tree.end().first.usage.user_time + tree.end().first.usage.system_time > 0ns);
}

TEST_CASE("portable group: an end that comes while the loop is busy, or before it is watched, is told once",
          "[portable]") {
    IoLoop loop;
    Handshake ready(fifo_path());
    Tree tree(loop, victim("--ready", ready.path(), "stay"));
    REQUIRE(ready.pid() == tree.pid());
    {
        const Busy busy(loop);
        ::kill(tree.pid(), SIGTERM);
        REQUIRE(eventually([&] { return process_state(tree.pid()) == 'Z'; }));
        CHECK(tree.ends_told == 0);
    }
    CHECK(tree.status() == ExitStatus::from_signal(SIGTERM, false));
    loop.call([] {});
    CHECK(tree.ends_told == 1);

    std::promise<ExitStatus> ended;
    std::optional<ProcessGroupTree> early(std::in_place);
    ChildAnswer answer;
    early->launch(victim("exit", "9").plan, answer);
    REQUIRE(answer.error == 0);
    REQUIRE(eventually([&] { return process_state(early->pid()) == 'Z'; }));
    const warden::error_code ec = loop.call([&] {
        return early->watch(
            loop, [&](const LeaderExit& end, bool) { ended.set_value(end.status); }, [] {});
    });
    CHECK(!ec);
    CHECK(value_of(ended) == ExitStatus::from_code(9));
    loop.call([&] { early.reset(); });
}

TEST_CASE("portable group: a member that outlives the leader is told, signalled and waited for", "[portable]") {
    IoLoop loop;
    Handshake ready(fifo_path());
    Tree tree(loop, victim("--ready", ready.path(), "grandchildren", "2", "exit"));
    const pid_t first = ready.pid();
    const pid_t second = ready.pid();
    CHECK(tree.status() == ExitStatus::from_code(0));
    CHECK_FALSE(tree.end().second);
    CHECK(tree.members().empty());
    CHECK_FALSE(tree.becomes_extinct(20ms));
    ::kill(first, SIGKILL);
    CHECK_FALSE(tree.becomes_extinct(20ms));
    CHECK(is_alive(second));
    CHECK(tree.signal_leader(SIGKILL) == system_code(ESRCH));
    CHECK(!tree.signal_tree(SIGTERM));
    CHECK(tree.becomes_extinct());
    CHECK(process_state(second) == '\0');
    CHECK(tree.signal_tree(SIGTERM) == system_code(ESRCH));
    CHECK(tree.ends_told == 1);
}

TEST_CASE("portable group: members that a long patience waits for are seen soon after a signal", "[portable]") {
    IoLoop loop;
    Handshake ready(fifo_path());
    Tree tree(loop, victim("--ready", ready.path(), "grandchildren", "1", "exit"));
    REQUIRE(ready.pid() > 0);
    CHECK_FALSE(tree.becomes_extinct(2500ms));  // the back-off is at a second by now
    const auto start = std::chrono::steady_clock::now();
    CHECK(!tree.signal_tree(SIGKILL));
    CHECK(tree.becomes_extinct());
    CHECK(std::chrono::steady_clock::now() - start < 400ms);
}

TEST_CASE("portable group: destroying it ends leader and members, also those that outlive the leader", "[portable]") {
    IoLoop loop;
    Handshake ready(fifo_path());
    for (const char* leader : {"stay", "exit"}) {
        Tree tree(loop, victim("--ready", ready.path(), "grandchildren", "1", leader));
        const pid_t grandchild = ready.pid();
        REQUIRE(ready.pid() == tree.pid());
        const Pid pid = tree.pid();
        if (std::string(leader) == "exit") CHECK_FALSE(tree.end().second);
        tree.destroy();
        CHECK(eventually([&] { return process_state(pid) == '\0'; }));
        CHECK(eventually([&] { return !is_alive(grandchild); }));
        ::waitpid(grandchild, nullptr, 0);  // it fell to the runner
    }
    ProcessGroupTree unwatched;
    ChildAnswer answer;
    unwatched.launch(victim("stay").plan, answer);
    CHECK(unwatched.pid() > 0);
}

TEST_CASE("portable group: a loop that goes right after a kill leaves no zombie", "[portable]") {
    for (int round = 0; round < 20; ++round) {
        IoLoop loop;
        Tree tree(loop, victim("stay"));
        tree.destroy();
    }
    CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
}

TEST_CASE("portable group: a stopped group is killed", "[portable]") {
    IoLoop loop;
    Handshake ready(fifo_path());
    Tree tree(loop, victim("--ready", ready.path(), "grandchildren", "1"));
    const pid_t grandchild = ready.pid();
    REQUIRE(ready.pid() == tree.pid());
    CHECK(!tree.signal_tree(SIGSTOP));
    CHECK(eventually([&] { return process_state(tree.pid()) == 'T' && process_state(grandchild) == 'T'; }));
    CHECK(tree.ends_told == 0);
    CHECK(!tree.signal_tree(SIGKILL));
    CHECK(tree.status() == ExitStatus::from_signal(SIGKILL, false));
    CHECK(tree.becomes_extinct());
    CHECK(!is_alive(grandchild));
}

TEST_CASE("portable watch: a status that somebody else took is unknown, and the number is not signalled any more",
          "[portable]") {
    IoLoop loop;
    Handshake ready(fifo_path());
    Tree tree(loop, victim("--ready", ready.path(), "grandchildren", "1"));
    const pid_t grandchild = ready.pid();
    REQUIRE(ready.pid() == tree.pid());
    {
        const Busy busy(loop);
        ::kill(tree.pid(), SIGKILL);
        REQUIRE(::waitpid(tree.pid(), nullptr, 0) == tree.pid());
        CHECK(tree.in_place().signal_tree(SIGKILL) == system_code(ESRCH));  // the loop stands still
        CHECK(tree.in_place().signal_leader(SIGKILL) == system_code(ESRCH));
    }
    CHECK_FALSE(tree.status().known());
    CHECK_FALSE(tree.end().second);
    CHECK(tree.signal_tree(SIGKILL) == system_code(ESRCH));
    CHECK(is_alive(grandchild));
    ::kill(grandchild, SIGKILL);
    ::waitpid(grandchild, nullptr, 0);  // it fell to the runner
    CHECK(tree.becomes_extinct());
}

TEST_CASE("portable watch: with SIGCHLD ignored or SA_NOCLDWAIT, before or after, an end is told and never as 0",
          "[portable]") {
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
                IoLoop loop;
                loop.call([&] { static_cast<void>(ChildWatch::of(loop.context())); });
                if (!before) take_statuses_away();
                for (int i = 0; i < 10; ++i) {
                    Tree tree(loop, victim("exit", "7"));
                    const ExitStatus status = tree.status();
                    check.that(!status.known() || status.code() == 7, "after exit(7): " + status.to_string());
                    check.that(tree.becomes_extinct(), "the group is gone");
                }
                Tree killed(loop, victim("stay"));
                take_statuses_away();
                killed.signal_tree(SIGKILL);
                const ExitStatus status = killed.status();
                check.that(!status.known() || status.signal() == SIGKILL, "after SIGKILL: " + status.to_string());
                check.that(::waitpid(-1, nullptr, WNOHANG) == -1, "the system still reaps by itself");
            });
            INFO((ignored ? "ignored" : "SA_NOCLDWAIT") << (before ? ", before" : ", after"));
            CHECK(failures == "");
        }
    }
}

TEST_CASE("portable watch: with a foreign waitpid(-1) loop a status is right or unknown, and every end is told",
          "[portable]") {
    const std::string failures = in_subprocess([](Checks& check) {
        IoLoop loop;
        std::atomic<bool> done{false};
        std::thread thief([&] {
            while (!done) {
                if (::waitpid(-1, nullptr, 0) < 0) std::this_thread::yield();
            }
        });
        for (int i = 0; i < 50; ++i) {
            Tree tree(loop, victim("exit", "7"));
            const ExitStatus status = tree.status();
            check.that(!status.known() || status.code() == 7, "after exit(7): " + status.to_string());
            check.that(tree.becomes_extinct(), "the group is gone");
        }
        done = true;
        thief.join();
    });
    CHECK(failures == "");
}

TEST_CASE("portable watch: children of the host are neither reaped nor killed", "[portable]") {
    IoLoop loop;
    const pid_t foreign = ::fork();
    if (foreign == 0) ::_exit(42);
    {
        Tree tree(loop, victim("exit", "1"));
        CHECK(tree.status().code() == 1);
        REQUIRE(eventually([&] { return process_state(foreign) == 'Z'; }));
        Tree another(loop, victim("exit", "2"));
        CHECK(another.status().code() == 2);
    }
    int status = 0;
    CHECK(::waitpid(foreign, &status, 0) == foreign);
    CHECK(WEXITSTATUS(status) == 42);
}

TEST_CASE("portable watch: when a number is given anew, the one who had it is lost", "[portable]") {
    IoLoop loop;
    std::promise<ChildState::Kind> former;
    std::promise<ExitStatus> later;
    Handshake ready(fifo_path());
    Tree tree(loop, victim("--ready", ready.path(), "stay"));
    REQUIRE(ready.pid() == tree.pid());
    Pid pid = 0;
    ChildAnswer answer;
    pid = fork_child(victim("stay").plan, answer);
    loop.call([&] {
        auto& watch = ChildWatch::of(loop.context());
        watch.await(pid, [&](const ChildState& state) { former.set_value(state.kind); });
        watch.await(pid, [&](const ChildState& state) { later.set_value(state.status); });
    });
    CHECK(value_of(former) == ChildState::lost);
    ::kill(pid, SIGKILL);
    CHECK(value_of(later).signal() == SIGKILL);
    CHECK(::waitpid(pid, nullptr, 0) == pid);  // it was only looked at
}

TEST_CASE("portable group: in a fork of the host the tree is left alone", "[portable]") {
    IoLoop loop;
    Handshake ready(fifo_path());
    for (const char* leader : {"stay", "exit"}) {
        Tree tree(loop, victim("--ready", ready.path(), "grandchildren", "1", leader));
        const pid_t grandchild = ready.pid();
        REQUIRE(ready.pid() == tree.pid());
        if (std::string(leader) == "exit") CHECK_FALSE(tree.end().second);
        const Busy busy(loop);
        const pid_t fork = ::fork();
        if (fork == 0) {
            const bool refused = tree.in_place().signal_tree(SIGKILL) == system_code(ESRCH);
            tree.in_place().~ProcessGroupTree();
            ::_exit(refused ? 0 : 1);
        }
        int status = -1;
        CHECK(::waitpid(fork, &status, 0) == fork);
        CHECK(status == 0);
        CHECK(is_alive(grandchild));
        CHECK(!tree.in_place().signal_tree(SIGKILL));
        if (std::string(leader) == "stay") {
            CHECK(eventually([&] { return !is_alive(grandchild); }));
        }
    }
    CHECK(eventually([&] { return ::waitpid(-1, nullptr, WNOHANG) < 0; }));
}

TEST_CASE("portable group: hundreds of children are started by many threads, and every end is told right",
          "[portable]") {
    constexpr int threads = 8;
    constexpr int each = is_sanitized ? 13 : 63;
    IoLoop loop;
    std::atomic<int> right{0};
    std::vector<std::thread> starters;
    for (int i = 0; i < threads; ++i) {
        starters.emplace_back([&, i] {
            std::vector<std::unique_ptr<Tree>> trees;
            for (int k = 0; k < each; ++k)
                trees.push_back(std::make_unique<Tree>(loop, victim("exit", std::to_string((i * each + k) % 256))));
            for (int k = 0; k < each; ++k) {
                Tree& tree = *trees[static_cast<std::size_t>(k)];
                if (tree.status() == ExitStatus::from_code((i * each + k) % 256) && tree.end().second) ++right;
            }
        });
    }
    for (auto& starter : starters) starter.join();
    CHECK(right == threads * each);
}
