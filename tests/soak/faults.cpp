// SPDX-License-Identifier: MIT
// Refuses system calls, one in each run, to a host that starts, feeds, waits for and stops processes, to its guardian
// and to its keepers: an error or a success, but no hang, crash, leak or wrong result.
//   faults [--mechanism cgroup|keeper] [--seconds S] [--seed N] [--case CALL:ROLE:NTH:ERRNO]
// Without --seconds all that can be refused is; with it, what a shuffle by the seed puts first. Not 0 if anything is
// found; the case that found it is printed as one can be run again.
#include "refusals.hpp"
#include <support/census.hpp>
#include <warden/warden.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using soak::Outcome;
using soak::Refusal;
using soak::Report;
using soak::Role;
using warden::Mechanism;

struct Options {
    std::vector<Mechanism> mechanisms{Mechanism::cgroup, Mechanism::keeper};
    std::chrono::seconds seconds = 0s;
    unsigned seed = std::random_device{}();
    std::string only;
};

struct Scene {
    Mechanism mechanism;
    std::filesystem::path data;
};

/// Does `what` as a part of the scenario; an error that it is given is no fault.
template <class F>
void take_step(Report& report, const char* name, F what) {
    report.step = name;
    try {
        what();
    } catch (const std::exception& error) {
        report.add(std::string(name) + ": " + error.what());
    }
}

/// Through pipes both ways: whoever reports a success must have carried all of it.
void feed(Report& report, warden::ProcessManager& manager) {
    const std::string text(100'000, 'x');
    const auto result = manager.run({"sh", {"-c", "cat; exit 7"}}, {}, text);
    if (result.status.exited() && result.status.code() != 7 && result.cause == warden::ExitCause::exited)
        report.add("WRONG: exit code " + std::to_string(result.status.code()));
    if (result.status.exited() && result.status.code() == 7 && !result.incomplete && result.out != text)
        report.add("WRONG: " + std::to_string(result.out.size()) + " bytes of output, and it is not incomplete");
}

/// With a child that has left its session.
void start_and_stop(Report& report, warden::ProcessManager& manager) {
    warden::SpawnOptions options;
    options.stdout_ = warden::Output::capture | warden::Output::log;
    options.alerts = {{.pattern = "up", .action = warden::AlertAction::ready}};
    auto process = manager.spawn({"sh", {"-c", "setsid sleep 30 & echo up; exec sleep 30"}}, options);
    warden::error_code unready;
    process.wait_ready(2s, unready);
    if (unready) report.add("ready: " + unready.message());
    report.step = "stop";
    const auto stopped = process.stop(warden::StopPlan::now());
    if (stopped.clean()) soak::mark(soak::Mark::stopped_clean);
    else report.add("stop: " + stopped.survivors[0].reason);
}

void run_scenario(Report& report, const void* argument) {
    const Scene& scene = *static_cast<const Scene*>(argument);
    take_step(report, "set-up", [&] {
        warden::ManagerConfig config;
        config.mechanism = scene.mechanism;
        config.data_directory = scene.data;
        warden::ProcessManager manager(config);
        take_step(report, "feed", [&] { feed(report, manager); });
        take_step(report, "start", [&] { start_and_stop(report, manager); });
        take_step(report, "start again", [&] { static_cast<void>(manager.run({"sh", {"-c", "exit 3"}})); });
        report.step = "end";
    });
}

Outcome run(const Refusal& refusal, const Scene& scene) {
    Outcome outcome = soak::run_refusing(refusal, run_scenario, &scene);
    std::filesystem::remove_all(scene.data);
    return outcome;
}

std::string name_of(const Refusal& refusal) {
    return std::string(refusal.call->name) + ':' +
           std::string(soak::role_names[static_cast<std::size_t>(refusal.role)]) + ':' + std::to_string(refusal.nth) +
           ':' + std::to_string(refusal.error);
}

/// All that may be refused in a run as `undisturbed` went.
std::vector<Refusal> all_refusals(const Outcome& undisturbed) {
    std::vector<Refusal> all;
    for (const auto& [who, count] : undisturbed.calls) {
        if (who.second == Role::program) continue;
        for (std::size_t nth = 1; nth <= count; ++nth) {
            for (const int error : who.first->errors) all.push_back({who.first, who.second, nth, error});
        }
    }
    return all;
}

void print(const Outcome& outcome, const std::string& name) {
    for (const auto& fault : outcome.faults) std::cout << "  " << name << ": " << fault << '\n';
    if (!outcome.faults.empty() && !outcome.errors.empty()) std::cout << "    told: " << outcome.errors;
    std::cout.flush();
}

/// Whether nothing was found.
bool explore(const Scene& scene, const Options& options) {
    const std::string mechanism(to_string(scene.mechanism));
    const Outcome undisturbed = run({}, scene);
    print(undisturbed, "nothing refused");
    if (!undisturbed.faults.empty() || !undisturbed.errors.empty()) {
        std::cout << mechanism << ": the scenario fails by itself: " << undisturbed.errors << '\n';
        return false;
    }
    auto all = all_refusals(undisturbed);
    if (!options.only.empty()) std::erase_if(all, [&](const Refusal& one) { return name_of(one) != options.only; });
    std::mt19937 random(options.seed);
    std::shuffle(all.begin(), all.end(), random);
    const auto began = Clock::now();
    std::size_t runs = 0;
    std::size_t refused = 0;
    std::size_t with_error = 0;
    std::size_t faulty = 0;
    std::pair<std::chrono::milliseconds, std::string> slowest;
    for (const Refusal& refusal : all) {
        if (options.seconds > 0s && Clock::now() - began > options.seconds) break;
        const Outcome outcome = run(refusal, scene);
        ++runs;
        refused += outcome.was_refused ? 1 : 0;
        with_error += outcome.errors.empty() ? 0 : 1;
        faulty += outcome.faults.empty() ? 0 : 1;
        print(outcome, name_of(refusal));
        slowest = std::max(slowest, {outcome.duration, name_of(refusal)});
    }
    std::cout << mechanism << ": " << runs << " runs of " << all.size() << ", a call refused in " << refused
              << "; errors reported in " << with_error << ", faults in " << faulty << "; slowest: " << slowest.second
              << ", " << slowest.first.count() << " ms\n";
    return faulty == 0 && runs > 0;
}

Options read_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string name = argv[i];
        const std::string value = argv[i + 1];
        if (name == "--seconds") options.seconds = std::chrono::seconds(std::stoul(value));
        else if (name == "--seed") options.seed = static_cast<unsigned>(std::stoul(value));
        else if (name == "--case") options.only = value;
        else if (name == "--mechanism" && value == "cgroup") options.mechanisms = {Mechanism::cgroup};
        else if (name == "--mechanism" && value == "keeper") options.mechanisms = {Mechanism::keeper};
        else throw std::invalid_argument(name + ' ' + value);
    }
    if (argc % 2 == 0) throw std::invalid_argument(argv[argc - 1]);
    return options;
}

