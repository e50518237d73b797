// SPDX-License-Identifier: MIT
//
// Many idle children held by one manager: threads, wake-ups, memory, the time to start and to stop them all. And what
// a manager costs a host with much memory: the time to make it, and the host's next write of all its memory.
//
//   scale [--children 1000] [--idle-seconds 5] [--ballast-mib 2048] [--rounds 9]
//
// Each configuration runs in a fresh process. Wake-ups are the context switches, voluntary or not, of all threads of
// the host but the one that measures, and of its helpers (guardian and keepers), while nothing happens.

#include "warden_host.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <thread>

#include <signal.h>

namespace {

using bench::text;

/// The context switches of one thread or process.
long switches(const std::filesystem::path& status) {
    return bench::field(status, "voluntary_ctxt_switches:") + bench::field(status, "nonvoluntary_ctxt_switches:");
}

std::vector<pid_t> threads_of_host() {
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
        found.push_back(std::stoi(entry.path().filename().string()));
    }
    return found;
}

/// The guardian, and its children, which are the keepers.
std::vector<pid_t> helpers(pid_t guardian) {
    if (guardian == 0) return {};
    std::vector<pid_t> found{guardian};
    std::istringstream children(
        bench::read_file("/proc/" + std::to_string(guardian) + "/task/" + std::to_string(guardian) + "/children"));
    for (pid_t pid = 0; children >> pid;) found.push_back(pid);
    return found;
}

std::string of(pid_t pid, const char* file) { return "/proc/" + std::to_string(pid) + '/' + file; }

long helper_switches(const std::vector<pid_t>& pids) {
    return std::accumulate(pids.begin(), pids.end(), 0L,
                           [](long sum, pid_t pid) { return sum + switches(of(pid, "status")); });
}

long host_switches() {
    long sum = 0;
    for (const pid_t thread : threads_of_host()) {
        if (thread != ::gettid()) sum += switches("/proc/self/task/" + std::to_string(thread) + "/status");
    }
    return sum;
}

long host_resident_kib() { return bench::field("/proc/self/smaps_rollup", "Rss:"); }

/// The proportional share of memory of these processes.
long pss_kib(const std::vector<pid_t>& pids) {
    return std::accumulate(pids.begin(), pids.end(), 0L,
                           [](long sum, pid_t pid) { return sum + bench::field(of(pid, "smaps_rollup"), "Pss:"); });
}

struct Figures {
    double start_seconds = 0, stop_seconds = 0;
    std::size_t threads = 0;
    long host_wakeups = 0, helper_wakeups = 0;
    double host_kib_per_child = 0, helper_kib_per_child = 0;
    double descriptors_per_child = 0;

    void print() const {
        std::cout << start_seconds << ' ' << stop_seconds << ' ' << threads << ' ' << host_wakeups << ' '
                  << helper_wakeups << ' ' << host_kib_per_child << ' ' << helper_kib_per_child << ' '
                  << descriptors_per_child << std::endl;
    }
    static Figures read(const std::string& printed) {
        Figures f;
        std::istringstream in(printed);
        in >> f.start_seconds >> f.stop_seconds >> f.threads >> f.host_wakeups >> f.helper_wakeups >>
            f.host_kib_per_child >> f.helper_kib_per_child >> f.descriptors_per_child;
        if (!in) bench::die("a measurement printed: " + printed);
        return f;
    }
};

