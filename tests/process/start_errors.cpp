// SPDX-License-Identifier: MIT
// How starts fail on POSIX systems, besides what scenarios/start_errors.cpp says of all; and nothing of them is left
// (the census sees to that).
#include <support/fixture.hpp>
#include <support/start.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <future>
#include <thread>

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::Output;
using warden::SpawnError;
using warden::SpawnOptions;
using warden::SpawnStep;

namespace {

constexpr const char* nobody = "65534";

/// No child, not even a zombie, is seen by the program's own wait().
bool has_no_child_to_wait_for() {
    errno = 0;
    return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
}

std::size_t open_descriptor_count() {
    std::size_t count = 0;
    for (int fd = 0; fd < 4096; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1u : 0u;
    return count;
}

}  // namespace

// -- A01, A03 to A05: the executable ---------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("start: a program that is missing leaves no child to wait for", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto error = failed_start(*manager, {"/no/such/program"}, with_three_pipes());
    CHECK(error.code() == no_such_file);
    CHECK(error.step() == SpawnStep::executable);
    CHECK(error.path() == "/no/such/program");
    CHECK(names(error, "/no/such/program"));
    CHECK(has_no_child_to_wait_for());
}

TEMPLATE_TEST_CASE("start: a file without the x bit is EACCES, not ENOENT", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto plain = manager.directory.write("plain", "#!/bin/sh\nexit 0\n", 0644);
    const auto error = failed_start(*manager, {plain.string()});
    CHECK(error.code().value() == EACCES);
    CHECK(error.step() == SpawnStep::executable);
    CHECK(error.path() == plain);
}

