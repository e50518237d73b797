// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the benchmarks share: samples and their median, helper programs, a temporary folder, tables in Markdown.
///
/// Rule of all benchmarks: the contestants do the same work on the same programs, take turns within one run, are warmed
/// up, and are compared by the median; a ratio is taken within each round, so that a noisy second hits both sides of
/// it. Results go to standard output, progress and complaints to standard error.

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bench {

using Clock = std::chrono::steady_clock;

[[nodiscard]] inline double seconds_since(Clock::time_point began) {
    return std::chrono::duration<double>(Clock::now() - began).count();
}
[[nodiscard]] inline double microseconds_since(Clock::time_point began) { return seconds_since(began) * 1e6; }

[[noreturn]] inline void die(const std::string& what) {
    std::cerr << "bench: " << what << '\n';
    std::exit(1);
}
[[noreturn]] inline void die_errno(const std::string& what) { die(what + ": " + std::strerror(errno)); }

// -- numbers ----------------------------------------------------------------------------------------------------------

[[nodiscard]] inline double quantile(std::vector<double> values, double part) {
    if (values.empty()) return std::nan("");
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(std::lround(part * static_cast<double>(values.size() - 1)))];
}
[[nodiscard]] inline double median(const std::vector<double>& values) { return quantile(values, 0.5); }

/// "12.3"; a dash for no number.
[[nodiscard]] inline std::string text(double value, int digits = 2) {
    if (std::isnan(value)) return "-";
    char out[64];
    std::snprintf(out, sizeof out, "%.*f", digits, value);
    return out;
}

/// "1.23 (1.20 to 1.31)": the median over the rounds, and the quarter of them below and above.
[[nodiscard]] inline std::string ratio_text(const std::vector<double>& ratios) {
    if (ratios.empty()) return "-";
    return text(median(ratios)) + " (" + text(quantile(ratios, 0.25)) + " to " + text(quantile(ratios, 0.75)) + ")";
}

/// A row of a table in Markdown;
inline void row(const std::vector<std::string>& cells) {
    for (const auto& cell : cells) std::cout << "| " << cell << ' ';
    std::cout << "|" << std::endl;
}
inline void heading(const std::vector<std::string>& cells) {
    row(cells);
    for (std::size_t i = 0; i < cells.size(); ++i) std::cout << (i == 0 ? "|---" : "|--:");
    std::cout << "|" << std::endl;
}

// -- programs and files -----------------------------------------------------------------------------------------------

/// The path of a program that was built beside this one.
[[nodiscard]] inline std::string beside(std::string_view name) {
    return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

/// The value of `--name VALUE`.
[[nodiscard]] inline std::string option(int argc, char** argv, std::string_view name, std::string otherwise) {
    for (int i = 1; i + 1 < argc; ++i) {
        if (argv[i] == name) return argv[i + 1];
    }
    return otherwise;
}
[[nodiscard]] inline std::size_t number(int argc, char** argv, std::string_view name, std::size_t otherwise) {
    return std::stoul(option(argc, argv, name, std::to_string(otherwise)));
}

[[nodiscard]] inline std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::ostringstream text_of;
    text_of << file.rdbuf();
    return text_of.str();
}

/// The number after `key` in a file of lines "Key:   123 kB"; 0 if it is not there.
[[nodiscard]] inline long field(const std::filesystem::path& path, std::string_view key) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(key)) return std::strtol(line.c_str() + key.size(), nullptr, 10);
    }
    return 0;
}

/// Memory that is really there: every page of it has been written.
class Ballast {
public:
    void touch(std::size_t mebibytes) {
        bytes_.resize(mebibytes << 20);
        write();
    }
    void write() {
        for (std::size_t i = 0; i < bytes_.size(); i += 4096) bytes_[i] = static_cast<char>(bytes_[i] + 1);
        asm volatile("" : : "r"(bytes_.data()) : "memory");
    }

private:
    std::vector<char> bytes_;
};

// -- processes, the plain way -----------------------------------------------------------------------------------------

extern "C" char** environ;

/// Starts `words` with these descriptors as 0, 1 and 2; -1 for the null device. Everything else is close-on-exec.
[[nodiscard]] inline pid_t start(const std::vector<std::string>& words, int in, int out, int err) {
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    const int wanted[3] = {in, out, err};
    for (int fd = 0; fd < 3; ++fd) {
        if (wanted[fd] < 0)
            ::posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", fd == 0 ? O_RDONLY : O_WRONLY, 0);
        else ::posix_spawn_file_actions_adddup2(&actions, wanted[fd], fd);
    }
    pid_t pid = -1;
    const int failed = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) die("cannot start " + words[0] + ": " + std::strerror(failed));
    return pid;
}

/// Waits for a child; its CPU time if asked for. Its status as waitpid has it.
inline int wait_for(pid_t pid, double* cpu_seconds = nullptr) {
    int status = 0;
    struct rusage usage {};
    while (::wait4(pid, &status, 0, &usage) < 0) {
        if (errno != EINTR) die_errno("wait4");
    }
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    if (cpu_seconds) *cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    return status;
}

/// Removed with all that is in it, also when this program gives up or is killed: a shell waits for that.
class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "warden-bench-XXXXXX").string();
        if (!::mkdtemp(name.data())) die_errno("mkdtemp");
        path_ = name;
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) die_errno("pipe2");
        const std::string script = "trap '' HUP INT TERM; read -r x; rm -rf \"$1\" || { sleep 1; rm -rf \"$1\"; }";
        remover_ = start({"sh", "-c", script, "sh", name}, ends[0], -1, -1);
        ::close(ends[0]);
        held_ = ends[1];
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        ::close(held_);
        while (::waitpid(remover_, nullptr, 0) < 0 && errno == EINTR) {}
    }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
    pid_t remover_ = -1;
    int held_ = -1;
};

/// The CPU time of this process so far.
[[nodiscard]] inline double own_cpu_seconds() {
    struct timespec time {};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

/// Runs this program again with other arguments and returns what it prints; a fresh process for each measurement.
[[nodiscard]] inline std::string run_self(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), std::filesystem::read_symlink("/proc/self/exe").string());
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) die_errno("pipe2");
    const pid_t pid = start(arguments, -1, ends[1], STDERR_FILENO);
    ::close(ends[1]);
    std::string printed;
    char buffer[4096];
    for (ssize_t size = 0; (size = ::read(ends[0], buffer, sizeof buffer)) > 0;)
        printed.append(buffer, static_cast<std::size_t>(size));
    ::close(ends[0]);
    if (wait_for(pid) != 0) die("a measurement failed: " + arguments[1]);
    return printed;
}

/// As many open files as the system lets this process have.
inline void raise_open_files() {
    struct rlimit limit {};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace bench
