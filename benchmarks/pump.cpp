// SPDX-License-Identifier: MIT
//
// Log lines through a pipe into bounded files, as fast as it goes.
//
//   pump [--rounds 5] [--mib 1024] [--slow-mib 128]
//
// One producer for all: lines of about 100 bytes, made once, written 64 KiB at a time. `cat > /dev/null` reads the same
// pipe and is the bound of what is possible. The loggers rotate at 1 MB and keep three files; those known to be slow
// get less to read. Time counts from the start of the producer until the reader has ended, or, with warden, until the
// exit was told, which is after the last byte was logged. CPU is that of the reader: the tool, or the whole host of
// warden.

#include "warden_host.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <optional>

namespace {

using bench::text;

struct Sample {
    double megabytes_per_second;
    double cpu_seconds_per_gigabyte;
};

struct Contestant {
    std::string name;
    std::size_t bytes;
    std::function<Sample(std::size_t)> run;
};

Sample sample(std::size_t bytes, double seconds, double cpu_seconds) {
    return {static_cast<double>(bytes) / 1e6 / seconds, cpu_seconds / static_cast<double>(bytes) * 1e9};
}

/// producer | tool. `pipe_bytes`: the size of the pipe; 0 for the usual one.
Sample through_tool(const std::vector<std::string>& tool, std::size_t pipe_bytes, std::size_t bytes) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) bench::die_errno("pipe2");
    if (pipe_bytes > 0) ::fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(pipe_bytes));
    const auto began = bench::Clock::now();
    const pid_t reader = bench::start(tool, ends[0], -1, -1);
    const pid_t producer = bench::start({bench::beside("producer"), std::to_string(bytes)}, -1, ends[1], -1);
    ::close(ends[0]);
    ::close(ends[1]);
    double cpu = 0;
    const bool written = bench::wait_for(producer) == 0;
    const bool read = bench::wait_for(reader, &cpu) == 0;
    const double took = bench::seconds_since(began);
    if (!written || !read) bench::die(tool[0] + " failed");
    return sample(bytes, took, cpu);
}

/// How much is in the regular files of a folder.
std::uintmax_t folder_bytes(const std::filesystem::path& folder) {
    std::uintmax_t sum = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file()) sum += entry.file_size();
    }
    return sum;
}

Sample through_warden(warden::ProcessManager& manager, const warden::LogOptions& log, std::size_t bytes) {
    const double cpu_before = bench::own_cpu_seconds();
    const auto began = bench::Clock::now();
    auto child = manager.spawn({bench::beside("producer"), std::to_string(bytes)}, {.log = log});
    const bool good = child.wait().success();
    const double took = bench::seconds_since(began);
    const double cpu = bench::own_cpu_seconds() - cpu_before;
    if (!good || child.info().output_bytes != bytes) bench::die("warden did not read all of it");
    const auto most = log.limits.max_bytes() * (log.on_limit.kept_files() + 1);
    if (folder_bytes(*log.directory) == 0 || folder_bytes(*log.directory) > most)
        bench::die("the log is not within its bound");
    std::filesystem::remove_all(*log.directory);
    return sample(bytes, took, cpu);
}

/// What a child wrote, line by line.
struct Lines {
    std::uint64_t count = 0;
    std::uint64_t text_bytes = 0;

    void add(std::string_view line) {
        ++count;
        text_bytes += line.size();
    }
};

/// Lets `read` have a child that writes `bytes`. It must get all of it; nothing may be dropped.
template <class Read>
Sample through_reader(warden::ProcessManager& manager, std::size_t bytes, const warden::SpawnOptions& options,
                      const Lines& lines, Read read) {
    const double cpu_before = bench::own_cpu_seconds();
    const auto began = bench::Clock::now();
    auto child = manager.spawn({bench::beside("producer"), std::to_string(bytes)}, options);
    read(child);
    const bool good = child.wait().success();
    const double took = bench::seconds_since(began);
    const double cpu = bench::own_cpu_seconds() - cpu_before;
    if (!good || lines.text_bytes + lines.count < bytes || child.info().dropped_bytes != 0)
        bench::die("the reader did not get all of it");
    return sample(bytes, took, cpu);
}

/// Every line goes to a callback, which counts.
Sample through_callback(warden::ProcessManager& manager, std::size_t bytes, std::uint64_t& count) {
    Lines lines;
    warden::SpawnOptions options;
    options.stdout_ = warden::Output::log;
    options.stderr_ = warden::Output::null;
    options.on_line = [&lines](const warden::OutputLine& line) { lines.add(line.text); };
    options.overflow_policy = warden::OverflowPolicy::block;
    const Sample got = through_reader(manager, bytes, options, lines, [](auto&) {});
    count = lines.count;
    return got;
}

warden::SpawnOptions captured() {
    warden::SpawnOptions options;
    options.stdout_ = warden::Output::capture;
    options.stderr_ = warden::Output::null;
    return options;
}

/// Reads line after line; each handler begins the next read.
struct Chain {
    warden::ManagedProcess& child;
    Lines& lines;
    std::promise<void> ended;

