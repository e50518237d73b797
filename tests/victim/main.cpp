// SPDX-License-Identifier: MIT
// The program that tests start, and mistreat: one mode per misbehaviour.
//
//     victim [--ready FIFO] MODE [ARGUMENTS]
//
// What a mode announces ("ready <pid>") goes to the FIFO, or to stdout. Whatever stays alive ends after a minute by
// itself.

#include "groups.hpp"
#include "servers.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace {

using Arguments = std::vector<std::string>;

constexpr unsigned minute = 60;
std::string ready_fifo;

// -- writing, without the buffers of stdio: forks must not write twice ----------------------------------------------

void put(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t size = ::write(fd, text.data(), text.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) ::_exit(errno == EPIPE ? 141 : 74);
        text.remove_prefix(static_cast<std::size_t>(size));
    }
}
void put(std::string_view text) { put(STDOUT_FILENO, text); }

/// One line to whoever waits for it.
void announce(const std::string& line) {
    if (ready_fifo.empty()) return put(line + '\n');
    const int fd = ::open(ready_fifo.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) ::_exit(75);
    put(fd, line + '\n');
    ::close(fd);
}
void announce_pid() { announce("ready " + std::to_string(::getpid())); }

/// Stays, until it is ended or the minute is over.
[[noreturn]] void stay() {
    ::alarm(minute);
    for (;;) ::pause();
}

std::size_t number(const Arguments& arguments, std::size_t index, std::size_t otherwise) {
    return index < arguments.size() ? std::strtoull(arguments[index].c_str(), nullptr, 10) : otherwise;
}

/// Runs `f` in a child, which stays afterwards.
template <class F>
pid_t fork_and(F f) {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::alarm(minute);
    f();
    stay();
}

void close_everything() {
    for (int fd = 0; fd < 1024; ++fd) ::close(fd);
}

std::string whole_file(const char* path) {
    std::string text;
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    char buffer[4096];
    for (ssize_t size = 0; fd >= 0 && (size = ::read(fd, buffer, sizeof buffer)) > 0;) {
        text.append(buffer, static_cast<std::size_t>(size));
    }
    if (fd >= 0) ::close(fd);
    return text;
}

// -- those that tell what they were given ---------------------------------------------------------------------------

int tell_args(const Arguments& arguments) {
    for (const auto& argument : arguments) put(argument + '\0');
    return 0;
}

int tell_env(const Arguments&) {
    for (char** entry = environ; *entry; ++entry) put(std::string(*entry) + '\0');
    return 0;
}

/// "3 /dev/null" a line; to stdout, or to a file.
int tell_fds(const Arguments& arguments) {
    std::string lines;
    DIR* listing = ::opendir("/proc/self/fd");
    if (!listing) return 1;
    std::vector<int> found;
    while (const dirent* entry = ::readdir(listing)) {
        if (entry->d_name[0] != '.') found.push_back(std::atoi(entry->d_name));
    }
    std::sort(found.begin(), found.end());
    for (const int fd : found) {
        if (fd == ::dirfd(listing)) continue;
        char target[4096] = {};
        static_cast<void>(::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target - 1));
        lines += std::to_string(fd) + ' ' + target + '\n';
    }
    ::closedir(listing);
    put(arguments.empty() ? STDOUT_FILENO : ::open(arguments[0].c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), lines);
    return 0;
}

/// The same numbers without /proc, below 2048: " 0 1 2".
int probe_fds(const Arguments&) {
    std::string found;
    for (int fd = 0; fd < 2048; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) found += ' ' + std::to_string(fd);
    }
    put(found);
    return 0;
}

int tell_cwd(const Arguments&) {
    char path[4096];
    put(::getcwd(path, sizeof path) ? path : "?");
    return 0;
}

/// The lines SigBlk, SigIgn and SigCgt of proc(5), and those of the signals that are ignored.
int tell_signals(const Arguments&) {
    const std::string status = whole_file("/proc/self/status");
    for (const char* key : {"SigBlk:", "SigIgn:", "SigCgt:"}) {
        const auto at = status.find(key);
        put(status.substr(at, status.find('\n', at) - at + 1));
    }
    return 0;
}

