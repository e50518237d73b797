// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How the first process of a tree ended, and who is told.
///
/// Does not know: how that was learnt.
/// Thread-safety: values.

#include <warden/detail/base/unique_function.hpp>
#include <warden/exit_status.hpp>
#include <warden/process_info.hpp>

#include <optional>

namespace warden::detail {

/// How a leader ended, and what it used.
struct LeaderExit {
    ExitStatus status;
    ResourceUsage usage;
    std::optional<ExitCause> limit{};  ///< A limit that it went over, where the mechanism knows.
};

/// Called on the loop when the leader of a tree has ended, once. If nothing else of its tree is left, `tree_empty` says
/// so; else another function is called when that is so. The tree must outlive both, or the loop must have stopped.
using LeaderExitHandler = UniqueFunction<void(const LeaderExit&, bool tree_empty)>;

}  // namespace warden::detail
