// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/supervision/probe_cadence.hpp>

#include <chrono>
#include <string>
#include <vector>

using namespace warden;
using namespace warden::detail;
using namespace std::chrono_literals;
using Action = ProbeNext::Action;

namespace {

constexpr SteadyTime start{100s};

ProbeTiming timing(Nanoseconds interval = 1s) {
    ProbeTiming timing;
    timing.interval = interval;
    timing.timeout = 2s;
    timing.deadline = 30s;
    return timing;
}

/// When the next attempt begins, counted from the start.
Nanoseconds next_attempt(const ProbeCadence& cadence) {
    CHECK(cadence.next().action == Action::attempt);
    return cadence.next().at - start;
}

/// Begins an attempt when it is due, and lets it fail `length` later.
void fail(ProbeCadence& cadence, Nanoseconds length = 0s, const std::string& reason = "refused") {
    const SteadyTime at = cadence.next().at;
    cadence.began(at);
    cadence.failed(at + length, reason);
}

void succeed(ProbeCadence& cadence, Nanoseconds length = 0s) {
    const SteadyTime at = cadence.next().at;
    cadence.began(at);
    cadence.succeeded(at + length);
}

}  // namespace

TEST_CASE("cadence: the first attempt begins after the initial delay, and the first success makes it ready",
          "[supervision]") {
    ProbeTiming late = timing();
    late.initial_delay = 5s;
    ProbeCadence cadence(late, ProbeUse::start_up, start);
    CHECK(cadence.next() == ProbeNext{Action::attempt, start + 5s});
    CHECK(cadence.verdict() == ProbeVerdict::pending);
    cadence.began(start + 5s);
    CHECK(cadence.next() == ProbeNext{Action::give_up, start + 7s});
    cadence.succeeded(start + 5s + 3ms);
    CHECK(cadence.verdict() == ProbeVerdict::good);
    CHECK(cadence.next() == ProbeNext{});
    CHECK(cadence.attempts() == 1);
}

TEST_CASE("cadence: during start-up the pauses double from 10 ms up to the interval", "[supervision]") {
    ProbeCadence cadence(timing(100ms), ProbeUse::start_up, start);
    std::vector<Nanoseconds> begins;
    for (int i = 0; i < 8; ++i) {
        begins.push_back(next_attempt(cadence));
        fail(cadence);
    }
    CHECK(begins == std::vector<Nanoseconds>{0ms, 10ms, 30ms, 70ms, 150ms, 250ms, 350ms, 450ms});
}

TEST_CASE("cadence: an interval below 10 ms is kept from the first attempt on", "[supervision]") {
    ProbeCadence cadence(timing(3ms), ProbeUse::start_up, start);
    std::vector<Nanoseconds> begins;
    for (int i = 0; i < 4; ++i) {
        begins.push_back(next_attempt(cadence));
        fail(cadence);
    }
    CHECK(begins == std::vector<Nanoseconds>{0ms, 3ms, 6ms, 9ms});
}

TEST_CASE("cadence: an attempt that outlasts the pause is followed by the next at once", "[supervision]") {
    ProbeCadence cadence(timing(), ProbeUse::start_up, start);
    fail(cadence, 500ms);
    CHECK(next_attempt(cadence) == 500ms);
    fail(cadence, 1ms);
    CHECK(next_attempt(cadence) == 520ms);  // the second pause is 20 ms
}

TEST_CASE("cadence: an attempt that does not end is given up after its timeout, and says so", "[supervision]") {
    ProbeCadence cadence(timing(), ProbeUse::start_up, start);
    cadence.began(start);
    cadence.expired(cadence.next().at);
    CHECK(cadence.reason() == "no answer within 2 s");
    CHECK(cadence.verdict() == ProbeVerdict::pending);
    CHECK(next_attempt(cadence) == 2s);
}

TEST_CASE("cadence: the deadline ends the start-up, in an attempt and between two, with the last reason",
          "[supervision]") {
    ProbeTiming brief = timing(10s);
    brief.deadline = 50ms;
    ProbeCadence between(brief, ProbeUse::start_up, start);
    fail(between);  // then 10 ms, then 30 ms
    fail(between);
    fail(between);
    CHECK(between.next() == ProbeNext{Action::expire, start + 50ms});  // the next attempt would begin at 70 ms
    between.expired(start + 50ms);
    CHECK(between.verdict() == ProbeVerdict::bad);
    CHECK(between.reason() == "not ready within 50 ms: refused");
    CHECK(between.next() == ProbeNext{});
    between.succeeded(start + 60ms);  // too late
    CHECK(between.verdict() == ProbeVerdict::bad);

    ProbeCadence within(brief, ProbeUse::start_up, start);
    within.began(start);
    CHECK(within.next() == ProbeNext{Action::give_up, start + 50ms});
    within.expired(start + 50ms);
    CHECK(within.verdict() == ProbeVerdict::bad);
    CHECK(within.reason() == "not ready within 50 ms: no answer within 50 ms");

    ProbeCadence cut(brief, ProbeUse::start_up, start);
    fail(cut);
    cut.began(start + 10ms);
    cut.expired(start + 50ms);
    CHECK(cut.reason() == "not ready within 50 ms: refused");
}