std::size_t open_descriptors() {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

/// What is the same for everybody: nothing happens, and it is counted.
void idle(Figures& figures, const std::vector<pid_t>& pids, std::chrono::seconds length) {
    std::this_thread::sleep_for(std::chrono::seconds(1));  // what the starts left to do is done
    figures.threads = threads_of_host().size();
    const long host_before = host_switches();
    const long helpers_before = helper_switches(pids);
    std::this_thread::sleep_for(length);
    figures.host_wakeups = host_switches() - host_before;
    figures.helper_wakeups = helper_switches(pids) - helpers_before;
}

/// Pipes that nobody reads, waitpid: what has to be there at least.
Figures measure_raw(std::size_t count, std::chrono::seconds length) {
    Figures figures;
    const long before = host_resident_kib();
    const std::size_t open_before = open_descriptors();
    std::vector<pid_t> pids;
    const auto began = bench::Clock::now();
    for (std::size_t i = 0; i < count; ++i) {
        int out[2];
        int err[2];
        if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) bench::die_errno("pipe2");
        pids.push_back(bench::start({bench::beside("pauser")}, -1, out[1], err[1]));
        ::close(out[1]);
        ::close(err[1]);
    }
    figures.start_seconds = bench::seconds_since(began);
    idle(figures, {}, length);
    figures.host_kib_per_child = static_cast<double>(host_resident_kib() - before) / static_cast<double>(count);
    figures.descriptors_per_child = static_cast<double>(open_descriptors() - open_before) / static_cast<double>(count);
    const auto stopped = bench::Clock::now();
    for (const pid_t pid : pids) ::kill(pid, SIGTERM);
    for (const pid_t pid : pids) bench::wait_for(pid);
    figures.stop_seconds = bench::seconds_since(stopped);
    return figures;
}

Figures measure_warden(warden::Mechanism mechanism, const warden::Output& output, std::size_t count,
                       std::chrono::seconds length) {
    const bench::TemporaryFolder folder;
    auto config = bench::warden_config(folder, mechanism);
    config.max_processes = count + 10;
    config.graceful_timeout = std::chrono::seconds(30);
    warden::ProcessManager manager(config);
    const warden::SpawnOptions options{.stdout_ = output, .stderr_ = output};
    static_cast<void>(manager.run({bench::beside("noop")}));
    Figures figures;
    const long before = host_resident_kib();
    const long helpers_before = pss_kib(helpers(manager.guardian_pid()));
    const std::size_t open_before = open_descriptors();
    std::vector<warden::ManagedProcess> children;
    const auto began = bench::Clock::now();
    for (std::size_t i = 0; i < count; ++i) children.push_back(manager.spawn({bench::beside("pauser")}, options));
    figures.start_seconds = bench::seconds_since(began);
    const auto pids = helpers(manager.guardian_pid());
    idle(figures, pids, length);
    figures.host_kib_per_child = static_cast<double>(host_resident_kib() - before) / static_cast<double>(count);
    figures.helper_kib_per_child = static_cast<double>(pss_kib(pids) - helpers_before) / static_cast<double>(count);
    figures.descriptors_per_child = static_cast<double>(open_descriptors() - open_before) / static_cast<double>(count);
    const auto stopped = bench::Clock::now();
    const auto reports = manager.cleanup_all();
    figures.stop_seconds = bench::seconds_since(stopped);
    if (reports.size() < count) bench::die("only " + std::to_string(reports.size()) + " were stopped");
    return figures;
}

/// What a manager costs a host that has touched so much memory.
struct MakingOfManager {
    double make_ms = 0, write_before_ms = 0, write_after_ms = 0;
};

void measure_making(warden::Mechanism mechanism, std::size_t mebibytes) {
    const bench::TemporaryFolder folder;
    bench::Ballast ballast;
    ballast.touch(mebibytes);
    ballast.write();
    auto began = bench::Clock::now();
    ballast.write();
    const double write_before = bench::microseconds_since(began);
    began = bench::Clock::now();
    warden::ProcessManager manager(bench::warden_config(folder, mechanism));
    const double make = bench::microseconds_since(began);
    began = bench::Clock::now();
    ballast.write();
    const double write_after = bench::microseconds_since(began);
    std::cout << make / 1000 << ' ' << write_before / 1000 << ' ' << write_after / 1000 << std::endl;
}