/// "name soft hard" a line for each resource limit; umask, nice and ids likewise.
int tell_limits(const Arguments&) {
    struct Row {
        const char* name;
        decltype(RLIMIT_CPU) resource;
    };
    const Row rows[] = {{"cpu", RLIMIT_CPU},
                        {"core", RLIMIT_CORE},
                        {"files", RLIMIT_NOFILE},
                        {"fsize", RLIMIT_FSIZE},
                        {"processes", RLIMIT_NPROC}};
    std::string lines;
    for (const auto& row : rows) {
        struct rlimit limit {};
        ::getrlimit(row.resource, &limit);
        const auto shown = [](rlim_t value) { return value == RLIM_INFINITY ? "unlimited" : std::to_string(value); };
        lines += std::string(row.name) + ' ' + shown(limit.rlim_cur) + ' ' + shown(limit.rlim_max) + '\n';
    }
    const mode_t mask = ::umask(0);
    char text[16];
    std::snprintf(text, sizeof text, "%03o", mask);
    lines += "umask " + std::string(text) + "\nnice " + std::to_string(::getpriority(PRIO_PROCESS, 0)) + "\nids";
    uid_t uids[3];
    gid_t gids[3];
    ::getresuid(&uids[0], &uids[1], &uids[2]);
    ::getresgid(&gids[0], &gids[1], &gids[2]);
    for (const uid_t id : uids) lines += ' ' + std::to_string(id);
    for (const gid_t id : gids) lines += ' ' + std::to_string(id);
    gid_t groups[256];
    const int count = ::getgroups(256, groups);
    lines += "\ngroups";
    for (int i = 0; i < count; ++i) lines += ' ' + std::to_string(groups[i]);
    put(lines + '\n');
    return 0;
}

/// pid, parent, process group, session.
int tell_ids(const Arguments&) {
    put(std::to_string(::getpid()) + ' ' + std::to_string(::getppid()) + ' ' + std::to_string(::getpgrp()) + ' ' +
        std::to_string(::getsid(0)) + '\n');
    return 0;
}

// -- ends -----------------------------------------------------------------------------------------------------------

int exit_with(const Arguments& arguments) { ::_exit(static_cast<int>(number(arguments, 0, 0))); }

int kill_self(const Arguments& arguments) {
    const struct rlimit no_core { 0, 0 };
    if (arguments.size() < 2) ::setrlimit(RLIMIT_CORE, &no_core);  // a second argument allows a core file
    ::kill(::getpid(), static_cast<int>(number(arguments, 0, SIGKILL)));
    stay();
}

int sleep_on(const Arguments&) {
    announce_pid();
    stay();
}

int ignore_term(const Arguments&) {
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, SIG_IGN);
    announce_pid();
    stay();
}

int trap_exit0(const Arguments&) {
    ::signal(SIGTERM, [](int) { ::_exit(0); });
    announce_pid();
    stay();
}

/// Writes "term" when it is asked to end, works for so many milliseconds, exits 0.
int trap_slowly(const Arguments& arguments) {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
    ::alarm(minute);
    announce_pid();
    int signal = 0;
    ::sigwait(&wanted, &signal);
    put("term\n");
    ::poll(nullptr, 0, static_cast<int>(number(arguments, 0, 100)));
    return 0;
}

int stop_self(const Arguments&) {
    ::alarm(minute);
    announce_pid();
    ::raise(SIGSTOP);
    announce("continued");
    stay();
}

// -- trees ----------------------------------------------------------------------------------------------------------

/// A daemon of the old school: two forks, a session of its own, no descriptors, perhaps no environment; its pid goes to
/// the file and is announced; with `ignore` it ignores what asks politely. The process that was started exits with 0.
int setsid_daemon(const Arguments& arguments) {
    const bool clear = std::find(arguments.begin(), arguments.end(), "clear") != arguments.end();
    const bool ignore = std::find(arguments.begin(), arguments.end(), "ignore") != arguments.end();
    const bool leader_stays = std::find(arguments.begin(), arguments.end(), "stay") != arguments.end();
    const pid_t first = ::fork();
    if (first == 0) {
        ::setsid();
        if (::fork() != 0) ::_exit(0);
        ::alarm(minute);
        if (clear) ::clearenv();
        for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, ignore ? SIG_IGN : SIG_DFL);
        const std::string line = "ready " + std::to_string(::getpid());
        if (!arguments.empty() && arguments[0].find('/') != std::string::npos) {
            const int fd = ::open(arguments[0].c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
            put(fd, std::to_string(::getpid()) + '\n');
        }
        if (ready_fifo.empty()) announce(line);
        close_everything();
        if (!ready_fifo.empty()) announce(line);
        if (clear) {
            char name[] = "warden-test-daemon";
            char mode[] = "stay";
            char* const argv[] = {name, mode, nullptr};
            char* const nothing[] = {nullptr};
            ::execve("/proc/self/exe", argv, nothing);
        }
        stay();
    }
    ::waitpid(first, nullptr, 0);
    if (leader_stays) stay();
    return 0;
}

