// SPDX-License-Identifier: MIT
//
// From the start of a static program that does nothing to its exit code, with both outputs read through pipes.
//
//   spawn [--rounds 15] [--n 100] [--slow-n 5] [--ballast-mib 2048]
//   spawn --only "warden, cgroup" --n 1000      one contestant alone, for a profiler
//   spawn --versions
//
// Three hosts are measured: a small one, one with much touched memory before its managers are made, one after. Each is
// a process of its own; they take turns, and within a turn the contestants take turns in an order that changes. Those
// that copy page tables take `--slow-n` turns a round in the big hosts.

#include "bench.hpp"
#include "peers.hpp"
#include "warden_host.hpp"

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <utility>

namespace {

using bench::text;

struct Contestant {
    std::string name;
    bool slow_when_big;
    bool apart;                // takes its turns after the others: it holds up every start in the whole system
    std::function<int()> run;  // the exit code
};

/// All who can take part here, the baseline first. They keep what they need alive.
class Field {
    bench::TemporaryFolder folder_;  // outlives the managers

public:
    Field() {
        const std::string noop = bench::beside("noop");
        const auto add = [&](std::string name, bool slow, auto peer) {
            contestants.push_back({std::move(name), slow, false, [peer] { return peer->run(); }});
        };
        add("posix_spawn", false, std::make_shared<bench::RawPeer>(noop));
        auto grouped = std::make_shared<bench::RawCgroupPeer>(noop);
        if (grouped->usable()) {
            add("posix_spawn, then moved into a cgroup of its own", false, grouped);
            contestants.back().apart = true;
        } else missing.push_back("posix_spawn in a cgroup: no writable cgroup v2 here");
        add_warden(noop, warden::Mechanism::cgroup);
        add_warden(noop, warden::Mechanism::keeper);
        add("Boost.Process v2, default launcher", true, std::make_shared<bench::BoostPeer>(noop));
        add_libraries(add, noop);
    }

    std::vector<Contestant> contestants;
    std::vector<std::string> missing;

private:
    template <class Add>
    void add_libraries([[maybe_unused]] Add add, [[maybe_unused]] const std::string& noop);

