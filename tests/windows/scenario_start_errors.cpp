// SPDX-License-Identifier: MIT
// How starts fail on Windows, besides what scenarios/start_errors.cpp says of all systems.
#include <array>
#include <atomic>
#include <thread>

#include <windows/scenario_start.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::Output;
using warden::SpawnOptions;
using warden::SpawnStep;

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
        REQUIRE(fail({"no-such-program"}) == system_code(ERROR_FILE_NOT_FOUND));
        REQUIRE(fail({text.string()}) == system_code(ERROR_BAD_EXE_FORMAT));  // only the launch finds that out
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
        if (ec != system_code(ERROR_FILE_NOT_FOUND)) FAIL_CHECK("start " << i << ": " << ec.message());
    }
    done = true;
    other.join();
    CHECK(stolen == 0);
}

// -- files ------------------------------------------------------------------------------------------------------------

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
        CHECK(error.code() == system_code(code));
        CHECK(error.path() == path);
    }
    ::CloseHandle(client);
    ::CloseHandle(server);
}
