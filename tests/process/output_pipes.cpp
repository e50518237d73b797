// SPDX-License-Identifier: MIT
// Pipes between a program and its children, where POSIX has its own: shells, signals, descriptors.
#include <scenarios/output.hpp>
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
using warden::SpawnOptions;
using warden::StopPlan;
using Clock = std::chrono::steady_clock;

namespace {

long own_cpu_ms() {
    struct rusage usage {};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto ms = [](const timeval& t) {
        return static_cast<long>(t.tv_sec) * 1000 + static_cast<long>(t.tv_usec) / 1000;
    };
    return ms(usage.ru_utime) + ms(usage.ru_stime);
}

}  // namespace

TEMPLATE_TEST_CASE("output: run returns though a grandchild of a shell holds the pipe, and takes it along", "[output]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism, [](auto& config) { config.drain_timeout = 200ms; }};
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

TEMPLATE_TEST_CASE("output: its end is not the end of the process, and costs no time", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "close-stdout-and-run"), talking());
    REQUIRE(handshake.pid() > 0);
    const long before = own_cpu_ms();
    CHECK_FALSE(process.wait_for(500ms));
    CHECK(own_cpu_ms() - before < 50);  // a loop on the hang-up would take all of the 500
    CHECK(process.running());
    CHECK(process.state() == warden::State::running);
    CHECK(process.stop(StopPlan::now()).clean());
    CHECK_FALSE(process.info().output_incomplete);
}

TEMPLATE_TEST_CASE("output: a storm of signals in the program causes no error", "[output]", EVERY_MECHANISM) {
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

TEMPLATE_TEST_CASE(
    "output: closing the input twice, from two threads, while a write goes on, harms no other descriptor", "[output]",
    EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string text(300'000, 'x');
    for (int i = 0; i < 10; ++i) {
        auto process = manager->spawn(victim("echo"), talking());
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

TEMPLATE_TEST_CASE("output: the standard input is /dev/null unless asked otherwise", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    CHECK(manager->run({"readlink", "/proc/self/fd/0"}).out == "/dev/null\n");
}