    void add_warden(const std::string& noop, warden::Mechanism mechanism) {
        const std::string name = "warden, " + std::string(to_string(mechanism));
        if (const std::string reason = bench::why_not(mechanism); !reason.empty()) {
            missing.push_back(name + ": " + reason);
            return;
        }
        auto manager = std::make_shared<warden::ProcessManager>(bench::warden_config(folder_, mechanism));
        contestants.push_back({name, false, false, [manager, noop] {
                                   auto child = manager->spawn({noop}, {.stdout_ = warden::Output::capture,
                                                                        .stderr_ = warden::Output::capture});
                                   return child.wait().code();
                               }});
        contestants.push_back(
            {name + ", by run()", false, false, [manager, noop] { return manager->run({noop}).status.code(); }});
    }
};

#if defined(WARDEN_BENCH_HAS_LIBUV) && defined(WARDEN_BENCH_HAS_GLIB)
template <class Add>
void Field::add_libraries(Add add, const std::string& noop) {
    add("libuv", true, std::make_shared<bench::LibuvPeer>(noop));
    add("GLib", true, std::make_shared<bench::GlibPeer>(noop));
}
#elif defined(WARDEN_BENCH_HAS_LIBUV)
template <class Add>
void Field::add_libraries(Add add, const std::string& noop) {
    add("libuv", true, std::make_shared<bench::LibuvPeer>(noop));
    missing.push_back(bench::glib_version);
}
#elif defined(WARDEN_BENCH_HAS_GLIB)
template <class Add>
void Field::add_libraries(Add add, const std::string& noop) {
    missing.push_back(bench::libuv_version);
    add("GLib", true, std::make_shared<bench::GlibPeer>(noop));
}
#else
template <class Add>
void Field::add_libraries(Add, const std::string&) {
    missing = {bench::libuv_version, bench::glib_version};
}
#endif

double measure(const Contestant& contestant) {
    const auto began = bench::Clock::now();
    const int code = contestant.run();
    const double took = bench::microseconds_since(began);
    if (code != 0) bench::die(contestant.name + ": the program did not return 0");
    return took;
}

// -- a host: takes orders on standard input, prints samples
// ------------------------------------------------------------

int be_host(std::size_t mebibytes, bool touched_first) {
    bench::Ballast ballast;
    if (touched_first) ballast.touch(mebibytes);
    Field field;
    if (!touched_first) ballast.touch(mebibytes);
    for (const auto& contestant : field.contestants) std::cout << contestant.name << '\n';
    std::cout << '\n';
    for (const auto& line : field.missing) std::cout << line.substr(0, line.find('\n')) << '\n';
    std::cout << std::endl;

    std::mt19937 random(1);
    std::vector<std::size_t> order(field.contestants.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    for (std::size_t n = 0, slow_n = 0; std::cin >> n >> slow_n;) {
        ::alarm(300);  // a peer that forks in a program with threads may hang
        std::vector<std::vector<double>> samples(order.size());
        for (const bool apart : {false, true}) {
            for (std::size_t turn = 0; turn < n; ++turn) {
                std::shuffle(order.begin(), order.end(), random);
                for (const std::size_t i : order) {
                    const auto& contestant = field.contestants[i];
                    if (contestant.apart != apart || (contestant.slow_when_big && turn >= slow_n)) continue;
                    samples[i].push_back(measure(contestant));
                }
            }
        }
        for (const auto& own : samples) {
            for (const double sample : own) std::cout << sample << ' ';
            std::cout << '\n';
        }
        std::cout << std::flush;
        ::alarm(0);
    }
    return 0;
}

// -- the run: orders rounds from the hosts, compares
// -------------------------------------------------------------------

class Host {
public:
    Host(std::size_t mebibytes, bool touched_first) {
        int orders[2];
        int answers[2];
        if (::pipe2(orders, O_CLOEXEC) != 0 || ::pipe2(answers, O_CLOEXEC) != 0) bench::die_errno("pipe2");
        pid_ = bench::start({bench::beside("spawn"), "--host", touched_first ? "before" : "after", "--ballast-mib",
                             std::to_string(mebibytes)},
                            orders[0], answers[1], STDERR_FILENO);
        ::close(orders[0]);
        ::close(answers[1]);
        orders_ = ::fdopen(orders[1], "w");
        answers_ = ::fdopen(answers[0], "r");
        for (std::string line; !(line = read_line()).empty();) names.push_back(line);
        for (std::string line; !(line = read_line()).empty();) missing.push_back(line);
    }
    Host(const Host&) = delete;
    ~Host() {
        std::fclose(orders_);
        std::fclose(answers_);
        bench::wait_for(pid_);
    }

    /// One round; the samples of each contestant.
    std::vector<std::vector<double>> round(std::size_t n, std::size_t slow_n) {
        std::fprintf(orders_, "%zu %zu\n", n, slow_n);
        std::fflush(orders_);
        std::vector<std::vector<double>> samples;
        for (std::size_t i = 0; i < names.size(); ++i) {
            std::istringstream line(read_line());
            std::vector<double> own;
            for (double sample = 0; line >> sample;) own.push_back(sample);
            if (own.empty()) bench::die("a host ended in the middle of a round");
            samples.push_back(std::move(own));
        }
        return samples;
    }

    std::vector<std::string> names;
    std::vector<std::string> missing;

private:
    std::string read_line() {
        std::string line;
        for (int c = 0; (c = std::fgetc(answers_)) != EOF && c != '\n';) line += static_cast<char>(c);
        return line;
    }
    pid_t pid_ = 0;
    std::FILE* orders_ = nullptr;
    std::FILE* answers_ = nullptr;
};

/// Of one contestant in one host: all samples, and the median of each round.
struct Result {
    std::vector<double> samples;
    std::vector<double> medians;
};

/// The median of each round divided by that of the same round of `by`.
std::vector<double> ratios(const Result& result, const Result& by) {
    std::vector<double> found;
    for (std::size_t i = 0; i < result.medians.size(); ++i) found.push_back(result.medians[i] / by.medians[i]);
    return found;
}

int compare(std::size_t rounds, std::size_t n, std::size_t slow_n, std::size_t mebibytes) {
    std::array<std::unique_ptr<Host>, 3> hosts{std::make_unique<Host>(0, true), std::make_unique<Host>(mebibytes, true),
                                               std::make_unique<Host>(mebibytes, false)};
    const std::size_t count = hosts[0]->names.size();
    std::array<std::vector<Result>, 3> results;
    for (auto& of_host : results) of_host.resize(count);
    for (std::size_t round = 0; round <= rounds; ++round) {  // round 0 warms up
        for (std::size_t h = 0; h < hosts.size(); ++h) {
            const bool warm_up = round == 0;
            const auto samples = hosts[h]->round(warm_up ? 20 : n, h == 0 ? n : warm_up ? 1 : slow_n);
            if (warm_up) continue;
            for (std::size_t c = 0; c < count; ++c) {
                auto& result = results[h][c];
                result.samples.insert(result.samples.end(), samples[c].begin(), samples[c].end());
                result.medians.push_back(bench::median(samples[c]));
            }
        }
        std::cerr << "bench: spawn: round " << round << " of " << rounds << '\n';
    }

    std::cout << "### From start to exit, both outputs read through pipes\n\n"
              << "Program: a static one that does nothing. " << rounds << " rounds of " << n
              << " turns each. Times in microseconds; ratios: median over the rounds (middle half of them).\n\n";
    bench::heading({"", "median", "p90", "to posix_spawn"});
    for (std::size_t c = 0; c < count; ++c) {
        const auto& small = results[0][c];
        bench::row({hosts[0]->names[c], text(bench::median(small.samples), 0),
                    text(bench::quantile(small.samples, 0.9), 0), bench::ratio_text(ratios(small, results[0][0]))});
    }
    std::cout << "\n### The same in a host with " << mebibytes << " MiB of touched memory\n\n"
              << "Touched before, or after, the manager is made. Contestants that copy page tables took " << slow_n
              << " turns a round.\n\n";
    bench::heading({"", "before: median", "to posix_spawn", "to the small host", "after: median", "to posix_spawn",
                    "to the small host"});
    for (std::size_t c = 0; c < count; ++c) {
        std::vector<std::string> cells{hosts[0]->names[c]};
        for (std::size_t h = 1; h < 3; ++h) {
            cells.push_back(text(bench::median(results[h][c].samples), 0));
            cells.push_back(bench::ratio_text(ratios(results[h][c], results[h][0])));
            cells.push_back(bench::ratio_text(ratios(results[h][c], results[0][c])));
        }
        bench::row(cells);
    }
    for (const auto& line : hosts[0]->missing) std::cout << "\nMissing: " << line << '\n';
    std::cout << std::endl;
    return 0;
}

int measure_only(const std::string& name, std::size_t n) {
    Field field;
    for (const auto& contestant : field.contestants) {
        if (contestant.name != name) continue;
        std::vector<double> samples;
        for (std::size_t i = 0; i < n; ++i) samples.push_back(measure(contestant));
        std::cout << name << ": median " << text(bench::median(samples), 0) << " us, p90 "
                  << text(bench::quantile(samples, 0.9), 0) << " us\n";
        return 0;
    }
    std::cerr << "bench: nobody is called '" << name << "'; there are:\n";
    for (const auto& contestant : field.contestants) std::cerr << "  " << contestant.name << '\n';
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && argv[1] == std::string("--versions")) {
        std::cout << "g++ or clang++ " << __VERSION__ << ", Boost " << BOOST_LIB_VERSION << ", " << bench::libuv_version
                  << ", " << bench::glib_version << std::endl;
        return 0;
    }
    const std::size_t mebibytes = bench::number(argc, argv, "--ballast-mib", 2048);
    const std::size_t n = bench::number(argc, argv, "--n", 100);
    const std::string host = bench::option(argc, argv, "--host", "");
    const std::string only = bench::option(argc, argv, "--only", "");
    if (!host.empty()) return be_host(mebibytes, host == "before");
    if (!only.empty()) return measure_only(only, n);
    return compare(bench::number(argc, argv, "--rounds", 15), n, bench::number(argc, argv, "--slow-n", 5), mebibytes);
}
