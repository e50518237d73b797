// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the system itself says of processes: /proc, pidfds, cgroup directories; on Windows its list of processes, and
/// handles. Nothing of warden is used here, so that it can be a witness.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace proof {

struct Process {
    int pid = 0;
    int parent = 0;
    int session = 0;            ///< 0 on Windows.
    char state = '?';           ///< As proc(5) has it; Z: ended, not reaped.
    std::uint64_t started = 0;  ///< In units of the system: tells a process from a later one with its pid.
    std::string command;

    friend bool operator==(const Process& a, const Process& b) { return a.pid == b.pid && a.started == b.started; }
};

/// The process with this pid now; pid 0 if there is none.
[[nodiscard]] Process look_at(int pid);

/// "a scan of /proc", and what `marked` finds: "processes with our mark".
extern const std::string_view scan_name, marked_name;

/// All that carry `marker` in their command or environment, except this process. On Windows all that run the programs
/// of the demo.
[[nodiscard]] std::vector<Process> marked(const std::string& marker);

/// All below this process, zombies too.
[[nodiscard]] std::vector<Process> descendants();

/// Those of `processes` that still run, or that have ended and that this process has not reaped.
[[nodiscard]] std::vector<Process> left_of(const std::vector<Process>& processes);

/// Whether it has gone as far from the process that started its parent, or from its parent, as it could.
[[nodiscard]] bool has_left(const Process& grandchild, int leader);
/// Where it is now, in words.
[[nodiscard]] std::string place_of(const Process& grandchild);

/// Waits until all of them have ended, by pidfd or handle; false if they have not by then.
class Watch {
public:
    explicit Watch(const std::vector<Process>& processes);
    Watch(const Watch&) = delete;
    ~Watch();
    [[nodiscard]] bool wait_for_end(std::chrono::milliseconds patience);

private:
    std::vector<std::intptr_t> held_;
};

/// Control groups whose name holds `text`, anywhere in the mounted cgroup2 hierarchies. Nothing where there are none.
[[nodiscard]] std::optional<std::vector<std::string>> control_groups(const std::string& text);

/// Whether anybody accepts connections there.
[[nodiscard]] bool answers(std::uint16_t port);

}  // namespace proof
