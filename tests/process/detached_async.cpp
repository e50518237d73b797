// SPDX-License-Identifier: MIT
// The ends of detached processes on executors of this program, and scopes that own such processes.
#include "detached.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::DetachedState;
using warden::errc;
using warden::error_code;
using warden::ExitStatus;
namespace asio = boost::asio;

TEST_CASE("detached: many ends are awaited on one thread, each with its status", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    Gate gate;
    asio::io_context context;
    std::vector<std::pair<error_code, ExitStatus>> ends(5);
    for (std::size_t i = 0; i < ends.size(); ++i) {
        const auto process = run.processes().spawn(play("await", gate.name(), "exit", std::to_string(i)));
        process.async_wait(context.get_executor(), [&ends, i](const error_code& ec, ExitStatus status) {
            ends[i] = {ec, status};
        });
    }
    CHECK(context.run_for(50ms) > 0);  // it asks
    CHECK_FALSE(context.stopped());    // and waits
    gate.open();
    context.run();
    for (std::size_t i = 0; i < ends.size(); ++i) {
        CHECK_FALSE(ends[i].first);
        CHECK(ends[i].second == ExitStatus::from_code(static_cast<int>(i)));
    }
}

TEST_CASE("detached: an end that came before the wait, or never comes to a record, completes it too", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    asio::io_context context;
    const auto ended = run.processes().spawn(warden::CommandLine::shell("exit 4"));
    static_cast<void>(ended.wait());
    auto status =
        ended.async_wait(context.get_executor(), asio::bind_executor(context.get_executor(), asio::use_future));
    context.run();
    CHECK(status.get().code() == 4);
    error_code ec;
    run.processes().find(warden::Uuid{{1}}).async_wait(context.get_executor(), [&](error_code came, ExitStatus) {
        ec = came;
    });
    context.restart();
    context.run();
    CHECK(ec == errc::not_found);
}

TEMPLATE_TEST_CASE("detached: an awaited process whose shim is killed has an unknown end", "[detached]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    DetachedRun run(TestType::mechanism);
    asio::io_context context;
    const auto process = run.processes().spawn({"sleep", "60"});
    auto status =
        process.async_wait(context.get_executor(), asio::bind_executor(context.get_executor(), asio::use_future));
    std::thread runner([&] { context.run(); });
    REQUIRE(::kill(static_cast<pid_t>(process.info().record.shim.pid), SIGKILL) == 0);
    CHECK_FALSE(status.get().known());
    runner.join();
}

TEST_CASE("detached: a wait that is cancelled leaves the process, and other waits, alone", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    asio::io_context context;
    const auto process = run.processes().spawn({"sleep", "60"});
    asio::cancellation_signal signal;
    error_code cancelled;
    error_code other;
    process.async_wait(context.get_executor(),
                       asio::bind_cancellation_slot(signal.slot(), [&](error_code ec, ExitStatus) { cancelled = ec; }));
    process.async_wait(context.get_executor(), [&](error_code ec, ExitStatus status) {
        other = ec;
        CHECK(status.signal() == SIGKILL);
    });
    static_cast<void>(context.run_for(20ms));
    signal.emit(asio::cancellation_type::terminal);
    static_cast<void>(context.run_for(20ms));
    CHECK(cancelled == asio::error::operation_aborted);
    CHECK(process.state() == DetachedState::running);
    CHECK(process.force_stop().clean());
    context.run();
    CHECK_FALSE(other);
}

TEST_CASE("detached: the end of the scope that adopted a process ends it by its plan, unless it was released",
          "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    warden::SpawnOptions options;
    options.stop_plan = warden::StopPlan::prompt().because("the scope ended");
    const auto process = run.processes().spawn({"sleep", "60"}, options);
    {
        warden::AdoptedProcess adopted(process);
        CHECK(adopted->state() == DetachedState::running);
        CHECK(adopted.release() == process);
        CHECK_FALSE(adopted);
    }
    CHECK(process.state() == DetachedState::running);
    {
        warden::AdoptedProcess first(process);
        const warden::AdoptedProcess second = std::move(first);
        CHECK_FALSE(first);
        const pid_t copy = ::fork();
        if (copy == 0) {  // a copy of this program owns nothing
            { const warden::AdoptedProcess third = std::move(const_cast<warden::AdoptedProcess&>(second)); }
            ::_exit(0);
        }
        ::waitpid(copy, nullptr, 0);
        CHECK((*second).state() == DetachedState::running);
    }
    CHECK(process.state() == DetachedState::exited);
    CHECK(process.info().record.exit.value().reason == "the scope ended");
    const warden::AdoptedProcess ended(process);
    CHECK_THROWS_AS(warden::AdoptedProcess(run.processes().find(warden::Uuid{{1}})), warden::system_error);
}
