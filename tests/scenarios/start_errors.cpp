// SPDX-License-Identifier: MIT
// A start that fails says so itself: the step, the path, the system's code; and nothing of it is left.
#include <support/start.hpp>
#include <warden/supervision/preflight.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::SpawnOptions;
using warden::SpawnStep;

namespace {

#if WARDEN_OS_WINDOWS
const std::string missing_program = "C:\\no\\such\\program.exe";
const auto no_permission = system_code(5);  // ERROR_ACCESS_DENIED
const auto no_program = system_code(193);   // ERROR_BAD_EXE_FORMAT
const std::string advice = "a script needs its interpreter";
const auto no_directory = system_code(267);  // ERROR_DIRECTORY
const auto busy_file = system_code(32);      // ERROR_SHARING_VIOLATION: somebody else looks at it, a scanner
const std::string device = "NUL";
const std::vector<std::string> logs_of_devices{"con.log"};  // in any directory
const std::string complain_and_fail = "echo no licence>&2& exit 4";
constexpr int starters = 3;
constexpr int rounds = 3;
constexpr int fresh_files = 5;
#else
const std::string missing_program = "/no/such/program";
const auto no_permission = system_code(EACCES);
const auto no_program = system_code(ENOEXEC);
const std::string advice = "a script needs a first line such as #!";
const auto no_directory = system_code(ENOTDIR);
const auto busy_file = system_code(ETXTBSY);  // a child that is just born still has it open for writing
const std::string device = "/dev/null";
const std::vector<std::string> logs_of_devices{};
const std::string complain_and_fail = "echo no licence >&2; exit 4";
constexpr int starters = 4;
constexpr int rounds = 5;
constexpr int fresh_files = 60;
#endif

}  // namespace

// -- A01, A03, A04: the executable ------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("start: a missing program is reported by spawn itself, with its path, and leaves no child",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto path = manager.directory / "no such program.exe";
    const auto error = failed_start(*manager, {path.string()}, with_three_pipes());
    CHECK(error.code() == no_such_file);
    CHECK(error.step() == SpawnStep::executable);
    CHECK(error.path() == path);
    CHECK(names(error, path.string()));
    CHECK(manager->list().empty());
    CHECK(manager->metrics().spawn_failures_total == 1);
    CHECK(manager->metrics().spawned_total == 0);

    const auto unfound = failed_start(*manager, {"no-such-program-anywhere"});
    CHECK(unfound.code() == no_such_file);
    CHECK(unfound.step() == SpawnStep::executable);
    CHECK(names(unfound, "in no directory of PATH"));
}

TEMPLATE_TEST_CASE("start: the form with an error code leaves an empty handle and the same code", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    warden::error_code ec;
    warden::ManagedProcess process = manager->spawn({missing_program}, {}, ec);
    CHECK(ec == boost::system::errc::no_such_file_or_directory);
    CHECK(ec == failed_start(*manager, {missing_program}).code());
    CHECK_FALSE(process);
    CHECK(process.pid() == 0);
    warden::error_code wait_ec;
    static_cast<void>(process.wait(wait_ec));
    CHECK(wait_ec == errc::no_process);

    process = manager->spawn(play("exit", "4"), {}, ec);
    CHECK_FALSE(ec);
    CHECK(process.wait().code() == 4);
}

TEMPLATE_TEST_CASE("start: a directory is no program", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto error = failed_start(*manager, {manager.directory.path().string()});
    CHECK(error.code() == no_permission);
    CHECK(error.step() == SpawnStep::executable);
    CHECK(error.path() == manager.directory.path());
    CHECK(names(error, "it is a directory"));
}

TEMPLATE_TEST_CASE("start: a script that does not say what runs it is never given to a shell", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string text = "echo ran > \"" + (manager.directory / "ran").string() + "\"\r\n";
    for (const char* name : {"script", "script.txt", "script.exe", "script.vbs"}) {
        const auto script = manager.directory.write(name, text, 0755);
        const auto error = failed_start(*manager, {script.string()});
        INFO(error.what());
        CHECK(error.step() == SpawnStep::executable);
        CHECK(error.code() == no_program);
        CHECK(error.path() == script);
        CHECK(names(error, "it is no program of this system"));
        CHECK(names(error, advice));
    }
    CHECK_FALSE(std::filesystem::exists(manager.directory / "ran"));
}

// -- A02: the working directory ---------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("start: a working directory that cannot be entered is told from a missing program", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto start_in = [&](const std::filesystem::path& directory) {
        const auto error = failed_start(*manager, play("exit", "0"), {.working_directory = directory});
        CHECK(error.step() == SpawnStep::working_directory);
        return error;
    };
    const auto missing = start_in(manager.directory / "missing");
    CHECK(missing.code() == boost::system::errc::no_such_file_or_directory);
    CHECK(missing.path() == manager.directory / "missing");
    CHECK(start_in(manager.directory.write("file", "")).code() == no_directory);
    CHECK(start_in(device).code());
}

// -- A15, A10, A11: failures among others, and starts at once ---------------------------------------------------------

