// SPDX-License-Identifier: MIT
// The natural spellings of calls: inside of co_await, where GCC 12 has trouble
// with temporaries, and outside.
#include <scenarios/output_async.hpp>
#include <support/start.hpp>

#include <boost/asio/use_awaitable.hpp>

#include <sstream>
#include <string>
#include <string_view>

using namespace support;
using namespace std::chrono_literals;
using boost::asio::use_awaitable;
using warden::AlertAction;
using warden::AlertRule;
using warden::CommandLine;
using warden::CompletedProcess;
using warden::errc;
using warden::error_code;
using warden::ExitCause;
using warden::ExitStatus;
using warden::Input;
using warden::Output;
using warden::ProcessFailed;
using warden::SpawnOptions;
using warden::StopPlan;

namespace {

// Longer than what a std::string holds in itself, so that one that is destroyed
// twice is noticed.
const std::string long_word =
    "a word that is long enough to lie on the heap, "
    "wherever the library may put it";

SpawnOptions in_english() { return {.name = long_word, .environment = {{"SEEN_LANGUAGE", "C"}, {"SEEN_ZONE", "UTC"}}}; }

template <class Options>
concept AwaitsTemporary = requires(warden::ProcessManager& manager, Options options) {
    manager.async_run(CommandLine(), static_cast<Options>(options), use_awaitable);
};
static_assert(!AwaitsTemporary<SpawnOptions&&>);
static_assert(AwaitsTemporary<SpawnOptions&>);

template <class Text>
concept IsCommand = std::convertible_to<Text, CommandLine>;
static_assert(!IsCommand<const char*> && !IsCommand<std::string>, "a text without braces is no command");

}  // namespace

TEMPLATE_TEST_CASE("spellings: what stands in a co_await expression is destroyed once", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::io_context context;
    TestManager manager{TestType::mechanism};
    const std::string player = play("x").program();
    run(context, [&]() -> boost::asio::awaitable<void> {
        const auto braces = co_await manager->async_run({player, "out", long_word}, use_awaitable);
        CHECK(braces.out == long_word);
        const auto made = co_await manager->async_run({player, "out", long_word + long_word}, use_awaitable);
        CHECK(made.out == long_word + long_word);
        const auto alone = co_await manager->async_run({player}, use_awaitable);
        CHECK(alone.status.known());
        const auto variadic = co_await manager->async_run(CommandLine(player, "out", long_word), use_awaitable);
        CHECK(variadic.out == long_word);
        const SpawnOptions options = in_english();
        const auto named = co_await manager->async_run({player, "env"}, options, use_awaitable);
        CHECK(has(split(named.out), "SEEN_LANGUAGE=C"));
        CHECK(has(split(named.out), "SEEN_ZONE=UTC"));
        const auto fed = co_await manager->async_run({player, "echo"}, options, long_word, use_awaitable);
        CHECK(fed.out == long_word);
        auto first = manager->spawn({player, "stay"}, {.name = "first"});
        const auto by_own_plan = co_await first.async_stop(use_awaitable);
        CHECK(by_own_plan.clean());
        auto second = manager->spawn({player, "stay"}, {.name = "second"});
        const auto by_plan = co_await second.async_stop(StopPlan{}.terminate(1ms).kill(30s), use_awaitable);
        CHECK(by_plan.clean());
        SpawnOptions piped = with_three_pipes();
        auto talker = manager->spawn({player, "line", "exit", "4"}, piped);
        co_await talker.async_write("one line\n", use_awaitable);
        const auto line = co_await talker.async_read_line(use_awaitable);
        CHECK(line == "one line");
        const auto ended = co_await talker.async_communicate("", 30s, use_awaitable);
        CHECK(ended.status.code() == 4);
        const auto status = co_await talker.async_wait(use_awaitable);
        CHECK(status.code() == 4);
    });
}

TEMPLATE_TEST_CASE("spellings: a callback takes options in braces", "[async]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string player = play("x").program();
    auto result = outcome<CompletedProcess>([&](auto done) {
        manager->async_run({player, "echo"}, {.name = long_word, .timeout = 30s}, long_word, std::move(done));
    });
    CHECK(std::get<1>(result.get()).out == long_word);
}

TEMPLATE_TEST_CASE("spellings: words are text of any kind, or paths", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::filesystem::path program = play("x").program();
    const std::filesystem::path path = "folder";
    const std::string_view view = std::string_view("a view of more").substr(2, 4);
    const auto result = manager->run({program, "args", path / "file", view, std::string("text")});
    CHECK(split(result.out) == std::vector<std::string>{(path / "file").string(), "view", "text"});
    CHECK(CommandLine("ls", {"-l", "-a"}) == CommandLine{"ls", "-l", "-a"});
    CHECK(CommandLine(std::vector<std::string>{"ls", "-l"}) == CommandLine{"ls", "-l"});
}

