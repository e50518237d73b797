// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/runtime/io_loop.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace warden;
using namespace warden::detail;
using namespace std::chrono_literals;

TEST_CASE("loop: runs what is posted on its thread, in order") {
    IoLoop loop;
    std::vector<int> order;
    for (int i = 0; i < 100; ++i) loop.post([&order, &loop, i] { order.push_back(loop.is_loop_thread() ? i : -1); });
    loop.call([] {});
    REQUIRE(order.size() == 100);
    for (int i = 0; i < 100; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("loop: a call gives the result, or throws what was thrown, before and after the loop has stopped") {
    IoLoop loop;
    const auto check = [&] {
        CHECK(loop.call([] { return std::string("result"); }) == "result");
        CHECK_THROWS_AS(loop.call([]() -> int { throw std::out_of_range("x"); }), std::out_of_range);
        CHECK_THROWS_AS(loop.call([] { throw std::out_of_range("x"); }), std::out_of_range);
    };
    check();
    CHECK(loop.call([&] { return loop.call([] { return 5; }); }) == 5);  // on the loop itself
    loop.stop();
    check();
}

TEST_CASE("loop: calls from several threads while it stops all return") {
    for (int round = 0; round < 50; ++round) {
        IoLoop loop;
        std::atomic<int> done{0};
        std::vector<std::thread> callers;
        for (int i = 0; i < 4; ++i) {
            callers.emplace_back([&] {
                for (int n = 0; n < 20; ++n) loop.call([&] { ++done; });
            });
        }
        loop.stop();
        for (auto& caller : callers) caller.join();
        CHECK(done == 80);
    }
}

TEST_CASE("loop: a thread that is cancelled while it waits for a call ends only after the call") {
    IoLoop loop;
    std::promise<void> inside;
    std::promise<void> let_go;
    std::atomic<bool> after{false};
    std::atomic<bool> done{false};
    struct Asked {
        IoLoop& loop;
        std::promise<void>& inside;
        std::promise<void>& let_go;
        std::atomic<bool>& done;
        std::atomic<bool>& after;
    } asked{loop, inside, let_go, done, after};
    pthread_t thread{};
    REQUIRE(::pthread_create(
                &thread, nullptr,
                [](void* argument) -> void* {
                    auto& a = *static_cast<Asked*>(argument);
                    a.loop.call([&a] {
                        a.inside.set_value();
                        a.let_go.get_future().wait();
                        a.done = true;
                    });
                    ::pthread_testcancel();
                    a.after = true;
                    return nullptr;
                },
                &asked) == 0);
    inside.get_future().wait();
    REQUIRE(::pthread_cancel(thread) == 0);
    let_go.set_value();
    void* result = nullptr;
    REQUIRE(::pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK(done);
    CHECK_FALSE(after);
}

TEST_CASE("loop: timers run at their deadlines, whichever was armed first") {
    IoLoop loop;
    Timer late(loop);
    Timer early(loop);
    Timer past(loop);
    std::promise<std::string> all;
    std::string order;
    bool too_early = false;
    const auto run = [&](const char* name, SteadyTime at) {
        too_early = too_early || loop.now() < at;
        order += name;
    };
    loop.call([&] {
        const SteadyTime begin = loop.now();
        late.arm(begin + 40ms, [&, begin] {
            run("l", begin + 40ms);
            all.set_value(order);
        });
        early.arm(begin + 20ms, [&, begin] { run("e", begin + 20ms); });
        past.arm(SteadyTime{} - 1h, [&] { run("p", SteadyTime{}); });
    });
    auto result = all.get_future();
    REQUIRE(result.wait_for(30s) == std::future_status::ready);
    CHECK(result.get() == "pel");
    CHECK_FALSE(too_early);
}

TEST_CASE("loop: a job that arms its timer in the past again does not keep others from running") {
    IoLoop loop;
    Timer timer(loop);
    std::function<void()> again = [&] { timer.arm(SteadyTime{}, [&] { again(); }); };
    loop.call(again);
    loop.call([] {});
    loop.call([&] { timer.cancel(); });
}

TEST_CASE("loop: what a timer holds is let go when the loop stops") {
    IoLoop loop;
    auto held = std::make_shared<int>(1);
    Timer timer(loop);
    loop.call([&] { timer.arm(loop.now() + 1h, [held] {}); });
    CHECK(held.use_count() == 2);
    loop.stop();
    CHECK(held.use_count() == 1);
}

TEST_CASE("loop: does not wake up while it has nothing to do, also with a timer that is far away") {
    IoLoop loop;
    Timer timer(loop);
    loop.call([&] { timer.arm(loop.now() + 1h, [] {}); });
    const auto switches = [&] {
        return loop.call([] {
            rusage usage{};
            ::getrusage(RUSAGE_THREAD, &usage);
            return usage.ru_nvcsw;
        });
    };
    const long before = switches();
    std::promise<void> never;
    CHECK(never.get_future().wait_for(1500ms) == std::future_status::timeout);
    CHECK(switches() - before <= 2);  // the calls themselves
    loop.call([&] { timer.cancel(); });
}

TEST_CASE("descriptor watch: tells readiness, and closes a descriptor that the loop refuses") {
    IoLoop loop;
    int ends[2] = {-1, -1};
    REQUIRE(::pipe(ends) == 0);
    DescriptorWatch read(loop.context());
    REQUIRE_FALSE(read.open(UniqueFd(ends[0])));
    std::promise<error_code> told;
    loop.call([&] { read.wait_readable([&](const error_code& ec) { told.set_value(ec); }); });
    REQUIRE(::write(ends[1], "x", 1) == 1);
    CHECK_FALSE(told.get_future().get());

    std::promise<error_code> aborted;
    char byte = 0;
    REQUIRE(::read(ends[0], &byte, 1) == 1);
    loop.call([&] { read.wait_readable([&](const error_code& ec) { aborted.set_value(ec); }); });
    loop.call([&] { read.close(); });
    CHECK(aborted.get_future().get() == boost::asio::error::operation_aborted);
    CHECK_FALSE(read.is_open());
    CHECK(::fcntl(ends[0], F_GETFD) == -1);

    const int descriptor = ::dup(ends[1]);
    DescriptorWatch first(loop.context());
    DescriptorWatch second(loop.context());
    REQUIRE_FALSE(first.open(UniqueFd(descriptor)));
    CHECK(second.open(UniqueFd(descriptor)) == boost::system::errc::file_exists);  // epoll_ctl has it already
    CHECK_FALSE(second.is_open());
    CHECK(::fcntl(descriptor, F_GETFD) == -1);
    first.close();  // of what is closed already
    ::close(ends[1]);
}
