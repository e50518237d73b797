// SPDX-License-Identifier: MIT
// Events and figures tell the truth: each once, in order, safe to read, and nothing of what is secret.
#include <support/fixture.hpp>
#include <warden/telemetry/event_json.hpp>

#include <boost/json.hpp>

#include <csignal>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
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
        const auto all = events();
        return static_cast<std::size_t>(
            std::count_if(all.begin(), all.end(), [&](const Event& e) { return e.kind == kind; }));
    }

private:
    mutable std::mutex mutex_;
    std::vector<Event> events_;
    warden::Subscription subscription_;
};

/// Lives of every kind, so many of each; how many processes were started.
std::size_t live_all_lives(warden::ProcessManager& manager, const std::filesystem::path& fifo, int each) {
    std::size_t started = 0;
    for (int i = 0; i < each; ++i) {
        Handshake handshake(fifo);
        const auto ready = [&](const char* mode, SpawnOptions options = {}) {
            auto process = manager.spawn(victim(handshake, mode), std::move(options));
            ++started;
            REQUIRE(handshake.pid() > 0);
            return process;
        };
        started += 3;
        manager.run(victim("exit"));
        manager.run(victim("exit", "3"));
        manager.run(victim("kill-self", std::to_string(SIGSEGV)));
        ready("trap-exit0").stop();
        ready("ignore-term").stop(StopPlan::within(20ms));
        ready("stay").kill();
        ready("setsid-daemon").wait();  // and its daemon by the end of the handle
        SpawnOptions timed;
        timed.timeout = 50ms;
        timed.stop_plan = StopPlan::now();
        ready("stay", timed).wait();
        static_cast<void>(ready("stay"));
        static_cast<void>(failed_start(manager, {"/no/such/program"}));
    }
    return started;
}

std::vector<std::string> log_lines(const std::filesystem::path& directory) {
    std::vector<std::string> lines;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        for (auto& line : split(read_file(entry.path().string()), '\n')) lines.push_back(std::move(line));
    }
    return lines;
}

}  // namespace

