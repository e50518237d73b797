// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <support/fake_scheduler.hpp>
#include <warden/detail/runtime/scheduler.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

using namespace warden;
using namespace warden::detail;
using namespace std::chrono_literals;
using test::FakeScheduler;

TEST_CASE("timer queue: gives due timers by deadline, and equal ones in the order of arming") {
    std::array<TimerEntry, 200> entries;
    std::vector<std::pair<int, int>> order;  // deadline, index
    TimerQueue queue;
    std::mt19937 random(7);
    const SteadyTime zero{};
    for (int i = 0; i < 200; ++i) {
        const int at = static_cast<int>(random() % 20);
        entries[static_cast<std::size_t>(i)].job = [&order, at, i] { order.emplace_back(at, i); };
        queue.arm(entries[static_cast<std::size_t>(i)], zero + std::chrono::seconds(at));
    }
    std::size_t disarmed = 0;
    for (std::size_t i = 0; i < 200; i += 3, ++disarmed) queue.disarm(entries[i]);
    CHECK(queue.next_deadline() == zero);
    while (Job job = queue.take_due(zero + 9s, queue.mark())) job();
    CHECK(queue.next_deadline() == zero + 10s);
    while (Job job = queue.take_due(zero + 20s, queue.mark())) job();
    CHECK(queue.next_deadline() == SteadyTime::max());
    CHECK(order.size() == 200 - disarmed);
    CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("timer queue: what is armed after the mark waits for the next turn") {
    TimerQueue queue;
    TimerEntry entry;
    entry.job = [] {};
    const auto mark = queue.mark();
    queue.arm(entry, SteadyTime{});
    CHECK_FALSE(queue.take_due(SteadyTime{}, mark));
    CHECK(queue.take_due(SteadyTime{}, queue.mark()));
}

TEST_CASE("timer: runs once, at its deadline and not before") {
    FakeScheduler scheduler;
    Timer timer(scheduler);
    std::vector<SteadyTime> runs;
    const SteadyTime begin = scheduler.now();
    timer.arm(begin + 5s, [&] { runs.push_back(scheduler.now()); });
    CHECK(timer.is_armed());
    scheduler.advance(5s - 1ns);
    CHECK(runs.empty());
    scheduler.advance(1ns);
    CHECK_FALSE(timer.is_armed());
    scheduler.advance(1h);
    CHECK(runs == std::vector<SteadyTime>{begin + 5s});
}

TEST_CASE("timer: what is cancelled, replaced or destroyed does not run") {
    FakeScheduler scheduler;
    std::string ran;
    auto timer = std::make_unique<Timer>(scheduler);
    timer->arm(scheduler.now() + 1s, [&] { ran += "a"; });
    timer->cancel();
    timer->arm(scheduler.now() + 1s, [&] { ran += "b"; });
    timer->arm(scheduler.now() + 2s, [&] { ran += "c"; });
    scheduler.advance(1s);
    CHECK(ran.empty());
    scheduler.advance(1s);
    CHECK(ran == "c");
    timer->arm(scheduler.now(), [&] { ran += "d"; });
    timer = nullptr;
    scheduler.advance(1h);
    CHECK(ran == "c");
    CHECK(scheduler.next_deadline() == SteadyTime::max());
}

TEST_CASE("timer: may be cancelled by a job that is due at the same time") {
    FakeScheduler scheduler;
    Timer first(scheduler);
    Timer second(scheduler);
    bool ran = false;
    first.arm(scheduler.now() + 1s, [&] { second.cancel(); });
    second.arm(scheduler.now() + 1s, [&] { ran = true; });
    scheduler.advance(2s);
    CHECK_FALSE(ran);
}

TEST_CASE("fake scheduler: runs what is posted in order, with the timers between") {
    FakeScheduler scheduler;
    std::string order;
    Timer timer(scheduler);
    timer.arm(scheduler.now() + 1s, [&] {
        order += "t";
        scheduler.post([&] { order += "p"; });
        timer.arm(scheduler.now(), [&] { order += "u"; });
    });
    scheduler.post([&] {
        order += "1";
        scheduler.post([&] { order += "3"; });
    });
    scheduler.post([&] { order += "2"; });
    scheduler.advance(1s);
    CHECK(order == "123tpu");
}
