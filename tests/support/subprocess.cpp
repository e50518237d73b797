// SPDX-License-Identifier: MIT
#include <support/census.hpp>
#include <support/process.hpp>
#include <support/subprocess.hpp>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <set>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace support {

bool Checks::that(bool holds, std::string_view what) {
    if (!holds) failure(what);
    return holds;
}

void Checks::failure(std::string_view what) {
    const std::string line = std::string(what) + '\n';
    static_cast<void>(!::write(to_, line.data(), line.size()));
}

std::string in_subprocess(const std::function<void(Checks&)>& part) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    const auto known = descendants();
    const pid_t child = ::fork();
    if (child == 0) {
        const int to = ::fcntl(ends[1], F_DUPFD_CLOEXEC, 500);  // out of the way of what is tested
        ::close(ends[0]);
        ::close(ends[1]);
        become_subreaper();
        for (const int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGILL, SIGTERM, SIGINT})
            ::signal(signal, SIG_DFL);  // not the runner's
        watch(60);
        Checks checks(to);
        try {
            part(checks);
        } catch (const std::exception& thrown) {
            checks.failure(std::string("it threw: ") + thrown.what());
        }
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string failures;
    char buffer[4096];
    for (ssize_t size = 0; (size = ::read(ends[0], buffer, sizeof buffer)) != 0;) {
        if (size > 0) failures.append(buffer, static_cast<std::size_t>(size));
    }
    ::close(ends[0]);
    int status = 0;
    while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (child < 0) failures += "it could not be forked\n";
    if (WIFSIGNALED(status)) failures += "signal " + std::to_string(WTERMSIG(status)) + " ended it\n";
    const std::set<pid_t> mine(known.begin(), known.end());
    const bool gone = eventually([&] {
        bool any = false;
        for (const pid_t pid : descendants()) {
            if (mine.count(pid) != 0) continue;
            any = true;
            ::waitpid(pid, nullptr, WNOHANG | __WALL);
        }
        return !any;
    });
    if (!gone) {
        for (const pid_t pid : descendants()) {
            if (mine.count(pid) == 0)
                failures += "it left process " + std::to_string(pid) + ": " + describe_process(pid) + '\n';
        }
    }
    return failures;
}

bool deny_system_calls(const std::vector<long>& numbers, int error) {
#if defined(__x86_64__)
    constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
    constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
    constexpr std::uint32_t architecture = 0;
#endif
    const std::uint32_t answer =
        error == kill_instead ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
    std::vector<struct sock_filter> program{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    for (const long number : numbers) {
        program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1));
        program.push_back(BPF_STMT(BPF_RET | BPF_K, answer));
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const struct sock_fprog filter { static_cast<unsigned short>(program.size()), program.data() };
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0;
}

}  // namespace support
