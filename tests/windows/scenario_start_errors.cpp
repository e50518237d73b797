// SPDX-License-Identifier: MIT
// A start that fails says so itself: the step, the path, the system's code; and nothing of it is left.
#include <warden/supervision/preflight.hpp>

#include <array>
#include <atomic>
#include <thread>

#include <windows/scenario_start.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::ExitCause;
using warden::Output;
using warden::SpawnOptions;
using warden::SpawnStep;

// -- the executable ---------------------------------------------------------------------------------------------------

TEST_CASE("scenario: a missing program is reported by spawn itself, with its path, and leaves no child", "[scenario]") {
    TestManager manager;
    const auto path = manager.directory / "no such program.exe";
    const auto error = failed_start(*manager, {path.string()}, with_three_pipes());
    CHECK(error.code() == windows_code(ERROR_FILE_NOT_FOUND));
    CHECK(error.step() == SpawnStep::executable);
    CHECK(error.path() == path);
    CHECK(names(error, path.string()));
    CHECK(manager->list().empty());
    CHECK(manager->metrics().spawn_failures_total == 1);
    CHECK(manager->metrics().spawned_total == 0);

    const auto unfound = failed_start(*manager, {"no-such-program-anywhere"});
    CHECK(unfound.code() == boost::system::errc::no_such_file_or_directory);
    CHECK(unfound.step() == SpawnStep::executable);
    CHECK(names(unfound, "PATH"));
}

TEST_CASE("scenario: the form with an error code leaves an empty handle and the same code", "[scenario]") {
    TestManager manager;
    warden::error_code ec;
    warden::ManagedProcess process = manager->spawn({"C:\\no\\such\\program.exe"}, {}, ec);
    CHECK(ec == failed_start(*manager, {"C:\\no\\such\\program.exe"}).code());
    CHECK_FALSE(process);
    CHECK(process.pid() == 0);
    warden::error_code wait_ec;
    static_cast<void>(process.wait(wait_ec));
    CHECK(wait_ec == errc::no_process);

    process = manager->spawn(victim("exit", "4"), {}, ec);
    CHECK_FALSE(ec);
    CHECK(process.wait().code() == 4);
}

TEST_CASE("scenario: a directory is no program, and a script is never given to a shell", "[scenario]") {
    TestManager manager;
    const auto directory = failed_start(*manager, {manager.directory.path().string()});
    CHECK(directory.code() == windows_code(ERROR_ACCESS_DENIED));
    CHECK(directory.step() == SpawnStep::executable);
    CHECK(directory.path() == manager.directory.path());
    CHECK(names(directory, "it is a directory"));

    const std::string text = "echo ran > \"" + (manager.directory / "ran").string() + "\"\r\n";
    for (const char* name : {"script", "script.txt", "script.exe", "script.vbs"}) {
        const auto script = write_file(manager.directory / name, text);
        const auto error = failed_start(*manager, {script.string()});
        INFO(error.what());
        CHECK(error.step() == SpawnStep::executable);
        CHECK(error.code() == windows_code(ERROR_BAD_EXE_FORMAT));
        CHECK(error.path() == script);
        CHECK(names(error, "a script needs its interpreter"));
    }
    CHECK_FALSE(std::filesystem::exists(manager.directory / "ran"));
}

// -- the working directory --------------------------------------------------------------------------------------------

TEST_CASE("scenario: a working directory that cannot be entered is told from a missing program", "[scenario]") {
    TestManager manager;
    const auto start_in = [&](const std::filesystem::path& directory) {
        return failed_start(*manager, victim("exit", "0"), {.working_directory = directory});
    };
    const auto missing = start_in(manager.directory / "missing");
    CHECK(missing.code() == boost::system::errc::no_such_file_or_directory);
    CHECK(missing.step() == SpawnStep::working_directory);
    CHECK(missing.path() == manager.directory / "missing");

    const auto file = start_in(write_file(manager.directory / "file", ""));
    CHECK(file.code() == windows_code(ERROR_DIRECTORY));
    CHECK(file.step() == SpawnStep::working_directory);
    CHECK(start_in("NUL").step() == SpawnStep::working_directory);
}

// -- failures among others --------------------------------------------------------------------------------------------

