// SPDX-License-Identifier: MIT
// The statuses that children end with, and the program's own children, which are left alone.
#include <atomic>
#include <cstdlib>

#include <windows/scenario_start.hpp>

using namespace support;
using warden::ExitCause;
using warden::ExitStatus;

TEST_CASE("scenario: every kind of exit code arrives as it is", "[scenario]") {
    TestManager manager;
    for (const char* code : {"0", "1", "2", "64", "125", "127", "128", "137", "143", "255", "256", "259", "65536",
                             "0x7FFFFFFF", "0x80000000", "0xE0570009", "0xFFFFFFFF"}) {
        const auto result = manager->run(victim("exit", code));
        INFO("exit(" << code << ") arrived as: " << result.status << ", " << result.cause);
        CHECK(result.status == ExitStatus::from_code(std::strtoll(code, nullptr, 0)));
        CHECK(result.cause == ExitCause::exited);
        CHECK(result.success() == (code == std::string("0")));
    }
}

TEST_CASE("scenario: every fatal exception arrives as its code, and the cause is a crash", "[scenario]") {
    TestManager manager;
    for (const char* code : {"0xC0000005", "0xC0000094", "0xC000001D", "0xC00000FD", "0xC0000374"}) {
        const auto result = manager->run(victim("raise", code));
        INFO(code << " arrived as: " << result.status << ", " << result.cause);
        CHECK(result.status == ExitStatus::from_code(std::strtoll(code, nullptr, 0)));
        CHECK(result.cause == ExitCause::crashed);
        CHECK_FALSE(result.success());
    }
}

TEST_CASE("scenario: a child that does not read its input does not disturb the program", "[scenario]") {
    TestManager manager;
    warden::error_code ec;
    const auto result = manager->run(victim("exit", "3"), {}, std::string(1 << 20, 'x'), ec);
    CHECK_FALSE(ec);
    CHECK(result.status.code() == 3);
    CHECK(result.cause == ExitCause::exited);
}

TEST_CASE("scenario: the program's own children are left alone", "[scenario]") {
    STARTUPINFOW settings{};
    settings.cb = sizeof settings;
    settings.dwFlags = STARTF_USESTDHANDLES;
    PROCESS_INFORMATION own{};
    const std::wstring program = std::filesystem::path(beside("windows_victim.exe")).native();
    std::wstring line = L"victim sleep-forever";
    REQUIRE(
        ::CreateProcessW(program.c_str(), line.data(), nullptr, nullptr, FALSE, 0, nullptr, nullptr, &settings, &own));
    {
        TestManager manager;
        auto process = manager->spawn(victim("sleep-forever"), {.stop_plan = warden::StopPlan::now()});
        CHECK(std::system("exit 5") == 5);
        for (const auto& member : process.tree()) CHECK(member.pid != static_cast<warden::Pid>(own.dwProcessId));
        static_cast<void>(manager->cleanup_all());
        CHECK(process.wait().known());
    }
    CHECK(::WaitForSingleObject(own.hProcess, 0) == WAIT_TIMEOUT);
    ::TerminateProcess(own.hProcess, 9);
    CHECK(::WaitForSingleObject(own.hProcess, 20'000) == WAIT_OBJECT_0);
    DWORD code = 0;
    CHECK(::GetExitCodeProcess(own.hProcess, &code));
    CHECK(code == 9);
    ::CloseHandle(own.hThread);
    ::CloseHandle(own.hProcess);
}

TEST_CASE("scenario: a process whose handle is gone has left none in the program", "[scenario]") {
    TestManager manager;
    const auto run = [&] {
        auto process = manager->spawn(victim("exit", "0"), with_three_pipes());
        CHECK(process.wait().success());
    };
    for (int i = 0; i < 3; ++i) run();
    const int settled = handle_count();
    for (int i = 0; i < 20; ++i) run();
    CHECK(eventually([&] { return handle_count() <= settled + 4; }, std::chrono::seconds(10)));
}
