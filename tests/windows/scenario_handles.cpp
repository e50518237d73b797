// SPDX-License-Identifier: MIT
// Many threads, many processes, on Windows: each start has one outcome, each wait gets it, and nothing is left.
#include <atomic>
#include <future>
#include <mutex>
#include <random>
#include <thread>

#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::ExitStatus;
using warden::ManagedProcess;
using warden::SpawnOptions;
using warden::StopPlan;

namespace {

const auto killed = ExitStatus::from_signal(9, false);

/// Runs `work(thread number)` on so many threads at once.
template <class F>
void on_threads(int count, F work) {
    std::vector<std::thread> threads;
    for (int t = 0; t < count; ++t) threads.emplace_back([&work, t] { work(t); });
    for (auto& thread : threads) thread.join();
}

SpawnOptions quiet() {
    SpawnOptions options;
    options.stdout_ = options.stderr_ = warden::Output::null;
    options.stop_plan = StopPlan{}.kill(30s);
    return options;
}

}  // namespace

TEST_CASE("scenario: starts, waits, stops and destructions of many threads have one outcome each",
          "[scenario][handles]") {
    TestManager manager;
    constexpr int threads = 4;
    constexpr int each = 8;
    std::atomic<int> wrong{0};
    std::atomic<int> exits{0};
    const auto subscription =
        manager->subscribe([&](const warden::Event& event) { exits += event.kind == warden::EventKind::exit ? 1 : 0; });
    on_threads(threads, [&](int t) {
        for (int i = 0; i < each; ++i) {
            const int code = t * each + i;
            switch ((t + i) % 5) {
                case 0:
                    if (manager->run(victim("exit", std::to_string(code))).status.code() != code) ++wrong;
                    break;
                case 1: {
                    auto process = manager->spawn(victim("exit", std::to_string(code)), quiet());
                    if (process.wait().code() != code) ++wrong;
                    break;
                }
                case 2: {
                    auto process = manager->spawn(victim("sleep-forever"), quiet());
                    if (!process.stop().clean() || process.exit_status() != killed) ++wrong;
                    break;
                }
                case 3: {
                    auto process = manager->spawn(victim("sleep-forever"), quiet());
                    process.kill();
                    if (process.wait() != killed) ++wrong;
                    break;
                }
                default: static_cast<void>(manager->spawn(victim("sleep-forever"), quiet()));  // by its destructor
            }
        }
    });
    CHECK(wrong == 0);
    CHECK(eventually([&] { return exits == threads * each; }));
    CHECK(eventually([&] { return manager->metrics().active == 0; }));
    CHECK(manager->metrics().spawned_total == threads * each);
    CHECK(manager->list().empty());
}

TEST_CASE("scenario: all who wait for one process get the same result, also while another thread kills it",
          "[scenario][handles]") {
    TestManager manager;
    for (int i = 0; i < 5; ++i) {
        auto process = manager->spawn(victim("sleep-forever"), quiet());
        std::atomic<int> same{0};
        std::promise<ExitStatus> by_callback;
        process.async_wait([&](const warden::error_code& ec, const ExitStatus& status) {
            by_callback.set_value(ec ? ExitStatus() : status);
        });
        on_threads(5, [&](int t) {
            if (t == 4) return process.kill();
            const auto status = t == 0 ? process.wait_for(60s).value_or(ExitStatus()) : process.wait();
            if (status == killed && status == process.wait()) ++same;
        });
        CHECK(same == 4);
        CHECK(by_callback.get_future().get() == killed);
    }
}

TEST_CASE("scenario: a handle that goes away wakes those who wait by callback, with the end of the process",
          "[scenario][handles]") {
    TestManager manager;
    for (const bool moved : {true, false}) {
        std::promise<ExitStatus> told;
        {
            auto process = manager->spawn(victim("sleep-forever"), quiet());
            process.async_wait([&](const warden::error_code& ec, const ExitStatus& status) {
                told.set_value(ec ? ExitStatus() : status);
            });
            if (moved) process = ManagedProcess();
        }
        CHECK(told.get_future().get() == killed);
    }
    std::promise<ExitStatus> told;
    auto process = manager->spawn(victim("exit", "3"), quiet());
    process.async_wait(
        [&](const warden::error_code& ec, const ExitStatus& status) { told.set_value(ec ? ExitStatus() : status); });
    const ManagedProcess other(std::move(process));  // moving it does not end the wait, nor the process
    CHECK(told.get_future().get().code() == 3);
}

