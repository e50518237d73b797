// SPDX-License-Identifier: MIT
// Many threads, many processes: each start has one outcome, each wait gets it, and nothing is left.
#include <support/lives.hpp>

#if !WARDEN_OS_WINDOWS
#include <support/census.hpp>
#include <support/process.hpp>
#endif

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <thread>

using namespace support;
using namespace std::chrono_literals;
using warden::ExitStatus;
using warden::ManagedProcess;
using warden::SpawnOptions;
using warden::StopPlan;

namespace {

#if WARDEN_OS_WINDOWS
constexpr int polite_number = kill_number;  // Wine 8 delivers no request to end
constexpr std::size_t max_in_a_tree = 2;    // with a console's host
constexpr auto step_of_a_head_start = 5ms;  // a start takes longer than a kill
bool is_zombie(warden::Pid) { return false; }
std::vector<warden::Pid> descendants() { return {}; }  // nobody lists them
#else
constexpr int polite_number = 15;
constexpr std::size_t max_in_a_tree = 1;
constexpr auto step_of_a_head_start = 0ms;
bool is_zombie(warden::Pid pid) { return process_state(static_cast<pid_t>(pid)) == 'Z'; }
#endif

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

TEMPLATE_TEST_CASE("concurrency: starts, waits, stops and destructions of many threads have one outcome each",
                   "[concurrency]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    constexpr int threads = so_many(8, 4);
    constexpr int each = so_many(is_sanitized ? 50 : 500, 8);
    std::atomic<int> wrong{0};
    std::atomic<std::uint64_t> exits{0};
    {
        const auto subscription = manager->subscribe(
            [&](const warden::Event& event) { exits += event.kind == warden::EventKind::exit ? 1 : 0; });
        on_threads(threads, [&](int t) {
            std::mt19937 random(static_cast<unsigned>(t));
            for (int i = 0; i < each; ++i) {
                const int code = i % 100;
                switch (random() % 5) {
                    case 0:
                        if (manager->run(play("exit", std::to_string(code))).status.code() != code) ++wrong;
                        break;
                    case 1: {
                        auto process = manager->spawn(play("exit", std::to_string(code)), quiet());
                        if (process.wait().code() != code) ++wrong;
                        break;
                    }
                    case 2: {
                        auto process = manager->spawn(play("stay"), quiet());
                        if (!process.stop().clean() || process.exit_status() != killed) ++wrong;
                        break;
                    }
                    case 3: {
                        auto process = manager->spawn(play("stay"), quiet());
                        process.kill();
                        if (process.wait() != killed) ++wrong;
                        break;
                    }
                    default: static_cast<void>(manager->spawn(play("stay"), quiet()));  // ended by its destructor
                }
            }
        });
        CHECK(eventually([&] { return exits == threads * each; }));
    }
    CHECK(wrong == 0);
    CHECK(manager->metrics().spawned_total == threads * each);
    CHECK(eventually([&] { return manager->list().empty() && manager->metrics().active == 0; }));
}

TEMPLATE_TEST_CASE("concurrency: all who wait for one process get the same result, also while another thread kills it",
                   "[concurrency]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (int i = 0; i < so_many(20, 5); ++i) {
        auto process = manager->spawn(play("stay"), quiet());
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

TEMPLATE_TEST_CASE("concurrency: a handle that goes away wakes those who wait by callback, with the end of the process",
                   "[concurrency]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (const bool moved : {true, false}) {
        std::promise<ExitStatus> told;
        {
            auto process = manager->spawn(play("stay"), quiet());
            process.async_wait([&](const warden::error_code& ec, const ExitStatus& status) {
                told.set_value(ec ? ExitStatus() : status);
            });
            if (moved) process = ManagedProcess();
        }
        CHECK(told.get_future().get() == killed);
    }
    std::promise<ExitStatus> told;
    auto process = manager->spawn(play("exit", "3"), quiet());
    process.async_wait(
        [&](const warden::error_code& ec, const ExitStatus& status) { told.set_value(ec ? ExitStatus() : status); });
    const ManagedProcess other(std::move(process));  // moving it does not end the wait, nor the process
    CHECK(told.get_future().get().code() == 3);
}

TEMPLATE_TEST_CASE("concurrency: a running handle that is dropped ends its process and leaves no zombie",
                   "[concurrency]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (int i = 0; i < so_many(20, 10); ++i) {
        warden::Pid pid = 0;
        std::optional<HeldProcess> held;
        {
            const auto process = manager->spawn(i % 2 == 0 ? play("stay") : play(), quiet());
            pid = process.pid();
            held.emplace(pid);
        }
        if (held->is_held()) CHECK(held->ends_within(10s));
        else CHECK(i % 2 == 1);  // it had ended before, and its number with it
        CHECK(eventually([&] { return !is_zombie(pid); }, 2s));
    }
}

TEMPLATE_TEST_CASE("concurrency: who knows that a process is over finds it no more among those that live",
                   "[concurrency]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (int i = 0; i < so_many(200, 20); ++i) {
        {
            auto process = manager->spawn(play(), quiet());
            static_cast<void>(process.wait());
        }
        REQUIRE(manager->list().empty());
        REQUIRE(manager->cleanup_all().empty());
    }
}

