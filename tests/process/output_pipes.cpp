// SPDX-License-Identifier: MIT
// Pipes between a program and its children: who holds them, who is slow, who is gone.
#include <support/fixture.hpp>

#include <cerrno>
#include <csignal>
#include <future>
#include <thread>

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::Input;
using warden::Output;
using warden::SpawnOptions;
using warden::StopPlan;
using warden::Stream;
using Clock = std::chrono::steady_clock;

namespace {

SpawnOptions captured() {
    SpawnOptions options;
    options.stdout_ = options.stderr_ = Output::capture;
    return options;
}

SpawnOptions piped() {
    SpawnOptions options = captured();
    options.stdin_ = Input::pipe;
    return options;
}

/// The same bytes every time, all 256 values, no period that divides a buffer.
std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    std::uint32_t state = 1;
    for (char& c : text) {
        state = state * 1664525u + 1013904223u;
        c = static_cast<char>(state >> 24);
    }
    return text;
}

long own_cpu_ms() {
    struct rusage usage {};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto ms = [](const timeval& t) {
        return static_cast<long>(t.tv_sec) * 1000 + static_cast<long>(t.tv_usec) / 1000;
    };
    return ms(usage.ru_utime) + ms(usage.ru_stime);
}

}  // namespace

TEMPLATE_TEST_CASE("output: a grandchild that holds the pipe does not delay a wait, and is named", "[output][D01]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_budget = 300ms; }};
    Clock::duration best = 1h;
    for (int attempt = 0; attempt < 3 && best > 100ms; ++attempt) {  // a busy machine may be slow once
        Handshake handshake(manager.directory / "fifo");
        auto process = manager->spawn(victim(handshake, "hold-pipe"), captured());
        const auto announced = handshake.line();
        REQUIRE(announced);
        const pid_t holder = static_cast<pid_t>(std::atoi(announced->substr(announced->find(' ')).c_str()));
        const auto began = Clock::now();
        CHECK(process.wait().success());
        best = std::min(best, Clock::now() - began);
        CHECK(process.info().output_incomplete);
        CHECK(process.tree_alive());
        const auto result = process.communicate();
        CHECK(Clock::now() - began < 2s);
        CHECK(result.incomplete);
        CHECK(result.pipe_holder == (lists_members ? holder : 0));
        CHECK(result.out == "before\n");
        CHECK(result.success());
    }
    CHECK(best <= 100ms);
}

TEMPLATE_TEST_CASE("output: run returns though a grandchild of a shell holds the pipe, and takes it along",
                   "[output][D01][D02]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_budget = 200ms; }};
    const auto began = Clock::now();
    const auto result = manager->run(warden::CommandLine::shell("echo said; sleep 60 & exit 0"));
    CHECK(Clock::now() - began < 1500ms);
    CHECK(result.out == "said\n");
    CHECK(result.status.success());
    CHECK(result.incomplete);
    CHECK(eventually([&] { return manager->list().empty(); }));

    SpawnOptions timed;
    timed.timeout = 100ms;
    const auto second = Clock::now();
    const auto stopped = manager->run(warden::CommandLine::shell("echo said; sleep 60; true"), timed);
    CHECK(Clock::now() - second < 1500ms);
    CHECK(stopped.cause == warden::ExitCause::timed_out);
    CHECK(stopped.out == "said\n");
}

TEMPLATE_TEST_CASE("output: a grandchild that keeps writing cannot keep a run going, and nothing from before is lost",
                   "[output][D03]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_budget = 300ms; }};
    const auto began = Clock::now();
    const auto result = manager->run(victim("hold-pipe", "write"));
    CHECK(Clock::now() - began < 2s);
    CHECK(result.status.success());
    CHECK(result.incomplete);
    CHECK(result.out.substr(0, 7) == "before\n");
    auto lines = split(std::string_view(result.out).substr(7), '\n');
    REQUIRE_FALSE(lines.empty());
    CHECK(std::string_view("more").starts_with(lines.back()));  // where it was cut
    lines.pop_back();
    for (const auto& line : lines) {
        if (line != "more") CHECK(line == "more");
    }
    CHECK(eventually([&] { return manager->list().empty(); }));
}