TEMPLATE_TEST_CASE("start: a program on a file system mounted noexec is EACCES", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(::geteuid() == 0, "only root can mount");
    const TestDirectory place;
    const std::string failures = in_subprocess([&](Checks& check) {
        if (!check.that(::unshare(CLONE_NEWNS) == 0 &&
                            ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                            ::mount("none", place.path().c_str(), "tmpfs", MS_NOEXEC, nullptr) == 0,
                        "a mount of its own"))
            return;
        const auto script = place.write("script", "#!/bin/sh\nexit 0\n", 0755);
        TestManager manager{TestType::mechanism};
        warden::error_code ec;
        static_cast<void>(manager->spawn({script.string()}, {}, ec));
        check.that(ec.value() == EACCES, "EACCES, not " + ec.message());
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("start: a script without a first line is ENOEXEC also where PATH leads to it", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    manager.directory.write("script", "touch '" + (manager.directory / "ran").string() + "'\n", 0755);
    const auto error =
        failed_start(*manager, {"script"},
                     with_environment(warden::Environment::inherit().set("PATH", manager.directory.path().string())));
    CHECK(error.code().value() == ENOEXEC);
    CHECK(error.step() == SpawnStep::executable);
    CHECK(names(error, "#!"));
    CHECK_FALSE(std::filesystem::exists(manager.directory / "ran"));
}

TEMPLATE_TEST_CASE("start: a missing interpreter is named as such, and a circle of interpreters is ELOOP", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto script = manager.directory.write("script", "#!/no/such/interpreter\n", 0755);
    const auto missing = failed_start(*manager, {script.string()});
    CHECK(missing.code().value() == ENOENT);
    CHECK(missing.path() == script);
    CHECK(names(missing, "interpreter"));

    const auto circle = manager.directory.write("circle", "#!" + (manager.directory / "circle").string() + "\n", 0755);
    CHECK(failed_start(*manager, {circle.string()}).code().value() == ELOOP);
}

// -- A02: the working directory ---------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("start: a device is no working directory", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto error = failed_start(*manager, victim("exit", "0"), {.working_directory = "/dev/null"});
    CHECK(error.code().value() == ENOTDIR);
    CHECK(error.step() == SpawnStep::working_directory);
}

TEMPLATE_TEST_CASE("start: a working directory that the child's user may not search is EACCES", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(::geteuid() == 0, "only root can become another user");
    TestManager manager{TestType::mechanism};
    std::filesystem::create_directory(manager.directory / "closed");
    ::chmod((manager.directory / "closed").c_str(), 0700);
    SpawnOptions options;
    options.working_directory = manager.directory / "closed";
    options.identity.user = nobody;
    const auto error = failed_start(*manager, victim("exit", "0"), options);
    CHECK(error.code().value() == EACCES);
    CHECK(error.step() == SpawnStep::working_directory);
}

TEMPLATE_TEST_CASE(
    "start: with the program's own directory deleted, what is relative to it is a failed working directory", "[start]",
    EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory place;
    const std::string failures = in_subprocess([&](Checks& check) {
        const auto gone = place / "gone";
        TestManager manager{TestType::mechanism};
        std::filesystem::create_directory(gone);
        if (!check.that(::chdir(gone.c_str()) == 0 && ::rmdir(gone.c_str()) == 0, "a deleted directory")) return;
        try {
            SpawnOptions options;
            options.working_directory = "below";
            static_cast<void>(manager->spawn(victim("exit", "0"), options));
            check.failure("it started");
        } catch (const SpawnError& error) {
            check.that(error.step() == SpawnStep::working_directory, std::string("the step: ") + error.what());
            check.that(error.code().value() == ENOENT, "the code: " + error.code().message());
        }
        warden::error_code ec;
        const auto result = manager->run(victim("exit", "6"), {}, {}, ec);
        check.that(!ec && result.status.code() == 6, "a program that does not care runs: " + ec.message());
    });
    CHECK(failures == "");
}

// -- A06, A07: failures among others ----------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("start: a thousand failing starts with three pipes each fail alike and keep no descriptor",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        const struct rlimit low { 1024, 1024 };
        if (!check.that(::setrlimit(RLIMIT_NOFILE, &low) == 0, "a limit of 1024 descriptors")) return;
        const std::size_t before = open_descriptor_count();
        {
            TestManager manager{TestType::mechanism, [](auto& config) { config.event_log.enabled = false; }};
            for (int i = 0; i < 1024; ++i) {
                warden::error_code ec;
                static_cast<void>(manager->spawn({"/no/such/program"}, with_three_pipes(), ec));
                if (!check.that(ec.value() == ENOENT, "start " + std::to_string(i) + ": " + ec.message())) return;
            }
        }
        check.that(open_descriptor_count() == before, "as many descriptors as before");
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("start: a failing start closes no descriptor of another thread", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::atomic<bool> done{false};
    std::atomic<int> stolen{0};
    std::thread other([&] {
        while (!done) {
            int pipes[20][2];
            ::ino_t nodes[20];
            for (int i = 0; i < 20; ++i) {
                struct stat status {};
                if (::pipe2(pipes[i], O_CLOEXEC) != 0 || ::fstat(pipes[i][0], &status) != 0) ++stolen;
                nodes[i] = status.st_ino;
            }
            std::this_thread::yield();
            for (int i = 0; i < 20; ++i) {
                struct stat status {};
                if (::fstat(pipes[i][0], &status) != 0 || status.st_ino != nodes[i]) ++stolen;
                if (::close(pipes[i][0]) != 0 || ::close(pipes[i][1]) != 0) ++stolen;
            }
        }
    });
    for (int i = 0; i < 200; ++i) {
        warden::error_code ec;
        static_cast<void>(manager->spawn({"/no/such/program"}, with_three_pipes(), ec));
        if (ec.value() != ENOENT) FAIL_CHECK("start " << i << ": " << ec.message());
    }
    done = true;
    other.join();
    CHECK(stolen == 0);
}

// -- A09: killed on the way -------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("start: a child that is killed before it can execute is a failed start, not a success", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism, [](auto& config) { config.spare_keepers = 1; }};
        if (!check.that(deny_system_calls({SYS_setgroups}, kill_instead), "a filter that kills")) return;
        if (TestType::mechanism == warden::Mechanism::keeper) {  // one with the filter
            const warden::Pid former = manager->guardian_pid();
            ::kill(former, SIGKILL);
            check.that(eventually([&] { return manager->guardian_pid() != former && manager->guardian_pid() != 0; }),
                       "a new guardian");
        }
        SpawnOptions options;
        options.identity.group = std::to_string(::getegid());  // setgroups(2): nobody but the child calls it
        for (int i = 0; i < 3; ++i) {
            warden::error_code ec;
            const auto process = manager->spawn(victim("exit", "0"), options, ec);
            check.that(ec == errc::launch_incomplete, "the error says so: " + ec.message());
            check.that(!process, "there is no process");
        }
    });
    CHECK(failures == "");
}

