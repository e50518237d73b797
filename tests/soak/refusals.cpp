// SPDX-License-Identifier: MIT
#include "refusals.hpp"

#include <support/basics.hpp>
#include <support/census.hpp>
#include <support/process.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <system_error>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace soak {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto hang_limit = 60s;     // longer than any deadline of the library
constexpr auto silence_limit = 10s;  // for all that is below a host that has ended
constexpr long mark_number = SYS_getpriority;
constexpr unsigned long mark_argument = 77;  // getpriority(2) refuses it

int checked(long result, const char* what) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), what);
    return static_cast<int>(result);
}

void futex(std::atomic<int>& word, int operation, int value, const struct timespec* timeout) {
    static_assert(sizeof word == sizeof(int));
    ::syscall(SYS_futex, &word, operation, value, timeout, nullptr, 0);
}

/// Asks this program about the calls of `refusal`, or about all.
std::vector<struct sock_filter> filter_for(const Refusal& refusal) {
    std::vector<long> numbers{mark_number};
    for (const SystemCall& call : system_calls()) {
        if (refusal.nth == 0 || &call == refusal.call) numbers.push_back(call.number);
    }
    std::vector<struct sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (const long number : numbers) {
        filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
        filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
    }
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    return filter;
}

/// In the host. What is asked before the listener is taken waits.
void install(const Refusal& refusal, Report& report) {
    auto filter = filter_for(refusal);
    const struct sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
    constexpr unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | 1ul << 5;  // WAIT_KILLABLE_RECV: asked once
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    const long listener = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    report.listener = listener < 0 ? -2 - errno : static_cast<int>(listener);
    futex(report.listener, FUTEX_WAKE, 1, nullptr);
    if (listener < 0) ::_exit(1);
}

/// A copy of the listener that the host has installed.
int take_listener(Report& report, int host_pidfd) {
    constexpr struct timespec patience = {20, 0};
    if (report.listener == -1) futex(report.listener, FUTEX_WAIT, -1, &patience);
    const int there = report.listener;
    if (there < 0) throw std::system_error(-2 - there, std::generic_category(), "a filter that asks");
    return checked(::syscall(SYS_pidfd_getfd, host_pidfd, there, 0), "pidfd_getfd");
}

std::string value_of(const std::string& status, std::string_view name) {
    const auto at = status.find(name);
    if (at == status.npos) return {};
    const auto begin = at + name.size();
    return status.substr(begin, status.find('\n', begin) - begin);
}

/// The host and all that is below it, as this program sees them.
class Run {
public:
    Run(const Refusal& refusal, Report& report, pid_t host, int host_pidfd)
        : refusal_(refusal), report_(report), host_(host), began_(Clock::now()) {
        listener_ = take_listener(report, host_pidfd);
    }
    Run(const Run&) = delete;
    ~Run() { ::close(listener_); }

    Outcome finish();

private:
    void serve();
    [[nodiscard]] Role role_of(pid_t thread) const;
    [[nodiscard]] int answer(const struct seccomp_notif& asked);
    void look(Mark mark);
    void reap();
    [[nodiscard]] std::map<std::string, std::string> descriptors() const;
    void fault(std::string words) { outcome_.faults.push_back(std::move(words)); }

    const Refusal& refusal_;
    Report& report_;
    const pid_t host_;
    int listener_ = -1;
    const Clock::time_point began_;
    Clock::time_point host_ended_{};
    bool is_silent_ = false;
    std::map<std::string, std::string> before_;
    Outcome outcome_;
};

Role Run::role_of(pid_t thread) const {
    const std::string status = support::read_file("/proc/" + std::to_string(thread) + "/status");
    if (value_of(status, "\nTgid:\t") == std::to_string(host_)) return Role::host;
    const std::string name = value_of(status, "Name:\t");
    if (name == "warden-guardian") return Role::guardian;
    if (name == "warden-keeper") return Role::keeper;
    return name == "sh" || name == "cat" || name == "sleep" ? Role::program : Role::copy;
}

