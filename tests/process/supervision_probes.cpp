// SPDX-License-Identifier: MIT
// Probes of real processes: what makes one ready, and what does not.
#include "supervision.hpp"
#include <support/lives.hpp>
#include <support/start.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <stdexcept>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::EventKind;
using warden::Probe;
using warden::ProbeOutcome;
using warden::State;
using warden::watch_liveness;
using warden::watch_readiness;

namespace {

constexpr bool knows_listeners = WARDEN_OS_LINUX;

/// A process that stays, and has said so.
warden::ManagedProcess stay(TestManager& manager) {
    Handshake handshake(manager.directory / "stays");
    auto process = manager->spawn(victim(handshake, "stay"));
    REQUIRE(handshake.line());
    return process;
}

}  // namespace

TEMPLATE_TEST_CASE("probes: a process whose port accepts is ready, and its listener is known to be its own",
                   "[supervision]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Listener listener(*manager);
    const bool holds_all = TestType::mechanism != warden::Mechanism::process_group;  // sessions of their own too
    for (const char* mode : {"serve", holds_all ? "serve-apart" : "serve"}) {
        INFO(mode);
        Server server = serve(manager, mode, "listen");
        CHECK(server.process.state() == State::running);
        const auto watch = watch_readiness(server.process, Probe::tcp(server.port).within(20s));
        const ProbeOutcome outcome = watch.wait();
        INFO(outcome.reason);
        CHECK(outcome.is_ready());
        CHECK(outcome.attempts >= 1);
        CHECK(server.process.state() == State::ready);
        if (knows_listeners) CHECK(outcome.unproven == "");
        CHECK(watch.outcome() == outcome);
    }
    CHECK(eventually([&] { return listener.count(EventKind::ready) == 2; }));
}

TEST_CASE("probes: a port that nobody listens at makes it not ready, with the reason", "[supervision]") {
    TestManager manager;
    const Listener listener(*manager);
    auto process = stay(manager);
    std::uint16_t port = 0;
    {
        const OwnListener gone;
        port = gone.port();
    }
    const ProbeOutcome outcome = watch_readiness(process, Probe::tcp(port).within(1s)).wait();
    CHECK(outcome.code == errc::timed_out);
    CHECK(outcome.attempts >= 3);  // 10 ms, 20 ms, 40 ms
    CHECK(outcome.reason ==
          "tcp 127.0.0.1:" + std::to_string(port) + ": not ready within 1 s: " + system_code(ECONNREFUSED).message());
    CHECK(process.state() == State::running);
    CHECK(eventually([&] { return listener.count(EventKind::alert) == 1; }));
}

TEST_CASE("probes: a process that begins to listen later is ready then", "[supervision]") {
    TestManager manager;
    auto process = manager->spawn({"sh", {"-c", "read go; echo $$ > \"$0\"; sleep 60", manager.directory / "file"}},
                                  {.stdin_ = warden::Input::pipe});
    const auto watch = watch_readiness(process, Probe::file(manager.directory / "file").within(20s));
    CHECK_FALSE(watch.wait_for(50ms));
    CHECK(watch.progress().starts_with("file '"));
    process.write("go\n");
    CHECK(watch.wait().is_ready());
}

TEST_CASE("probes: the end of the process is an answer at once, though the deadline is far", "[supervision]") {
    TestManager manager;
    auto process = manager->spawn({"sh", {"-c", "read go; exit 3"}}, {.stdin_ = warden::Input::pipe});
    const auto watch = watch_readiness(process, Probe::delay(1h).within(2h));
    const auto live = watch_liveness(process, Probe::custom("fine", [] { return std::nullopt; }).every(1h));
    process.write("go\n");
    const auto outcome = watch.wait_for(20s);
    REQUIRE(outcome);
    CHECK(outcome->code == errc::already_ended);
    CHECK(contains(outcome->reason, "3"));
    CHECK(live.wait().code == errc::already_ended);
    CHECK(watch_readiness(process, Probe::delay(0s)).wait().code == errc::already_ended);
}

TEST_CASE("probes: a process that is being stopped will not be ready", "[supervision]") {
    TestManager manager;
    Handshake handshake(manager.directory / "handshake");
    auto process = manager->spawn(victim(handshake, "ignore-term"));
    REQUIRE(handshake.line());
    const auto watch = watch_readiness(process, Probe::delay(1h).within(2h));
    auto stopped = std::async(std::launch::async, [&] { return process.stop(warden::StopPlan::within(300ms)); });
    CHECK(watch.wait().code == errc::already_ended);
    CHECK(stopped.get().clean());
}

