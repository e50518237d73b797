// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a containment mechanism is, and the one that a process is held by, chosen at run time.
///
/// Knows:         the concept, and which mechanisms this system has.
/// Thread-safety: as the mechanism says.

#include <warden/containment.hpp>
#include <warden/detail/containment/leader_exit.hpp>
#include <warden/detail/launch/prepared_launch.hpp>
#include <warden/detail/runtime/io_loop.hpp>
#include <warden/error.hpp>
#include <warden/fwd.hpp>

#if WARDEN_OS_LINUX
#include <warden/detail/containment/cgroup_linux.hpp>
#include <warden/detail/containment/keeper_linux.hpp>
#include <warden/detail/containment/process_group_linux.hpp>
#elif WARDEN_OS_POSIX
#include <warden/detail/containment/process_group_portable.hpp>
#elif WARDEN_OS_WINDOWS
#include <warden/detail/containment/job_object_windows.hpp>
#endif

#include <concepts>
#include <utility>
#include <variant>
#include <vector>

namespace warden::detail {

/// Holds one tree: launches its leader inside, tells its ends, signals it, lists it. Destroying it ends the tree.
template <class T>
concept Containment = requires(T& tree, const T& read, const ChildPlan& plan, ChildAnswer& answer, IoLoop& loop,
                               LeaderExitHandler ended, Job tree_empty, int signal, Pid pid) {
    { T::mechanism } -> std::convertible_to<Mechanism>;
    { T::lists_cheaply } -> std::convertible_to<bool>;      ///< `members` costs by the tree, not by the machine.
    { T::launches_directly } -> std::convertible_to<bool>;  ///< The leader is a child of this program.
    tree.launch(plan, answer);
    { tree.watch(loop, std::move(ended), std::move(tree_empty)) } -> std::same_as<error_code>;
    { read.pid() } -> std::same_as<Pid>;
    { read.signal_leader(signal) } -> std::same_as<error_code>;
    { tree.signal_tree(signal) } -> std::same_as<error_code>;
    { tree.kill_tree() } -> std::same_as<error_code>;
    { tree.last_resort() } -> std::same_as<error_code>;  ///< When `kill_tree` was not enough: by another way.
    { tree.members() } -> std::same_as<std::vector<Pid>>;
    { read.has_escaped(pid) } -> std::same_as<bool>;  ///< It is held, but not by what holds the others.
};

/// The tree of one process; nothing before its launch.
#if WARDEN_OS_LINUX
static_assert(Containment<CgroupTree> && Containment<KeeperTree> && Containment<ProcessGroupTree>);
using Tree = std::variant<std::monostate, CgroupTree, KeeperTree, ProcessGroupTree>;
#elif WARDEN_OS_POSIX
static_assert(Containment<ProcessGroupTree>);
using Tree = std::variant<std::monostate, ProcessGroupTree>;
#elif WARDEN_OS_WINDOWS
static_assert(Containment<JobTree>);
using Tree = std::variant<std::monostate, JobTree>;
#endif

/// Calls `use` with the mechanism that holds `tree`, or gives `otherwise` if there is none.
template <class Result, class TreeLike, class F>
[[nodiscard]] inline Result visit_tree(TreeLike& tree, Result otherwise, F use) {
    return std::visit(
        [&](auto& held) -> Result {
            if constexpr (std::same_as<std::remove_cvref_t<decltype(held)>, std::monostate>) return otherwise;
            else return use(held);
        },
        tree);
}

}  // namespace warden::detail