    void next() {
        child.async_read_line([this](const warden::error_code& ec, const std::string& line) {
            if (ec) return ended.set_value();
            lines.add(line);
            next();
        });
    }
};

Sample through_chain(warden::ProcessManager& manager, std::size_t bytes, std::uint64_t& count) {
    Lines lines;
    const Sample got = through_reader(manager, bytes, captured(), lines, [&lines](warden::ManagedProcess& child) {
        Chain chain{child, lines, {}};
        chain.next();
        chain.ended.get_future().wait();
    });
    count = lines.count;
    return got;
}

boost::asio::awaitable<void> read_lines(warden::ManagedProcess& child, Lines& lines) {
    constexpr auto token = boost::asio::experimental::as_tuple(boost::asio::use_awaitable);
    for (;;) {
        const auto [ec, line] = co_await child.async_read_line(token);
        if (ec) co_return;
        lines.add(line);
    }
}

Sample through_coroutine(warden::ProcessManager& manager, std::size_t bytes, std::uint64_t& count) {
    Lines lines;
    const Sample got = through_reader(manager, bytes, captured(), lines, [&lines](warden::ManagedProcess& child) {
        boost::asio::io_context context(1);
        boost::asio::co_spawn(context, read_lines(child, lines), boost::asio::detached);
        context.run();
    });
    count = lines.count;
    return got;
}

/// Ten literals are looked for in every line; one line in `every` has one of them, or none with 0. Nothing may be
/// dropped.
Sample through_alerts(warden::ProcessManager& manager, std::size_t bytes, unsigned every) {
    static constexpr std::array<const char*, 10> texts{"out of memory",
                                                       "Traceback (most recent call last)",
                                                       "CUDA error",
                                                       "Segmentation fault",
                                                       "No space left on device",
                                                       "connection refused",
                                                       "assertion failed",
                                                       "deadlock detected",
                                                       "panic:",
                                                       "FATAL"};
    std::atomic<unsigned> told{0};
    warden::SpawnOptions options;
    options.stdout_ = warden::Output::log;
    options.overflow_policy = warden::OverflowPolicy::block;
    for (const char* text_of : texts) {
        options.alerts.push_back(warden::AlertRule::literal(text_of));
        options.alerts.back().callback = [&told](const warden::Alert&) { ++told; };
    }
    const double cpu_before = bench::own_cpu_seconds();
    const auto began = bench::Clock::now();
    auto child = manager.spawn({bench::beside("producer"), std::to_string(bytes), std::to_string(every)}, options);
    const bool good = child.wait().success();
    const double took = bench::seconds_since(began);
    const double cpu = bench::own_cpu_seconds() - cpu_before;
    const auto info = child.info();
    if (!good || info.output_bytes != bytes || info.dropped_bytes != 0) bench::die("the alerts did not see all of it");
    if (told != (every > 0 ? options.alerts.front().most : 0)) bench::die("not the alerts that were to be told");
    return sample(bytes, took, cpu);
}

