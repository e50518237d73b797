// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a containment mechanism is, and the tree of one process, held by a mechanism that is chosen at run time.
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
#include <memory>
#include <utility>
#include <vector>

namespace warden::detail {

/// Holds one tree: launches its leader inside, tells its ends, signals it, lists it. Destroying it ends the tree.
template <class T>
concept Containment = requires(T& tree, const T& read, const ChildPlan& plan, ChildAnswer& answer, IoLoop& loop,
                               LeaderExitHandler ended, Job tree_empty, int signal, Pid pid, error_code& ec) {
    { T::mechanism } -> std::convertible_to<Mechanism>;
    { T::lists_cheaply } -> std::convertible_to<bool>;      ///< `members` costs by the tree, not by the machine.
    { T::launches_directly } -> std::convertible_to<bool>;  ///< The leader is a child of this program.
    tree.launch(plan, answer);
    { tree.watch(loop, std::move(ended), std::move(tree_empty)) } -> std::same_as<error_code>;
    { read.pid() } -> std::same_as<Pid>;
    { read.signal_leader(signal) } -> std::same_as<error_code>;
    { tree.signal_tree(signal) } -> std::same_as<error_code>;
    { tree.kill_tree() } -> std::same_as<error_code>;
    { tree.last_resort() } -> std::same_as<error_code>;      ///< When `kill_tree` was not enough: by another way.
    { tree.members(ec) } -> std::same_as<std::vector<Pid>>;  ///< `ec` says why there may be more.
    { read.has_escaped(pid) } -> std::same_as<bool>;         ///< It is held, but not by what holds the others.
};

#if WARDEN_OS_LINUX
static_assert(Containment<CgroupTree> && Containment<KeeperTree> && Containment<ProcessGroupTree>);
#elif WARDEN_OS_POSIX
static_assert(Containment<ProcessGroupTree>);
#elif WARDEN_OS_WINDOWS
static_assert(Containment<JobTree>);
#endif

/// A tree behind one type, whatever holds it; see `Containment`. An interface compiles in less time than a variant that
/// is visited, and lets in trees that only tests know.
class HeldTree {
public:
    virtual ~HeldTree() = default;
    HeldTree(const HeldTree&) = delete;
    HeldTree& operator=(const HeldTree&) = delete;

    [[nodiscard]] virtual bool lists_cheaply() const noexcept = 0;
    [[nodiscard]] virtual bool launches_directly() const noexcept = 0;
    virtual void launch(const ChildPlan& plan, ChildAnswer& answer) = 0;
    [[nodiscard]] virtual error_code watch(LeaderExitHandler ended, Job tree_empty) = 0;
    [[nodiscard]] virtual Pid pid() const = 0;
    [[nodiscard]] virtual error_code signal_leader(int signal) const = 0;
    [[nodiscard]] virtual error_code signal_tree(int signal) = 0;
    [[nodiscard]] virtual error_code kill_tree() = 0;
    [[nodiscard]] virtual error_code last_resort() = 0;
    [[nodiscard]] virtual std::vector<Pid> members(error_code& ec) = 0;
    [[nodiscard]] virtual bool has_escaped(Pid pid) const = 0;

protected:
    HeldTree() = default;
};

/// The tree of one process; null before its launch.
using Tree = std::unique_ptr<HeldTree>;

/// A `T` that is made of `arguments` and will be watched on `loop`.
template <Containment T, class Loop, class... Arguments>
[[nodiscard]] Tree hold(Loop& loop, Arguments&&... arguments);

// -- implementation ----------------------------------------------------------

template <Containment T, class Loop>
class TreeOf final : public HeldTree {
public:
    template <class... Arguments>
    explicit TreeOf(Loop& loop, Arguments&&... arguments) : loop_(loop), tree_(std::forward<Arguments>(arguments)...) {}

    [[nodiscard]] bool lists_cheaply() const noexcept override { return T::lists_cheaply; }
    [[nodiscard]] bool launches_directly() const noexcept override { return T::launches_directly; }
    void launch(const ChildPlan& plan, ChildAnswer& answer) override { tree_.launch(plan, answer); }
    [[nodiscard]] error_code watch(LeaderExitHandler ended, Job tree_empty) override {
        return tree_.watch(loop_, std::move(ended), std::move(tree_empty));
    }
    [[nodiscard]] Pid pid() const override { return tree_.pid(); }
    [[nodiscard]] error_code signal_leader(int signal) const override { return tree_.signal_leader(signal); }
    [[nodiscard]] error_code signal_tree(int signal) override { return tree_.signal_tree(signal); }
    [[nodiscard]] error_code kill_tree() override { return tree_.kill_tree(); }
    [[nodiscard]] error_code last_resort() override { return tree_.last_resort(); }
    [[nodiscard]] std::vector<Pid> members(error_code& ec) override { return tree_.members(ec); }
    [[nodiscard]] bool has_escaped(Pid pid) const override { return tree_.has_escaped(pid); }

private:
    Loop& loop_;
    T tree_;
};

template <Containment T, class Loop, class... Arguments>
Tree hold(Loop& loop, Arguments&&... arguments) {
    return std::make_unique<TreeOf<T, Loop>>(loop, std::forward<Arguments>(arguments)...);
}

}  // namespace warden::detail