/// A small host and a large one take turns, each a fresh one.
void compare_making(warden::Mechanism mechanism, std::size_t mebibytes, std::size_t rounds) {
    const std::array<std::size_t, 2> sizes{1, mebibytes};
    std::array<std::vector<double>, 2> make;
    std::vector<double> to_small, before, after, to_before;
    for (std::size_t round = 0; round < rounds; ++round) {
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            MakingOfManager made;
            std::istringstream in(bench::run_self(
                {"--making", std::string(to_string(mechanism)), "--ballast-mib", std::to_string(sizes[i])}));
            in >> made.make_ms >> made.write_before_ms >> made.write_after_ms;
            if (!in) bench::die("a measurement of the making of a manager failed");
            make[i].push_back(made.make_ms);
            if (i == 0) continue;
            before.push_back(made.write_before_ms);
            after.push_back(made.write_after_ms);
            to_before.push_back(made.write_after_ms / made.write_before_ms);
        }
        to_small.push_back(make[1].back() / make[0].back());
    }
    bench::row({"warden, " + std::string(to_string(mechanism)), text(bench::median(make[0]), 2),
                text(bench::median(make[1]), 2), bench::ratio_text(to_small), text(bench::median(before), 1),
                text(bench::median(after), 1), bench::ratio_text(to_before)});
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t count = bench::number(argc, argv, "--children", 1000);
    const std::chrono::seconds length(bench::number(argc, argv, "--idle-seconds", 5));
    const std::string one = bench::option(argc, argv, "--one", "");
    const std::size_t mebibytes = bench::number(argc, argv, "--ballast-mib", 2048);
    const std::string making = bench::option(argc, argv, "--making", "");
    bench::raise_open_files();
    if (!making.empty()) {
        measure_making(making == "cgroup" ? warden::Mechanism::cgroup : warden::Mechanism::keeper, mebibytes);
        return 0;
    }
    if (!one.empty()) {
        const auto mechanism = one == "cgroup" ? warden::Mechanism::cgroup : warden::Mechanism::keeper;
        const bool log = bench::option(argc, argv, "--output", "") == "log";
        (one == "raw" ? measure_raw(count, length)
                      : measure_warden(mechanism, log ? warden::Output::log : warden::Output::capture, count, length))
            .print();
        return 0;
    }
    std::cout << "### " << count << " idle children\n\n"
              << "Each in a fresh host, the default settings but for `max_processes`; wake-ups over " << length.count()
              << " s.\n\n";
    bench::heading({"", "host: threads", "host: wake-ups", "host: KiB a child (RSS)", "host: descriptors a child",
                    "helpers: wake-ups", "helpers: KiB a child (PSS)", "start all, s", "stop all, s"});
    const auto measure = [&](const std::string& name, const std::string& which, const std::string& output) {
        const auto f =
            Figures::read(bench::run_self({"--one", which, "--output", output, "--children", std::to_string(count),
                                           "--idle-seconds", std::to_string(length.count())}));
        bench::row({name, std::to_string(f.threads), std::to_string(f.host_wakeups), text(f.host_kib_per_child, 1),
                    text(f.descriptors_per_child, 1), std::to_string(f.helper_wakeups), text(f.helper_kib_per_child, 1),
                    text(f.start_seconds), text(f.stop_seconds)});
    };
    measure("posix_spawn, pipes, kill, waitpid", "raw", "none");
    for (const auto mechanism : bench::mechanisms_here()) {
        const std::string name(to_string(mechanism));
        measure("warden, " + name + ", outputs captured", name, "capture");
        measure("warden, " + name + ", outputs to log files", name, "log");
    }
    std::cout
        << "\n### Making a manager in a host with " << mebibytes << " MiB of touched memory\n\n"
        << "Each in a fresh host, beside a small one. The write is one byte of each page of that memory, before the "
           "manager is made and right after. Times in milliseconds.\n\n";
    bench::heading({"", "small host", "large host", "to the small host", "write before", "write after", "to before"});
    for (const auto mechanism : bench::mechanisms_here()) {
        compare_making(mechanism, mebibytes, bench::number(argc, argv, "--rounds", 9));
    }
    std::cout << std::endl;
    return 0;
}
