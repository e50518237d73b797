// SPDX-License-Identifier: MIT
// Hosts that start, stop and drop random processes, each killed with SIGKILL at a random moment, alone or with its
// process group: nothing may be left.
//   soak [--rounds N] [--seconds S] [--mechanism cgroup|keeper] [--seed N]
// Ends what it started, also when it fails. Not 0 if anything outlived its host by more than two seconds.
#include <support/census.hpp>
#include <support/process.hpp>
#include <warden/warden.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include <poll.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using warden::CommandLine;
using warden::Mechanism;

constexpr auto patience = 2s;

struct Options {
    std::size_t rounds = 500;
    std::chrono::seconds seconds = 0s;  // 0: by rounds
    std::vector<Mechanism> mechanisms{Mechanism::cgroup, Mechanism::keeper};
    unsigned seed = std::random_device{}();
};

CommandLine victim(std::vector<std::string> words) { return {WARDEN_TEST_VICTIM, std::move(words)}; }

/// A process of a random kind. All that stay have an alarm of a minute.
CommandLine random_command(std::minstd_rand& random) {
    switch (random() % 9) {
        case 0: return victim({"ignore-term"});
        case 1: return victim({"setsid-daemon", "stay"});
        case 2: return victim({"setsid-daemon"});
        case 3: return victim({"setsid-daemon", "stay", "clear", "ignore"});
        case 4: return victim({"grandchildren", "5"});
        case 5: return victim({"stop-self"});
        case 6: return victim({"lines", "2000"});
        case 7: return victim({"exit", "3"});
        default: return victim({"stay"});
    }
}

/// A host: starts, stops and drops processes until it is killed.
int be_host(const std::string& mechanism, const std::string& data, unsigned seed) {
    ::alarm(60);
    ::setpgid(0, 0);
    std::minstd_rand random(seed);
    warden::ManagerConfig config;
    config.mechanism = mechanism == "cgroup" ? Mechanism::cgroup : Mechanism::keeper;
    config.data_directory = data;
    warden::ProcessManager manager(config);
    std::vector<warden::ManagedProcess> held(8);
    for (;;) {
        auto& place = held[random() % held.size()];
        switch (place ? random() % 4 : 3) {
            case 0: place.kill(); break;
            case 1: static_cast<void>(place.stop(warden::StopPlan::now())); break;
            default: {
                warden::SpawnOptions options;
                options.stop_plan = warden::StopPlan::now();
                options.stdout_ = warden::Output::capture;
                place = manager.spawn(random_command(random), options);
            }
        }
    }
}

pid_t start_host(const std::string& mechanism, const std::string& data, unsigned seed) {
    std::vector<std::string> words{"/proc/self/exe", "host", mechanism, data, std::to_string(seed)};
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    pid_t pid = 0;
    const int failed = ::posix_spawn(&pid, words[0].c_str(), nullptr, &attributes, argv.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    if (failed != 0) throw std::system_error(failed, std::generic_category(), "a host");
    return pid;
}

/// Reaps whatever falls to this process until nothing is below it any more; what is left when the time is over.
std::vector<pid_t> wait_for_silence(int child_signals, Clock::time_point until) {
    for (;;) {
        while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {}
        auto left = support::descendants();
        const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
        if (left.empty() || time.count() <= 0) return left;
        struct pollfd ready = {child_signals, POLLIN, 0};
        // Who is not our child yet ends unseen: its parent's end brings it here.
        ::poll(&ready, 1, static_cast<int>(time.count()));
        struct signalfd_siginfo info {};
        while (::read(child_signals, &info, sizeof info) > 0) {}
    }
}

/// The control groups, of the managers that wrote an event log there, that exist.
void add_groups_left(const std::filesystem::path& data, std::vector<std::filesystem::path>& left) {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(data / "events", none)) {
        const auto group =
            std::filesystem::path(support::own_control_group()) / ("warden-" + entry.path().stem().string());
        if (std::filesystem::exists(group)) left.push_back(group);
    }
}

struct Tally {
    std::size_t rounds = 0;
    std::size_t processes = 0;
    std::size_t survivors = 0;
    std::vector<std::filesystem::path> groups;  // of hosts that died before they had a guardian: for the next manager
    std::vector<double> milliseconds;
};