/// Forks, and the parent exits; again and again, each time in a new session, or all in one group. At most for a minute.
int chain_forker(const Arguments& arguments) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(number(arguments, 0, 20));
    const bool leaves = arguments.size() < 2 || arguments[1] != "in-group";
    announce_pid();
    while (std::chrono::steady_clock::now() < end) {
        const pid_t pid = ::fork();
        if (pid > 0) ::_exit(0);
        if (pid == 0 && leaves) ::setsid();
    }
    return 0;
}

/// Every process forks as fast as it can, until there were so many; all stay.
int fork_bomb(const Arguments& arguments) {
    const int most = static_cast<int>(number(arguments, 0, 64));
    auto* const left =
        static_cast<int*>(::mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    *left = most;
    while (__atomic_fetch_sub(left, 1, __ATOMIC_SEQ_CST) > 0) {
        ::alarm(minute);
        if (::fork() < 0) break;
    }
    if (__atomic_load_n(left, __ATOMIC_SEQ_CST) <= 0 &&
        __atomic_exchange_n(left, -1'000'000, __ATOMIC_SEQ_CST) > -1'000'000) {
        announce_pid();
    }
    stay();
}

int grandchildren(const Arguments& arguments) {
    const std::size_t count = number(arguments, 0, 1);
    const bool leader_exits = arguments.size() > 1 && arguments[1] == "exit";
    for (std::size_t i = 0; i < count; ++i) {
        const pid_t pid = fork_and([] {});
        if (pid < 0) return 1;
        if (count <= 64) announce("child " + std::to_string(pid));
    }
    announce_pid();
    if (leader_exits) return 0;
    stay();
}

/// Waits in D, as a parent does between vfork(2) and its child's exec, which never comes.
int vfork_parent(const Arguments&) {
    ::alarm(minute);
    announce_pid();
    const pid_t child = ::vfork();
    if (child == 0) {
        ::alarm(minute);
        for (;;) ::pause();
    }
    return 0;
}

/// Fills so many megabytes, announces itself and dumps core to the working directory.
int dump_core(const Arguments& arguments) {
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_CORE, &unlimited);
    const std::vector<char> memory(number(arguments, 0, 16) << 20, 'm');
    announce_pid();
    std::abort();
}

/// Children that have ended and that nobody waits for.
/// So many children that have ended and are not reaped; with `leave` by a child that then leaves them in its group.
int zombies(const Arguments& arguments) {
    const bool leaves = arguments.size() > 1 && arguments[1] == "leave";
    if (leaves && ::fork() != 0) stay();
    for (std::size_t i = 0; i < number(arguments, 0, 1); ++i) {
        const pid_t pid = ::fork();
        if (pid == 0) ::_exit(0);
        siginfo_t info{};
        if (pid > 0) ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
    }
    if (leaves) ::setsid();
    announce_pid();
    stay();
}

/// A grandchild keeps stdout open, quietly, while the process that was started exits with 0; with `write` it keeps
/// writing.
int hold_pipe(const Arguments& arguments) {
    const bool writes = !arguments.empty() && arguments[0] == "write";
    put("before\n");
    const pid_t holder = fork_and([&] {
        ::signal(SIGPIPE, SIG_DFL);
        while (writes) {
            put("more\n");
            ::poll(nullptr, 0, 1);
        }
    });
    if (!ready_fifo.empty()) announce("holder " + std::to_string(holder));
    return 0;
}

/// Its first thread ends, another one goes on.
int end_first_thread(const Arguments&) {
    ::alarm(minute);
    pthread_t other{};
    const auto go_on = [](void*) -> void* {
        while (whole_file("/proc/self/stat").find(") Z ") == std::string::npos) ::poll(nullptr, 0, 1);
        announce_pid();
        for (;;) ::pause();
    };
    if (::pthread_create(&other, nullptr, go_on, nullptr) != 0) return 1;
    ::syscall(SYS_exit, 0);
    return 1;
}

/// Misuses its control group, ignores requests to end and stays.
int misuse_group(const Arguments& arguments) {
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, SIG_IGN);
    if (arguments.empty() || !misuse_own_group(arguments[0])) return 76;
    announce_pid();
    stay();
}

int misuse_groups(const Arguments& arguments) {
    return arguments.empty() || !misuse_other_groups(arguments[0]) ? 76 : 0;
}

/// A child leaves the control group, and with `leader` the process itself too; all stay.
int leave_group(const Arguments& arguments) {
    const bool leads = !arguments.empty() && arguments[0] == "leader";
    if (leads && !leave_groups()) return 76;
    const pid_t member = fork_and([&] {
        ::setsid();
        if (!leads && !leave_groups()) ::_exit(76);
        fork_and([] { announce_pid(); });
    });
    if (member < 0) return 1;
    stay();
}

