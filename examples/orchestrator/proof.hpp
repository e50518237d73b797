// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the system itself says of processes: /proc, pidfds, cgroup directories. Nothing of warden is used here, so that
/// it can be a witness.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace proof {

struct Process {
    int pid = 0;
    int parent = 0;
    int session = 0;
    char state = '?';           ///< As proc(5) has it; Z: ended, not reaped.
    std::uint64_t started = 0;  ///< In clock ticks since boot: tells a process from a later one with its pid.
    std::string command;

    friend bool operator==(const Process& a, const Process& b) { return a.pid == b.pid && a.started == b.started; }
};

/// The process with this pid now; pid 0 if there is none.
[[nodiscard]] Process look_at(int pid);

/// All that carry `marker` in their command or environment, except this process.
[[nodiscard]] std::vector<Process> marked(const std::string& marker);

/// All below this process, zombies too.
[[nodiscard]] std::vector<Process> descendants();

/// Those of `processes` that still run, or that have ended and that this process has not reaped.
[[nodiscard]] std::vector<Process> left_of(const std::vector<Process>& processes);

/// Waits until all of them have ended, by pidfd; false if they have not by then.
class Watch {
public:
    explicit Watch(const std::vector<Process>& processes);
    Watch(const Watch&) = delete;
    ~Watch();
    [[nodiscard]] bool wait_for_end(std::chrono::milliseconds patience);

private:
    std::vector<int> pidfds_;
};

/// Control groups whose name holds `text`, anywhere in the mounted cgroup2 hierarchies.
[[nodiscard]] std::vector<std::string> control_groups(const std::string& text);

/// Whether anybody accepts connections there.
[[nodiscard]] bool answers(std::uint16_t port);

}  // namespace proof
