// SPDX-License-Identifier: MIT
// Many threads, many processes: each start has one outcome, each wait gets it, and nothing is left.
#include <support/fixture.hpp>

#include <boost/asio/thread_pool.hpp>

#include <csignal>
#include <future>
#include <random>
#include <thread>

using namespace support;
using namespace std::chrono_literals;
using warden::ExitStatus;
using warden::ManagedProcess;
using warden::SpawnOptions;
using warden::StopPlan;

namespace {

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
    options.stop_plan = StopPlan::now();
    return options;
}

}  // namespace

TEMPLATE_TEST_CASE("concurrency: starts, waits, stops and destructions of eight threads have one outcome each",
                   "[concurrency][K01]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    constexpr int threads = 8;
    constexpr int each = is_sanitized ? 50 : 500;
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
                        if (manager->run(victim("exit", std::to_string(code))).status.code() != code) ++wrong;
                        break;
                    case 1: {
                        auto process = manager->spawn(victim("exit", std::to_string(code)), quiet());
                        if (process.wait().code() != code) ++wrong;
                        break;
                    }
                    case 2: {
                        auto process = manager->spawn(victim("stay"), quiet());
                        if (!process.stop().clean() || !process.exit_status()->signaled()) ++wrong;
                        break;
                    }
                    case 3: {
                        auto process = manager->spawn(victim("stay"), quiet());
                        process.kill();
                        if (process.wait() != ExitStatus::from_signal(SIGKILL, false)) ++wrong;
                        break;
                    }
                    default: static_cast<void>(manager->spawn(victim("stay"), quiet()));  // ended by its destructor
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
                   "[concurrency][K02]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (int i = 0; i < 20; ++i) {
        auto process = manager->spawn(victim("stay"), quiet());
        std::atomic<int> same{0};
        std::promise<ExitStatus> by_callback;
        process.async_wait([&](const warden::error_code& ec, const ExitStatus& status) {
            by_callback.set_value(ec ? ExitStatus() : status);
        });
        on_threads(5, [&](int t) {
            if (t == 4) return process.kill();
            const auto status = t == 0 ? process.wait_for(20s).value_or(ExitStatus()) : process.wait();
            if (status == ExitStatus::from_signal(SIGKILL, false) && status == process.wait()) ++same;
        });
        CHECK(same == 4);
        CHECK(by_callback.get_future().get() == ExitStatus::from_signal(SIGKILL, false));
    }
}

TEMPLATE_TEST_CASE("concurrency: a handle that goes away wakes those who wait by callback, with the end of the process",
                   "[concurrency][K03]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (const bool moved : {true, false}) {
        std::promise<ExitStatus> told;
        {
            auto process = manager->spawn(victim("stay"), quiet());
            process.async_wait([&](const warden::error_code& ec, const ExitStatus& status) {
                told.set_value(ec ? ExitStatus() : status);
            });
            if (moved) process = ManagedProcess();
        }
        CHECK(told.get_future().get() == ExitStatus::from_signal(SIGKILL, false));
    }
    std::promise<ExitStatus> told;
    auto process = manager->spawn(victim("exit", "3"), quiet());
    process.async_wait(
        [&](const warden::error_code& ec, const ExitStatus& status) { told.set_value(ec ? ExitStatus() : status); });
    const ManagedProcess other(std::move(process));  // moving it does not end the wait, nor the process
    CHECK(told.get_future().get().code() == 3);
}

TEMPLATE_TEST_CASE("concurrency: a running handle that is dropped ends its process and leaves no zombie",
                   "[concurrency][K04]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (int i = 0; i < 20; ++i) {
        warden::Pid pid = 0;
        {
            const auto process = manager->spawn(victim(i % 2 == 0 ? "stay" : "exit"), quiet());
            pid = process.pid();
        }
        CHECK(eventually([&] { return process_state(static_cast<pid_t>(pid)) == '\0'; }, 2s));
    }
}

TEMPLATE_TEST_CASE("concurrency: who knows that a process is over finds it no more among those that live",
                   "[concurrency]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (int i = 0; i < 200; ++i) {
        {
            auto process = manager->spawn(victim("exit"), quiet());
            static_cast<void>(process.wait());
        }
        REQUIRE(manager->list().empty());
        REQUIRE(manager->cleanup_all().empty());
    }
}

