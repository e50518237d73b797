// SPDX-License-Identifier: MIT
// When a service is started again: the policy and what it makes of a history, to the nanosecond.
#include <support/catch.hpp>
#include <warden/detail/supervision/restart_tracker.hpp>

#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using warden::ExitStatus;
using warden::Nanoseconds;
using warden::RestartMode;
using warden::RestartPolicy;
using warden::SteadyTime;
using warden::detail::RestartDecision;
using warden::detail::RestartTracker;
using warden::detail::RestartVerdict;

namespace {

constexpr SteadyTime start{1h};
const ExitStatus success = ExitStatus::from_code(0);
const ExitStatus failure = ExitStatus::from_code(1);

RestartDecision restart(SteadyTime at) { return {RestartVerdict::restart, at}; }
constexpr RestartDecision completed{RestartVerdict::completed, {}};
constexpr RestartDecision failed{RestartVerdict::failed, {}};
constexpr RestartDecision given_up{RestartVerdict::given_up, {}};

/// Without jitter, so that all times are exact.
RestartPolicy exact(RestartMode mode) {
    RestartPolicy policy;
    policy.mode = mode;
    policy.jitter = 0;
    policy.max_restarts.reset();
    return policy;
}

/// The pauses after each of `count` runs of length `run`.
std::vector<Nanoseconds> pauses(RestartTracker& tracker, int count, Nanoseconds run, SteadyTime now = start) {
    std::vector<Nanoseconds> found;
    for (int i = 0; i < count; ++i) {
        tracker.launches(now);
        now += run;
        const RestartDecision decision = tracker.ended(now, failure, 0);
        if (decision.verdict != RestartVerdict::restart) break;
        found.push_back(decision.at - now);
        now = decision.at;
    }
    return found;
}

bool has_one(const std::vector<std::string>& mistakes, std::string_view part) {
    return mistakes.size() == 1 && mistakes.front().find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("restart: each mode restarts after the ends that it names, and after no other", "[supervision]") {
    struct Row {
        RestartMode mode;
        RestartDecision after_success;
        RestartDecision after_failure;
    };
    const RestartDecision again = restart(start + 1s);
    for (const Row& row : {Row{RestartMode::never, completed, failed}, Row{RestartMode::on_failure, completed, again},
                           Row{RestartMode::always, again, again}}) {
        const auto after = [&](auto end) {
            RestartTracker tracker{exact(row.mode)};
            tracker.launches(start);
            return end(tracker);
        };
        CHECK(after([](auto& tracker) { return tracker.ended(start, success, 0); }) == row.after_success);
        for (const ExitStatus status : {failure, ExitStatus::from_signal(9, false), ExitStatus()})
            CHECK(after([&](auto& tracker) { return tracker.ended(start, status, 0); }) == row.after_failure);
        CHECK(after([](auto& tracker) { return tracker.failed(start, 0); }) == row.after_failure);
    }
}

TEST_CASE("restart: exit codes that mean success and codes that no restart helps are told apart", "[supervision]") {
    RestartPolicy policy = exact(RestartMode::on_failure);
    policy.success_codes = {0, 3};
    policy.no_restart_codes = {78};
    CHECK(policy.is_success(ExitStatus::from_code(3)));
    CHECK_FALSE(policy.is_success(ExitStatus::from_code(78)));
    CHECK_FALSE(policy.is_success(ExitStatus::from_signal(3, false)));
    CHECK_FALSE(policy.is_success(ExitStatus()));
    RestartTracker tracker{policy};
    tracker.launches(start);
    CHECK(tracker.ended(start, ExitStatus::from_code(3), 0) == completed);
    CHECK(tracker.ended(start, ExitStatus::from_code(78), 0) == failed);
    CHECK(tracker.ended(start, ExitStatus::from_code(4), 0) == restart(start + 1s));
}

TEST_CASE("restart: the pauses grow by the factor up to the limit", "[supervision]") {
    RestartPolicy policy = exact(RestartMode::on_failure);
    policy.max_delay = 10s;
    RestartTracker doubled{policy};
    CHECK(pauses(doubled, 6, 10ms) == std::vector<Nanoseconds>{1s, 2s, 4s, 8s, 10s, 10s});
    policy.factor = 1;
    RestartTracker even{policy};
    CHECK(pauses(even, 3, 10ms) == std::vector<Nanoseconds>{1s, 1s, 1s});
    policy.factor = 1.5;
    policy.initial_delay = 100ms;
    RestartTracker slow{policy};
    CHECK(pauses(slow, 4, 0ms) == std::vector<Nanoseconds>{100ms, 150ms, 225ms, 337500us});
}

TEST_CASE("restart: after a stable run the pause is the first one again", "[supervision]") {
    RestartPolicy policy = exact(RestartMode::always);
    policy.stable_after = 30s;
    RestartTracker tracker{policy};
    CHECK(pauses(tracker, 3, 30s - 1ns) == std::vector<Nanoseconds>{1s, 2s, 4s});
    CHECK(pauses(tracker, 2, 30s) == std::vector<Nanoseconds>{1s, 1s});
    CHECK(pauses(tracker, 2, 1s) == std::vector<Nanoseconds>{2s, 4s});
    tracker.reset();
    CHECK(pauses(tracker, 2, 1s) == std::vector<Nanoseconds>{1s, 2s});
}

TEST_CASE("restart: jitter only shortens a pause, by its share of the random number", "[supervision]") {
    RestartPolicy policy = exact(RestartMode::always);
    policy.jitter = 0.5;
    CHECK(policy.delay(1, 0) == 1s);
    CHECK(policy.delay(1, 0.5) == 750ms);
    CHECK(policy.delay(2, 0.25) == 1750ms);
    CHECK(policy.delay(100, 0.5) == 45s);
    policy.jitter = 1;
    CHECK(policy.delay(3, 0.75) == 1s);
}

TEST_CASE("restart: a pause never overflows", "[supervision]") {
    RestartPolicy policy = exact(RestartMode::always);
    policy.max_delay = Nanoseconds::max();
    policy.factor = 1e30;
    CHECK(policy.delay(1000, 0) == Nanoseconds::max());
    RestartTracker tracker{policy};
    tracker.launches(start);
    static_cast<void>(tracker.failed(start, 0));
    CHECK(tracker.failed(start, 0) == restart(SteadyTime::max()));
}

TEST_CASE("restart: who was restarted the greatest number of times within the window is given up at the next end",
          "[supervision]") {
    RestartPolicy policy = exact(RestartMode::on_failure);
    policy.factor = 1;
    policy.max_restarts = 3;
    policy.window = 10s;
    RestartTracker tracker{policy};
    SteadyTime now = start;
    for (int i = 0; i < 3; ++i) {
        tracker.launches(now);
        CHECK(tracker.ended(now, failure, 0) == restart(now + 1s));
        now += 1s;
    }
    tracker.launches(now);  // the third restart; the first was two seconds ago
    RestartTracker later = tracker;
    CHECK(tracker.failed(start + 1s + 10s - 1ns, 0) == given_up);
    CHECK(later.ended(start + 1s + 10s, failure, 0) == restart(start + 12s));  // the first is out of the window
    later.launches(start + 12s);
    CHECK(later.ended(start + 12s - 1ns, failure, 0) == given_up);
    tracker.reset();
    tracker.launches(now);
    CHECK(tracker.failed(now, 0) == restart(now + 1s));
}

TEST_CASE("restart: the limit counts restarts after successes too", "[supervision]") {
    RestartPolicy policy = exact(RestartMode::always);
    policy.max_restarts = 1;
    RestartTracker tracker{policy};
    tracker.launches(start);
    CHECK(tracker.ended(start, success, 0) == restart(start + 1s));
    tracker.launches(start + 1s);
    CHECK(tracker.ended(start + 1s, success, 0) == given_up);
}

TEST_CASE("restart: the policies that have a name are without mistakes", "[supervision]") {
    CHECK(RestartPolicy::never().validate().empty());
    CHECK(RestartPolicy::on_failure().validate().empty());
    CHECK(RestartPolicy::always().validate().empty());
    CHECK(RestartPolicy::always().mode == RestartMode::always);
    CHECK(to_string(RestartMode::on_failure) == "on_failure");
}

TEST_CASE("restart: all mistakes of a policy are told at once, each with what to write", "[supervision]") {
    RestartPolicy wrong = RestartPolicy::on_failure();
    wrong.initial_delay = -1s;
    wrong.max_delay = -2s;
    wrong.factor = 0.5;
    wrong.jitter = std::numeric_limits<double>::quiet_NaN();
    wrong.stable_after = 0s;
    wrong.window = 0s;
    wrong.success_codes.clear();
    const auto mistakes = wrong.validate();
    CHECK(mistakes.size() == 7);
    for (const auto& mistake : mistakes) CHECK(mistake.find("; write") != std::string::npos);
}

TEST_CASE("restart: values that contradict each other are named", "[supervision]") {
    const auto of = [](auto change) {
        RestartPolicy policy = RestartPolicy::on_failure();
        change(policy);
        return policy.validate();
    };
    CHECK(has_one(of([](auto& p) { p.max_delay = 500ms; }), "max_delay is 0.5 s, less than initial_delay, 1 s"));
    CHECK(has_one(of([](auto& p) { p.no_restart_codes = {2, 0}; }), "exit code 0 is in success_codes and in"));
    CHECK(has_one(of([](auto& p) { p.max_restarts = 0; }), "write RestartMode::never"));
    CHECK(has_one(of([](auto& p) { p.max_restarts = RestartPolicy::restart_limit + 1; }), "write at most 10000"));
    CHECK(has_one(of([](auto& p) {
                      p.initial_delay = 0s;
                      p.max_restarts.reset();
                  }),
                  "without pause or end"));
    CHECK(has_one(of([](auto& p) {
                      p.mode = RestartMode::never;
                      p.no_restart_codes = {2};
                  }),
                  "no meaning with RestartMode::never"));
    CHECK(of([](auto& p) { p.initial_delay = 0s; }).empty());
}

TEST_CASE("restart: a limit that the pauses themselves keep from being reached is a mistake", "[supervision]") {
    RestartPolicy policy = exact(RestartMode::on_failure);
    policy.max_restarts = 5;  // pauses between the first and the last restart: 2 + 4 + 8 + 16 s
    policy.window = 30s;
    CHECK(has_one(policy.validate(), "5 restarts take at least 30 s by their pauses, and window is 30 s"));
    policy.window = 30s + 1ns;
    CHECK(policy.validate().empty());
    policy.window = 10s;
    policy.stable_after = 1s;  // a pause of 1 s after a run of 1 s is shorter than the later ones
    CHECK(policy.validate().empty());
    policy.window = 8s;
    CHECK(has_one(policy.validate(), "take at least 8 s"));
}