TEMPLATE_TEST_CASE("spellings: check throws what failed, how, and the end of what it said", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    CHECK(manager->run(play("out", "fine")).check().out == "fine");
    const auto command =
        play("err", std::string(2 * ProcessFailed::max_err_bytes, 'x') + "\nthe last words\n", "exit", "3");
    try {
        manager->run(command).check();
        FAIL("nothing was thrown");
    } catch (const ProcessFailed& failed) {
        CHECK(failed.command() == command);
        CHECK(failed.status().code() == 3);
        CHECK(failed.cause() == ExitCause::exited);
        CHECK(failed.err() == "the last words");
        CHECK(failed.code() == error_code(3, warden::exit_code_category()));
        CHECK(contains(failed.what(), "exited with code 3"));
        CHECK(contains(failed.what(), "the last words"));
    }
    const auto late = manager->run(play("stay"), {.timeout = 1ms, .stop_plan = StopPlan::now()});
    CHECK(thrown_by([&] { late.check(); }).first == errc::timed_out);
    const auto stages = manager->pipeline({play("out", "x"), play("echo", "exit", "5")});
    CHECK(thrown_by([&] { stages.check(); }).first == error_code(5, warden::exit_code_category()));
}

TEMPLATE_TEST_CASE("spellings: a callback hears of the end of its process, once", "[handles]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::thread_pool pool(1);
    std::promise<warden::ProcessInfo> told;
    std::promise<bool> there;
    std::atomic<int> calls{0};
    TestManager manager{TestType::mechanism};
    const auto on_exit = [&](const warden::ProcessInfo& info) {
        if (++calls == 1) told.set_value(info);
    };
    auto process = manager->spawn(play("exit", "6"), {.name = "told", .on_exit = on_exit});
    const auto info = told.get_future().get();
    CHECK(info.name == "told");
    CHECK(info.exit_status == ExitStatus::from_code(6));
    CHECK(process.stop().clean());
    SpawnOptions elsewhere;
    elsewhere.executor = pool.get_executor();
    elsewhere.on_exit = [&](const warden::ProcessInfo&) {
        there.set_value(pool.get_executor().running_in_this_thread());
    };
    auto other = manager->spawn(play("exit", "0"), elsewhere);
    CHECK(there.get_future().get());
    CHECK(calls == 1);
}

TEMPLATE_TEST_CASE(
    "spellings: a process is awaited until it is ready, or "
    "over, or the time is",
    "[handles]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Gate gate;
    SpawnOptions options{.stdout_ = Output::capture, .alerts = {AlertRule::literal("serving", AlertAction::ready)}};
    auto server = manager->spawn(play("await", gate.name(), "out", "serving\n", "stay"), options);
    error_code ec;
    server.wait_ready(1ms, ec);
    CHECK(ec == errc::timed_out);
    server.wait_ready(0s, ec);
    CHECK(ec == errc::invalid_timeout);
    auto ready = outcome<>([&](auto done) { server.async_wait_ready(std::move(done)); });
    gate.open();
    server.wait_ready(30s);
    CHECK(server.state() == warden::State::ready);
    CHECK_FALSE(std::get<0>(ready.get()));
    auto never = manager->spawn(play("stay"), options);
    CHECK(cancelled<>([&](auto token) { never.async_wait_ready(std::move(token)); }) == aborted);
    auto ends = manager->spawn(play("exit", "0"), options);
    CHECK(thrown_by([&] { ends.wait_ready(30s); }).first == errc::already_ended);
    auto mute = manager->spawn(play("stay"));
    CHECK(thrown_by([&] { mute.wait_ready(30s); }).first == errc::invalid_options);
}

TEST_CASE(
    "spellings: statuses, causes and commands are written to streams in "
    "words") {
    std::ostringstream text;
    text << ExitStatus::from_code(3) << ", " << ExitCause::timed_out << ", " << warden::State::running << ", "
         << warden::StopAction::kill << ", " << warden::Mechanism::keeper << ", " << CommandLine{"ls", "a b"};
    CHECK(text.str() == "exited with code 3, timed_out, running, kill, keeper, ls 'a b'");
}

TEST_CASE("spellings: a status is an error, and a success is none") {
    CHECK_FALSE(ExitStatus::from_code(0).error());
    CHECK(ExitStatus::from_code(3).error() == error_code(3, warden::exit_code_category()));
    CHECK(ExitStatus::from_code(3).error().message() == "exited with code 3");
    CHECK(ExitStatus::from_signal(9, false).error() == error_code(9, warden::signal_category()));
    CHECK(ExitStatus::from_signal(9, false).error().message() == "ended by signal 9");
    CHECK(ExitStatus().error().message() == "exit status unknown");
    CHECK(ExitStatus().error().failed());
    CHECK_NOTHROW(ExitStatus::from_code(0).check());
    CHECK(thrown_by([] { ExitStatus::from_code(3).check(); }).first == ExitStatus::from_code(3).error());
}
