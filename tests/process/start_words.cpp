// SPDX-License-Identifier: MIT
// Arguments, environment and working directory arrive as they were given, byte for byte, or are refused before a child
// exists.
#include <support/fixture.hpp>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace support;
using warden::CommandLine;
using warden::Environment;
using warden::errc;
using warden::SpawnOptions;
using warden::SpawnStep;

namespace {

const std::vector<std::string> awkward{
    "a b",   "",      "\"quoted\"", "'single'", "$HOME",       "`id`",       "back\\slash",  "new\nline",
    "tab\t", "*",     "~",          "--",       "-x",          "%d%n",       "\xff\xfe\x80", "\xed\xa0\x80",
    "é",     "a=b;c", "|",          "& &&",     "\x01\x1b[2J", "trailing\\", " lead",        ""};

std::string all_bytes() {
    std::string text;
    for (int c = 1; c < 256; ++c) text += static_cast<char>(c);
    return text;
}

CommandLine victim_with(const std::string& mode, std::vector<std::string> words) {
    words.insert(words.begin(), mode);
    return CommandLine(WARDEN_TEST_VICTIM, std::move(words));
}

SpawnOptions with_environment(Environment environment) {
    SpawnOptions options;
    options.environment = std::move(environment);
    return options;
}

std::vector<std::string> environment_seen(TestManager& manager, Environment environment) {
    return split(manager->run(victim("env"), with_environment(std::move(environment))).out);
}

bool has(const std::vector<std::string>& all, const std::string& wanted) {
    return std::find(all.begin(), all.end(), wanted) != all.end();
}

/// A script that prints a word.
void write_script(const std::filesystem::path& path, const std::string& word) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << "#!/bin/sh\nprintf " << word << "\n";
    ::chmod(path.c_str(), 0755);
}

}  // namespace

// -- arguments --------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: arguments arrive byte for byte, without a shell", "[start][B01]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::string> words = awkward;
    words.push_back(all_bytes());
    CHECK(split(manager->run(victim_with("args", words)).out) == words);
}

TEMPLATE_TEST_CASE("words: what cannot be said is refused before anything is started", "[start][B02][B03][B06]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string nul("a\0b", 3);
    const auto refused = [&](const CommandLine& command, const SpawnOptions& options) {
        const auto error = failed_start(*manager, command, options);
        CHECK(error.step() == SpawnStep::validation);
        return error.code();
    };
    CHECK(refused({}, {}) == errc::invalid_command);
    CHECK(refused({""}, {}) == errc::invalid_command);
    CHECK(refused(CommandLine("", {"argument"}), {}) == errc::invalid_command);
    CHECK(refused({nul}, {}) == errc::invalid_command);
    CHECK(refused(victim("args", nul), {}) == errc::invalid_command);
    for (const auto& [key, value] :
         {std::pair<std::string, std::string>{"", "x"}, {"A=B", "x"}, {nul, "x"}, {"A", nul}, {"=", ""}}) {
        CHECK(refused(victim("env"), with_environment(Environment::inherit().set(key, value))) ==
              errc::invalid_environment);
        CHECK(refused(victim("env"), with_environment(Environment::empty().set(key, value))) ==
              errc::invalid_environment);
    }
    SpawnOptions directory;
    directory.working_directory = std::filesystem::path(nul);
    CHECK(refused(victim("cwd"), directory).category() == warden::error_category());
    CHECK(manager->metrics().spawned_total == 0);
}