TEST_CASE("scenario: a running handle that is dropped ends its process", "[scenario][handles]") {
    TestManager manager;
    for (int i = 0; i < 10; ++i) {
        std::optional<HeldProcess> held;
        {
            const auto process = manager->spawn(i % 2 == 0 ? victim("sleep-forever") : victim("exit", "0"), quiet());
            held.emplace(process.pid());
        }
        if (held->is_held()) CHECK(held->ends_within(10s));
        else CHECK(i % 2 == 1);  // it had ended before, and its number with it
    }
}

TEST_CASE("scenario: who knows that a process is over finds it no more among those that live", "[scenario][handles]") {
    TestManager manager;
    for (int i = 0; i < 20; ++i) {
        {
            auto process = manager->spawn(victim("exit", "0"), quiet());
            static_cast<void>(process.wait());
        }
        REQUIRE(manager->list().empty());
        REQUIRE(manager->cleanup_all().empty());
    }
}

TEST_CASE("scenario: a kill that races the end of a process is no error and hits nobody else", "[scenario][handles]") {
    TestManager manager;
    auto bystander = manager->spawn(victim("sleep-forever"), quiet());
    std::atomic<int> wrong{0};
    std::mutex mutex;
    std::string first_wrong;
    on_threads(3, [&](int t) {
        for (int i = 0; i < 12; ++i) {
            auto process = manager->spawn(victim("exit", "7"), quiet());
            warden::error_code ec;
            if ((t + i) % 2 == 0) static_cast<void>(process.wait_for(std::chrono::milliseconds(5 * i)));
            process.signal(9, ec);
            if (ec && ec != warden::errc::already_ended) {
                ++wrong;
                const std::lock_guard lock(mutex);
                first_wrong = ec.message();
            }
            process.kill(ec);
            if (ec) ++wrong;
            const auto status = process.wait();
            if (status.code() != 7 && status != killed) ++wrong;
        }
    });
    INFO(first_wrong);
    CHECK(wrong == 0);
    CHECK(bystander.running());
    CHECK(bystander.stop().clean());
}

TEST_CASE("scenario: a signal for who has just ended is told so, or is no error", "[scenario][handles]") {
    TestManager manager;
    for (int i = 0; i < 10; ++i) {
        auto process = manager->spawn(victim("read-line", "7"), {.stdin_ = warden::Input::pipe});
        const HeldProcess held(process.pid());
        REQUIRE(held.is_held());
        process.write("\n");
        REQUIRE(held.ends_within(30s));
        warden::error_code ec;
        for (const int number : {15, 19, 9}) {  // the news of its end may be on its way
            process.signal(number, ec);
            INFO(number << ": " << ec.message());
            CHECK((!ec || ec == warden::errc::already_ended));
        }
        process.kill(ec);
        CHECK_FALSE(ec);
        CHECK(process.wait().code() == 7);
    }
}

TEST_CASE("scenario: a signal for who has ended, while another holds its output, is told so", "[scenario][handles]") {
    TestManager manager;
    auto process = manager->spawn(victim("beside", "ignore-break", "leave"),
                                  {.stdout_ = warden::Output::capture, .stop_plan = StopPlan::now()});
    const HeldProcess held(process.pid());
    REQUIRE(next_line(process) == "ready");
    REQUIRE(held.ends_within(30s));
    for (const int number : {9, 15, 19, 18}) {
        warden::error_code ec;
        process.signal(number, ec);
        INFO(ec.message());
        CHECK(ec == warden::errc::already_ended);
    }
    CHECK(process.wait().code() == 0);
    CHECK(process.tree_alive());
}