TEMPLATE_TEST_CASE("concurrency: a kill that races the end of a process is no error and hits nobody else",
                   "[concurrency][K05]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto bystander = manager->spawn(victim("stay"), quiet());
    std::atomic<int> wrong{0};
    constexpr int each = is_sanitized ? 100 : 625;
    on_threads(4, [&](int t) {
        for (int i = 0; i < each; ++i) {
            auto process = manager->spawn(victim("exit", "7"), quiet());
            for (int k = 0; k < 30 && process.running(); ++k) {
                warden::error_code ec;
                process.signal((t + i) % 2 == 0 ? SIGTERM : SIGKILL, ec);
                if (ec && ec != warden::errc::already_ended) ++wrong;
                if (i % 3 == 0) break;
            }
            warden::error_code ec;
            process.kill(ec);
            if (ec) ++wrong;
            const auto status = process.wait();
            if (status.code() != 7 && status.signal() != SIGTERM && status.signal() != SIGKILL) ++wrong;
        }
    });
    CHECK(wrong == 0);
    CHECK(bystander.running());
    CHECK(bystander.stop().clean());
}

TEMPLATE_TEST_CASE("concurrency: callbacks may start, stop and look at processes, and end their own",
                   "[concurrency][K06]", OnCgroup, OnKeeper, OnProcessGroup) {
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
        code.set_value(manager->run(victim("exit", "5")).status.code());
        stopped.set_value(process.stop().clean());  // itself
    };
    process = manager->spawn(warden::CommandLine::shell("echo line; exec sleep 60"), options);
    held.set_value();
    CHECK(code.get_future().get() == 5);
    CHECK(stopped.get_future().get());
    CHECK(process.exit_status()->signaled());
    // What is destroyed in a callback of its own end.
    std::promise<void> destroyed;
    auto last = std::make_shared<ManagedProcess>(manager->spawn(victim("exit"), quiet()));
    last->async_wait([&, last](const warden::error_code&, const ExitStatus&) mutable {
        last.reset();
        destroyed.set_value();
    });
    last.reset();
    destroyed.get_future().wait();
}

TEMPLATE_TEST_CASE("concurrency: a callback that waits for the end of its own process does not wait for itself",
                   "[concurrency][K06]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    boost::asio::thread_pool only_one(1);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_budget = 20s; }};
    struct Way {
        const char* name;
        std::function<void(ManagedProcess&)> end;
    };
    const Way ways[] = {
        {"stop", [](auto& process) { process.stop(); }},
        {"stop by uuid", [&](auto& process) { manager->stop(process.uuid()); }},
        {"cleanup", [&](auto&) { manager->cleanup_all(); }},
        {"destructor", [](auto& process) { const ManagedProcess last = std::move(process); }},
        {"wait", [](auto& process) { process.terminate(), process.wait(); }},
        {"communicate", [](auto& process) { process.terminate(), process.communicate(); }},
    };
    for (const bool on_one_thread : {false, true}) {
        for (const Way& way : ways) {
            INFO(way.name << (on_one_thread ? ", with all callbacks on one thread" : ""));
            ManagedProcess process;
            std::promise<void> started;
            std::promise<void> ended;
            std::mutex mutex;
            std::vector<std::string> lines;
            SpawnOptions options;
            options.stdout_ = warden::Output::capture;
            options.on_line = [&, ready = started.get_future().share()](std::string_view line) {
                if (line.starts_with("ready")) {
                    ready.wait();
                    way.end(process);
                    ended.set_value();
                }
                const std::lock_guard lock(mutex);
                lines.emplace_back(line);
            };
            if (on_one_thread) {
                options.executor = only_one.get_executor();
                options.on_chunk = [](warden::Stream, std::string_view) {};
                options.alerts = {warden::AlertRule::literal("term")};
            }
            process = manager->spawn(victim("trap-slowly", "0"), options);
            const auto began = std::chrono::steady_clock::now();
            started.set_value();
            ended.get_future().wait();
            CHECK(std::chrono::steady_clock::now() - began < 10s);  // and not the drain budget
            if (process) CHECK(process.exit_status().value().success());
            CHECK(eventually([&] {
                const std::lock_guard lock(mutex);
                return lines.size() == 2;
            }));
            const std::lock_guard lock(mutex);
            REQUIRE(lines.size() == 2);
            CHECK(lines[1] == "term");
        }
    }
}

