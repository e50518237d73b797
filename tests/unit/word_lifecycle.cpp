// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/lifecycle.hpp>

#include <array>
#include <set>
#include <string_view>

using namespace warden;

namespace {

std::set<State> successors(State from) {
    std::set<State> found;
    for (std::size_t i = 0; i < transition_count; ++i) {
        if (const auto to = next_state(from, static_cast<Transition>(i))) found.insert(*to);
    }
    return found;
}

std::set<State> all_states() {
    std::set<State> states;
    for (std::size_t i = 0; i < state_count; ++i) states.insert(static_cast<State>(i));
    return states;
}

std::set<State> reachable_from(State start) {
    std::set<State> reached{start};
    for (std::size_t before = 0; before != reached.size();) {
        before = reached.size();
        for (const State state : std::set<State>(reached)) reached.merge(successors(state));
    }
    return reached;
}

}  // namespace

TEST_CASE("lifecycle: every state can be reached") { CHECK(reachable_from(State::initialized) == all_states()); }

TEST_CASE("lifecycle: a final state has no exit, and from every other one an end can be reached") {
    for (const State state : all_states()) {
        INFO(to_string(state));
        CHECK(successors(state).empty() == is_final(state));
        bool has_end = false;
        for (const State reached : reachable_from(state)) has_end = has_end || is_final(reached);
        CHECK(has_end);
    }
}

TEST_CASE("lifecycle: nothing leads back to a state before") {
    for (const State state : all_states()) {
        INFO(to_string(state));
        for (const State next : successors(state)) CHECK(reachable_from(next).count(state) == 0);
    }
}

TEST_CASE(
    "lifecycle: what can happen to a running process can happen to one that is ready, being ready again excepted") {
    for (std::size_t i = 0; i < transition_count; ++i) {
        const auto happened = static_cast<Transition>(i);
        if (happened == Transition::became_ready) continue;
        CHECK(next_state(State::running, happened) == next_state(State::ready, happened));
    }
}

TEST_CASE("lifecycle: a transition that the table does not have is refused") {
    CHECK_FALSE(next_state(State::initialized, Transition::launched));
    CHECK_FALSE(next_state(State::running, Transition::start));
    CHECK_FALSE(next_state(State::running, Transition::ended_by_force));
    CHECK_FALSE(next_state(State::stopping, Transition::stop_asked));
    CHECK_FALSE(next_state(State::completed, Transition::ended_well));
}

TEST_CASE("lifecycle: active is what was started and has not ended") {
    CHECK_FALSE(is_active(State::initialized));
    for (const State state : {State::starting, State::running, State::ready, State::stopping}) CHECK(is_active(state));
    for (const State state : {State::completed, State::failed, State::stopped, State::force_killed}) {
        CHECK_FALSE(is_active(state));
    }
}

TEST_CASE("lifecycle: every state has a name of its own") {
    std::set<std::string_view> names;
    for (const State state : all_states()) names.insert(to_string(state));
    CHECK(names.size() == state_count);
    CHECK(names.count("") == 0);
    CHECK(to_string(State::initialized) == "initialized");
    CHECK(to_string(State::force_killed) == "force_killed");
}