TEST_CASE("scenario: callbacks may start, stop and look at processes, and end their own", "[scenario][handles]") {
    TestManager manager([](warden::ManagerConfig& config) { config.drain_budget = 200ms; });
    std::promise<int> code;
    std::promise<bool> stopped;
    ManagedProcess process;
    std::promise<void> held;
    SpawnOptions options = quiet();
    options.stdout_ = warden::Output::capture;
    options.on_line = [&, ready = held.get_future().share()](std::string_view) {
        ready.wait();
        static_cast<void>(manager->list());
        static_cast<void>(manager->metrics());
        code.set_value(manager->run(victim("exit", "5")).status.code());
        stopped.set_value(process.stop().clean());  // itself
    };
    process = manager->spawn(victim("sleep-forever"), options);
    held.set_value();
    CHECK(code.get_future().get() == 5);
    CHECK(stopped.get_future().get());
    CHECK(process.exit_status() == killed);
    // What is destroyed in a callback of its own end.
    std::promise<void> destroyed;
    auto last = std::make_shared<ManagedProcess>(manager->spawn(victim("exit", "0"), quiet()));
    last->async_wait([&, last](const warden::error_code&, const ExitStatus&) mutable {
        last.reset();
        destroyed.set_value();
    });
    last.reset();
    destroyed.get_future().wait();
}

TEST_CASE("scenario: everything can be looked at while processes start and end", "[scenario][handles]") {
    TestManager manager;
    std::atomic<int> working{2};
    std::atomic<int> looks{0};
    std::atomic<int> wrong{0};
    auto shared = manager->spawn(victim("sleep-forever"), quiet());
    on_threads(4, [&](int t) {
        if (t < 2) {
            for (int i = 0; i < 8; ++i) manager->run(victim("exit", "0"));
            --working;
            return;
        }
        while (working > 0) {
            ++looks;
            for (const auto& info : manager->list()) {
                if (info.pid == 0 || info.name.empty()) ++wrong;
            }
            static_cast<void>(manager->find("windows_victim"));
            static_cast<void>(manager->active_pids());
            if (manager->metrics().spawned_total == 0) ++wrong;
            if (shared.info().state != warden::State::running || shared.tree().empty()) ++wrong;
            static_cast<void>(shared.usage());
            static_cast<void>(shared.runtime());
            static_cast<void>(shared.tail(3));
            ::Sleep(1);  // leaves the processors to the processes that are looked at
        }
    });
    CHECK(looks > 0);
    CHECK(wrong == 0);
    CHECK(shared.stop().clean());
}

TEST_CASE("scenario: the limit of active processes holds however many threads start them", "[scenario][handles]") {
    TestManager manager([](warden::ManagerConfig& config) { config.max_processes = 5; });
    std::mutex mutex;
    std::vector<ManagedProcess> processes;
    std::atomic<int> refused{0};
    on_threads(4, [&](int) {
        for (int i = 0; i < 4; ++i) {
            warden::error_code ec;
            auto process = manager->spawn(victim("sleep-forever"), quiet(), ec);
            const std::lock_guard lock(mutex);
            if (process) processes.push_back(std::move(process));
            else if (ec == warden::errc::too_many_processes) ++refused;
        }
    });
    CHECK(processes.size() == 5);
    CHECK(refused == 11);
    processes.pop_back();
    CHECK(manager->run(victim("exit", "0")).success());
    CHECK(manager->cleanup_all().size() == 4);
}

TEST_CASE("scenario: a cleanup while threads start processes, and the end of the manager after it, leave none",
          "[scenario][handles]") {
    std::mutex mutex;
    std::vector<HeldProcess> held;
    {
        std::atomic<int> started{0};
        TestManager manager;
        std::vector<ManagedProcess> kept(3 * 6);
        on_threads(4, [&](int t) {
            if (t == 3) {
                while (started < 5) std::this_thread::yield();
                static_cast<void>(manager->cleanup_all());
                return;
            }
            for (int i = 0; i < 6; ++i) {
                warden::error_code ec;
                auto process = manager->spawn(victim("sleep-forever"), quiet(), ec);
                if (process) {
                    const std::lock_guard lock(mutex);
                    held.emplace_back(process.pid());
                }
                kept[static_cast<std::size_t>(t * 6 + i)] = std::move(process);
                ++started;
            }
        });
        CHECK(manager->metrics().spawned_total >= 5);
    }
    for (const auto& process : held) {
        CHECK(process.ends_within(10s));
    }
}
