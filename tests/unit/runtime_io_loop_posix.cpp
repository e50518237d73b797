// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/runtime/io_loop.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
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

TEST_CASE("descriptor watch: who waits for one kind of readiness is still told after the other kind came") {
    IoLoop loop;
    int ends[2] = {-1, -1};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    const UniqueFd far(ends[1]);
    DescriptorWatch near(loop.context());
    REQUIRE_FALSE(near.open(UniqueFd(ends[0])));
    std::promise<error_code> can_read;
    std::promise<error_code> can_write;
    loop.call([&] {
        near.wait_readable([&](const error_code& ec) { can_read.set_value(ec); });
        near.wait_writable([&](const error_code& ec) { can_write.set_value(ec); });
    });
    CHECK_FALSE(can_write.get_future().get());
    auto read = can_read.get_future();
    CHECK(read.wait_for(0s) == std::future_status::timeout);
    REQUIRE(::write(far.get(), "x", 1) == 1);
    CHECK_FALSE(read.get());
}

TEST_CASE("descriptor watch: readiness that nobody took away is told to each wait, and a new descriptor has its own") {
    IoLoop loop;
    int first[2] = {-1, -1};
    int second[2] = {-1, -1};
    REQUIRE(::pipe(first) == 0);
    REQUIRE(::pipe(second) == 0);
    const UniqueFd to_first(first[1]);
    const UniqueFd kept(::dup(first[0]));  // as a forked copy of the program would
    const UniqueFd to_second(second[1]);
    DescriptorWatch watch(loop.context());
    const auto wait = [&] {
        auto told = std::make_shared<std::promise<error_code>>();
        loop.call([&] { watch.wait_readable([told](const error_code& ec) { told->set_value(ec); }); });
        return told->get_future();
    };
    REQUIRE_FALSE(watch.open(UniqueFd(first[0])));
    REQUIRE(::write(to_first.get(), "x", 1) == 1);
    for (int round = 0; round < 3; ++round) CHECK_FALSE(wait().get());
    REQUIRE_FALSE(watch.open(UniqueFd(second[0])));
    auto told = wait();
    REQUIRE(::write(to_first.get(), "x", 1) == 1);
    CHECK(told.wait_for(0s) == std::future_status::timeout);
    REQUIRE(::write(to_second.get(), "x", 1) == 1);
    CHECK_FALSE(told.get());
}

TEST_CASE("loop: what many threads post runs, each thread's jobs in order, also what a stop finds queued") {
    constexpr int threads = 4;
    constexpr int jobs = 500;
    std::vector<std::vector<int>> ran(threads);
    {
        IoLoop loop;
        std::vector<std::thread> posters;
        for (int of = 0; of < threads; ++of) {
            posters.emplace_back([&, of] {
                auto& mine = ran[static_cast<std::size_t>(of)];
                for (int i = 0; i < jobs; ++i) loop.post([&mine, i] { mine.push_back(i); });
            });
        }
        for (auto& poster : posters) poster.join();
        loop.stop();
    }
    for (const auto& mine : ran) {
        REQUIRE(mine.size() == jobs);
        CHECK(std::is_sorted(mine.begin(), mine.end()));
    }
}