// -- A12: identity ----------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("start: another user comes with its groups, and none of the program's", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(::geteuid() == 0, "only root can become another user");
    const std::string failures = in_subprocess([](Checks& check) {
        const gid_t mine[] = {0, 4, 20};
        check.that(::setgroups(3, mine) == 0, "groups of its own");
        TestManager manager{TestType::mechanism};
        SpawnOptions options;
        options.identity.user = nobody;
        options.identity.group = "12345";
        const std::string out = manager->run(victim("limits"), options).out;
        check.that(out.find("ids 65534 65534 65534 12345 12345 12345\n") != std::string::npos, "the ids: " + out);
        for (const char* group : {" 0", " 4", " 20"}) {
            const auto at = out.find("\ngroups") + 7;
            check.that(
                (out.substr(at, out.find('\n', at) - at) + ' ').find(std::string(group) + ' ') == std::string::npos,
                "not the group" + std::string(group) + ": " + out);
        }
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("start: an unknown user is refused by name", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.identity.user = "no-such-user";
    const auto error = failed_start(*manager, victim("exit", "0"), options);
    CHECK(error.step() == SpawnStep::identity);
    CHECK(names(error, "no-such-user"));
}

TEST_CASE("start: without the right to it, another user is EPERM", "[start]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    SKIP_UNLESS(::geteuid() == 0, "only root can give up its rights");
    const TestDirectory place;
    ::chmod(place.path().c_str(), 01777);
    const std::string failures = in_subprocess([&](Checks& check) {
        if (!check.that(::setgroups(0, nullptr) == 0 && ::setresgid(65534, 65534, 65534) == 0 &&
                            ::setresuid(65534, 65534, 65534) == 0,
                        "rights given up"))
            return;
        ::setenv("TMPDIR", place.path().c_str(), 1);
        TestManager manager{warden::Mechanism::keeper};
        for (const char* user : {"0", "12345"}) {
            SpawnOptions options;
            options.identity.user = user;
            try {
                static_cast<void>(manager->spawn(victim("exit", "0"), options));
                check.failure("it started");
            } catch (const SpawnError& error) {
                check.that(error.step() == SpawnStep::identity, "the step: " + std::string(error.what()));
                check.that(error.code().value() == EPERM, "the code: " + error.code().message());
            }
        }
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("start: a program that has given up its rights does not give them to its children", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(::geteuid() == 0, "only root can give up its rights");
    const TestDirectory place;
    const std::string failures = in_subprocess([&](Checks& check) {
        ::setenv("TMPDIR", place.path().c_str(), 1);  // what it may not remove any more goes with this
        TestManager manager{TestType::mechanism};
        if (!check.that(::setgroups(0, nullptr) == 0 && ::setresgid(65534, 65534, 65534) == 0 &&
                            ::setresuid(65534, 65534, 65534) == 0,
                        "rights given up"))
            return;
        warden::error_code ec;
        const auto result = manager->run(victim("limits"), {}, {}, ec);
        if (ec) return;  // it may well be refused
        check.that(result.out.find("ids 65534 65534 65534 65534 65534 65534\n") != std::string::npos,
                   "the ids: " + result.out);
    });
    CHECK(failures == "");
}

// -- A16: files -------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("start: a log that is a directory is EISDIR, one below a file ENOTDIR, and a FIFO is not waited for",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto& place = manager.directory;
    const auto code_for = [&](const std::filesystem::path& log) {
        SpawnOptions options;
        options.log = {.directory = log.parent_path(), .naming = warden::LogNaming::pattern(log.filename().string())};
        const auto began = std::chrono::steady_clock::now();
        const auto error = failed_start(*manager, victim("exit", "0"), options);
        CHECK(std::chrono::steady_clock::now() - began < 5s);
        CHECK(error.step() == SpawnStep::log_file);
        return error.code().value();
    };
    std::filesystem::create_directories(place / "logs/taken.log");
    CHECK(code_for(place / "logs/taken.log") == EISDIR);
    CHECK(code_for(place.write("file", "") / "x.log") == ENOTDIR);
    ::mkfifo((place / "logs/fifo.log").c_str(), 0600);
    CHECK(code_for(place / "logs/fifo.log") != 0);
}

TEST_CASE("start: a log where this user may not write is EACCES", "[start]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    SKIP_UNLESS(::geteuid() == 0, "only root can give up its rights");
    const TestDirectory place;
    const TestDirectory closed;
    ::chmod(place.path().c_str(), 01777);
    const std::string failures = in_subprocess([&](Checks& check) {
        if (!check.that(::setresuid(65534, 65534, 65534) == 0, "rights given up")) return;
        ::setenv("TMPDIR", place.path().c_str(), 1);
        TestManager manager{warden::Mechanism::keeper};
        SpawnOptions options;
        options.log.directory = closed.path();
        try {
            static_cast<void>(manager->spawn(victim("exit", "0"), options));
            check.failure("it started");
        } catch (const SpawnError& error) {
            check.that(error.step() == SpawnStep::log_file, "the step: " + std::string(error.what()));
            check.that(error.code().value() == EACCES, "the code: " + error.code().message());
        }
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE(
    "start: an output file that cannot be written fails the start, and a FIFO without a reader does not hang it",
    "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto& place = manager.directory;
    ::mkfifo((place / "fifo").c_str(), 0600);
    const std::pair<std::filesystem::path, int> cases[] = {
        {place.path(), EISDIR}, {place / "missing/file", ENOENT}, {place / "fifo", ENXIO}};
    for (const auto& [path, code] : cases) {
        SpawnOptions options;
        options.stdout_ = Output::to_file(path);
        const auto error = failed_start(*manager, victim("exit", "0"), options);
        CHECK(error.step() == SpawnStep::output_file);
        CHECK(error.code().value() == code);
        CHECK(error.path() == path);
    }
}

TEMPLATE_TEST_CASE("start: a FIFO without a writer as input does not hang the start", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    const auto fifo = manager.directory / "fifo";
    ::mkfifo(fifo.c_str(), 0600);
    options.stdin_ = warden::Input::from_file(fifo);
    auto started = std::async(std::launch::async, [&] {
        warden::error_code ec;
        auto process = manager->spawn(victim("exit", "0"), options, ec);
        return static_cast<bool>(ec) || process.wait().known();
    });
    const bool returned = started.wait_for(5s) == std::future_status::ready;
    const int writer = ::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);  // lets it go on, if it waits
    CHECK(returned);
    CHECK(started.get());
    if (writer >= 0) ::close(writer);
}
