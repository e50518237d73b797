// SPDX-License-Identifier: MIT
//
// How long a stop takes, and what a manager costs to make.
//
//   stop_latency [--n 300] [--deaf 500] [--ballast-mib 2048]
//
// Well-behaved processes end on SIGTERM; deaf ones ignore it and are killed after a grace of 500 ms, all at once.

#include "warden_host.hpp"

#include <array>
#include <memory>
#include <thread>

#include <signal.h>

namespace {

using bench::text;
using namespace std::chrono_literals;

// -- one that ends when it is asked to
// ---------------------------------------------------------------------------------

double stop_raw() {
    const pid_t pid = bench::start({bench::beside("pauser")}, -1, -1, -1);
    const auto began = bench::Clock::now();
    ::kill(pid, SIGTERM);
    bench::wait_for(pid);
    return bench::microseconds_since(began);
}

double stop_by_warden(warden::ProcessManager& manager) {
    auto child =
        manager.spawn({bench::beside("pauser")}, {.stdout_ = warden::Output::null, .stderr_ = warden::Output::null});
    const auto began = bench::Clock::now();
    const auto report = child.stop();
    const double took = bench::microseconds_since(began);
    if (!report.clean()) bench::die("a well-behaved process outlived its stop");
    return took;
}

void compare_stops(std::size_t n, const std::vector<warden::Mechanism>& mechanisms) {
    const bench::TemporaryFolder folder;
    std::vector<std::unique_ptr<warden::ProcessManager>> managers;
    std::vector<std::string> names{"kill, waitpid"};
    for (const auto mechanism : mechanisms) {
        managers.push_back(std::make_unique<warden::ProcessManager>(bench::warden_config(folder, mechanism)));
        names.push_back("warden, " + std::string(to_string(mechanism)));
    }
    std::vector<std::vector<double>> samples(names.size());
    for (std::size_t turn = 0; turn < n + 10; ++turn) {
        for (std::size_t i = 0; i < names.size(); ++i) {
            const double took = i == 0 ? stop_raw() : stop_by_warden(*managers[i - 1]);
            if (turn >= 10) samples[i].push_back(took);  // the first ones warm up
        }
    }
    std::cout << "### Stopping one process that ends on SIGTERM\n\n" << n << " turns each. Times in microseconds.\n\n";
    bench::heading({"", "median", "p90"});
    for (std::size_t i = 0; i < names.size(); ++i) {
        bench::row({names[i], text(bench::median(samples[i]), 0), text(bench::quantile(samples[i], 0.9), 0)});
    }
    std::cout << std::endl;
}

// -- many that do not
// --------------------------------------------------------------------------------------------------

bool ignores_sigterm(pid_t pid) {
    const std::string status = bench::read_file("/proc/" + std::to_string(pid) + "/status");
    const auto at = status.find("SigIgn:");
    return at != std::string::npos && (std::strtoull(status.c_str() + at + 7, nullptr, 16) >> (SIGTERM - 1) & 1) != 0;
}

void until_deaf(const std::vector<pid_t>& pids) {
    for (const pid_t pid : pids) {
        while (!ignores_sigterm(pid)) std::this_thread::sleep_for(1ms);
    }
}

double stop_deaf_raw(std::size_t count) {
    std::vector<pid_t> pids;
    for (std::size_t i = 0; i < count; ++i) pids.push_back(bench::start({bench::beside("pauser"), "deaf"}, -1, -1, -1));
    until_deaf(pids);
    const auto began = bench::Clock::now();
    for (const pid_t pid : pids) ::kill(pid, SIGTERM);
    std::this_thread::sleep_for(500ms);
    for (const pid_t pid : pids) ::kill(pid, SIGKILL);
    for (const pid_t pid : pids) bench::wait_for(pid);
    return bench::seconds_since(began);
}

double stop_deaf(warden::Mechanism mechanism, std::size_t count) {
    const bench::TemporaryFolder folder;
    auto config = bench::warden_config(folder, mechanism);
    config.max_processes = count + 10;
    warden::ProcessManager manager(config);
    std::vector<warden::ManagedProcess> children;
    std::vector<pid_t> pids;
    for (std::size_t i = 0; i < count; ++i) {
        children.push_back(
            manager.spawn({bench::beside("pauser"), "deaf"},
                          {.name = "deaf", .stdout_ = warden::Output::null, .stderr_ = warden::Output::null}));
        pids.push_back(static_cast<pid_t>(children.back().pid()));
    }
    until_deaf(pids);
    const auto began = bench::Clock::now();
    const auto report = manager.stop("deaf", warden::StopPlan::within(500ms));
    const double took = bench::seconds_since(began);
    if (!report.clean()) bench::die(std::to_string(report.survivors.size()) + " outlived their stop");
    return took;
}

void compare_deaf(std::size_t count, const std::vector<warden::Mechanism>& mechanisms) {
    std::cout << "### Stopping " << count << " processes that ignore SIGTERM, all at once, with a grace of 500 ms\n\n"
              << "Median of three.\n\n";
    bench::heading({"", "total, ms", "beyond the grace, ms"});
    const auto measure = [](const std::string& name, auto stop) {
        std::vector<double> samples;
        for (int i = 0; i < 3; ++i) samples.push_back(stop() * 1e3);
        bench::row({name, text(bench::median(samples), 0), text(bench::median(samples) - 500, 0)});
    };
    measure("kill, sleep, kill, waitpid", [&] { return stop_deaf_raw(count); });
    for (const auto mechanism : mechanisms) {
        measure("warden, " + std::string(to_string(mechanism)), [&] { return stop_deaf(mechanism, count); });
    }
    std::cout << std::endl;
}

// -- what a manager costs
// ----------------------------------------------------------------------------------------------

/// In a fresh host: the time to make a manager, and until its first process has ended; the guardian's memory; how much
/// longer the host takes to write all its memory again, for the copy shared its pages.
void print_start(warden::Mechanism mechanism, std::size_t mebibytes) {
    bench::Ballast ballast;
    ballast.touch(mebibytes);
    const auto write = [&] {
        const auto began = bench::Clock::now();
        ballast.write();
        return bench::seconds_since(began) * 1e3;
    };
    const double write_before = write();
    const bench::TemporaryFolder folder;
    const auto began = bench::Clock::now();
    warden::ProcessManager manager(bench::warden_config(folder, mechanism));
    const double made = bench::seconds_since(began) * 1e3;
    static_cast<void>(manager.run({bench::beside("noop")}));
    const double first = bench::seconds_since(began) * 1e3;
    std::this_thread::sleep_for(200ms);
    const double write_after = write();
    const std::string rollup = "/proc/" + std::to_string(manager.guardian_pid()) + "/smaps_rollup";
    std::cout << made << ' ' << first << ' ' << bench::field(rollup, "Pss:") << ' ' << bench::field(rollup, "Rss:")
              << ' ' << write_before << ' ' << write_after << std::endl;
}

void compare_starts(std::size_t mebibytes, const std::vector<warden::Mechanism>& mechanisms) {
    std::cout
        << "### Making a manager, guardian included\n\nFresh hosts with that much touched memory; median of five.\n\n";
    bench::heading({"", "made, ms", "first process ended, ms", "guardian: PSS, KiB", "guardian: RSS, KiB",
                    "host writes all its memory: before, ms", "after, ms"});
    for (const auto mechanism : mechanisms) {
        for (const std::size_t size : {std::size_t{10}, mebibytes}) {
            std::array<std::vector<double>, 6> figures;
            for (int i = 0; i < 5; ++i) {
                std::istringstream printed(bench::run_self(
                    {"--start", std::string(to_string(mechanism)), "--ballast-mib", std::to_string(size)}));
                for (auto& figure : figures) printed >> figure.emplace_back();
            }
            std::vector<std::string> cells{"warden, " + std::string(to_string(mechanism)) + ", " +
                                           std::to_string(size) + " MiB"};
            const std::array<int, 6> digits{2, 2, 0, 0, 1, 1};
            for (std::size_t i = 0; i < figures.size(); ++i)
                cells.push_back(text(bench::median(figures[i]), digits[i]));
            bench::row(cells);
        }
    }
    std::cout << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t mebibytes = bench::number(argc, argv, "--ballast-mib", 2048);
    const std::string start = bench::option(argc, argv, "--start", "");
    bench::raise_open_files();
    if (!start.empty()) {
        print_start(start == "cgroup" ? warden::Mechanism::cgroup : warden::Mechanism::keeper, mebibytes);
        return 0;
    }
    const auto mechanisms = bench::mechanisms_here();
    compare_stops(bench::number(argc, argv, "--n", 300), mechanisms);
    compare_deaf(bench::number(argc, argv, "--deaf", 500), mechanisms);
    compare_starts(mebibytes, mechanisms);
    return 0;
}
