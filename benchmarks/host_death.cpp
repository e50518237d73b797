// SPDX-License-Identifier: MIT
//
// How long the processes of a host live on after its SIGKILL.
//
//   host_death [--rounds 5] [--trees 100]
//
// Each tree is a leader and four children. By hand: a parent of the host that knows every process group kills them all.

#include "warden_host.hpp"

#include <algorithm>
#include <optional>

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

namespace {

using bench::text;

constexpr std::size_t tree_size = 5;

std::vector<std::string> tree_command() {
    const std::string one = bench::beside("pauser");
    return {"sh", "-c", one + " & " + one + " & " + one + " & " + one + " & exec " + one};
}

void start_as_group(const std::vector<std::string>& words) {
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    pid_t pid = 0;
    const int failed = ::posix_spawnp(&pid, argv[0], nullptr, &attributes, argv.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    if (failed != 0) bench::die("cannot start " + words[0]);
}

/// The host: starts the trees, says so, waits for its end.
int be_host(const std::string& mechanism, std::size_t trees, const std::filesystem::path& folder) {
    ::alarm(120);
    std::vector<warden::ManagedProcess> held;
    std::optional<warden::ProcessManager> manager;
    if (mechanism == "by hand") {
        for (std::size_t i = 0; i < trees; ++i) {
            start_as_group(tree_command());
        }
    } else {
        warden::ManagerConfig config;
        config.mechanism = mechanism == "cgroup" ? warden::Mechanism::cgroup : warden::Mechanism::keeper;
        config.data_directory = folder;
        config.max_processes = trees;
        manager.emplace(config);
        const auto words = tree_command();
        for (std::size_t i = 0; i < trees; ++i) {
            held.push_back(manager->spawn(warden::CommandLine(words[0], {words.begin() + 1, words.end()}),
                                          {.stdout_ = warden::Output::null, .stderr_ = warden::Output::null}));
        }
    }
    std::cout << "ready" << std::endl;
    for (;;) ::pause();
}

/// The descendants of this process that are pausers.
std::vector<pid_t> pausers() {
    std::vector<pid_t> found{::getpid()};
    std::vector<pid_t> those;
    for (std::size_t i = 0; i < found.size(); ++i) {
        for (const auto child : warden::detail::procfs::children(found[i])) {
            found.push_back(child);
            const auto stat = warden::detail::procfs::read_stat(child);
            if (stat && stat->name == "pauser" && stat->state != 'Z') those.push_back(child);
        }
    }
    return those;
}

/// Milliseconds from the SIGKILL of the host to the end of the last process.
double measure(const std::string& mechanism, std::size_t trees) {
    std::optional<bench::TemporaryFolder> folder(std::in_place);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) bench::die_errno("pipe2");
    const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
    const pid_t host = bench::start({self, "host", mechanism, std::to_string(trees), folder->path().string()}, -1,
                                    ends[1], STDERR_FILENO);
    ::close(ends[1]);
    char word[16];
    if (::read(ends[0], word, sizeof word) <= 0) bench::die("the host came to nothing");
    ::close(ends[0]);
    std::vector<pid_t> all;
    while ((all = pausers()).size() < trees * tree_size) ::usleep(1000);
    std::vector<warden::detail::UniqueFd> pidfds;
    for (const pid_t pid : all) pidfds.emplace_back(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    const int host_pidfd = static_cast<int>(::syscall(SYS_pidfd_open, host, 0));
    const auto wait_for_end = [](int pidfd) {
        struct pollfd ended = {pidfd, POLLIN, 0};
        if (::poll(&ended, 1, 10'000) != 1) bench::die("a process outlived its host by ten seconds");
    };
    std::vector<pid_t> groups;
    if (mechanism == "by hand") {
        for (const pid_t pid : all) groups.push_back(::getpgid(pid));
        std::sort(groups.begin(), groups.end());
        groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
        if (groups.size() != trees) bench::die("a tree is not a group of its own");
    }
    const auto began = bench::Clock::now();
    ::kill(host, SIGKILL);
    if (!groups.empty()) {
        wait_for_end(host_pidfd);
        for (const pid_t group : groups) ::killpg(group, SIGKILL);
    }
    for (const auto& pidfd : pidfds) wait_for_end(pidfd.get());
    const double took = bench::microseconds_since(began) / 1000;
    ::close(host_pidfd);
    folder.reset();  // it has a helper process, which is ours to reap too
    while (::waitpid(-1, nullptr, __WALL) > 0) {}
    return took;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 5 && argv[1] == std::string("host")) {
        return be_host(argv[2], std::stoul(argv[3]), argv[4]);
    }
    const std::size_t rounds = bench::number(argc, argv, "--rounds", 5);
    const std::size_t trees = bench::number(argc, argv, "--trees", 100);
    bench::raise_open_files();
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    std::vector<std::string> contestants{"by hand"};
    for (const auto mechanism : bench::mechanisms_here()) contestants.emplace_back(to_string(mechanism));
    std::vector<std::vector<double>> samples(contestants.size());
    for (std::size_t round = 0; round < rounds; ++round) {
        for (std::size_t i = 0; i < contestants.size(); ++i) samples[i].push_back(measure(contestants[i], trees));
    }
    std::cout << "### A host killed with " << trees << " trees of " << tree_size << " processes\n\n"
              << rounds << " rounds. From its SIGKILL to the end of the last of them, in milliseconds.\n\n";
    bench::heading({"", "median", "longest"});
    for (std::size_t i = 0; i < contestants.size(); ++i) {
        const std::string name = i == 0 ? "killpg of every group by a parent of the host" : "warden, " + contestants[i];
        bench::row({name, text(bench::median(samples[i])), text(bench::quantile(samples[i], 1))});
    }
    std::cout << '\n';
}
