// SPDX-License-Identifier: MIT
// What a child is born with on POSIX systems, besides what scenarios/start_words.cpp says of all.
#include <support/fixture.hpp>
#include <support/start.hpp>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <thread>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace support;
using warden::Environment;
using warden::SpawnOptions;
using warden::SpawnStep;

namespace {

warden::CommandLine victim_with(const std::string& mode, std::vector<std::string> words) {
    words.insert(words.begin(), mode);
    return warden::CommandLine(WARDEN_TEST_VICTIM, std::move(words));
}

std::vector<std::string> environment_seen(TestManager& manager, Environment environment) {
    return split(manager->run(victim("env"), with_environment(std::move(environment))).out);
}

}  // namespace

// -- arguments --------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: what is too long is E2BIG, and what is just short enough arrives whole", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::size_t longest =
        32 * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) - 1;  // MAX_ARG_STRLEN with its NUL
    const std::string fits(longest, 'x');
    CHECK(manager->run(victim("args", fits)).out == fits + '\0');

    const auto one = failed_start(*manager, victim("args", fits + 'x'));
    CHECK(one.code().value() == E2BIG);
    CHECK(one.step() == SpawnStep::executable);

    const std::vector<std::string> many(200, std::string(100'000, 'y'));
    CHECK(failed_start(*manager, victim_with("args", many)).code().value() == E2BIG);

    const std::vector<std::string> most(10, std::string(100'000, 'z'));
    CHECK(split(manager->run(victim_with("args", most)).out) == most);
}

// -- environment ------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: an empty environment is empty", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    CHECK(manager->run(victim("env"), with_environment(Environment::empty())).out == "");
    CHECK(environment_seen(manager, Environment::empty().set("A", "1")) == std::vector<std::string>{"A=1"});
}

TEMPLATE_TEST_CASE("words: nothing is added to an inherited environment", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        ::clearenv();
        ::setenv("KEPT", "kept", 1);
        ::setenv("UNSET", "x", 1);
        const auto seen = environment_seen(manager, Environment::inherit().unset("UNSET").set("EMPTY", ""));
        check.that(seen.size() == 2, "two variables, not " + std::to_string(seen.size()));
        check.that(has(seen, "KEPT=kept"), "the inherited one");
        check.that(has(seen, "EMPTY="), "the empty one");
    });
    CHECK(failures == "");
}

// -- where programs are found -----------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: what cannot be executed is passed over in PATH, and named if there is nothing else",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (const auto& [place, mode] : {std::pair("one", 0644u), std::pair("two", 0755u)}) {
        std::filesystem::create_directories(manager.directory / place);
        const std::string name = std::string(place) + "/warden-test-word";
        manager.directory.write(name, std::string("#!/bin/sh\nprintf ") + place + '\n', mode);
    }
    const std::string one = (manager.directory / "one").string();
    const std::string two = (manager.directory / "two").string();
    const auto path = [](const std::string& text) {
        return with_environment(Environment::inherit().set("PATH", text));
    };
    CHECK(manager->run({"warden-test-word"}, path(one + ':' + two)).out == "two");
    const auto error = failed_start(*manager, {"warden-test-word"}, path(one));
    CHECK(error.code().value() == EACCES);
    CHECK(error.path() == manager.directory / "one/warden-test-word");
}

// -- what else a child is born with -----------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: umask, nice value and limits that were asked for are exact", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.identity.umask = 0137;
    options.identity.nice = 7;
    options.limits.cpu_time = std::chrono::milliseconds(1500);
    options.limits.open_files = 77;
    options.limits.file_bytes = 123'456;
    options.limits.core_bytes = 0;
    const auto lines = split(manager->run(victim("limits"), options).out, '\n');
    for (const char* line : {"umask 137", "nice 7", "cpu 2 2", "files 77 77", "fsize 123456 123456", "core 0 0"}) {
        INFO(line);
        CHECK(has(lines, line));
    }
    options.identity.umask = 01000;
    CHECK(failed_start(*manager, victim("limits"), options).code() == warden::errc::invalid_options);
}

TEMPLATE_TEST_CASE("words: what was not asked for is the program's own at the moment of the start", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        ::umask(027);
        const struct rlimit files { 333, 444 };
        const struct rlimit core { 0, 0 };
        check.that(::setrlimit(RLIMIT_NOFILE, &files) == 0 && ::setrlimit(RLIMIT_CORE, &core) == 0 &&
                       ::setpriority(PRIO_PROCESS, 0, 3) == 0,
                   "limits of its own");
        const auto lines = split(manager->run(victim("limits")).out, '\n');
        for (const char* line : {"umask 027", "nice 3", "files 333 444", "core 0 0"}) {
            std::string all;
            for (const auto& seen : lines) all += seen + "; ";
            check.that(has(lines, line), std::string("'") + line + "' is not in " + all);
        }
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("words: a thread that changes the umask disturbs no start that says what it wants", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        std::atomic<bool> done{false};
        std::thread restless([&] {
            for (int i = 0; !done; ++i) ::umask(i % 2 == 0 ? 0 : 077);
        });
        std::vector<std::thread> threads;
        std::atomic<int> good{0};
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back([&, t] {
                SpawnOptions options;
                options.identity.umask = static_cast<unsigned>(t);
                for (int i = 0; i < 5; ++i)
                    good +=
                        has(split(manager->run(victim("limits"), options).out, '\n'), "umask 00" + std::to_string(t));
            });
        }
        for (auto& thread : threads) thread.join();
        done = true;
        restless.join();
        check.that(good == 40, std::to_string(good) + " of 40 were right");
    });
    CHECK(failures == "");
}