void run_round(Mechanism mechanism, unsigned seed, const std::filesystem::path& data, int child_signals, Tally& tally) {
    std::minstd_rand random(seed);
    const pid_t host = start_host(std::string(to_string(mechanism)), data.string(), seed);
    // Half of them while they set up and start their first processes, half at work.
    const auto life = std::chrono::microseconds(random() % (random() % 2 == 0 ? 15'000 : 120'000));
    const struct timespec length = {0, std::chrono::nanoseconds(life).count()};
    ::nanosleep(&length, nullptr);
    tally.processes += support::descendants().size() - 1;
    const auto began = Clock::now();
    // Half of them alone, half with their process group, as a shell or a test runner does it.
    if (seed % 2 != 0 || ::kill(-host, SIGKILL) != 0) ::kill(host, SIGKILL);
    const auto left = wait_for_silence(child_signals, began + patience);
    tally.milliseconds.push_back(std::chrono::duration<double, std::milli>(Clock::now() - began).count());
    for (const pid_t pid : left) {
        std::cerr << "soak: outlived its host (" << to_string(mechanism) << ", seed " << seed << "): " << pid << ' '
                  << support::describe_process(pid) << '\n';
    }
    if (!left.empty()) support::end_all_descendants();
    add_groups_left(data, tally.groups);
    tally.survivors += left.size();
    ++tally.rounds;
    std::filesystem::remove_all(data);
}

Options read_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string name = argv[i];
        const std::string value = argv[i + 1];
        if (name == "--rounds") options.rounds = std::stoul(value);
        else if (name == "--seconds") options.seconds = std::chrono::seconds(std::stoul(value));
        else if (name == "--seed") options.seed = static_cast<unsigned>(std::stoul(value));
        else if (name == "--mechanism" && value == "cgroup") options.mechanisms = {Mechanism::cgroup};
        else if (name == "--mechanism" && value == "keeper") options.mechanisms = {Mechanism::keeper};
        else throw std::invalid_argument(name + ' ' + value);
    }
    if (argc % 2 == 0) throw std::invalid_argument(argv[argc - 1]);
    return options;
}

bool is_available(Mechanism mechanism, const std::filesystem::path& data) {
    warden::ManagerConfig config;
    config.mechanism = mechanism;
    config.data_directory = data;
    config.handle_signals = false;
    const warden::ProcessManager probe(config);
    const bool is = probe.containment().mechanism == mechanism;
    if (!is) {
        std::cerr << "SKIPPED: " << to_string(mechanism)
                  << " is not available here: " << probe.containment().why_not_stronger << '\n';
    }
    return is;
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc == 5 && argv[1] == std::string("host")) {
        return be_host(argv[2], argv[3], static_cast<unsigned>(std::stoul(argv[4])));
    }
    const Options options = read_options(argc, argv);
    std::string folder = (std::filesystem::temp_directory_path() / "warden-soak-XXXXXX").string();
    if (!::mkdtemp(folder.data())) throw std::system_error(errno, std::generic_category(), folder);
    const std::filesystem::path data = std::filesystem::path(folder) / "data";
    support::become_subreaper();
    sigset_t child;
    ::sigemptyset(&child);
    ::sigaddset(&child, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &child, nullptr);
    const int child_signals = ::signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    std::cout << "seed " << options.seed << '\n';
    bool clean = true;
    std::size_t measured = 0;
    for (const Mechanism mechanism : options.mechanisms) {
        if (!is_available(mechanism, data)) continue;
        ++measured;
        Tally tally;
        const auto until = Clock::now() + options.seconds / options.mechanisms.size();
        std::minstd_rand seeds(options.seed);
        while (options.seconds > 0s ? Clock::now() < until : tally.rounds < options.rounds) {
            run_round(mechanism, static_cast<unsigned>(seeds()), data, child_signals, tally);
        }
        static_cast<void>(is_available(mechanism, data));  // the next manager, which sweeps
        std::erase_if(tally.groups, [](const auto& group) { return !std::filesystem::exists(group); });
        for (const auto& group : tally.groups) std::cerr << "soak: left behind: " << group << '\n';
        std::sort(tally.milliseconds.begin(), tally.milliseconds.end());
        std::cout << to_string(mechanism) << ": " << tally.rounds << " hosts killed with " << tally.processes
                  << " processes below them; survivors: " << tally.survivors
                  << ", control groups left: " << tally.groups.size() << "; all gone after a median of "
                  << tally.milliseconds[tally.rounds / 2] << " ms, at most " << tally.milliseconds.back() << " ms\n";
        clean = clean && tally.survivors == 0 && tally.groups.empty();
    }
    std::filesystem::remove_all(folder);
    if (measured == 0) return 77;
    return clean ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "soak: " << error.what() << "\nusage: soak [--rounds N] [--seconds S] [--mechanism cgroup|keeper] "
              << "[--seed N]\n";
    support::end_all_descendants();
    return 2;
}