TEMPLATE_TEST_CASE("words: what is too long is E2BIG, and what is just short enough arrives whole", "[start][B04]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
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

TEMPLATE_TEST_CASE("words: ten thousand arguments arrive", "[start][B01]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::string> words;
    for (int i = 0; i < 10'000; ++i) words.push_back(std::to_string(i));
    CHECK(split(manager->run(victim_with("args", words)).out) == words);
}

// -- environment ------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: an empty environment is empty", "[start][B05]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    CHECK(manager->run(victim("env"), with_environment(Environment::empty())).out == "");
    CHECK(environment_seen(manager, Environment::empty().set("A", "1")) == std::vector<std::string>{"A=1"});
}

TEMPLATE_TEST_CASE("words: an inherited environment is the program's, with the changes", "[start][B05][B06]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        ::clearenv();  // after the manager was made: that of the moment of the start counts
        ::setenv("KEPT", "kept", 1);
        ::setenv("CHANGED", "old", 1);
        ::setenv("UNSET", "x", 1);
        const auto seen = environment_seen(
            manager, Environment::inherit().set("CHANGED", "1").set("CHANGED", "2").unset("UNSET").set("EMPTY", ""));
        check.that(seen.size() == 3, "three variables, not " + std::to_string(seen.size()));
        check.that(has(seen, "KEPT=kept"), "the inherited one");
        check.that(has(seen, "CHANGED=2"), "the last word");
        check.that(has(seen, "EMPTY="), "the empty one");
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("words: values arrive verbatim, also awkward and long ones", "[start][B10]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::string> values = awkward;
    values.insert(values.end(), {all_bytes(), "100%", "%PATH%", std::string(490, 'l'), std::string(120'000, 'L')});
    Environment environment = Environment::empty();
    std::vector<std::string> expected;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::string key = "K" + std::to_string(100 + i);
        environment.set(key, values[i]);
        expected.push_back(key + '=' + values[i]);
    }
    CHECK(environment_seen(manager, environment) == expected);
}

// -- where programs are found -----------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: a program is looked up in the PATH of the child", "[start][B07]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    write_script(manager.directory / "one/warden-test-word", "one");
    write_script(manager.directory / "two/warden-test-word", "two");
    const auto path = [&](const std::string& text) {
        return with_environment(Environment::inherit().set("PATH", text));
    };
    const std::string one = (manager.directory / "one").string();
    const std::string two = (manager.directory / "two").string();
    CHECK(manager->run({"warden-test-word"}, path(one + ':' + two)).out == "one");
    CHECK(manager->run({"warden-test-word"}, path("/nowhere:" + two + ':' + one)).out == "two");
    CHECK(failed_start(*manager, {"warden-test-word"}).code().value() == ENOENT);

    ::chmod((manager.directory / "one/warden-test-word").c_str(), 0644);
    CHECK(manager->run({"warden-test-word"}, path(one + ':' + two)).out == "two");
    const auto error = failed_start(*manager, {"warden-test-word"}, path(one));
    CHECK(error.code().value() == EACCES);
    CHECK(error.path() == manager.directory / "one/warden-test-word");
}

TEMPLATE_TEST_CASE("words: a relative program is relative to the working directory of the child", "[start][B07]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    write_script(manager.directory / "work/bin/tool", "tool");
    SpawnOptions options;
    options.working_directory = manager.directory / "work";
    CHECK(manager->run({"./bin/tool"}, options).out == "tool");
    CHECK(manager->run({"bin/tool"}, options).out == "tool");
    CHECK(failed_start(*manager, {"./bin/tool"}).code().value() == ENOENT);
}

TEMPLATE_TEST_CASE("words: empty and relative elements of PATH never lead to the working directory", "[start][B08]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    write_script(manager.directory / "warden-test-trap", "trap");
    for (const char* path : {"", ":", "::/usr/bin", "/usr/bin:", ".", ".:/usr/bin", "./", "/usr/bin:."}) {
        SpawnOptions options = with_environment(Environment::inherit().set("PATH", path));
        options.working_directory = manager.directory.path();
        INFO("PATH is '" << path << "'");
        CHECK(failed_start(*manager, {"warden-test-trap"}, options).code().value() == ENOENT);
    }
}

TEMPLATE_TEST_CASE("words: the working directory is the one asked for, else the program's at the moment of the start",
                   "[start][B07]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory place;
    std::filesystem::create_directories(place / "here/below");
    const std::string here = std::filesystem::canonical(place / "here").string();
    const std::string failures = in_subprocess([&](Checks& check) {
        TestManager manager{TestType::mechanism};
        const auto seen = [&](const std::filesystem::path& directory) {
            SpawnOptions options;
            options.working_directory = directory;
            return manager->run(victim("cwd"), options).out;
        };
        check.that(::chdir(here.c_str()) == 0, "a directory");
        check.that(seen({}) == here, "the program's own: " + seen({}));
        check.that(seen("below") == here + "/below", "a relative one: " + seen("below"));
        check.that(seen("/usr") == "/usr", "an absolute one: " + seen("/usr"));
    });
    CHECK(failures == "");
}

// -- what else a child is born with -----------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: umask, nice value and limits that were asked for are exact", "[start][B12]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
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
    for (const int nice : {-21, 20}) {
        options.identity.nice = nice;
        CHECK(failed_start(*manager, victim("limits"), options).code() == errc::invalid_options);
    }
    options.identity.nice = 0;
    options.identity.umask = 01000;
    CHECK(failed_start(*manager, victim("limits"), options).code() == errc::invalid_options);
}

TEMPLATE_TEST_CASE("words: what was not asked for is the program's own at the moment of the start", "[start][B12]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
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

TEMPLATE_TEST_CASE(
    "words: threads that change directory, umask and environment disturb no start that says what it wants",
    "[start][B09]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory place;
    const std::string there = std::filesystem::canonical(place.path()).string();
    const std::string failures = in_subprocess([&](Checks& check) {
        TestManager manager{TestType::mechanism};
        std::atomic<bool> done{false};
        std::thread restless([&] {
            for (int i = 0; !done; ++i) {
                static_cast<void>(!::chdir(i % 2 == 0 ? "/" : "/usr"));
                ::umask(i % 2 == 0 ? 0 : 077);
                ::setenv("WARDEN_TEST_RESTLESS", std::string(static_cast<std::size_t>(i % 500), 'r').c_str(), 1);
                ::unsetenv("WARDEN_TEST_RESTLESS");
            }
        });
        std::vector<std::thread> threads;
        std::atomic<int> good{0};
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back([&, t] {
                SpawnOptions options = with_environment(Environment::empty().set("T", std::to_string(t)));
                options.working_directory = there;
                options.identity.umask = static_cast<unsigned>(t);
                for (int i = 0; i < 5; ++i) {
                    good += manager->run(victim("env"), options).out == "T=" + std::to_string(t) + '\0';
                    good += manager->run(victim("cwd"), options).out == there;
                    good +=
                        has(split(manager->run(victim("limits"), options).out, '\n'), "umask 00" + std::to_string(t));
                }
            });
        }
        for (auto& thread : threads) thread.join();
        done = true;
        restless.join();
        check.that(good == 8 * 15, std::to_string(good) + " of 120 were right");
    });
    CHECK(failures == "");
}