TEMPLATE_TEST_CASE(
    "events: every start has one spawn event and one exit event, the exit before the end of the tree, and none after",
    "[events]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.stop_plan = StopPlan::prompt(); }};
    Listener listener(*manager);
    const std::size_t started = live_all_lives(*manager, manager.directory / "fifo", 3);
    REQUIRE(eventually([&] {
        return listener.count(EventKind::exit) >= started && listener.count(EventKind::spawn_failed) == 3 &&
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
            last_word = last_word || event.kind == EventKind::tree_gone;
            for (const auto& [key, value] : event.attributes) {
                last_word = last_word ||
                            (event.kind == EventKind::exit && key == "warden.tree_alive" && !std::get<bool>(value));
            }
            ++seen[event.kind];
            if (!event.to) continue;
            REQUIRE(event.from);
            if (state) CHECK(event.from == state);  // no gap, no jump
            bool legal = false;
            for (std::size_t t = 0; t < warden::transition_count; ++t) {
                legal = legal || warden::next_state(*event.from, static_cast<warden::Transition>(t)) == event.to;
            }
            CHECK(legal);
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
    CHECK(failed == 3);
}

TEMPLATE_TEST_CASE("metrics: what is counted adds up", "[events]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.stop_plan = StopPlan::prompt(); }};
    const std::size_t started = live_all_lives(*manager, manager.directory / "fifo", 2);
    REQUIRE(eventually([&] { return manager->metrics().active == 0 && manager->list().empty(); }));
    const auto metrics = manager->metrics();
    CHECK(metrics.spawned_total == started);
    CHECK(metrics.spawn_failures_total == 2);
    std::uint64_t exits = 0;
    for (const auto count : metrics.exits) exits += count;
    CHECK(exits == started);
    CHECK(metrics.exits_by(ExitCause::normal) == 2 * 3);
    CHECK(metrics.exits_by(ExitCause::crashed) == 2);
    CHECK(metrics.exits_by(ExitCause::timed_out) == 2);
    CHECK(metrics.exits_by(ExitCause::stopped) == 2 * 2);
    CHECK(metrics.exits_by(ExitCause::forced) == 2 * 2);
    CHECK(metrics.timeouts_total == 2);
    CHECK(metrics.spawn_latency.count() == started);
    CHECK(metrics.cleanup_failures_total == 0);
    CHECK(metrics.callback_exceptions_total == 0);
    CHECK(metrics.events_total > 2 * started);
}

TEMPLATE_TEST_CASE("events: hostile words become one line of JSON each, in the log of events", "[events][Q01]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    std::string all_bytes;
    for (int c = 1; c < 256; ++c) all_bytes += static_cast<char>(c);
    const std::string hostile[] = {
        "two\nlines",
        "\"quoted\"",
        "back\\slash",
        "\x1b[2J\x1b]0;title\x07",
        "\xe2\x80\xae"
        "reversed",
        "\xff\xfe not UTF-8",
        "\xc0\xaf",
        "\xed\xa0\x80",
        "\r\n{\"event.name\":\"warden.process.exit\"}",
        "\xe2\x80\xa8line separator",
        "\x7f",
        "",
        all_bytes,
        std::string(100'000, 'x'),
    };
    TestManager manager{TestType::mechanism};
    for (const auto& word : hostile) {
        SpawnOptions options;
        options.name = word.substr(0, 200);
        options.type = word.substr(0, 200);
        options.metadata = {{word.substr(0, 200), word}, {"plain", word}};
        options.environment.set("HOSTILE", word);
        CHECK(manager->run(victim("exit", "0", word), options).success());
        warden::error_code ec;
        static_cast<void>(manager->spawn({"/no/such/" + word.substr(0, 200), word}, options, ec));
        CHECK(ec);
    }
    const auto events = manager.directory / "data" / "events";
    const auto names = [&](std::string_view name) {
        std::size_t found = 0;
        for (const auto& line : log_lines(events)) {
            boost::system::error_code ec;
            const auto value = boost::json::parse(line, ec);
            if (ec || !value.is_object()) continue;
            const auto* const event = value.as_object().if_contains("event.name");
            found += event && event->is_string() && event->as_string() == name ? 1 : 0;
        }
        return found;
    };
    REQUIRE(eventually([&] {
        return names("warden.process.exit") == std::size(hostile) &&
               names("warden.process.spawn_failed") == std::size(hostile);
    }));
    CHECK(names("warden.process.spawn") == std::size(hostile));
    std::string all;
    for (const auto& line : log_lines(events)) {
        boost::system::error_code ec;
        CHECK(boost::json::parse(line, ec).is_object());
        CHECK_FALSE(ec);
        CHECK(std::none_of(line.begin(), line.end(),
                           [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
        CHECK(line.find("\xe2\x80\xae") == std::string::npos);
        CHECK(line.size() < 4 * warden::max_event_bytes);
        all += line + '\n';
    }
    manager.directory.write("all.jsonl", all);
    if (std::filesystem::exists("/usr/bin/jq")) {  // a second parser
        CHECK(manager->run({"jq", "-e", ".", (manager.directory / "all.jsonl").string()}).success());
    }
}

TEMPLATE_TEST_CASE("events: a secret in the environment is in no file and in no helper's memory", "[events][Q02]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string canary = "canary-" + std::to_string(::getpid()) + "-7d1f";
    TestManager manager{TestType::mechanism};
    Listener listener(*manager);
    SpawnOptions options;
    options.environment.set("SECRET", canary);
    options.stop_plan = StopPlan::within(20ms);
    {
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn(victim(handshake, "ignore-term"), options);
        REQUIRE(handshake.pid() > 0);
        for (const pid_t pid : descendants()) {
            if (pid == process.pid()) continue;
            const std::string where = "/proc/" + std::to_string(pid);
            CHECK(read_file(where + "/cmdline").find(canary) == std::string::npos);
            CHECK(read_file(where + "/environ").find(canary) == std::string::npos);
        }
        process.stop();
    }
    manager->run(victim("kill-self", std::to_string(SIGSEGV)), options);
    static_cast<void>(failed_start(*manager, {"/no/such/program"}, options));
    options.working_directory = "/no/such/directory";
    static_cast<void>(failed_start(*manager, victim("exit"), options));
    REQUIRE(eventually([&] { return listener.count(EventKind::spawn_failed) == 2; }));
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(manager.directory.path())) {
        if (!entry.is_regular_file()) continue;
        ++files;
        CHECK(read_file(entry.path().string()).find(canary) == std::string::npos);
    }
    CHECK(files >= 2);  // the log of events and that of a process, at least
    for (const Event& event : listener.events()) CHECK(to_json_line(event, false).find(canary) == std::string::npos);
}

TEMPLATE_TEST_CASE("events: arguments stay out of the log where that is configured", "[events][Q02]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.redact_arguments = true; }};
    Listener listener(*manager);
    CHECK(manager->run(victim("exit", "0", "canary-of-arguments")).success());
    static_cast<void>(failed_start(*manager, {"/no/such/program", "canary-of-arguments"}));
    REQUIRE(eventually([&] { return listener.count(EventKind::spawn_failed) == 1; }));
    const auto lines = log_lines(manager.directory / "data" / "events");
    CHECK(lines.size() >= 4);
    for (const auto& line : lines) CHECK(line.find("canary-of-arguments") == std::string::npos);
}

TEMPLATE_TEST_CASE("events: a subscriber that throws, and one that blocks, harm nobody", "[events]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
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
    for (int i = 0; i < 20; ++i) {
        SpawnOptions options;
        options.on_line = [](std::string_view) { throw std::runtime_error("thrown by a callback"); };
        const auto result = manager->run(victim("lines", "3"), options);
        CHECK(result.success());
        CHECK(result.out == "line 1\nline 2\nline 3\n");
    }
    CHECK(eventually([&] { return listener.count(EventKind::exit) == 20; }));  // while one of them blocks
    CHECK(manager->metrics().callback_exceptions_total >= 60);
    CHECK(thrown > 20);
    go_on.set_value();
}

TEMPLATE_TEST_CASE("events: nothing comes after a subscription has ended", "[events]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Listener fence(*manager);
    std::atomic<int> seen{0};
    {
        const auto subscription = manager->subscribe([&](const Event&) { ++seen; });
        manager->run(victim("exit"));
        CHECK(eventually(
            [&] { return seen >= 2 && fence.count(EventKind::tree_gone) + fence.count(EventKind::exit) >= 1; }));
    }
    manager->run(victim("exit"));
    CHECK(eventually([&] { return fence.count(EventKind::exit) == 2; }));
    const int then = seen;
    manager->run(victim("exit"));
    CHECK(eventually([&] { return fence.count(EventKind::exit) == 3; }));
    CHECK(seen == then);
}

TEMPLATE_TEST_CASE("events: a start, a stop and an exit by a timeout are told in their order", "[events]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Listener listener(*manager);
    SpawnOptions options;
    options.timeout = 50ms;
    options.stop_plan = StopPlan::within(50ms);
    options.metadata = {{"job", "17"}};
    const auto result = manager->run({"sh", "-c", "trap '' TERM; sleep 60; sleep 60"}, options);
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