TEMPLATE_TEST_CASE("output: its end is not the end of the process, and costs no time", "[output][D04]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "close-stdout-and-run"), captured());
    REQUIRE(handshake.pid() > 0);
    const long before = own_cpu_ms();
    CHECK_FALSE(process.wait_for(500ms));
    CHECK(own_cpu_ms() - before < 50);  // a loop on the hang-up would take all of the 500
    CHECK(process.running());
    CHECK(process.state() == warden::State::running);
    CHECK(process.stop(StopPlan::now()).clean());
    CHECK_FALSE(process.info().output_incomplete);
}

TEMPLATE_TEST_CASE("output: sixteen megabytes through a process that echoes to both streams arrive whole",
                   "[output][D05]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string text = pattern(16u << 20);
    const auto result = manager->run(victim("echo"), {}, text);
    CHECK(result.success());
    CHECK((result.out == text));
    CHECK((result.err == text));
    CHECK_FALSE(result.truncated);
    CHECK_FALSE(result.incomplete);
    CHECK(manager->metrics().output_bytes_total == 2 * text.size());
}

TEMPLATE_TEST_CASE("output: who ends without reading its input harms nobody", "[output][D06]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string text = pattern(1u << 20);
    const auto result = manager->run(victim("exit", "3"), {}, text);
    CHECK(result.status.code() == 3);
    CHECK(result.cause == warden::ExitCause::normal);

    auto process = manager->spawn(victim("exit", "4"), piped());
    warden::error_code ec;
    process.write(text, ec);
    CHECK(ec);  // that it does not read, or that it is gone
    CHECK(process.wait().code() == 4);
    process.write(text, ec);
    CHECK(ec);
    process.close_stdin(ec);  // no crash, no signal

    auto closed = manager->spawn({"sh", "-c", "exec <&-; echo closed; exec sleep 60"}, piped());
    ec.clear();
    process.write(text, ec);
    CHECK(ec);
    CHECK(closed.stop(StopPlan::now()).clean());
}

TEMPLATE_TEST_CASE(
    "output: a callback that takes its time stalls neither its own child nor others, and drops are counted",
    "[output][D07]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t flood = 64u << 20;
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_budget = 100ms; }};
    std::promise<void> go_on;
    const auto gate = go_on.get_future().share();
    std::atomic<std::uint64_t> seen{0};
    SpawnOptions options;
    options.log.limits = {100'000, 1'000'000};
    options.on_chunk = [&, gate](Stream, std::string_view text) {
        gate.wait();
        seen += text.size();
    };
    auto process = manager->spawn(victim("flood", std::to_string(flood)), options);
    const auto status = process.wait_for(20s);
    CHECK(status);
    CHECK(manager->run(victim("echo"), {}, "hello").out == "hello");  // others are served meanwhile
    CHECK(process.info().output_bytes == flood);
    go_on.set_value();
    CHECK(eventually([&] { return seen + process.info().dropped_bytes == flood; }));
    CHECK(process.info().dropped_bytes > 0);
}

TEMPLATE_TEST_CASE("output: with pause a slow callback gets everything, and the child waits", "[output][D07]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr std::size_t flood = 8u << 20;
    TestManager manager{TestType::mechanism, [](auto& config) { config.consumer_queue_bytes = 64u << 10; }};
    std::promise<void> go_on;
    const auto gate = go_on.get_future().share();
    std::atomic<std::uint64_t> seen{0};
    SpawnOptions options;
    options.stdout_ = Output::capture;
    options.slow_consumer = warden::SlowConsumer::pause;
    options.on_chunk = [&, gate](Stream, std::string_view text) {
        gate.wait();
        seen += text.size();
    };
    auto process = manager->spawn(victim("flood", std::to_string(flood)), options);
    CHECK_FALSE(process.wait_for(300ms));  // it is waiting in write(2)
    CHECK(process.info().output_bytes < flood);
    CHECK(manager->run(victim("echo"), {}, "hello").out == "hello");
    go_on.set_value();
    CHECK(process.wait_for(20s));
    CHECK(eventually([&] { return seen == flood; }));
    CHECK(process.info().dropped_bytes == 0);
    CHECK(process.communicate().out.size() == flood);
}