TEST_CASE("scenario: failing starts with three pipes each fail alike and keep no handle", "[scenario]") {
    TestManager manager([](warden::ManagerConfig& config) { config.event_log.enabled = false; });
    const auto fail = [&](const warden::CommandLine& command) {
        warden::error_code ec;
        static_cast<void>(manager->spawn(command, with_three_pipes(), ec));
        return ec;
    };
    const auto text = write_file(manager.directory / "text.exe", "no program");
    CHECK(manager->run(victim("exit", "0")).success());
    static_cast<void>(fail({text.string()}));  // whatever is opened once is open now
    const int settled = handle_count();
    for (int i = 0; i < 60; ++i) {
        REQUIRE(fail({"no-such-program"}) == windows_code(ERROR_FILE_NOT_FOUND));
        REQUIRE(fail({text.string()}) == windows_code(ERROR_BAD_EXE_FORMAT));  // only the launch finds that out
    }
    CHECK(eventually([&] { return handle_count() <= settled + 4; }, 10s));  // of 120 starts with six ends each
}

TEST_CASE("scenario: a failing start closes no handle of another thread", "[scenario]") {
    TestManager manager;
    std::atomic<bool> done = false;
    std::atomic<int> stolen = 0;
    std::thread other([&] {
        std::array<HANDLE, 20> events{};
        while (!done) {
            for (std::size_t i = 0; i < events.size(); ++i) events[i] = ::CreateEventW(nullptr, TRUE, i % 2, nullptr);
            std::this_thread::yield();
            for (std::size_t i = 0; i < events.size(); ++i) {
                if (::WaitForSingleObject(events[i], 0) != (i % 2 ? WAIT_OBJECT_0 : WAIT_TIMEOUT)) ++stolen;
                if (!::CloseHandle(events[i])) ++stolen;
            }
        }
    });
    for (int i = 0; i < 100; ++i) {
        warden::error_code ec;
        static_cast<void>(manager->spawn({"no-such-program"}, with_three_pipes(), ec));
        if (ec != windows_code(ERROR_FILE_NOT_FOUND)) FAIL_CHECK("start " << i << ": " << ec.message());
    }
    done = true;
    other.join();
    CHECK(stolen == 0);
}

TEST_CASE("scenario: among a hundred failed starts a good child's exit is delivered exactly once", "[scenario]") {
    TestManager manager;
    std::atomic<int> exits = 0;
    const auto subscription =
        manager->subscribe([&](const warden::Event& event) { exits += event.kind == warden::EventKind::exit; });
    std::atomic<int> waited = 0;
    auto good = manager->spawn(victim("stdin-to-stdout"), with_three_pipes());
    good.async_wait(
        [&](const warden::error_code& ec, const warden::ExitStatus& status) { waited += !ec && status.success(); });
    for (int i = 0; i < 100; ++i) {
        warden::error_code ec;
        static_cast<void>(manager->spawn({"no-such-program"}, with_three_pipes(), ec));
        if (i == 50) good.close_stdin();
    }
    CHECK(good.wait().success());
    CHECK(eventually([&] { return exits == 1 && waited == 1; }));
    static_cast<void>(manager->run(victim("exit", "0")));  // whatever came twice has come by now
    CHECK(eventually([&] { return exits == 2; }));
    CHECK(waited == 1);
}

// -- at once ----------------------------------------------------------------------------------------------------------

TEST_CASE("scenario: no start waits for a sibling that lives on", "[scenario]") {
    TestManager manager;
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            std::vector<warden::ManagedProcess> long_lived;
            for (int i = 0; i < 3; ++i) {
                long_lived.push_back(manager->spawn(victim("sleep-forever"), with_three_pipes()));
                good += manager->run(victim("exit", "9")).status.code() == 9;
            }
            for (auto& process : long_lived) process.kill();
            for (auto& process : long_lived) good += process.wait().signaled();
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(good == 3 * 6);
}

TEST_CASE("scenario: a program just written is executed while other threads start too", "[scenario]") {
    TestManager manager;
    std::vector<std::thread> threads;
    std::atomic<int> ran = 0;
    std::atomic<int> busy = 0;  // somebody else looks at it: a scanner
    std::atomic<int> wrong = 0;
    const std::string program = read_file(beside("windows_victim.exe"));
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 5; ++i) {
                const auto path = write_file(
                    manager.directory / ("fresh" + std::to_string(t) + '-' + std::to_string(i) + ".exe"), program);
                warden::error_code ec;
                const auto result = manager->run({path.string(), "exit", "7"}, {}, {}, ec);
                if (ec == windows_code(ERROR_SHARING_VIOLATION)) ++busy;
                else if (!ec && result.status.code() == 7) ++ran;
                else ++wrong;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(ran + busy == 15);
    CHECK(ran > 0);
}

