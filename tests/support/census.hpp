// SPDX-License-Identifier: MIT
// What a test must leave as it found it. Taken around every case by main.cpp.
#pragma once

#include <csignal>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace support {

struct Census {
    std::map<int, std::string> descriptors;              // number and what it leads to
    std::map<pid_t, std::string> threads;                // id and name
    std::map<pid_t, std::string> descendants;            // live or zombie, and their command lines
    std::map<int, std::pair<std::string, int>> signals;  // disposition and flags of those that a library might touch
    std::string blocked_signals;
    std::string working_directory;
    mode_t umask = 0;
    std::vector<std::string> files;           // in the temporary directory of this run
    std::vector<std::string> control_groups;  // of managers that the tests made
};

/// Reaps the orphans that have fallen to this process and are zombies of a control group of warden: with `cgroup`, what
/// a tree orphans falls to the nearest subreaper, and that is the runner. Others are left to be seen.
[[nodiscard]] Census take_census();

/// One sentence for each difference. Waits a little for threads that have been joined to leave the kernel's list.
[[nodiscard]] std::vector<std::string> differences_since(const Census& before);

/// Makes this process the one that orphans fall to.
void become_subreaper();

/// Kills and reaps every descendant: after a case that leaked, so that the next one is not blamed.
void end_all_descendants();

/// The open descriptors of this process, and what each leads to.
[[nodiscard]] std::map<int, std::string> open_descriptors();

/// All descendants of this process, live or zombie.
[[nodiscard]] std::vector<pid_t> descendants();

/// From now on the census looks for a leftover of the control group of that name.
void expect_no_control_group(std::string name);

/// How many adopted zombies the census has reaped.
[[nodiscard]] std::size_t reaped_orphans();

/// Prints the stack and the kernel's view of every thread and aborts, unless `watch` is called again within so many
/// seconds; 0 ends the watch. Not inherited by forks.
void watch(unsigned seconds);

/// Whether no keeper is our child any more: those of a killed guardian fall to the nearest subreaper, which is this
/// program, and end there. Reaps those that have ended.
[[nodiscard]] bool no_keepers_left_to_us();

}  // namespace support
