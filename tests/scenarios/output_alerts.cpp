// SPDX-License-Identifier: MIT
// Lines that somebody should know of, in the output of real processes.
#include <scenarios/output.hpp>
#include <warden/detail/runtime/dispatcher.hpp>
#include <warden/output/alert_regex.hpp>
#include <warden/telemetry/event.hpp>

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <atomic>
#include <future>

using namespace support;
using namespace std::chrono_literals;
using warden::Alert;
using warden::AlertAction;
using warden::AlertRule;
using warden::Event;
using warden::EventKind;
using warden::SpawnOptions;
using warden::State;

namespace {

SpawnOptions with(std::vector<AlertRule> rules) {
    SpawnOptions options;
    options.alerts = std::move(rules);
    return options;
}

}  // namespace

TEMPLATE_TEST_CASE("alerts: a line that matches becomes an event, a count and a call", "[alerts]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Events events(*manager, EventKind::alert);
    std::vector<Alert> called;
    AlertRule error = AlertRule::literal("ERROR");
    error.name = "an error";
    error.callback = [&](const Alert& alert) { called.push_back(alert); };
    AlertRule cuda = AlertRule::regex("CUDA .* memory$");
    cuda.from_stdout = false;
    auto process =
        manager->spawn(play("out", "fine\nan ERROR here\r\nCUDA out of memory\n", "err", "CUDA out of memory\r\n"),
                       with({error, cuda}));
    CHECK(process.wait().success());
    REQUIRE(called.size() == 1);  // before the exit is told
    CHECK(called[0].rule == "an error");
    CHECK(called[0].line == "an ERROR here");
    CHECK(called[0].stream == "stdout");
    REQUIRE(eventually([&] { return events.all().size() == 2; }));
    auto told = events.all();
    std::sort(told.begin(), told.end(),
              [](const auto& a, const auto& b) { return attribute(a, "log.iostream") > attribute(b, "log.iostream"); });
    CHECK(attribute(told[0], "warden.alert.line") == "an ERROR here");
    CHECK(attribute(told[0], "warden.alert.rule") == "an error");
    CHECK(attribute(told[1], "warden.alert.rule") == "CUDA .* memory$");
    CHECK(attribute(told[1], "log.iostream") == "stderr");
    CHECK(told[1].uuid == process.uuid());
    CHECK(manager->metrics().alerts_total == 2);
}

TEMPLATE_TEST_CASE("alerts: a flood of matches is told at the rate that was set, and what was not is counted",
                   "[alerts]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Events events(*manager, EventKind::alert);
    AlertRule rule = AlertRule::literal("bad");
    rule.most = 3;
    rule.per = 1h;
    AlertRule same = AlertRule::literal("bad");
    same.name = "the same line";
    same.dedupe = 1h;
    SpawnOptions options = with({rule, same});
    options.overflow_policy = warden::OverflowPolicy::block;
    auto process = manager->spawn(play("again", "20000", "bad\n", "out", "another bad one\n"), options);
    CHECK(process.wait().success());
    REQUIRE(eventually([&] { return events.all().size() == 5; }));
    std::size_t of_first = 0;
    for (const Event& event : events.all()) {
        if (attribute(event, "warden.alert.rule") == "bad") ++of_first;
        else if (attribute(event, "warden.alert.line") == "another bad one")
            CHECK(attribute(event, "warden.alert.suppressed") == "19999");
    }
    CHECK(of_first == 3);
}

TEMPLATE_TEST_CASE("alerts: a rule ends the process at once, if that is its plan", "[alerts]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options = with({AlertRule::literal("Traceback", AlertAction::stop)});
    options.stop_plan = warden::StopPlan::now();
    auto process = manager->spawn(play("out", "loading\n", "err", "Traceback\n", "stay"), options);
    static_cast<void>(process.wait());
    CHECK(process.cause() == warden::ExitCause::forced);
    CHECK(process.state() == State::force_killed);
    REQUIRE(eventually([&] { return !process.tree_alive(); }));
}

TEMPLATE_TEST_CASE("alerts: a rule says that the process is ready", "[alerts]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Events events(*manager, EventKind::ready);
    auto process = manager->spawn(play("out", "loading\nlistening on 8080\r\n", "out", "listening again\n", "stay"),
                                  with({AlertRule::regex("^listening on [0-9]+$", AlertAction::ready)}));
    CHECK(eventually([&] { return process.state() == State::ready; }));
    CHECK(eventually([&] { return events.all().size() == 1; }));
    CHECK(process.stop(warden::StopPlan::now()).clean());
}