TEMPLATE_TEST_CASE(
    "concurrency: what has ended by itself is neither timed out nor stopped while a callback still has its output",
    "[concurrency][K06]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_budget = 20s; }};
    ManagedProcess process;
    std::promise<void> started;
    std::promise<warden::StopReport> stopped;
    SpawnOptions options;
    options.stdin_ = warden::Input::pipe;
    options.stdout_ = warden::Output::capture;
    options.timeout = 2s;
    options.on_line = [&, ready = started.get_future().share()](std::string_view) {
        ready.wait();
        warden::error_code ec;
        static_cast<void>(eventually([&] {  // its end is known inside
            process.write("", ec);
            return ec == warden::errc::input_closed;
        }));
        static_cast<void>(eventually([&] { return process.runtime() > 2100ms; }));
        process.terminate(ec);
        stopped.set_value(process.stop());
    };
    process = manager->spawn(warden::CommandLine::shell("echo done"), options);
    started.set_value();
    const auto report = stopped.get_future().get();
    CHECK(report.clean());
    CHECK(report.steps.empty());
    CHECK(process.wait().success());
    CHECK(process.cause() == warden::ExitCause::normal);
    CHECK(process.state() == warden::State::completed);
    CHECK(manager->metrics().timeouts_total == 0);
}

TEMPLATE_TEST_CASE("concurrency: a stop takes no further step while a callback still has the output of what is gone",
                   "[concurrency][K06]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_budget = 20s; }};
    std::promise<void> stop_is_over;
    std::promise<void> line_came;
    SpawnOptions options;
    options.stdout_ = warden::Output::capture;
    options.on_line = [&, over = stop_is_over.get_future().share()](std::string_view) {
        line_came.set_value();
        over.wait_for(2300ms);  // longer than the grace
    };
    auto process = manager->spawn(warden::CommandLine::shell("echo line; exec sleep 60"), options);
    line_came.get_future().wait();
    const auto report = process.stop(StopPlan{}.terminate(2s).kill(10s));
    stop_is_over.set_value();
    REQUIRE(report.steps.size() == 1);
    CHECK(report.steps[0].ended_it);
    CHECK(report.steps[0].duration < 2s);
    CHECK(process.cause() == warden::ExitCause::stopped);
}

TEMPLATE_TEST_CASE("concurrency: everything can be looked at while processes start and end", "[concurrency][K09]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::atomic<int> working{3};
    std::atomic<int> looks{0};
    std::atomic<int> wrong{0};
    auto shared = manager->spawn(victim("stay"), quiet());
    on_threads(6, [&](int t) {
        if (t < 3) {
            for (int i = 0; i < 30; ++i) manager->run(victim("exit"));
            --working;
            return;
        }
        while (working > 0) {
            ++looks;
            for (const auto& info : manager->list()) {
                if (info.pid == 0 || info.name.empty()) ++wrong;
            }
            static_cast<void>(manager->find("victim"));
            static_cast<void>(manager->active_pids());
            if (manager->metrics().spawned_total == 0) ++wrong;
            if (shared.info().state != warden::State::running || shared.tree().size() != 1) ++wrong;
            static_cast<void>(shared.usage());
            static_cast<void>(shared.runtime());
            static_cast<void>(shared.tail(3));
            ::poll(nullptr, 0, 1);  // leaves the processors to the processes that are looked at
        }
    });
    CHECK(looks > 0);
    CHECK(wrong == 0);
    CHECK(shared.stop().clean());
}

TEMPLATE_TEST_CASE("concurrency: the limit of active processes holds however many threads start them",
                   "[concurrency][K01]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.max_processes = 10; }};
    std::mutex mutex;
    std::vector<ManagedProcess> processes;
    std::atomic<int> refused{0};
    on_threads(8, [&](int) {
        for (int i = 0; i < 5; ++i) {
            warden::error_code ec;
            auto process = manager->spawn(victim("stay"), quiet(), ec);
            const std::lock_guard lock(mutex);
            if (process) processes.push_back(std::move(process));
            else if (ec == warden::errc::too_many_processes) ++refused;
        }
    });
    CHECK(processes.size() == 10);
    CHECK(refused == 30);
    processes.pop_back();
    CHECK(manager->run(victim("exit")).success());
    CHECK(manager->cleanup_all().size() == 9);
}

TEMPLATE_TEST_CASE(
    "concurrency: a cleanup while threads start processes, and the end of the manager after it, leave none",
    "[concurrency][K08]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (int round = 0; round < 5; ++round) {
        std::atomic<int> started{0};
        {
            TestManager manager{TestType::mechanism};
            std::vector<ManagedProcess> kept(4 * 20);
            on_threads(5, [&](int t) {
                if (t == 4) {
                    while (started < 10) std::this_thread::yield();
                    static_cast<void>(manager->cleanup_all());
                    return;
                }
                for (int i = 0; i < 20; ++i) {
                    warden::error_code ec;
                    kept[static_cast<std::size_t>(t * 20 + i)] = manager->spawn(victim("stay"), quiet(), ec);
                    ++started;
                }
            });
        }
        CHECK(descendants().empty());
    }
}
