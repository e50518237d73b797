// SPDX-License-Identifier: MIT
// Events and figures tell the truth: each once and in order.
#include <support/lives.hpp>
#include <warden/telemetry/event_json.hpp>

#include <atomic>
#include <future>
#include <map>
#include <optional>
#include <stdexcept>

using namespace support;
using namespace std::chrono_literals;
using warden::Event;
using warden::EventKind;
using warden::ExitCause;
using warden::SpawnOptions;
using warden::State;
using warden::StopPlan;

namespace {

/// What ends those whose handles go away, and what that is taken for.
#if WARDEN_OS_WINDOWS
const auto at_the_end = StopPlan{}.kill(30s);  // Wine 8 delivers no request to end
constexpr auto cause_at_the_end = ExitCause::forced;
#else
const auto at_the_end = StopPlan::prompt();
constexpr auto cause_at_the_end = ExitCause::stopped;
#endif

/// Lives of every kind, so many of each; how many processes were started.
std::size_t live_all_lives(TestManager& manager, int each) {
    for (int i = 0; i < each; ++i) {
        manager->run(play());
        manager->run(play("exit", "3"));
        manager->run(play("crash"));
        SpawnOptions piped;
        piped.stdin_ = warden::Input::pipe;
        ready(manager, {"out", "ready\n", "echo"}, piped).stop(StopPlan{}.close_stdin(30s).kill(30s));
        ready(manager, {"ignore", "out", "ready\n", "stay"}).stop(StopPlan{}.terminate(20ms).kill(30s));
        ready(manager, {"out", "ready\n", "stay"}).kill();
        ready(manager, {"leave", "close", "stay"}).wait();  // and the one that stays by the end of the handle
        SpawnOptions timed;
        timed.timeout = 50ms;
        timed.stop_plan = StopPlan{}.kill(30s);
        manager->run(play("stay"), timed);
        static_cast<void>(ready(manager, {"out", "ready\n", "stay"}));
        static_cast<void>(failed_start(*manager, {nowhere + "program"}));
    }
    return static_cast<std::size_t>(9 * each);
}

/// Whether nothing of a process can follow this event.
bool is_last_word(const Event& event) {
    return event.kind == EventKind::tree_gone ||
           std::any_of(event.attributes.begin(), event.attributes.end(), [&](const auto& attribute) {
               return event.kind == EventKind::exit && attribute.first == "warden.tree_alive" &&
                      !std::get<bool>(attribute.second);
           });
}

bool is_legal(State from, State to) {
    for (std::size_t t = 0; t < warden::transition_count; ++t) {
        if (warden::next_state(from, static_cast<warden::Transition>(t)) == to) return true;
    }
    return false;
}

}  // namespace

TEMPLATE_TEST_CASE(
    "events: every start has one spawn event and one exit event, the exit before the end of the tree, and none after",
    "[events]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.stop_plan = at_the_end; }};
    Listener listener(*manager);
    constexpr int each = so_many(3, 1);
    const std::size_t started = live_all_lives(manager, each);
    REQUIRE(eventually([&] {
        return listener.count(EventKind::exit) >= started && listener.count(EventKind::spawn_failed) == each &&
               manager->list().empty();
    }));
    std::map<warden::Uuid, std::vector<Event>> lives;
    std::uint64_t last = 0;
    for (const Event& event : listener.events()) {
        if (last != 0) CHECK(event.sequence == last + 1);
        last = event.sequence;
        CHECK(event.instance == manager->instance_id());
        if (!event.uuid.is_nil()) lives[event.uuid].push_back(event);
    }
    std::size_t spawned = 0;
    std::size_t failed = 0;
    for (const auto& [uuid, events] : lives) {
        std::map<EventKind, int> seen;
        std::optional<State> state;
        std::vector<std::string> after_the_last_word;
        bool last_word = false;
        for (const Event& event : events) {
            INFO(to_json_line(event, false));
            if (last_word) after_the_last_word.emplace_back(to_string(event.kind));
            last_word = last_word || is_last_word(event);
            ++seen[event.kind];
            if (!event.to) continue;
            REQUIRE(event.from);
            if (state) CHECK(event.from == state);  // no gap, no jump
            CHECK(is_legal(*event.from, *event.to));
            state = event.to;
        }
        CHECK(after_the_last_word == std::vector<std::string>{});
        if (seen[EventKind::spawn_failed] != 0) {
            ++failed;
            CHECK(seen[EventKind::spawn] == 0);
            CHECK(seen[EventKind::exit] == 0);
            continue;
        }
        ++spawned;
        CHECK(seen[EventKind::spawn] == 1);
        CHECK(seen[EventKind::exit] == 1);
        REQUIRE(state);
        CHECK(warden::is_final(*state));
    }
    CHECK(spawned == started);
    CHECK(failed == each);
}

