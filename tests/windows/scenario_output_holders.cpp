// SPDX-License-Identifier: MIT
// Pipes between a program and its children, where Windows has its own: handles, times.
#include <scenarios/output.hpp>

#include <atomic>
#include <thread>

#include <windows/support.hpp>

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