TEMPLATE_TEST_CASE("output: a storm of signals in the program causes no error", "[output][D08]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        struct sigaction action {};
        action.sa_handler = [](int) {};
        ::sigaction(SIGPROF, &action, nullptr);  // without SA_RESTART
        ::sigaction(SIGVTALRM, &action, nullptr);
        std::atomic<bool> over{false};
        std::thread storm([&, target = ::pthread_self()] {
            while (!over) {
                ::pthread_kill(target, SIGPROF);
                ::kill(::getpid(), SIGVTALRM);
                ::poll(nullptr, 0, 1);
            }
        });
        const std::string text = pattern(1u << 20);
        for (int i = 0; i < 10; ++i) {
            warden::error_code ec;
            const auto result = manager->run(victim("echo"), {}, text, ec);
            check.that(!ec, "run: " + ec.message());
            check.that(result.success(), result.status.to_string());
            check.that(result.out == text && result.err == text, "all of it comes back");
        }
        over = true;
        storm.join();
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("output: a communicate that runs out of time loses nothing, and the next one goes on",
                   "[output][D09]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    TestDirectory places;
    Handshake handshake(places / "fifo");
    auto process = manager->spawn(
        {"sh", "-c", "for i in 1 2 3 4; do " WARDEN_TEST_VICTIM " flood 65536; sleep 0.1; done"}, captured());
    int timeouts = 0;
    for (warden::error_code ec = warden::errc::timed_out; ec == warden::errc::timed_out && timeouts < 200; ++timeouts) {
        const auto result = process.communicate({}, 20ms, ec);
        if (!ec) CHECK(result.out.size() == 4 * 65536);
        else CHECK(ec == warden::errc::timed_out);
    }
    CHECK(timeouts > 1);
    CHECK(process.exit_status()->success());
}

TEMPLATE_TEST_CASE(
    "output: closing the input twice, from two threads, while a write goes on, harms no other descriptor",
    "[output][D10]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string text(300'000, 'x');
    for (int i = 0; i < 10; ++i) {
        auto process = manager->spawn(victim("echo"), piped());
        std::atomic<bool> over{false};
        std::thread opener([&] {  // takes every number that becomes free
            while (!over) {
                const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
                if (::close(fd) != 0) over = true;
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
        std::thread waiter([&] { static_cast<void>(process.wait_for(10s)); });
        for (auto* thread : {&writer, &one, &other, &waiter}) thread->join();
        CHECK_FALSE(over);
        over = true;
        opener.join();
        CHECK(process.wait().success());
        const auto result = process.communicate();
        CHECK((result.out.size() == 0 || result.out.size() == text.size()));
    }
}

TEMPLATE_TEST_CASE("output: a handle can be destroyed while its process writes and reads", "[output][D10]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (int i = 0; i < 10; ++i) {
        SpawnOptions options = piped();
        options.stop_plan = StopPlan::now();
        options.on_line = [](std::string_view) {};
        auto process = manager->spawn({"cat", "/dev/zero"}, options);
        CHECK(eventually([&] { return process.info().output_bytes > 0; }));
    }
    CHECK(manager->active_pids().empty());
    CHECK(eventually([&] { return manager->list().empty(); }));
}

TEMPLATE_TEST_CASE("output: the standard input is at its end unless asked otherwise", "[output][D11]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    CHECK(manager->run({"readlink", "/proc/self/fd/0"}).out == "/dev/null\n");
    CHECK(manager->run({"cat"}).success());
}

TEMPLATE_TEST_CASE("output: each stream keeps its order and its unterminated tail", "[output][D13]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::string> lines[2];
    SpawnOptions options = captured();
    options.on_line = [&](Stream stream, std::string_view line) {
        lines[static_cast<std::size_t>(stream)].emplace_back(line);
    };
    std::string out;
    std::string err;
    for (int i = 1; i <= 30; ++i) {
        out += "out " + std::to_string(i) + '\n';
        err += "err " + std::to_string(i) + '\n';
    }
    auto result = manager->run(victim("both-streams", "30"), options);
    CHECK(result.out == out);
    CHECK(result.err == err);
    CHECK(lines[0] == split(out, '\n'));
    CHECK(lines[1] == split(err, '\n'));
    for (auto& stream : lines) stream.clear();
    result = manager->run(victim("unterminated"), options);
    CHECK(result.out == "first\nno newline on stdout");
    CHECK(result.err == "no newline on stderr");
    CHECK(lines[0] == std::vector<std::string>{"first", "no newline on stdout"});
    CHECK(lines[1] == std::vector<std::string>{"no newline on stderr"});
}

TEMPLATE_TEST_CASE("output: merged streams keep the order of writing", "[output][D13]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = Output::capture;
    options.stderr_ = Output::merge;
    const auto result = manager->run(victim("both-streams", "1000"), options);
    std::string expected;
    for (int i = 1; i <= 1000; ++i) expected += "out " + std::to_string(i) + "\nerr " + std::to_string(i) + '\n';
    CHECK((result.out == expected));
    CHECK(result.err.empty());
}

TEMPLATE_TEST_CASE("output: five hundred children with three pipes each do not block one another", "[output][D14]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    constexpr int count = is_sanitized ? 60 : 500;
    TestManager manager{TestType::mechanism, [](auto& config) { config.max_processes = count; }};
    std::vector<warden::ManagedProcess> processes;
    const std::string text = pattern(200'000);
    for (int i = 0; i < count; ++i) processes.push_back(manager->spawn(victim("echo"), piped()));
    for (auto& process : processes) {  // each waits for its input while all later ones hold theirs
        const auto result = process.communicate(text);
        CHECK((result.out == text));
        CHECK((result.err == text));
    }
}

TEMPLATE_TEST_CASE("output: a file that is given to the child receives its output itself", "[output][D15]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = Output::to_file(manager.directory / "out");
    options.stderr_ = Output::merge;
    CHECK(manager->run(victim("both-streams", "2"), options).out.empty());
    CHECK(read_file((manager.directory / "out").string()) == "out 1\nerr 1\nout 2\nerr 2\n");
}

TEMPLATE_TEST_CASE("output: all of it comes before the exit is told", "[output][D16]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    constexpr std::size_t size = 1u << 20;
    for (int i = 0; i < 10; ++i) {
        std::atomic<std::size_t> seen{0};
        std::atomic<std::int64_t> told{-1};
        SpawnOptions options;
        options.log.limits = {10'000'000, 10'000'000};
        options.on_chunk = [&](Stream, std::string_view text) { seen += text.size(); };
        const auto subscription = manager->subscribe([&](const warden::Event& event) {
            if (event.kind != warden::EventKind::exit) return;
            for (const auto& [key, value] : event.attributes) {
                if (key == "warden.output.bytes") told = std::get<std::int64_t>(value);
            }
        });
        auto process = manager->spawn(victim("flood", std::to_string(size)), options);
        CHECK(process.wait().success());
        CHECK(seen == size);
        CHECK(std::filesystem::file_size(process.log_path()) == size);
        CHECK(process.info().output_bytes == size);
        CHECK_FALSE(process.info().output_incomplete);
        CHECK(eventually([&] { return told == static_cast<std::int64_t>(size); }));
    }
}

TEMPLATE_TEST_CASE("output: a manager does not wait for a callback that has days of lines before it", "[output]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const auto began = std::chrono::steady_clock::now();
    {
        TestManager manager{TestType::mechanism, [](auto& config) { config.drain_budget = 100ms; }};
        SpawnOptions options;
        options.on_line = [](std::string_view) { std::this_thread::sleep_for(50ms); };
        auto process = manager->spawn({"seq", {"100000"}}, options);
        CHECK(process.wait().success());
    }
    CHECK(std::chrono::steady_clock::now() - began < 10s);  // and not 5000 s
}