TEMPLATE_TEST_CASE("start: among a hundred failed starts a good child's exit is delivered exactly once", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::atomic<int> exits{0};
    const auto subscription =
        manager->subscribe([&](const warden::Event& event) { exits += event.kind == warden::EventKind::exit; });
    std::atomic<int> waited{0};
    auto good = manager->spawn(play("echo"), with_three_pipes());
    good.async_wait(
        [&](const warden::error_code& ec, const warden::ExitStatus& status) { waited += !ec && status.success(); });
    for (int i = 0; i < 100; ++i) {
        warden::error_code ec;
        static_cast<void>(manager->spawn({"no-such-program"}, with_three_pipes(), ec));
        if (i == 50) good.close_stdin();
    }
    CHECK(good.wait().success());
    CHECK(eventually([&] { return exits == 1 && waited == 1; }));
    static_cast<void>(manager->run(play("exit", "0")));  // whatever came twice has come by now
    CHECK(eventually([&] { return exits == 2; }));
    CHECK(waited == 1);
}

TEMPLATE_TEST_CASE("start: no start waits for a sibling that lives on", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int t = 0; t < starters; ++t) {
        threads.emplace_back([&] {
            std::vector<warden::ManagedProcess> long_lived;
            for (int i = 0; i < rounds; ++i) {
                long_lived.push_back(manager->spawn(play("stay"), with_three_pipes()));
                good += manager->run(play("exit", "9")).status.code() == 9;
            }
            for (auto& process : long_lived) process.kill();
            for (auto& process : long_lived) good += process.wait().signal() == kill_signal;
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(good == starters * rounds * 2);
}

TEMPLATE_TEST_CASE("start: a file just written is executed, or its start says that it is busy, while others start too",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::thread> threads;
    std::atomic<int> ran = 0;
    std::atomic<int> busy = 0;
    std::atomic<int> wrong = 0;
    const std::string program = read_file(play().program());
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < fresh_files; ++i) {
                const auto path = manager.directory.write(
                    "fresh" + std::to_string(t) + '-' + std::to_string(i) + ".exe", program, 0755);
                warden::error_code ec;
                const auto result = manager->run({path.string(), "exit", "7"}, {}, {}, ec);
                if (ec == busy_file) ++busy;
                else if (!ec && result.status.code() == 7) ++ran;
                else ++wrong;
                std::error_code ignored;
                std::filesystem::remove(path, ignored);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(ran + busy == 3 * fresh_files);
    CHECK(ran > 0);
}

// -- A16: files -------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("start: a log that cannot be opened fails the start before there is a child, and never waits",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto& place = manager.directory;
    std::filesystem::create_directories(place / "logs/taken.log");
    std::vector<std::filesystem::path> logs{place / "logs/taken.log", place.write("file", "") / "x.log"};
    for (const auto& name : logs_of_devices) logs.push_back(place / "logs" / name);
    for (const auto& log : logs) {
        SpawnOptions options;
        options.log.directory = log.parent_path();
        options.log.naming = warden::LogNaming::pattern(log.filename().string());
        const auto began = std::chrono::steady_clock::now();
        const auto error = failed_start(*manager, play("append", (place / "ran").string(), "x"), options);
        INFO(error.what());
        CHECK(std::chrono::steady_clock::now() - began < 5s);
        CHECK(error.step() == SpawnStep::log_file);
        CHECK(error.path() == log);
        CHECK(error.code());
    }
    CHECK_FALSE(std::filesystem::exists(place / "ran"));
    CHECK(manager->metrics().spawned_total == 0);
}

TEMPLATE_TEST_CASE("start: an input file that is missing fails the start", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdin_ = warden::Input::from_file(manager.directory / "missing");
    const auto error = failed_start(*manager, play("exit", "0"), options);
    CHECK(error.step() == SpawnStep::input_file);
    CHECK(error.code() == no_such_file);
    CHECK(error.path() == manager.directory / "missing");
}

// -- checks that need a manager themselves ----------------------------------------------------------------------------

TEMPLATE_TEST_CASE("preflight: a start is refused with every failed check named, and nothing is started",
                   "[start][preflight]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    namespace preflight = warden::preflight;
    const auto good = play("exit", "0");
    const SpawnOptions options{
        .preflight = {preflight::command_succeeds(*manager, warden::CommandLine::shell(complain_and_fail)),
                      preflight::environment_set("WARDEN_TEST_SURELY_NOT_SET"),
                      preflight::command_succeeds(*manager, good)}};
    const auto error = failed_start(*manager, play("stay"), options);
    INFO(error.what());
    CHECK(error.step() == SpawnStep::preflight);
    CHECK(error.code() == errc::preflight_failed);
    CHECK(names(error, "exited with code 4"));
    CHECK(names(error, "no licence"));
    CHECK(names(error, "WARDEN_TEST_SURELY_NOT_SET"));
    CHECK_FALSE(names(error, good.to_string()));
    CHECK(manager->active_pids().empty());
    CHECK(manager->spawn(good, {.preflight = {preflight::command_succeeds(*manager, good)}}).wait().success());
}