TEST_CASE("probes: lines of the output make it ready, or fail it at once", "[supervision]") {
    TestManager manager;
    const auto start = [&](const std::string& script) {
        return manager->spawn({"sh", {"-c", script}}, {.stdin_ = warden::Input::pipe});
    };
    const std::string later = "read go; printf 'now serv'; printf 'ing\\n' >&1; read go; echo panic >&2; sleep 60";
    auto process = start(later);
    const auto ready = watch_readiness(process, Probe::log_line("serving").within(20s));
    const auto failing = watch_liveness(process, Probe::fails_on_line("panic"));
    CHECK_FALSE(ready.wait_for(20ms));
    process.write("go\n");
    CHECK(ready.wait().is_ready());
    CHECK_FALSE(failing.wait_for(20ms));
    process.write("go\n");
    const ProbeOutcome failed = failing.wait();
    CHECK(failed.code == errc::probe_failed);
    CHECK(failed.reason == "no line with 'panic': it wrote 'panic'");

    auto both = start("echo out of memory; sleep 60");
    const auto outcome =
        watch_readiness(both, Probe::all_of({Probe::delay(1h), Probe::fails_on_line("of mem")}).within(2h));
    CHECK(outcome.wait().reason == "no line with 'of mem': it wrote 'out of memory'");

    auto before = start("echo is ready; sleep 60");
    REQUIRE(eventually([&] { return !before.tail(1).empty(); }));
    CHECK(watch_readiness(before, Probe::log_line("is ready")).wait().is_ready());
    CHECK(before.state() == State::ready);
}

TEST_CASE("probes: a delay passes, and not before its time", "[supervision]") {
    TestManager manager;
    auto process = stay(manager);
    const ProbeOutcome outcome = watch_readiness(process, Probe::delay(60ms).after(40ms)).wait();
    CHECK(outcome.is_ready());
    CHECK(outcome.took >= 100ms);
}

TEST_CASE("probes: all of several need every one, any of several needs one, and the deadline names what is missing",
          "[supervision]") {
    TestManager manager;
    const TestDirectory files;
    auto process = stay(manager);
    const Probe one = Probe::file(files / "one");
    const Probe two = Probe::file(files / "two");
    const auto all = watch_readiness(process, Probe::all_of({one, two}).within(20s));
    const auto any = watch_readiness(process, Probe::any_of({one, two}).within(20s));
    static_cast<void>(files.write("one", ""));
    CHECK(any.wait().is_ready());
    CHECK_FALSE(all.wait_for(20ms));
    static_cast<void>(files.write("two", ""));
    CHECK(all.wait().is_ready());
    const ProbeOutcome late =
        watch_readiness(
            process,
            Probe::all_of({one, Probe::any_of({Probe::file("/no/such"), Probe::delay(1h).within(2h)})}).within(50ms))
            .wait();
    CHECK(late.code == errc::timed_out);
    CHECK(contains(late.reason, "'/no/such'"));
}

TEMPLATE_TEST_CASE("probes: a command is asked until it succeeds, and nothing of one that hangs is left",
                   "[supervision]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const TestDirectory files;
    auto process = stay(manager);
    const auto watch = watch_readiness(process, Probe::command({"test", "-e", (files / "one").string()}).within(20s));
    CHECK_FALSE(watch.wait_for(50ms));
    static_cast<void>(files.write("one", ""));
    CHECK(watch.wait().is_ready());
    CHECK(explains(process, Probe::command({"sh", "-c", "echo no disk >&2; exit 7"}), "7: no disk"));
    const ProbeOutcome hangs =
        watch_readiness(process, Probe::command(victim("grandchildren", "2")).timeout(150ms).within(600ms)).wait();
    CHECK(hangs.code == errc::timed_out);
    CHECK(hangs.attempts >= 2);
    CHECK(explains(process, Probe::command({"/no/such/program"}), no_such_file.message()));
    REQUIRE(eventually([&] { return manager->active_pids() == std::vector<warden::Pid>{process.pid()}; }));
}