std::optional<std::string> find_tool(const std::string& name) {
    std::string path = std::string(std::getenv("PATH") ? std::getenv("PATH") : "") + ":/usr/bin:/usr/sbin:/command";
    std::istringstream folders(path);
    for (std::string folder; std::getline(folders, folder, ':');) {
        const auto candidate = folder + '/' + name;
        if (!folder.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    }
    return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t rounds = bench::number(argc, argv, "--rounds", 5);
    const std::size_t bytes = bench::number(argc, argv, "--mib", 1024) << 20;
    const std::size_t slow_bytes = bench::number(argc, argv, "--slow-mib", 128) << 20;
    const bench::TemporaryFolder folder;
    std::vector<Contestant> contestants;
    std::vector<std::string> missing;

    const auto add_tool = [&](const std::string& name, std::size_t amount, std::vector<std::string> arguments) {
        const auto found = find_tool(name.substr(0, name.find(',')));
        if (!found) return missing.push_back(name);
        arguments.insert(arguments.begin(), *found);
        contestants.push_back(
            {name, amount, [arguments](std::size_t size) { return through_tool(arguments, 0, size); }});
    };
    struct LineRate {
        std::string what;
        std::size_t contestant;
        std::uint64_t lines = 0;
    };
    std::deque<LineRate> line_rates;
    const auto add_reader = [&](const std::string& name, const std::string& what, std::size_t amount,
                                warden::ProcessManager& manager, auto through) {
        LineRate& rate = line_rates.emplace_back(LineRate{what, contestants.size()});
        contestants.push_back({name, amount, [&manager, &rate, through](std::size_t size) {
                                   return through(manager, size, rate.lines);
                               }});
    };
    contestants.push_back({"cat > /dev/null", bytes, [](std::size_t size) { return through_tool({"cat"}, 0, size); }});
    contestants.push_back({"cat > /dev/null, pipe of 1 MiB", bytes,
                           [](std::size_t size) { return through_tool({"cat"}, 1 << 20, size); }});

    std::vector<std::unique_ptr<warden::ProcessManager>> managers;
    std::size_t stamped = 0;  // the contestant
    for (const auto mechanism : bench::mechanisms_here()) {
        managers.push_back(std::make_unique<warden::ProcessManager>(bench::warden_config(folder, mechanism)));
        auto& manager = *managers.back();
        const auto add = [&](const std::string& name, const warden::LogOptions& log) {
            contestants.push_back({"warden, " + std::string(to_string(mechanism)) + ", " + name, bytes,
                                   [&manager, log](std::size_t size) { return through_warden(manager, log, size); }});
        };
        warden::LogOptions log;
        log.directory = folder.path() / "log";
        if (managers.size() == 1) {
            add("default bounds, keep_newest", log);
            add_reader("warden, every line to a callback", "The callback", bytes, manager, through_callback);
            add_reader("warden, async_read_line, callbacks", "A chain of callbacks", slow_bytes / 2, manager,
                       through_chain);
            add_reader("warden, async_read_line, coroutine", "A coroutine with a thread of its own", slow_bytes / 2,
                       manager, through_coroutine);
            for (const unsigned every : {0u, 1000u}) {
                contestants.push_back(
                    {std::string("warden, ten alert literals, ") + (every > 0 ? "in 0.1 % of the lines" : "in no line"),
                     bytes, [&manager, every](std::size_t size) { return through_alerts(manager, size, every); }});
            }
        }
        log.limits = {1'000'000, 1'000'000};
        log.on_limit = warden::OnLimit::rotate(3);
        add("1 MB, rotate(3)", log);
        log.format = warden::LogFormat::prefixed;
        if (managers.size() == 1) stamped = contestants.size();
        add("1 MB, rotate(3), a time per line", log);
    }

    const std::string at = folder.path().string();
    for (const char* name : {"s6", "s6-t", "s6-T", "svlogd", "multilog"})
        std::filesystem::create_directory(folder.path() / name);
    std::ofstream(folder.path() / "svlogd" / "config") << "s1000000\nn3\n";
    add_tool("rotatelogs", std::min(bytes, slow_bytes * 4), {"-n", "3", at + "/rotatelogs", "1M"});
    add_tool("s6-log", slow_bytes, {"n3", "s1000000", at + "/s6"});
    const std::size_t stamped_tools = contestants.size();
    add_tool("s6-log, TAI64N per line", slow_bytes, {"t", "n3", "s1000000", at + "/s6-t"});
    add_tool("s6-log, ISO 8601 per line", slow_bytes, {"T", "n3", "s1000000", at + "/s6-T"});
    const std::size_t stamped_tools_end = contestants.size();
    add_tool("svlogd", slow_bytes, {at + "/svlogd"});
    add_tool("multilog", slow_bytes, {"s1000000", "n3", at + "/multilog"});

    struct Result {
        std::vector<double> speed, cpu, ratio;
    };
    std::vector<Result> results(contestants.size());
    for (std::size_t round = 0; round <= rounds; ++round) {  // round 0 warms up, with less
        for (std::size_t i = 0; i < contestants.size(); ++i) {
            const auto& contestant = contestants[i];
            const Sample got = contestant.run(round == 0 ? std::size_t{16} << 20 : contestant.bytes);
            if (round == 0) continue;
            results[i].speed.push_back(got.megabytes_per_second);
            results[i].cpu.push_back(got.cpu_seconds_per_gigabyte);
            results[i].ratio.push_back(got.megabytes_per_second / results[0].speed.back());
        }
        std::cerr << "bench: pump: round " << round << " of " << rounds << '\n';
    }

    std::cout << "### Log lines through a pipe into bounded files\n\n"
              << rounds << " rounds; " << (bytes >> 20) << " MiB each, loggers that are known to be slow "
              << (slow_bytes >> 20)
              << " MiB (rotatelogs four times that). Ratio: median over the rounds (middle half of them).\n\n";
    bench::heading({"", "MB/s", "to cat", "CPU seconds of the reader per GB"});
    for (std::size_t i = 0; i < contestants.size(); ++i) {
        bench::row({contestants[i].name, text(bench::median(results[i].speed), 0), bench::ratio_text(results[i].ratio),
                    text(bench::median(results[i].cpu))});
    }
    std::cout << '\n';
    for (const LineRate& rate : line_rates) {
        const double lines_per_byte =
            static_cast<double>(rate.lines) / static_cast<double>(contestants[rate.contestant].bytes);
        std::cout << rate.what << " gets " << text(bench::median(results[rate.contestant].speed) * lines_per_byte)
                  << " million lines a second.\n";
    }
    for (std::size_t i = stamped_tools; stamped > 0 && i < stamped_tools_end; ++i) {
        std::vector<double> ratios;
        for (std::size_t round = 0; round < rounds; ++round)
            ratios.push_back(results[stamped].speed[round] / results[i].speed[round]);
        std::cout << "A time per line: " << bench::ratio_text(ratios) << " times as fast as " << contestants[i].name
                  << ".\n";
    }
    for (const auto& name : missing) std::cout << "\nMissing: " << name << '\n';
    std::cout << std::endl;
    return 0;
}