TEST_CASE("cadence: a part has the deadline of the whole, or its own if that is earlier", "[supervision]") {
    ProbeTiming open;
    const auto expires = [](ProbeTiming of, SteadyTime whole) {
        of.initial_delay = Nanoseconds(1h);
        return ProbeCadence(of, ProbeUse::start_up, start, whole).next();
    };
    CHECK(expires(open, start + 5s) == ProbeNext{Action::expire, start + 5s});
    CHECK(expires(open, SteadyTime::max()) == ProbeNext{Action::expire, start + 60s});
    open.deadline = 3s;
    CHECK(expires(open, start + 5s) == ProbeNext{Action::expire, start + 3s});
    open.deadline = 7s;
    CHECK(expires(open, start + 5s) == ProbeNext{Action::expire, start + 5s});
}

TEST_CASE("cadence: so many successes in a row make it ready, and a failure starts anew", "[supervision]") {
    ProbeTiming strict = timing();
    strict.success_threshold = 3;
    ProbeCadence cadence(strict, ProbeUse::start_up, start);
    succeed(cadence);
    succeed(cadence);
    fail(cadence);
    succeed(cadence);
    succeed(cadence);
    CHECK(cadence.verdict() == ProbeVerdict::pending);
    succeed(cadence);
    CHECK(cadence.verdict() == ProbeVerdict::good);
    CHECK(cadence.attempts() == 6);
}

TEST_CASE("cadence: liveness is probed at its interval, fails by its threshold, and recovers", "[supervision]") {
    ProbeCadence cadence(timing(), ProbeUse::liveness, start);
    fail(cadence);
    CHECK(next_attempt(cadence) == 1s);
    fail(cadence, 100ms);
    CHECK(next_attempt(cadence) == 2s);
    CHECK(cadence.verdict() == ProbeVerdict::pending);
    fail(cadence, 0s, "HTTP 500");
    CHECK(cadence.verdict() == ProbeVerdict::bad);
    CHECK(cadence.reason() == "HTTP 500");
    CHECK(next_attempt(cadence) == 3s);
    succeed(cadence);
    CHECK(cadence.verdict() == ProbeVerdict::good);
    CHECK(cadence.reason().empty());
    fail(cadence);
    fail(cadence);
    CHECK(cadence.verdict() == ProbeVerdict::good);
    fail(cadence);
    CHECK(cadence.verdict() == ProbeVerdict::bad);
}

TEST_CASE("cadence: liveness has no deadline, and an attempt that lasts longer than the interval is not overtaken",
          "[supervision]") {
    ProbeCadence cadence(timing(1s), ProbeUse::liveness, start);
    for (int i = 0; i < 100; ++i) succeed(cadence);
    CHECK(next_attempt(cadence) == 100s);
    cadence.began(cadence.next().at);
    CHECK(cadence.next() == ProbeNext{Action::give_up, start + 102s});
    cadence.expired(start + 102s);
    CHECK(next_attempt(cadence) == 102s);
}

TEST_CASE("cadence: a fact settles it at once", "[supervision]") {
    ProbeCadence cadence(timing(), ProbeUse::start_up, start);
    cadence.settle(ProbeVerdict::bad, "the line 'panic'");
    CHECK(cadence.verdict() == ProbeVerdict::bad);
    CHECK(cadence.next() == ProbeNext{});
    cadence.settle(ProbeVerdict::good);
    CHECK(cadence.verdict() == ProbeVerdict::bad);
    CHECK(cadence.reason() == "the line 'panic'");
}

TEST_CASE("cadence: all of several need every one, any of several needs one", "[supervision]") {
    using enum ProbeVerdict;
    const auto tally = [](bool all, const std::vector<ProbeVerdict>& parts) {
        ProbeTally sum(all);
        for (const ProbeVerdict part : parts) sum.add(part);
        return sum.verdict();
    };
    CHECK(tally(true, {}) == pending);
    CHECK(tally(true, {good, good}) == good);
    CHECK(tally(true, {good, pending}) == pending);
    CHECK(tally(true, {good, pending, bad}) == bad);
    CHECK(tally(false, {}) == pending);
    CHECK(tally(false, {pending, good}) == good);
    CHECK(tally(false, {bad, pending}) == pending);
    CHECK(tally(false, {bad, bad}) == bad);
}
