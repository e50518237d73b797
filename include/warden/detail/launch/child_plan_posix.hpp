// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a child does between its birth and the program: plain data, so that it can be followed without allocating and
/// can be sent to another process.
///
/// Knows:         the order of a child's preparations is that of `SpawnStep`.
/// Does not know: how the child is made, who made the plan.
/// Thread-safety: a plan belongs to one launch.

#include <warden/error.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <array>
#include <cstdint>

#include <sys/resource.h>
#include <sys/types.h>

namespace warden::detail {

/// A resource limit to set: soft and hard alike, never over the hard limit in force.
struct ChildLimit {
    int resource;
    rlim_t value;
};

/// Everything that the child needs. The pointers are borrowed until the launch is over.
struct ChildPlan {
    const char* const* candidates = nullptr;  ///< Paths to execute, the first that exists; ends with null.
    const char* const* argv = nullptr;
    const char* const* environment = nullptr;
    const char* directory = nullptr;       ///< Null: stay.
    std::array<int, 3> stdio{-1, -1, -1};  ///< Each its own number or 3 and above.
    bool take_terminal = false;            ///< Standard input becomes the controlling terminal.
    const int* kept = nullptr;             ///< Further descriptors to keep, 3 and above, ascending.
    std::uint32_t kept_count = 0;
    std::int32_t start_directory = -1;  ///< A descriptor of the directory to start in; -1: the parent's own.
    std::int32_t report = -1;           ///< A descriptor for the answer, where memory is not shared; closed by exec.
    std::int32_t join_group = -1;       ///< A descriptor of `cgroup.procs` to enter by writing; -1: none.

    bool change_ids = false;
    uid_t user = 0;
    gid_t group = 0;
    const gid_t* groups = nullptr;  ///< Supplementary groups, set with the ids.
    std::uint32_t group_count = 0;
    std::int32_t umask = -1;
    bool change_nice = false;
    std::int32_t nice = 0;
    std::array<ChildLimit, 8> limits{};
    std::uint32_t limit_count = 0;
    const struct rlimit* inherited =
        nullptr;  ///< By number of the limit; set before `limits`, where the mask has a bit.
    std::uint32_t inherited_mask = 0;
    const unsigned long* processors = nullptr;  ///< The mask of sched_setaffinity(2); Linux only.
    std::uint32_t processors_bytes = 0;

    int (*hook)(void*) = nullptr;  ///< Runs in the child once its descriptors are right; an errno, or 0.
    void* hook_argument = nullptr;
};

/// What became of a plan; written by the child, read by its parent.
struct ChildAnswer {
    std::int32_t error = 0;         ///< The errno that stopped it; 0 once the program executes.
    std::int32_t step = 0;          ///< The `SpawnStep` in which it stopped.
    std::int32_t reached_exec = 0;  ///< Set just before the program is executed.
};

}  // namespace warden::detail
#endif
