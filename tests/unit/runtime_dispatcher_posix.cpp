// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/runtime/dispatcher.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include <pthread.h>
#include <signal.h>

using namespace warden;
using namespace warden::detail;
using namespace std::chrono_literals;

TEST_CASE("dispatcher: runs jobs on threads of its own that take no signals, and knows them") {
    Metrics metrics;
    Dispatcher dispatcher(metrics);
    REQUIRE_FALSE(dispatcher.start());
    CHECK(dispatcher.callback_threads() == Dispatcher::first_threads);
    CHECK_FALSE(dispatcher.is_dispatcher_thread());
    const auto check = [&](auto post) {
        std::promise<bool> right;
        post([&] {
            sigset_t blocked;
            ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
            right.set_value(dispatcher.is_dispatcher_thread() && sigismember(&blocked, SIGTERM) == 1);
        });
        CHECK(right.get_future().get());
    };
    check([&](Job job) { dispatcher.post(std::move(job)); });
    check([&](Job job) { dispatcher.post_internal(std::move(job)); });
    check([&](Job job) { dispatcher.post_output(std::move(job)); });
    check([&](auto job) { boost::asio::post(dispatcher.executor(), std::move(job)); });
}

TEST_CASE("dispatcher: callbacks that block neither starve others nor the library's own work, up to its bound") {
    Metrics metrics;
    Dispatcher dispatcher(metrics);
    REQUIRE_FALSE(dispatcher.start());
    std::promise<void> let_go;
    const auto released = let_go.get_future().share();
    std::atomic<std::size_t> blocked{0};
    for (std::size_t i = 0; i < Dispatcher::max_threads - 1; ++i) {
        dispatcher.post([&] {
            ++blocked;
            released.wait();
        });
    }
    std::promise<void> ran;
    dispatcher.post([&] { ran.set_value(); });
    REQUIRE(ran.get_future().wait_for(60s) == std::future_status::ready);
    CHECK(blocked == Dispatcher::max_threads - 1);
    for (int i = 0; i < 5; ++i) dispatcher.post([&] { released.wait(); });
    std::promise<void> internal;
    dispatcher.post_internal([&] { internal.set_value(); });
    REQUIRE(internal.get_future().wait_for(60s) == std::future_status::ready);
    std::promise<void> looked;
    dispatcher.post_output([&] { looked.set_value(); });
    REQUIRE(looked.get_future().wait_for(60s) == std::future_status::ready);
    CHECK(dispatcher.callback_threads() == Dispatcher::max_threads);
    let_go.set_value();
    dispatcher.stop();  // before what the jobs refer to is gone
}

TEST_CASE("dispatcher: quick callbacks get no further threads") {
    Metrics metrics;
    Dispatcher dispatcher(metrics);
    REQUIRE_FALSE(dispatcher.start());
    std::atomic<int> runs{0};
    for (int i = 0; i < 10'000; ++i) dispatcher.post([&] { ++runs; });
    for (int i = 0; i < 10'000; ++i) dispatcher.post_output([&] { ++runs; });
    dispatcher.stop();
    CHECK(runs == 20'000);
}

TEST_CASE("dispatcher: stop runs what is queued, and waits for outstanding work") {
    Metrics metrics;
    Dispatcher dispatcher(metrics);
    REQUIRE_FALSE(dispatcher.start());
    std::atomic<bool> ran{false};
    std::thread other([&, work = boost::asio::make_work_guard(dispatcher.executor())]() mutable {
        while (!dispatcher.is_closing()) std::this_thread::yield();
        boost::asio::post(work.get_executor(), [&ran] { ran = true; });
        work.reset();
    });
    dispatcher.stop();
    other.join();
    CHECK(ran);
}

TEST_CASE("dispatcher: threads that the system refuses are an error of the set-up") {
    pthread_attr_t former;
    pthread_attr_t huge;
    REQUIRE(::pthread_getattr_default_np(&former) == 0);
    REQUIRE(::pthread_attr_init(&huge) == 0);
    REQUIRE(::pthread_attr_setstacksize(&huge, std::size_t{1} << 50) == 0);  // there is no address space for it
    REQUIRE(::pthread_setattr_default_np(&huge) == 0);
    Metrics metrics;
    Dispatcher dispatcher(metrics);
    const error_code ec = dispatcher.start();
    REQUIRE(::pthread_setattr_default_np(&former) == 0);
    ::pthread_attr_destroy(&huge);
    ::pthread_attr_destroy(&former);
    CHECK(ec);
}

TEST_CASE("serial queue: runs jobs one at a time, in order, also those posted after it is gone") {
    Metrics metrics;
    Dispatcher dispatcher(metrics);
    REQUIRE_FALSE(dispatcher.start());
    std::vector<int> order;
    std::atomic<int> inside{0};
    std::atomic<bool> overlapped{false};
    {
        const SerialQueue queue(dispatcher);
        for (int i = 0; i < 1000; ++i) {
            queue.post([&, i] {
                if (++inside > 1) overlapped = true;
                order.push_back(i);
                --inside;
            });
        }
    }
    dispatcher.stop();
    CHECK_FALSE(overlapped);
    REQUIRE(order.size() == 1000);
    for (int i = 0; i < 1000; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}