TEMPLATE_TEST_CASE("alerts: rules of the manager see every process, and a last line without an end", "[alerts]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.alerts.rules = {AlertRule::literal("PANIC")}; }};
    const Events events(*manager, EventKind::alert);
    CHECK(manager->run(play("out", "kernel PANIC")).out == "kernel PANIC");
    CHECK(manager->run(play("err", "PANIC\n"), with({AlertRule::literal("PANIC")})).success());
    REQUIRE(eventually([&] { return events.all().size() == 3; }));
}

TEMPLATE_TEST_CASE("alerts: a callback may be slow, throw, and end its own process", "[alerts]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    AlertRule rule = AlertRule::literal("y");
    rule.most = 1000;
    rule.per = 1s;
    std::atomic<int> calls{0};
    rule.callback = [&](const Alert&) {
        if (++calls == 100) static_cast<void>(manager->stop("endless", warden::StopPlan::now()));
        throw 1;
    };
    SpawnOptions options = with({rule});
    options.name = "endless";
    options.stdout_ = warden::Output::capture;
    options.capture_bytes = 1000;
    auto process = manager->spawn(play("again", "1000000000", "y\n"), options);
    static_cast<void>(process.wait());
    CHECK(process.state() == State::force_killed);
    CHECK(calls >= 100);
    CHECK(manager->metrics().callback_exceptions_total >= 99);  // the last one may still be on its way
}

TEMPLATE_TEST_CASE("alerts: a rule acts though more callbacks block than there are threads for them", "[alerts]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::promise<void> let_go;
    const auto released = let_go.get_future().share();
    std::atomic<std::size_t> blocked{0};
    constexpr std::size_t threads = warden::detail::Dispatcher::max_threads;
    SpawnOptions blocking;
    blocking.stdout_ = warden::Output::capture;
    blocking.on_line = [&](std::string_view) {
        ++blocked;
        released.wait();
    };
    std::vector<warden::ManagedProcess> held;
    for (std::size_t i = 0; i < threads + 1; ++i) held.push_back(manager->spawn(play("out", "x\n", "stay"), blocking));
    REQUIRE(eventually([&] { return blocked == threads; }));
    SpawnOptions watched = with({AlertRule::literal("Traceback", AlertAction::stop)});
    watched.stop_plan = warden::StopPlan::now();
    auto process = manager->spawn(play("out", "Traceback\n", "stay"), watched);
    const auto status = process.wait_for(20s);
    CHECK(status);
    let_go.set_value();
    CHECK(process.cause() == warden::ExitCause::forced);
}

TEMPLATE_TEST_CASE("alerts: a rule acts though nobody runs the executor of its process", "[alerts]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    boost::asio::io_context context;
    SpawnOptions options = with({AlertRule::literal("listening", AlertAction::ready)});
    std::vector<std::string> called;
    options.alerts[0].callback = [&](const Alert& alert) { called.push_back(alert.line); };
    options.executor = context.get_executor();
    options.drain_timeout = 20ms;
    auto process = manager->spawn(play("out", "listening\n", "stay"), options);
    CHECK(eventually([&] { return process.state() == State::ready; }));
    CHECK(process.stop(warden::StopPlan::now()).clean());
    CHECK(called.empty());
    context.run_one_for(10s);
    CHECK(called == std::vector<std::string>{"listening"});
}

TEMPLATE_TEST_CASE("alerts: bad rules are refused with what to write instead", "[alerts]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto message = [&](AlertRule rule) {
        return std::string(failed_start(*manager, play(), with({std::move(rule)})).what());
    };
    CHECK(message(AlertRule::literal("")).find("write what to look for") != std::string::npos);
    CHECK(message(AlertRule::regex("a(b")).find("a(b") != std::string::npos);
    CHECK(message(AlertRule::regex("(a+)+$")).find("explodes") != std::string::npos);
    warden::ManagerConfig config;
    config.alerts.rules = {AlertRule::regex("[")};
    CHECK_THROWS_AS(warden::ProcessManager(config), warden::system_error);
}