std::string why_not(Mechanism mechanism, const std::filesystem::path& data) {
    warden::ManagerConfig config;
    config.mechanism = mechanism;
    config.data_directory = data;
    config.handle_signals = false;
    const warden::ProcessManager probe(config);
    return probe.containment().mechanism == mechanism ? std::string() : probe.containment().why_not_stronger;
}

/// In a process of its own: this program is to have no threads when it forks a host.
bool is_available(const Scene& scene) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        const std::string why = why_not(scene.mechanism, scene.data);
        if (!why.empty())
            std::cerr << "SKIPPED: " << to_string(scene.mechanism) << " is not available: " << why << '\n';
        std::_Exit(why.empty() ? 0 : 1);
    }
    int status = 0;
    return ::waitpid(pid, &status, 0) == pid && status == 0;
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = read_options(argc, argv);
    std::string folder = (std::filesystem::temp_directory_path() / "warden-faults-XXXXXX").string();
    if (!::mkdtemp(folder.data())) throw std::system_error(errno, std::generic_category(), folder);
    support::become_subreaper();
    std::cout << "seed " << options.seed << '\n';
    bool is_clean = true;
    std::size_t measured = 0;
    for (const Mechanism mechanism : options.mechanisms) {
        const Scene scene{mechanism, std::filesystem::path(folder) / "data"};
        if (!is_available(scene)) continue;
        ++measured;
        is_clean = explore(scene, options) && is_clean;
    }
    std::filesystem::remove_all(folder);
    if (measured == 0) return 77;
    return is_clean ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "faults: " << error.what() << "\nusage: faults [--mechanism cgroup|keeper] [--seconds S] [--seed N] "
              << "[--case CALL:ROLE:NTH:ERRNO]\n";
    support::end_all_descendants();
    return 2;
}