TEST_CASE("probes: a function says why not, throws, or hangs, and is never called twice at a time", "[supervision]") {
    TestManager manager;
    auto process = stay(manager);
    std::atomic<int> calls{0};
    std::atomic<int> at_once{0};
    std::atomic<bool> overlapped{false};
    const auto third = watch_readiness(process, Probe::custom("third", [&]() -> std::optional<std::string> {
                                           if (++calls == 1) throw std::runtime_error("odd");
                                           return calls < 3 ? std::optional<std::string>("even") : std::nullopt;
                                       }));
    CHECK(third.wait().attempts == 3);

    std::promise<void> release;
    std::shared_future<void> released = release.get_future().share();
    const auto hang = [&, released]() -> std::optional<std::string> {
        if (++at_once > 1) overlapped = true;
        released.wait();
        --at_once;
        return std::nullopt;
    };
    CHECK(explains(process, Probe::custom("hangs", hang).timeout(20ms).every(1ms),
                   "hangs: its former call has not returned yet"));
    CHECK_FALSE(overlapped);
    release.set_value();

    const auto fail = []() -> std::optional<std::string> { throw std::runtime_error("no license"); };
    CHECK(explains(process, Probe::custom("throws", fail), "throws: no license"));
    REQUIRE(eventually([&] { return at_once == 0; }));
}

TEST_CASE("probes: liveness fails after so many failures in a row, and is told by a handler too", "[supervision]") {
    TestManager manager;
    auto process = stay(manager);
    std::atomic<int> calls{0};
    // fails, fails, succeeds, then fails for good
    const auto live = watch_liveness(process, Probe::custom("work",
                                                            [&]() -> std::optional<std::string> {
                                                                const int call = ++calls;
                                                                if (call == 3) return std::nullopt;
                                                                return "call " + std::to_string(call);
                                                            })
                                                  .every(5ms)
                                                  .thresholds(1, 3));
    std::promise<std::pair<warden::error_code, ProbeOutcome>> told;
    live.async_wait([&](const warden::error_code& ec, ProbeOutcome outcome) { told.set_value({ec, outcome}); });
    const ProbeOutcome outcome = live.wait();
    CHECK(outcome.code == errc::probe_failed);
    CHECK(outcome.reason == "work: call 6");
    CHECK(outcome.attempts == 6);
    CHECK(process.state() == State::running);
    const auto [ec, same] = told.get_future().get();
    CHECK(ec == errc::probe_failed);
    CHECK(same == outcome);
}

TEST_CASE("probes: the end of a watch is told to who waits, and ends its attempts", "[supervision]") {
    TestManager manager;
    auto process = stay(manager);
    std::promise<warden::error_code> told;
    {
        auto watch = watch_readiness(process, Probe::delay(1h).within(2h));
        watch.async_wait([&](const warden::error_code& ec, const ProbeOutcome&) { told.set_value(ec); });
        auto moved = std::move(watch);
        CHECK_FALSE(watch);
        CHECK_FALSE(moved.outcome());
    }
    CHECK(told.get_future().get() == boost::asio::error::operation_aborted);
    CHECK(thrown_by([] { static_cast<void>(warden::Readiness().wait()); }).first == errc::no_process);
}

TEST_CASE("probes: a watch outlives neither its manager nor makes it wait", "[supervision]") {
    warden::Readiness watch;
    {
        TestManager manager;
        auto process = stay(manager);
        watch = watch_readiness(process, Probe::tcp(1).within(1h));
        static_cast<void>(manager->cleanup_all());
        CHECK(watch.wait().code == errc::already_ended);
    }
    CHECK(watch.outcome());
}

TEST_CASE("probes: all mistakes of a probe are named before it begins", "[supervision]") {
    TestManager manager;
    auto process = manager->spawn(victim("stay"), {.stdout_ = warden::Output::null, .stderr_ = warden::Output::null});
    const auto [code, words] = thrown_by([&] {
        static_cast<void>(
            watch_readiness(process, Probe::all_of({Probe::fails_on_line("x"), Probe::fails_on_line("")})));
    });
    CHECK(code == errc::invalid_options);
    CHECK(contains(words, "the text is empty"));
    CHECK(contains(words, "it never says ready"));
    CHECK(contains(words, "its output is not read"));
    const auto [live, why] = thrown_by([&] {
        static_cast<void>(watch_liveness(process, Probe::all_of({Probe::delay(1s), Probe::notify()})));
    });
    CHECK(live == errc::invalid_options);
    CHECK(contains(why, "once true it stays so"));
    CHECK(contains(why, "needs the NotifySocket"));
    CHECK(thrown_by([&] { static_cast<void>(watch_readiness({}, Probe::delay(1s))); }).first == errc::no_process);
}