TEMPLATE_TEST_CASE("metrics: what is counted adds up", "[events]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.stop_plan = at_the_end; }};
    constexpr int each = so_many(2, 1);
    const std::size_t started = live_all_lives(manager, each);
    REQUIRE(eventually([&] { return manager->metrics().active == 0 && manager->list().empty(); }));
    const auto metrics = manager->metrics();
    CHECK(metrics.spawned_total == started);
    CHECK(metrics.spawn_failures_total == each);
    std::uint64_t exits = 0;
    for (const auto count : metrics.exits) exits += count;
    CHECK(exits == started);
    CHECK(metrics.exits_by(ExitCause::exited) == 3 * each);
    CHECK(metrics.exits_by(ExitCause::crashed) == each);
    CHECK(metrics.exits_by(ExitCause::timed_out) == each);
    CHECK(metrics.exits_by(ExitCause::stopped) == each * (cause_at_the_end == ExitCause::stopped ? 2 : 1));
    CHECK(metrics.exits_by(ExitCause::forced) == each * (cause_at_the_end == ExitCause::forced ? 3 : 2));
    CHECK(metrics.timeouts_total == each);
    CHECK(metrics.spawn_latency.count() == started);
    CHECK(metrics.cleanup_failures_total == 0);
    CHECK(metrics.callback_exceptions_total == 0);
    CHECK(metrics.events_total > 2 * started);
}

TEMPLATE_TEST_CASE("events: a subscriber that throws, and one that blocks, harm nobody", "[events]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr int runs = so_many(20, 5);
    std::promise<void> go_on;
    TestManager manager{TestType::mechanism};
    std::atomic<int> thrown{0};
    const auto throwing = manager->subscribe([&](const Event&) {
        ++thrown;
        throw std::runtime_error("thrown by a subscriber");
    });
    const auto odd = manager->subscribe([](const Event&) { throw 7; });
    const auto blocking = manager->subscribe([gate = go_on.get_future().share()](const Event&) { gate.wait(); });
    Listener listener(*manager);
    for (int i = 0; i < runs; ++i) {
        SpawnOptions options;
        options.on_line = [](std::string_view) { throw std::runtime_error("thrown by a callback"); };
        const auto result = manager->run(play("out", "line 1\nline 2\nline 3\n"), options);
        CHECK(result.success());
        CHECK(result.out == "line 1\nline 2\nline 3\n");
    }
    CHECK(eventually([&] { return listener.count(EventKind::exit) == runs; }));  // while one of them blocks
    CHECK(manager->metrics().callback_exceptions_total >= 3 * runs);
    CHECK(thrown > runs);
    go_on.set_value();
}

TEMPLATE_TEST_CASE("events: nothing comes after a subscription has ended", "[events]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Listener fence(*manager);
    std::atomic<int> seen{0};
    {
        const auto subscription = manager->subscribe([&](const Event&) { ++seen; });
        manager->run(play());
        CHECK(eventually([&] { return seen >= 2 && fence.count(EventKind::exit) == 1; }));
    }
    manager->run(play());
    CHECK(eventually([&] { return fence.count(EventKind::exit) == 2; }));
    const int then = seen;
    manager->run(play());
    CHECK(eventually([&] { return fence.count(EventKind::exit) == 3; }));
    CHECK(seen == then);
}

TEMPLATE_TEST_CASE("events: a start, a stop and an exit by a timeout are told in their order", "[events]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Listener listener(*manager);
    SpawnOptions options;
    options.timeout = 1s;
    options.stop_plan = StopPlan{}.terminate(50ms).kill(30s);
    options.metadata = {{"job", "17"}};
    const auto result = manager->run(play("ignore", "stay"), options);
    CHECK(result.cause == ExitCause::timed_out);
    REQUIRE(
        eventually([&] { return listener.count(EventKind::stop_step) == 2 && listener.count(EventKind::exit) == 1; }));
    std::vector<EventKind> told;
    for (const Event& event : listener.events()) {
        if (event.uuid.is_nil()) continue;
        CHECK(event.metadata.at("job") == "17");
        if (event.kind != EventKind::state && event.kind != EventKind::tree_gone &&
            event.kind != EventKind::output_incomplete)
            told.push_back(event.kind);
    }
    const std::vector<EventKind> wanted{EventKind::spawn, EventKind::timeout, EventKind::stop, EventKind::stop_step,
                                        EventKind::kill};
    REQUIRE(told.size() == 7);
    CHECK(std::vector<EventKind>(told.begin(), told.begin() + 5) == wanted);
    CHECK(std::count(told.begin(), told.end(), EventKind::exit) == 1);
}