/// Whether a loop wakes itself up, by an eventfd or a timerfd: that never fails but for a programming error.
bool is_wake_up(const struct seccomp_notif& asked) {
    if (asked.data.nr != SYS_read && asked.data.nr != SYS_write) return false;
    std::error_code gone;
    const auto file =
        "/proc/" + std::to_string(asked.pid) + "/fd/" + std::to_string(static_cast<int>(asked.data.args[0]));
    return std::filesystem::read_symlink(file, gone).string().starts_with("anon_inode:");
}

/// The error for a call; 0 to let it happen.
int Run::answer(const struct seccomp_notif& asked) {
    if (asked.data.nr == mark_number && asked.data.args[0] == mark_argument) {
        look(static_cast<Mark>(asked.data.args[1]));
        return 0;
    }
    const auto& all = system_calls();
    const auto call = std::find_if(all.begin(), all.end(), [&](const auto& one) {
        return one.number == asked.data.nr &&
               (one.operation < 0 || static_cast<unsigned long>(one.operation) == asked.data.args[1]);
    });
    if (call == all.end() || is_wake_up(asked)) return 0;
    const Role role = role_of(static_cast<pid_t>(asked.pid));
    const std::size_t count = ++outcome_.calls[{&*call, role}];
    if (&*call != refusal_.call || role != refusal_.role || count != refusal_.nth) return 0;
    outcome_.was_refused = true;
    return refusal_.error;
}

void Run::serve() {
    struct seccomp_notif asked {};
    if (::ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) return;  // who asked has ended
    struct seccomp_notif_resp answered {};
    answered.id = asked.id;
    answered.error = -answer(asked);
    if (answered.error == 0) answered.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &answered);
}

std::map<std::string, std::string> Run::descriptors() const {
    std::map<std::string, std::string> found;
    std::error_code failed;
    const std::string directory = "/proc/" + std::to_string(host_) + "/fd";
    for (const auto& entry : std::filesystem::directory_iterator(directory, failed))
        found[entry.path().filename().string()] = std::filesystem::read_symlink(entry.path(), failed).string();
    return found;
}

void Run::look(Mark what) {
    reap();
    if (what == Mark::begin) before_ = descriptors();
    if (what == Mark::end) {
        for (const auto& [number, target] : descriptors()) {
            if (!before_.contains(number)) fault("descriptor " + number + " is left open: " + target);
        }
    }
    for (const pid_t pid : support::descendants()) {
        if (pid == host_ || what == Mark::begin) continue;
        const std::string status = support::read_file("/proc/" + std::to_string(pid) + "/status");
        const bool is_zombie = value_of(status, "\nState:\t").starts_with('Z');
        const bool is_child = value_of(status, "\nPPid:\t") == std::to_string(host_);
        const bool is_program = role_of(pid) == Role::program;
        if (what == Mark::end && is_child && is_zombie) fault("a zombie is left: " + support::describe_process(pid));
        if (what == Mark::stopped_clean && is_program && !is_zombie)
            fault("a stop is clean, but this lives: " + support::describe_process(pid));
    }
}

/// All that fell to this program.
void Run::reap() {
    int status = 0;
    pid_t pid = 0;
    while ((pid = ::waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        if (pid != host_) continue;
        host_ended_ = Clock::now();
        if (WIFSIGNALED(status)) fault("the host crashed: signal " + std::to_string(WTERMSIG(status)));
    }
    is_silent_ = pid < 0 && errno == ECHILD;
}

Outcome Run::finish() {
    for (reap(); !is_silent_; reap()) {
        const bool has_host = host_ended_ == Clock::time_point{};
        const auto now = Clock::now();
        if (has_host && now - began_ > hang_limit) {
            fault(std::string("the host hangs in the step: ") + report_.step.load());
            break;
        }
        if (!has_host && now - host_ended_ > silence_limit) {
            for (const pid_t pid : support::descendants())
                fault("outlived the host: " + support::describe_process(pid));
            break;
        }
        struct pollfd ready = {listener_, POLLIN, 0};
        constexpr int pause_ms = 2;  // whoever ends is reaped soon
        if (::poll(&ready, 1, pause_ms) > 0 && (ready.revents & POLLIN) != 0) serve();
    }
    outcome_.errors = report_.text.data();
    outcome_.duration = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began_);
    std::stringstream lines(outcome_.errors);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("WRONG")) fault(line);
    }
    return std::move(outcome_);
}

}  // namespace