// -- output ---------------------------------------------------------------------------------------------------------

int flood(const Arguments& arguments) {
    const std::string block(std::size_t{64} << 10, 'x');
    for (std::size_t left = number(arguments, 0, 1 << 20); left > 0;) {
        const std::size_t size = std::min(left, block.size());
        put(std::string_view(block).substr(0, size));
        left -= size;
    }
    return 0;
}

int lines(const Arguments& arguments) {
    std::string text;
    for (std::size_t i = 1; i <= number(arguments, 0, 10); ++i) {
        text += "line " + std::to_string(i) + '\n';
        if (text.size() < 4096) continue;
        put(text);
        text.clear();
    }
    put(text);
    return 0;
}

/// Copies its input to both streams.
int echo(const Arguments&) {
    char buffer[1 << 16];
    for (ssize_t size = 0; (size = ::read(STDIN_FILENO, buffer, sizeof buffer)) != 0;) {
        if (size < 0 && errno != EINTR) return 1;
        if (size < 0) continue;
        put(STDOUT_FILENO, {buffer, static_cast<std::size_t>(size)});
        put(STDERR_FILENO, {buffer, static_cast<std::size_t>(size)});
    }
    return 0;
}

/// "out" and "err" in turns, so many of each.
int both_streams(const Arguments& arguments) {
    for (std::size_t i = 1; i <= number(arguments, 0, 1); ++i) {
        put(STDOUT_FILENO, "out " + std::to_string(i) + '\n');
        put(STDERR_FILENO, "err " + std::to_string(i) + '\n');
    }
    return 0;
}

int close_stdout_and_run(const Arguments&) {
    ::close(STDOUT_FILENO);
    ::close(STDERR_FILENO);
    if (!ready_fifo.empty()) announce_pid();
    stay();
}

int unterminated(const Arguments&) {
    put(STDOUT_FILENO, "first\nno newline on stdout");
    put(STDERR_FILENO, "no newline on stderr");
    return 0;
}

int no_output(const Arguments&) { return 0; }

int serve_here(const Arguments& arguments) {
    ::alarm(minute);
    return serve(arguments, announce);
}

/// By a grandchild, in a session of its own.
int serve_apart(const Arguments& arguments) {
    fork_and([&] {
        ::setsid();
        ::_exit(serve(arguments, announce));
    });
    stay();
}

int notify_and_stay(const Arguments& messages) {
    announce(notify(messages) ? "sent" : "not sent");
    stay();
}

struct Mode {
    std::string_view name;
    int (*run)(const Arguments&);
};
constexpr Mode modes[] = {
    {"args", tell_args},
    {"env", tell_env},
    {"fds", tell_fds},
    {"probe-fds", probe_fds},
    {"cwd", tell_cwd},
    {"signals", tell_signals},
    {"limits", tell_limits},
    {"ids", tell_ids},
    {"exit", exit_with},
    {"kill-self", kill_self},
    {"stay", sleep_on},
    {"serve", serve_here},
    {"serve-apart", serve_apart},
    {"notify", notify_and_stay},
    {"ignore-term", ignore_term},
    {"trap-exit0", trap_exit0},
    {"trap-slowly", trap_slowly},
    {"stop-self", stop_self},
    {"setsid-daemon", setsid_daemon},
    {"chain-forker", chain_forker},
    {"fork-bomb", fork_bomb},
    {"grandchildren", grandchildren},
    {"vfork-parent", vfork_parent},
    {"dump-core", dump_core},
    {"zombies", zombies},
    {"end-first-thread", end_first_thread},
    {"misuse-group", misuse_group},
    {"misuse-groups", misuse_groups},
    {"leave-group", leave_group},
    {"hold-pipe", hold_pipe},
    {"flood", flood},
    {"lines", lines},
    {"echo", echo},
    {"both-streams", both_streams},
    {"close-stdout-and-run", close_stdout_and_run},
    {"unterminated", unterminated},
    {"nothing", no_output},
};

}  // namespace

int main(int argc, char* argv[]) {
    Arguments arguments(argv + 1, argv + argc);
    if (arguments.size() >= 2 && arguments[0] == "--ready") {
        ready_fifo = arguments[1];
        arguments.erase(arguments.begin(), arguments.begin() + 2);
    }
    if (arguments.empty()) return 64;
    const std::string name = arguments.front();
    arguments.erase(arguments.begin());
    if (name == "stay" && argc == 2 && std::string_view(argv[0]) == "warden-test-daemon") stay();
    for (const auto& mode : modes) {
        if (mode.name == name) return mode.run(arguments);
    }
    std::fprintf(stderr, "victim: no mode '%s'\n", name.c_str());
    return 64;
}
