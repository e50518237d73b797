// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A tree without processes: tests say when its leader ends and when it is empty, and see what is done to it.
///
/// Knows:         the containment concept.
/// Thread-safety: none.

#include <warden/detail/containment/tree.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace test {

/// What a test sees of a tree, and does to it; outlives it.
struct FakeTreeState {
    std::vector<std::string>
        calls{};  ///< What was done to the tree: "leader 10", "tree 15", "kill tree", "last resort".
    std::vector<warden::Pid> members{};
    warden::error_code kill_answer{};
    warden::error_code watch_answer{};
    warden::error_code list_answer{};
    std::function<void(const std::string&)> on_call{};  ///< Called after each of `calls`.
    bool is_held = false;                               ///< It exists.
    warden::detail::LeaderExitHandler ended{};
    warden::detail::Job tree_empty{};

    void note(std::string call) {
        calls.push_back(std::move(call));
        if (on_call) on_call(calls.back());
    }

    /// As a mechanism reports it.
    void end_leader(const warden::ExitStatus& status, bool is_empty) {
        auto report = std::move(ended);  // who hears it may release the tree
        report({status, {}, {}}, is_empty);
    }
    void empty() {
        members.clear();
        auto report = std::move(tree_empty);
        report();
    }
};

class FakeTree {
public:
    static constexpr warden::Mechanism mechanism = warden::Mechanism::process_group;
    static constexpr bool lists_cheaply = true;
    static constexpr bool launches_directly = true;

    explicit FakeTree(std::shared_ptr<FakeTreeState> state) : state_(std::move(state)) { state_->is_held = true; }
    FakeTree(FakeTree&&) = delete;
    ~FakeTree() {
        state_->is_held = false;
        state_->ended = nullptr;
        state_->tree_empty = nullptr;
    }

    void launch(const warden::detail::ChildPlan&, warden::detail::ChildAnswer&) {}
    [[nodiscard]] warden::error_code watch(warden::detail::Scheduler&, warden::detail::LeaderExitHandler ended,
                                           warden::detail::Job tree_empty) {
        state_->ended = std::move(ended);
        state_->tree_empty = std::move(tree_empty);
        return state_->watch_answer;
    }
    [[nodiscard]] warden::Pid pid() const { return state_->members.empty() ? 0 : state_->members.front(); }
    [[nodiscard]] warden::error_code signal_leader(int signal) const {
        state_->note("leader " + std::to_string(signal));
        return {};
    }
    [[nodiscard]] warden::error_code signal_tree(int signal) {
        state_->note("tree " + std::to_string(signal));
        return {};
    }
    [[nodiscard]] warden::error_code kill_tree() {
        state_->note("kill tree");
        return state_->kill_answer;
    }
    [[nodiscard]] warden::error_code last_resort() {
        state_->note("last resort");
        return {};
    }
    [[nodiscard]] std::vector<warden::Pid> members(warden::error_code& ec) {
        ec = state_->list_answer;
        return state_->members;
    }
    [[nodiscard]] bool has_escaped(warden::Pid) const { return false; }

private:
    const std::shared_ptr<FakeTreeState> state_;
};
static_assert(warden::detail::Containment<FakeTree>);

}  // namespace test
