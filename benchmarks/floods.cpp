// SPDX-License-Identifier: MIT
//
// Many floods at once, a very long one, and the end of a long log.
//
//   floods [--rounds 3] [--mib 4096] [--long-mib 10240] [--tail-calls 1000] [--tail-mb 1000]
//
// The producer and its lines are those of `pump`. All children of a round are started first, and begin when they are
// told to, together; each writes the same share. Every measurement has a fresh process as its host. CPU is that of the
// whole host; its memory is the resident set, exactly.

#include "warden_host.hpp"

#include <array>
#include <latch>
#include <mutex>

#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>

namespace {

using bench::text;

/// Where producers wait until they are told to begin.
class Gate {
public:
    explicit Gate(std::filesystem::path folder) : folder_(std::move(folder)) {
        std::filesystem::create_directory(folder_);
        gate_ = ::open((folder_ / "gate").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (gate_ < 0 || ::flock(gate_, LOCK_EX) != 0) bench::die_errno("gate");
        if (::mkfifo((folder_ / "ready").c_str(), 0600) != 0) bench::die_errno("mkfifo");
        ready_ = ::open((folder_ / "ready").c_str(), O_RDWR | O_CLOEXEC);
        if (ready_ < 0) bench::die_errno("ready");
    }
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;
    ~Gate() {
        ::close(gate_);
        ::close(ready_);
    }
    [[nodiscard]] std::string folder() const { return folder_.string(); }

    void await(std::size_t count) {
        constexpr int patience_ms = 60'000;
        pollfd ready{ready_, POLLIN, 0};
        for (char byte; count > 0; --count) {
            if (::poll(&ready, 1, patience_ms) != 1 || ::read(ready_, &byte, 1) != 1)
                bench::die("a producer did not come");
        }
    }
    void open() {
        if (::flock(gate_, LOCK_UN) != 0) bench::die_errno("gate");
    }

private:
    std::filesystem::path folder_;
    int gate_ = -1;
    int ready_ = -1;
};

/// Of this process, in KiB, counted page by page: what /proc/self/status says may lag by some pages a thread.
double resident_kib() { return static_cast<double>(bench::field("/proc/self/smaps_rollup", "Rss:")); }

// -- many -------------------------------------------------------------------------------------------------------------

/// Prints seconds, CPU seconds, resident KiB before, at the end, and the times of the first and the last to end.
int flood(warden::Mechanism mechanism, std::size_t count, std::size_t bytes) {
    bench::raise_open_files();
    const bench::TemporaryFolder folder;
    auto config = bench::warden_config(folder, mechanism);
    config.max_processes = count;
    config.alerts.active_processes = count;
    warden::ProcessManager manager(config);
    Gate gate(folder.path() / "gate");
    std::vector<warden::ManagedProcess> children;
    for (std::size_t i = 0; i < count; ++i) {
        children.push_back(
            manager.spawn({bench::beside("producer"), {std::to_string(bytes / count), "0", gate.folder()}}));
    }
    gate.await(count);
    const double before = resident_kib();
    const double cpu_before = bench::own_cpu_seconds();
    std::mutex mutex;
    std::vector<double> ends;
    std::latch told(static_cast<std::ptrdiff_t>(count));
    const auto began = bench::Clock::now();
    for (auto& child : children) {
        child.async_wait([&](const warden::error_code&, const warden::ExitStatus&) {
            const double seconds = bench::seconds_since(began);
            {
                const std::lock_guard lock(mutex);
                ends.push_back(seconds);
            }
            told.count_down();
        });
    }
    gate.open();
    for (auto& child : children) {
        if (!child.wait().success()) bench::die("a producer failed");
    }
    const double took = bench::seconds_since(began);
    const double cpu = bench::own_cpu_seconds() - cpu_before;
    const double after = resident_kib();
    for (const auto& child : children) {
        const auto info = child.info();
        if (info.output_bytes != bytes / count || info.dropped_bytes != 0) bench::die("not all of it was logged");
    }
    children.clear();
    told.wait();
    std::cout << took << ' ' << cpu << ' ' << before << ' ' << after << ' ' << bench::quantile(ends, 0) << ' '
              << bench::quantile(ends, 1) << '\n';
    return 0;
}

// -- long -------------------------------------------------------------------------------------------------------------

/// Prints resident KiB after the first 100 MiB, at the end, and how much the peak grew in between; then MB/s.
int long_flood(warden::Mechanism mechanism, bool rotates, std::size_t bytes) {
    constexpr std::size_t first = std::size_t{100} << 20;
    const bench::TemporaryFolder folder;
    warden::ProcessManager manager(bench::warden_config(folder, mechanism));
    Gate gate(folder.path() / "gate");
    warden::SpawnOptions options;
    options.timeout = warden::no_timeout;
    if (rotates) {
        options.log.limits = {1'000'000, 1'000'000};
        options.log.on_limit = warden::OnLimit::rotate(3);
    }
    const auto producer = bench::beside("producer");
    const std::string script = "\"$0\" \"$1\" && \"$0\" \"$2\" 0 \"$3\"";
    auto child = manager.spawn(
        {"sh", {"-c", script, producer, std::to_string(first), std::to_string(bytes - first), gate.folder()}}, options);
    gate.await(1);
    const double before = resident_kib();
    const auto peak_before = bench::field("/proc/self/status", "VmHWM:");
    const auto began = bench::Clock::now();
    gate.open();
    if (!child.wait().success()) bench::die("the producer failed");
    const double took = bench::seconds_since(began);
    const double after = resident_kib();
    const auto peak = bench::field("/proc/self/status", "VmHWM:");
    const auto info = child.info();
    if (info.output_bytes != bytes || info.dropped_bytes != 0) bench::die("not all of it was logged");
    std::cout << before << ' ' << after << ' ' << peak - peak_before << ' '
              << static_cast<double>(bytes - first) / 1e6 / took << '\n';
    return 0;
}

// -- the end of a log -------------------------------------------------------------------------------------------------

constexpr std::size_t tail_files = 10;  // the active one among them

std::size_t file_bytes_of(std::size_t bytes) { return bytes * 2 / (tail_files * 2 - 1); }

/// Writes as many bytes of lines; all files are full then but the active one, which is half full.
void write_log(const std::filesystem::path& path, std::size_t bytes) {
    const std::size_t file_bytes = file_bytes_of(bytes);
    warden::error_code ec;
    auto sink = warden::LogSink::open(path, {file_bytes, file_bytes}, warden::OnLimit::rotate(tail_files - 1), ec);
    if (ec) bench::die(path.string() + ": " + ec.message());
    std::string block;
    char line[128];
    for (std::size_t written = 0, n = 0; written < bytes; written += block.size()) {
        for (block.clear(); block.size() < 64 * 1024; ++n) {
            std::snprintf(line, sizeof line,
                          "2024-05-17T12:00:00.%06zu INFO  worker[%zu] step %zu: loss 0.%04zu, queue %zu\n",
                          n % 1'000'000, n % 16, n, n % 10'000, n % 64);
            block += line;
        }
        sink.write(block);
    }
    if (sink.stats().dropped_bytes != 0) bench::die("the log dropped something");
}

std::uintmax_t log_bytes(const std::filesystem::path& path) {
    std::uintmax_t sum = std::filesystem::file_size(path);
    for (std::size_t i = 1; i < tail_files; ++i)
        sum += std::filesystem::file_size(path.string() + '.' + std::to_string(i));
    return sum;
}

void tails(std::size_t calls, std::size_t megabytes) {
    const bench::TemporaryFolder folder;
    const std::vector<std::size_t> sizes{megabytes * 1'000'000, megabytes * 10'000};
    std::vector<std::filesystem::path> paths;
    for (const std::size_t size : sizes) {
        paths.push_back(folder.path() / (std::to_string(size) + ".log"));
        write_log(paths.back(), size);
    }
    std::vector<std::vector<double>> times(sizes.size());
    for (std::size_t i = 0; i < calls; ++i) {
        for (std::size_t log = 0; log < sizes.size(); ++log) {
            const auto began = bench::Clock::now();
            const auto lines = warden::tail_file(paths[log], 100);
            times[log].push_back(bench::microseconds_since(began));
            if (lines.size() != 100) bench::die("the tail has not 100 lines");
        }
    }
    std::cout << "### The newest 100 lines of a rotated log\n\n"
              << calls << " calls of `tail_file` each, in turns; " << tail_files
              << " files, in the cache of the system.\n\n";
    bench::heading({"", "MB on the disk", "median, us", "99th percentile, us"});
    for (std::size_t log = 0; log < sizes.size(); ++log) {
        bench::row({"rotate(" + std::to_string(tail_files - 1) + "), " +
                        text(static_cast<double>(file_bytes_of(sizes[log])) / 1e6, 0) + " MB a file",
                    text(static_cast<double>(log_bytes(paths[log])) / 1e6, 1), text(bench::median(times[log]), 1),
                    text(bench::quantile(times[log], 0.99), 1)});
    }
    std::cout << std::endl;
}

// -- all of it --------------------------------------------------------------------------------------------------------

/// The numbers that this program prints when it is run again.
std::vector<double> measured(std::vector<std::string> arguments) {
    std::istringstream printed(bench::run_self(std::move(arguments)));
    std::vector<double> numbers;
    for (double number = 0; printed >> number;) numbers.push_back(number);
    return numbers;
}

void many_floods(const std::string& mechanism, std::size_t rounds, std::size_t bytes) {
    constexpr std::array<std::size_t, 3> counts{1, 10, 200};
    struct Result {
        std::vector<double> speed, cpu, before, after, fairness;
    };
    std::array<Result, counts.size()> results;
    for (std::size_t round = 1; round <= rounds; ++round) {
        for (std::size_t i = 0; i < counts.size(); ++i) {
            const auto got = measured({"--flood", mechanism, std::to_string(counts[i]), std::to_string(bytes)});
            if (got.size() != 6) bench::die("a flood was not measured");
            results[i].speed.push_back(static_cast<double>(bytes) / 1e6 / got[0]);
            results[i].cpu.push_back(got[1] / static_cast<double>(bytes) * 1e9);
            results[i].before.push_back(got[2] / 1024);
            results[i].after.push_back(got[3] / 1024);
            results[i].fairness.push_back(got[5] / got[4]);
        }
        std::cerr << "bench: floods: round " << round << " of " << rounds << '\n';
    }
    std::cout << "### Many floods at once\n\n"
              << rounds << " rounds; " << (bytes >> 20)
              << " MiB altogether, each child the same share, into logs with the "
              << "default bounds; " << mechanism << ".\n\n";
    bench::heading({"children", "MB/s", "CPU seconds of the host per GB", "MiB of the host before", "MiB at the end",
                    "last to end / first to end"});
    for (std::size_t i = 0; i < counts.size(); ++i) {
        bench::row({std::to_string(counts[i]), text(bench::median(results[i].speed), 0),
                    text(bench::median(results[i].cpu)), text(bench::median(results[i].before), 1),
                    text(bench::median(results[i].after), 1), text(bench::median(results[i].fairness))});
    }
    std::cout << std::endl;
}

void long_floods(const std::string& mechanism, std::size_t bytes) {
    std::cout << "### One very long flood\n\n"
              << (bytes >> 20) << " MiB through one log, once; " << mechanism
              << ". Memory is that of the host; it may grow by as much as it needs in the first 100 MiB.\n\n";
    bench::heading({"", "MB/s", "MiB after 100 MiB", "MiB at the end", "KiB more at the end", "KiB more at the peak"});
    for (const bool rotates : {false, true}) {
        const auto got = measured({"--long", mechanism, rotates ? "1" : "0", std::to_string(bytes)});
        if (got.size() != 4) bench::die("the long flood was not measured");
        bench::row({rotates ? "1 MB, rotate(3)" : "default bounds, keep_newest", text(got[3], 0),
                    text(got[0] / 1024, 1), text(got[1] / 1024, 1), text(got[1] - got[0], 0), text(got[2], 0)});
    }
    std::cout << std::endl;
}

warden::Mechanism mechanism_named(const std::string& name) {
    return name == to_string(warden::Mechanism::cgroup) ? warden::Mechanism::cgroup : warden::Mechanism::keeper;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 4 && words[0] == "--flood")
        return flood(mechanism_named(words[1]), std::stoul(words[2]), std::stoul(words[3]));
    if (words.size() == 4 && words[0] == "--long")
        return long_flood(mechanism_named(words[1]), words[2] == "1", std::stoul(words[3]));
    const auto mechanisms = bench::mechanisms_here();
    if (mechanisms.empty()) bench::die("no mechanism works here");
    const std::string mechanism(to_string(mechanisms.front()));
    many_floods(mechanism, bench::number(argc, argv, "--rounds", 3), bench::number(argc, argv, "--mib", 4096) << 20);
    long_floods(mechanism, bench::number(argc, argv, "--long-mib", 10240) << 20);
    tails(bench::number(argc, argv, "--tail-calls", 1000), bench::number(argc, argv, "--tail-mb", 1000));
    return 0;
}
