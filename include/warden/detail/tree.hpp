// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a containment mechanism is, and the one that a process is held by, chosen at run time.
///
/// Knows:         the concept, and which mechanisms this system has.
/// Thread-safety: as the mechanism says.

#include <warden/detail/linux/cgroup.hpp>
#include <warden/detail/linux/keeper.hpp>
#include <warden/detail/posix/process_group.hpp>

#include <concepts>
#include <functional>
#include <variant>
#include <vector>

namespace warden::detail {

/// Holds one tree: launches its leader inside, tells its ends, signals it, lists it. Destroying it ends the tree.
template <class T>
concept Containment = requires(T& tree, const T& read, const ChildPlan& plan, ChildAnswer& answer,
                               boost::asio::io_context& loop, LeaderEnded ended, std::function<void()> extinct,
                               int signal, Pid pid) {
    { T::mechanism } -> std::convertible_to<Mechanism>;
    tree.launch(plan, answer);
    tree.watch(loop, ended, extinct);
    { read.pid() } -> std::same_as<Pid>;
    { read.signal_leader(signal) } -> std::same_as<error_code>;
    { tree.signal_tree(signal) } -> std::same_as<error_code>;
    { tree.kill_tree() } -> std::same_as<error_code>;
    { tree.members() } -> std::same_as<std::vector<Pid>>;
    { read.has_escaped(pid) } -> std::same_as<bool>;  ///< It is held, but not by what holds the others.
};

static_assert(Containment<CgroupTree>);
static_assert(Containment<KeeperTree>);
static_assert(Containment<ProcessGroupTree>);

/// The tree of one process; nothing before its launch.
using Tree = std::variant<std::monostate, CgroupTree, KeeperTree, ProcessGroupTree>;

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