const std::vector<SystemCall>& system_calls() {
    static const std::vector<SystemCall> all{
        {"openat", SYS_openat, {EMFILE, ENOMEM}},
        {"pipe2", SYS_pipe2, {EMFILE}},
        {"socketpair", SYS_socketpair, {EMFILE, ENOMEM}},
        {"epoll_create1", SYS_epoll_create1, {EMFILE, ENOMEM}},
        {"epoll_ctl", SYS_epoll_ctl, {ENOMEM, ENOSPC}, EPOLL_CTL_ADD},
        {"eventfd2", SYS_eventfd2, {EMFILE}},
        {"timerfd_create", SYS_timerfd_create, {EMFILE}},
        {"signalfd4", SYS_signalfd4, {EMFILE}},
        {"memfd_create", SYS_memfd_create, {EMFILE, ENOSYS}},
        {"clone", SYS_clone, {EAGAIN, ENOMEM}},
        {"clone3", SYS_clone3, {EAGAIN, ENOMEM, EPERM, ENOSYS}},
        {"execve", SYS_execve, {EACCES, ENOMEM}},
        {"pidfd_open", SYS_pidfd_open, {EMFILE, EPERM, ENOSYS}},
        {"pidfd_send_signal", SYS_pidfd_send_signal, {EPERM, ENOSYS}},
        {"kill", SYS_kill, {EPERM}},
        {"sendmsg", SYS_sendmsg, {ENOBUFS, ENOMEM}},
        {"recvmsg", SYS_recvmsg, {ENOMEM}},
        {"read", SYS_read, {EIO}},
        {"write", SYS_write, {ENOSPC, EIO}},
        {"fcntl", SYS_fcntl, {EMFILE}, F_DUPFD_CLOEXEC},
        {"mkdirat", SYS_mkdirat, {ENOSPC, EPERM}},
        {"mkdir", SYS_mkdir, {ENOSPC, EPERM}},
        {"unlinkat", SYS_unlinkat, {EBUSY, EPERM}},
        {"prctl", SYS_prctl, {EPERM}},
        {"ppoll", SYS_ppoll, {ENOMEM}},
        {"poll", SYS_poll, {ENOMEM}},
        {"getdents64", SYS_getdents64, {ENOMEM}},
        {"setsid", SYS_setsid, {EPERM}},
        {"dup3", SYS_dup3, {EMFILE}},
        {"close_range", SYS_close_range, {EPERM, ENOSYS}},
        {"prlimit64", SYS_prlimit64, {EPERM}},
        {"flock", SYS_flock, {ENOLCK}},
        {"mmap", SYS_mmap, {ENOMEM}},
    };
    return all;
}

void Report::add(std::string_view words) noexcept {
    const std::size_t used = std::strlen(text.data());
    const std::size_t room = text.size() - 2 - std::min(used, text.size() - 2);
    const std::size_t size = std::min(words.size(), room);
    std::memcpy(text.data() + used, words.data(), size);
    text[used + size] = '\n';
}

void mark(Mark what) noexcept { ::syscall(mark_number, mark_argument, static_cast<unsigned>(what)); }

Outcome run_refusing(const Refusal& refusal, void (*scenario)(Report&, const void*), const void* argument) {
    void* const memory = ::mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "shared memory");
    auto& report = *new (memory) Report;
    const pid_t host = checked(::fork(), "fork");
    if (host == 0) {
        ::prctl(PR_SET_NAME, "refused-host", 0, 0, 0);
        install(refusal, report);
        mark(Mark::begin);
        scenario(report, argument);
        mark(Mark::end);
        ::_exit(0);
    }
    const int pidfd = checked(::syscall(SYS_pidfd_open, host, 0), "pidfd_open");
    Outcome outcome = Run(refusal, report, host, pidfd).finish();
    ::close(pidfd);
    if (!outcome.faults.empty()) support::end_all_descendants();
    ::munmap(memory, sizeof(Report));
    return outcome;
}

}  // namespace soak
