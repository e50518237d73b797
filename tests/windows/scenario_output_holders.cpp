// SPDX-License-Identifier: MIT
// Pipes that others hold, that end early, that nobody reads.
#include <atomic>
#include <thread>

#include <windows/scenario_output.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::Output;
using warden::SpawnOptions;
using warden::StopPlan;
using Clock = std::chrono::steady_clock;

namespace {

#define SKIP_UNLESS_ALONE()                                                                            \
    SKIP_UNLESS(!is_wine(),                                                                            \
                "Wine 8 gives the standard streams of a program to its conhost too, which keeps them " \
                "open")

/// User and kernel time of this program.
std::chrono::milliseconds own_cpu_time() {
    FILETIME made{};
    FILETIME ended{};
    FILETIME kernel{};
    FILETIME user{};
    ::GetProcessTimes(::GetCurrentProcess(), &made, &ended, &kernel, &user);
    const auto ticks = [](const FILETIME& t) { return (std::uint64_t{t.dwHighDateTime} << 32) | t.dwLowDateTime; };
    return std::chrono::milliseconds((ticks(kernel) + ticks(user)) / 10'000);
}

}  // namespace

TEST_CASE("scenario: a grandchild that holds the pipe does not delay a wait, and the output is marked incomplete",
          "[scenario]") {
    TestManager manager([](warden::ManagerConfig& config) { config.drain_budget = 200ms; });
    auto process = manager->spawn(play("out", "before\n", "leave", "stay"), {.stdout_ = Output::capture});
    const auto began = Clock::now();
    CHECK(process.wait().success());
    CHECK(process.info().output_incomplete);
    CHECK(process.tree_alive());
    const auto result = process.communicate();
    CHECK(Clock::now() - began < 20s);
    CHECK(result.incomplete);
    CHECK(result.pipe_holder == 0);  // Windows does not tell
    CHECK(result.success());
    const auto lines = split(result.out, '\n');
    REQUIRE(lines.size() == 2);
    CHECK(lines[0] == "before");
    const HeldProcess holder(std::stoi(lines[1]));
    REQUIRE(holder.is_held());
    CHECK_FALSE(holder.has_ended());
    CHECK(process.stop(StopPlan::now()).clean());
    CHECK(holder.has_ended());
}

TEST_CASE("scenario: run returns though a grandchild holds the pipe, and takes it along", "[scenario]") {
    TestManager manager([](warden::ManagerConfig& config) { config.drain_budget = 200ms; });
    const auto began = Clock::now();
    SpawnOptions options;
    options.stop_plan = StopPlan::now();
    const auto result = manager->run(play("leave", "stay"), options);
    CHECK(result.status.success());
    CHECK(result.incomplete);
    REQUIRE_FALSE(result.out.empty());
    const HeldProcess holder(std::stoi(result.out));
    CHECK(holder.has_ended());
    CHECK(manager->list().empty());

    options.timeout = 500ms;
    const auto stopped = manager->run(play("stay"), options);
    CHECK(stopped.cause == warden::ExitCause::timed_out);
    CHECK(Clock::now() - began < 20s);
}

TEST_CASE("scenario: a grandchild that keeps writing cannot keep a run going, and nothing from before is lost",
          "[scenario]") {
    TestManager manager([](warden::ManagerConfig& config) { config.drain_budget = 300ms; });
    const auto began = Clock::now();
    SpawnOptions options;
    options.stop_plan = StopPlan::now();
    options.capture_bytes = 100'000;
    const auto result = manager->run(play("out", "before\n", "leave", "again", "1000000000", "more\n"), options);
    CHECK(Clock::now() - began < 20s);
    CHECK(result.status.success());
    CHECK(result.incomplete);
    auto lines = split(result.out, '\n');
    REQUIRE(lines.size() >= 2);
    CHECK(lines[0] == "before");
    CHECK(std::stoi(lines[1]) > 0);
    if (lines.size() > 2) CHECK(std::string_view("more").starts_with(lines.back()));  // where it was cut
    lines.pop_back();
    for (std::size_t i = 2; i < lines.size(); ++i) {
        if (lines[i] != "more") CHECK(lines[i] == "more");
    }
    CHECK(manager->list().empty());
}

TEST_CASE("scenario: the end of the output is not the end of the process, and costs no time", "[scenario]") {
    SKIP_UNLESS_ALONE();
    TestManager manager;
    SpawnOptions options = talking();
    options.stderr_ = Output::capture;
    auto process = manager->spawn(play("out", "last\n", "close", "stay"), options);
    REQUIRE(next_line(process) == "last");
    REQUIRE(next_line(process) == std::nullopt);
    const auto before = own_cpu_time();
    CHECK_FALSE(process.wait_for(500ms));
    CHECK(own_cpu_time() - before < 150ms);  // a loop on the end would take all of the 500
    CHECK(process.running());
    CHECK(process.state() == warden::State::running);
    CHECK(process.stop(StopPlan::now()).clean());
    CHECK_FALSE(process.info().output_incomplete);
}

TEST_CASE("scenario: megabytes through a process that echoes to both streams arrive whole", "[scenario]") {
    TestManager manager;
    const std::string text = pattern(8u << 20);
    const auto result = manager->run(play("tee"), {}, text);
    CHECK(result.success());
    CHECK((result.out == text));
    CHECK((result.err == text));
    CHECK_FALSE(result.truncated);
    CHECK_FALSE(result.incomplete);
}

TEST_CASE("scenario: who ends without reading its input harms nobody", "[scenario]") {
    TestManager manager;
    const std::string text = pattern(1u << 20);
    const auto result = manager->run(victim("exit", "3"), {}, text);
    CHECK(result.status.code() == 3);
    CHECK(result.cause == warden::ExitCause::normal);

    auto process = manager->spawn(victim("exit", "4"), talking());
    warden::error_code ec;
    process.write(text, ec);
    CHECK(ec);  // that it does not read, or that it is gone
    CHECK(process.wait().code() == 4);
    process.write(text, ec);
    CHECK(ec);
    process.close_stdin(ec);  // no crash
}

TEST_CASE("scenario: who closes its input and goes on is not written to any more", "[scenario]") {
    SKIP_UNLESS_ALONE();
    TestManager manager;
    auto process = manager->spawn(play("close-input", "out", "closed\n", "stay"), talking());
    REQUIRE(next_line(process) == "closed");
    warden::error_code ec;
    process.write(pattern(1u << 20), ec);
    CHECK(ec);
    CHECK(process.running());
    CHECK(process.stop(StopPlan::now()).clean());
}

TEST_CASE("scenario: closing the input twice, from two threads, while a write goes on, harms no other handle",
          "[scenario]") {
    TestManager manager;
    const std::string text(300'000, 'x');
    for (int i = 0; i < 5; ++i) {
        auto process = manager->spawn(play("echo"), talking());
        std::atomic<bool> over{false};
        std::atomic<bool> harmed{false};
        std::thread opener([&] {  // takes every number that becomes free
            while (!over && !harmed) {
                const HANDLE handle =
                    ::CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, 0, nullptr);
                if (!::CloseHandle(handle)) harmed = true;
            }
        });
        std::thread writer([&] {
            warden::error_code ec;
            process.write(text, ec);
        });
        const auto close = [&] {
            warden::error_code ec;
            process.close_stdin(ec);
            process.close_stdin(ec);
        };
        std::thread one(close);
        std::thread other(close);
        std::thread waiter([&] { static_cast<void>(process.wait_for(60s)); });
        for (auto* thread : {&writer, &one, &other, &waiter}) thread->join();
        over = true;
        opener.join();
        CHECK_FALSE(harmed);
        CHECK(process.wait().success());
        const auto result = process.communicate();
        CHECK((result.out.size() == 0 || result.out.size() == text.size()));
    }
}

TEST_CASE("scenario: a handle can be destroyed while its process writes and reads", "[scenario]") {
    TestManager manager;
    for (int i = 0; i < 5; ++i) {
        SpawnOptions options = talking();
        options.on_line = [](std::string_view) {};
        auto process = manager->spawn(victim("flood", "100000000000"), options);
        CHECK(eventually([&] { return process.info().output_bytes > 0; }));
    }
    CHECK(manager->active_pids().empty());
    CHECK(eventually([&] { return manager->list().empty(); }));
}

TEST_CASE("scenario: the standard input is at its end unless asked otherwise", "[scenario]") {
    TestManager manager;
    const auto result = manager->run(play("echo", "out", "the end"));
    CHECK(result.success());
    CHECK(result.out == "the end");
}

TEST_CASE("scenario: many children with three pipes each do not block one another", "[scenario]") {
    constexpr int count = 20;
    TestManager manager;
    std::vector<warden::ManagedProcess> processes;
    const std::string text = pattern(200'000);
    SpawnOptions options = talking();
    options.stderr_ = Output::capture;
    for (int i = 0; i < count; ++i) processes.push_back(manager->spawn(play("tee"), options));
    for (auto& process : processes) {  // each waits for its input while all later ones hold theirs
        const auto result = process.communicate(text);
        CHECK((result.out == text));
        CHECK((result.err == text));
    }
}