// -- files ------------------------------------------------------------------------------------------------------------

TEST_CASE("scenario: a log that cannot be opened fails the start before there is a child, and never waits",
          "[scenario]") {
    TestManager manager;
    const auto& place = manager.directory;
    const auto ran = place / "ran";
    const auto start_with_log = [&](const std::filesystem::path& directory, const std::string& name) {
        SpawnOptions options;
        options.log.directory = directory;
        options.log.naming = warden::LogNaming::pattern(name);
        const auto error = failed_start(*manager, victim("streams", ran.string()), options);
        INFO(error.what());
        CHECK(error.step() == SpawnStep::log_file);
        CHECK(error.path() == directory / name);
        CHECK(error.code());
    };
    std::filesystem::create_directories(place / "logs/taken.log");
    start_with_log(place / "logs", "taken.log");
    start_with_log(place / "logs", "con.log");  // a device, in any directory
    write_file(place / "file", "");
    start_with_log(place / "file", "x.log");
    CHECK_FALSE(std::filesystem::exists(ran));
    CHECK(manager->metrics().spawned_total == 0);
}

TEST_CASE("scenario: an output file that cannot be written fails the start, and a busy pipe does not hang it",
          "[scenario]") {
    TestManager manager;
    const std::wstring pipe = L"\\\\.\\pipe\\warden-test-" + std::to_wstring(::GetCurrentProcessId());
    const HANDLE server = ::CreateNamedPipeW(pipe.c_str(), PIPE_ACCESS_DUPLEX, PIPE_TYPE_BYTE, 1, 0, 0, 0, nullptr);
    REQUIRE(server != INVALID_HANDLE_VALUE);
    const HANDLE client =
        ::CreateFileW(pipe.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr, OPEN_EXISTING, 0, nullptr);
    REQUIRE(client != INVALID_HANDLE_VALUE);
    const std::pair<std::filesystem::path, DWORD> cases[] = {{manager.directory.path(), ERROR_ACCESS_DENIED},
                                                             {manager.directory / "missing/file", ERROR_PATH_NOT_FOUND},
                                                             {pipe, ERROR_PIPE_BUSY}};
    for (const auto& [path, code] : cases) {
        SpawnOptions options;
        options.stdout_ = Output::to_file(path);
        const auto error = failed_start(*manager, victim("exit", "0"), options);
        INFO(error.what());
        CHECK(error.step() == SpawnStep::output_file);
        CHECK(error.code() == windows_code(code));
        CHECK(error.path() == path);
    }
    ::CloseHandle(client);
    ::CloseHandle(server);
}

TEST_CASE("scenario: an input file that is missing fails the start", "[scenario]") {
    TestManager manager;
    SpawnOptions options;
    options.stdin_ = warden::Input::from_file(manager.directory / "missing");
    const auto error = failed_start(*manager, victim("exit", "0"), options);
    CHECK(error.step() == SpawnStep::input_file);
    CHECK(error.code() == windows_code(ERROR_FILE_NOT_FOUND));
    CHECK(error.path() == manager.directory / "missing");
}

// -- checks before the start ------------------------------------------------------------------------------------------

TEST_CASE("scenario: a start is refused with every failed check named, and nothing is started", "[scenario]") {
    TestManager manager;
    namespace preflight = warden::preflight;
    const SpawnOptions options{
        .preflight = {preflight::command_succeeds(*manager, warden::CommandLine::shell("echo no licence>&2& exit 4")),
                      preflight::environment_set("WARDEN_TEST_SURELY_NOT_SET"),
                      preflight::command_succeeds(*manager, victim("exit", "0"))}};
    const auto error = failed_start(*manager, victim("sleep-forever"), options);
    INFO(error.what());
    CHECK(error.step() == SpawnStep::preflight);
    CHECK(error.code() == errc::preflight_failed);
    CHECK(names(error, "exited with code 4"));
    CHECK(names(error, "no licence"));
    CHECK(names(error, "WARDEN_TEST_SURELY_NOT_SET"));
    CHECK_FALSE(names(error, "windows_victim.exe --lines exit 0"));
    CHECK(manager->active_pids().empty());
    auto process = manager->spawn(victim("exit", "0"),
                                  {.preflight = {preflight::command_succeeds(*manager, victim("exit", "0"))}});
    CHECK(process.wait().success());
}
