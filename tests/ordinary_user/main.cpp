// SPDX-License-Identifier: MIT
// Runs a program as a user whom nobody else is, with a directory of its own and, with --delegated, a control group that
// belongs to that user, as systemd's Delegate=yes gives it:
//
//     ordinary_user [--delegated] PROGRAM [ARGUMENTS...]
//
// Only root can do that; 77 says that it cannot be done here.
#include <support/process.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr int not_here = 77;

int give_up(const std::string& what) {
    const std::string why = std::error_code(errno, std::generic_category()).message();
    std::fprintf(stderr, "ordinary_user: %s: %s\n", what.c_str(), why.c_str());
    return not_here;
}

/// Everything that is made for the user; gone with this object.
class Belongings {
public:
    Belongings(uid_t user, bool delegated) {
        std::string name = (std::filesystem::temp_directory_path() / "warden-user-XXXXXX").string();
        if (!::mkdtemp(name.data())) return;
        home_ = name;
        is_complete_ = ::chown(name.c_str(), user, user) == 0;
        if (!delegated || !is_complete_) return;
        is_complete_ = false;
        const std::string above = support::own_control_group();
        group_ = above + "/delegated-test-" + std::to_string(::getpid());
        if (above.empty() || ::mkdir(group_.c_str(), 0755) != 0) {
            group_.clear();
            return;
        }
        is_complete_ = true;
        for (const char* file : {"", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control"})
            is_complete_ = is_complete_ && ::chown((group_ + file).c_str(), user, user) == 0;
    }
    Belongings(const Belongings&) = delete;
    ~Belongings() {
        std::error_code ec;
        if (!home_.empty()) std::filesystem::remove_all(home_, ec);
        if (group_.empty()) return;
        std::ofstream(group_ + "/cgroup.kill") << "1" << std::flush;
        static_cast<void>(support::eventually([&] { return ::rmdir(group_.c_str()) == 0; }));
    }

    [[nodiscard]] bool is_complete() const noexcept { return is_complete_; }
    [[nodiscard]] const std::string& home() const noexcept { return home_; }
    [[nodiscard]] const std::string& group() const noexcept { return group_; }

private:
    std::string home_;
    std::string group_;
    bool is_complete_ = false;
};

int become_and_run(uid_t user, const Belongings& belongings, char** command) {
    ::prctl(PR_SET_NAME, "ordinary_user");
    if (!belongings.group().empty() && !(std::ofstream(belongings.group() + "/cgroup.procs") << "0" << std::flush))
        return give_up("to join " + belongings.group());
    if (::setgroups(0, nullptr) != 0 || ::setresgid(user, user, user) != 0 || ::setresuid(user, user, user) != 0)
        return give_up("to become user " + std::to_string(user));
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::chdir(belongings.home().c_str()) != 0) return give_up("to enter " + belongings.home());
    for (const char* name : {"HOME", "TMPDIR", "XDG_RUNTIME_DIR"}) ::setenv(name, belongings.home().c_str(), 1);
    ::execv(command[0], command);
    return give_up(std::string("to execute ") + command[0] + " as user " + std::to_string(user));
}

}  // namespace

int main(int argc, char** argv) {
    const bool delegated = argc > 1 && std::string_view(argv[1]) == "--delegated";
    char** const command = argv + 1 + delegated;
    if (!*command) {
        std::fputs("usage: ordinary_user [--delegated] PROGRAM [ARGUMENTS...]\n", stderr);
        return 2;
    }
    if (::geteuid() != 0) {
        errno = EPERM;
        return give_up("to make a user");
    }
    const uid_t user = 2'000'000'000u + static_cast<uid_t>(::getpid());
    const Belongings belongings(user, delegated);
    if (!belongings.is_complete()) return give_up("to make what belongs to the user");
    const pid_t child = ::fork();
    if (child == 0) ::_exit(become_and_run(user, belongings, command));
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child) return give_up("to start a child");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