TEMPLATE_TEST_CASE("concurrency: a kill that races the end of a process is no error and hits nobody else",
                   "[concurrency]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto bystander = manager->spawn(play("stay"), quiet());
    std::atomic<int> wrong{0};
    std::mutex mutex;
    std::string first_wrong;
    const auto check = [&](const warden::error_code& ec) {
        if (!ec || ec == warden::errc::already_ended) return;
        const std::lock_guard lock(mutex);
        if (wrong++ == 0) first_wrong = ec.message();
    };
    constexpr int each = so_many(is_sanitized ? 100 : 625, 12);
    on_threads(so_many(4, 3), [&](int t) {
        for (int i = 0; i < each; ++i) {
            auto process = manager->spawn(play("exit", "7"), quiet());
            if ((t + i) % 2 == 0) static_cast<void>(process.wait_for(i * step_of_a_head_start));
            for (int k = 0; k < so_many(30, 1) && process.running(); ++k) {
                warden::error_code ec;
                process.signal((t + i) % 2 == 0 ? polite_number : kill_number, ec);
                check(ec);
                if (i % 3 == 0) break;
            }
            warden::error_code ec;
            process.kill(ec);
            if (ec) ++wrong;
            const auto status = process.wait();
            if (status.code() != 7 && status.signal() != polite_number && status.signal() != kill_number) ++wrong;
        }
    });
    INFO(first_wrong);
    CHECK(wrong == 0);
    CHECK(bystander.running());
    CHECK(bystander.stop().clean());
}

TEMPLATE_TEST_CASE("concurrency: callbacks may start, stop and look at processes, and end their own", "[concurrency]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
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
        code.set_value(manager->run(play("exit", "5")).status.code());
        stopped.set_value(process.stop().clean());  // itself
    };
    process = manager->spawn(play("out", "line\n", "stay"), options);
    held.set_value();
    CHECK(code.get_future().get() == 5);
    CHECK(stopped.get_future().get());
    CHECK(process.exit_status() == killed);
    // What is destroyed in a callback of its own end.
    std::promise<void> destroyed;
    auto last = std::make_shared<ManagedProcess>(manager->spawn(play(), quiet()));
    last->async_wait([&, last](const warden::error_code&, const ExitStatus&) mutable {
        last.reset();
        destroyed.set_value();
    });
    last.reset();
    destroyed.get_future().wait();
}

TEMPLATE_TEST_CASE("concurrency: everything can be looked at while processes start and end", "[concurrency]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    constexpr int workers = so_many(3, 2);
    std::atomic<int> working{workers};
    std::atomic<int> looks{0};
    std::atomic<int> wrong{0};
    auto shared = manager->spawn(play("stay"), quiet());
    on_threads(2 * workers, [&](int t) {
        if (t < workers) {
            for (int i = 0; i < so_many(30, 8); ++i) manager->run(play());
            --working;
            return;
        }
        while (working > 0) {
            ++looks;
            for (const auto& info : manager->list()) {
                if (info.pid == 0 || info.name.empty()) ++wrong;
            }
            static_cast<void>(manager->find("player"));
            static_cast<void>(manager->active_pids());
            if (manager->metrics().spawned_total == 0) ++wrong;
            const auto members = shared.tree().size();
            if (shared.info().state != warden::State::running || members < 1 || members > max_in_a_tree) ++wrong;
            static_cast<void>(shared.usage());
            static_cast<void>(shared.runtime());
            static_cast<void>(shared.tail(3));
            std::this_thread::sleep_for(1ms);  // leaves the processors to the processes that are looked at
        }
    });
    CHECK(looks > 0);
    CHECK(wrong == 0);
    CHECK(shared.stop().clean());
}

TEMPLATE_TEST_CASE("concurrency: the limit of active processes holds however many threads start them", "[concurrency]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr int most = so_many(10, 5);
    constexpr int threads = so_many(8, 4);
    constexpr int each = so_many(5, 4);
    TestManager manager{TestType::mechanism, [](auto& config) { config.max_processes = most; }};
    std::mutex mutex;
    std::vector<ManagedProcess> processes;
    std::atomic<int> refused{0};
    on_threads(threads, [&](int) {
        for (int i = 0; i < each; ++i) {
            warden::error_code ec;
            auto process = manager->spawn(play("stay"), quiet(), ec);
            const std::lock_guard lock(mutex);
            if (process) processes.push_back(std::move(process));
            else if (ec == warden::errc::too_many_processes) ++refused;
        }
    });
    CHECK(processes.size() == most);
    CHECK(refused == threads * each - most);
    processes.pop_back();
    CHECK(manager->run(play()).success());
    CHECK(manager->cleanup_all().size() == most - 1);
}

TEMPLATE_TEST_CASE(
    "concurrency: a cleanup while threads start processes, and the end of the manager after it, leave none",
    "[concurrency]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr int starters = so_many(4, 3);
    constexpr int each = so_many(20, 6);
    constexpr int enough = so_many(10, 5);
    for (int round = 0; round < so_many(5, 1); ++round) {
        std::mutex mutex;
        std::vector<HeldProcess> held;
        {
            std::atomic<int> started{0};
            TestManager manager{TestType::mechanism};
            std::vector<ManagedProcess> kept(starters * each);
            on_threads(starters + 1, [&](int t) {
                if (t == starters) {
                    while (started < enough) std::this_thread::yield();
                    static_cast<void>(manager->cleanup_all());
                    return;
                }
                for (int i = 0; i < each; ++i) {
                    warden::error_code ec;
                    auto process = manager->spawn(play("stay"), quiet(), ec);
                    if (process) {
                        const std::lock_guard lock(mutex);
                        held.emplace_back(process.pid());
                    }
                    kept[static_cast<std::size_t>(t * each + i)] = std::move(process);
                    ++started;
                }
            });
            CHECK(manager->metrics().spawned_total >= enough);
        }
        CHECK(descendants().empty());
        for (const auto& process : held) CHECK(process.ends_within(10s));
    }
}

TEMPLATE_TEST_CASE("concurrency: a signal for who has just ended is told so, or is no error", "[concurrency]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (int i = 0; i < 10; ++i) {
        auto process = manager->spawn(play("read", "exit", "7"), {.stdin_ = warden::Input::pipe});
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
