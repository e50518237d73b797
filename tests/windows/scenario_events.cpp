// SPDX-License-Identifier: MIT
// Events and figures tell the truth on Windows: each once and in order.
#include <warden/telemetry/event_json.hpp>

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <mutex>
#include <stdexcept>

#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::Event;
using warden::EventKind;
using warden::ExitCause;
using warden::Output;
using warden::SpawnOptions;
using warden::State;
using warden::StopPlan;

namespace {

/// Keeps every event of a manager from its making on.
class Listener {
public:
    explicit Listener(warden::ProcessManager& manager)
        : subscription_(manager.subscribe([this](const Event& event) {
              const std::lock_guard lock(mutex_);
              events_.push_back(event);
          })) {}
    [[nodiscard]] std::vector<Event> events() const {
        const std::lock_guard lock(mutex_);
        return events_;
    }
    [[nodiscard]] std::size_t count(EventKind kind) const {
        const std::lock_guard lock(mutex_);
        return static_cast<std::size_t>(
            std::count_if(events_.begin(), events_.end(), [&](const Event& e) { return e.kind == kind; }));
    }

private:
    mutable std::mutex mutex_;
    std::vector<Event> events_;
    warden::Subscription subscription_;
};

bool fails(TestManager& manager, const warden::CommandLine& command, const SpawnOptions& options = {}) {
    warden::error_code ec;
    return !manager->spawn(command, options, ec) && ec;
}

/// Lives of every kind, once; how many processes were started.
std::size_t live_all_lives(TestManager& manager) {
    const auto start = [&](const warden::CommandLine& command, SpawnOptions options = {}) {
        options.stdout_ = Output::capture;
        auto process = manager->spawn(command, std::move(options));
        REQUIRE(next_line(process));
        return process;
    };
    manager->run(victim("exit", "0"));
    manager->run(victim("exit", "3"));
    manager->run(victim("crash"));
    SpawnOptions piped;
    piped.stdin_ = warden::Input::pipe;
    start(victim("end-with-input", "0"), piped).stop(StopPlan{}.close_stdin(30s).kill(30s));
    start(victim("ignore-break")).stop(StopPlan{}.terminate(20ms).kill(30s));
    start(victim("sleep-forever")).kill();
    start(victim("escape", "plain", "leave")).wait();  // and the one that stays by the end of the handle
    SpawnOptions timed;
    timed.timeout = 50ms;
    manager->run(victim("sleep-forever"), timed);
    static_cast<void>(start(victim("sleep-forever")));
    CHECK(fails(manager, {"C:\\no\\such\\program.exe"}));
    return 9;
}

void stop_at_once(warden::ManagerConfig& config) { config.stop_plan = StopPlan{}.kill(30s); }

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

TEST_CASE(
    "scenario: every start has one spawn event and one exit event, the exit before the end of the tree, "
    "and none after",
    "[scenario][events]") {
    TestManager manager(stop_at_once);
    Listener listener(*manager);
    const std::size_t started = live_all_lives(manager);
    REQUIRE(eventually([&] {
        return listener.count(EventKind::exit) >= started && listener.count(EventKind::spawn_failed) == 1 &&
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
    for (const auto& [uuid, events] : lives) {
        std::map<EventKind, int> seen;
        std::optional<State> state;
        bool last_word = false;
        for (const Event& event : events) {
            INFO(warden::to_json_line(event, false));
            CHECK_FALSE(last_word);
            last_word = last_word || is_last_word(event);
            ++seen[event.kind];
            if (!event.to) continue;
            REQUIRE(event.from);
            if (state) CHECK(event.from == state);  // no gap, no jump
            CHECK(is_legal(*event.from, *event.to));
            state = event.to;
        }
        const bool failed = seen[EventKind::spawn_failed] != 0;
        CHECK(seen[EventKind::spawn] == (failed ? 0 : 1));
        CHECK(seen[EventKind::exit] == (failed ? 0 : 1));
        if (failed) continue;
        ++spawned;
        REQUIRE(state);
        CHECK(warden::is_final(*state));
    }
    CHECK(spawned == started);
    CHECK(lives.size() == started + 1);
}

TEST_CASE("scenario: what is counted adds up", "[scenario][events]") {
    TestManager manager(stop_at_once);
    const std::size_t started = live_all_lives(manager);
    REQUIRE(eventually([&] { return manager->metrics().active == 0 && manager->list().empty(); }));
    const auto metrics = manager->metrics();
    CHECK(metrics.spawned_total == started);
    CHECK(metrics.spawn_failures_total == 1);
    std::uint64_t exits = 0;
    for (const auto count : metrics.exits) exits += count;
    CHECK(exits == started);
    CHECK(metrics.exits_by(ExitCause::normal) == 3);
    CHECK(metrics.exits_by(ExitCause::crashed) == 1);
    CHECK(metrics.exits_by(ExitCause::timed_out) == 1);
    CHECK(metrics.exits_by(ExitCause::stopped) == 1);
    CHECK(metrics.exits_by(ExitCause::forced) == 3);
    CHECK(metrics.timeouts_total == 1);
    CHECK(metrics.spawn_latency.count() == started);
    CHECK(metrics.cleanup_failures_total == 0);
    CHECK(metrics.callback_exceptions_total == 0);
    CHECK(metrics.events_total > 2 * started);
}

TEST_CASE("scenario: a subscriber that throws, and one that blocks, harm nobody", "[scenario][events]") {
    std::promise<void> go_on;
    TestManager manager;
    std::atomic<int> thrown{0};
    const auto throwing = manager->subscribe([&](const Event&) {
        ++thrown;
        throw std::runtime_error("thrown by a subscriber");
    });
    const auto odd = manager->subscribe([](const Event&) { throw 7; });
    const auto blocking = manager->subscribe([gate = go_on.get_future().share()](const Event&) { gate.wait(); });
    Listener listener(*manager);
    for (int i = 0; i < 5; ++i) {
        SpawnOptions options;
        options.on_line = [](std::string_view) { throw std::runtime_error("thrown by a callback"); };
        const auto result = manager->run(victim("count-lines", "3"), options);
        CHECK(result.success());
        CHECK(result.out == "line 1\nline 2\nline 3\n");
    }
    CHECK(eventually([&] { return listener.count(EventKind::exit) == 5; }));  // while one of them blocks
    CHECK(manager->metrics().callback_exceptions_total >= 15);
    CHECK(thrown > 5);
    go_on.set_value();
}

TEST_CASE("scenario: nothing comes after a subscription has ended", "[scenario][events]") {
    TestManager manager;
    Listener fence(*manager);
    std::atomic<int> seen{0};
    {
        const auto subscription = manager->subscribe([&](const Event&) { ++seen; });
        manager->run(victim("exit", "0"));
        CHECK(eventually([&] { return seen >= 2 && fence.count(EventKind::exit) == 1; }));
    }
    manager->run(victim("exit", "0"));
    CHECK(eventually([&] { return fence.count(EventKind::exit) == 2; }));
    const int then = seen;
    manager->run(victim("exit", "0"));
    CHECK(eventually([&] { return fence.count(EventKind::exit) == 3; }));
    CHECK(seen == then);
}

TEST_CASE("scenario: a start, a stop and an exit by a timeout are told in their order", "[scenario][events]") {
    TestManager manager;
    Listener listener(*manager);
    SpawnOptions options;
    options.timeout = 500ms;
    options.stop_plan = StopPlan{}.terminate(50ms).kill(30s);
    options.metadata = {{"job", "17"}};
    CHECK(manager->run(victim("ignore-break"), options).cause == ExitCause::timed_out);
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
