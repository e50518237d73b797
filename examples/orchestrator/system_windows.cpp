// SPDX-License-Identifier: MIT
// The hostile programs are this one again: Windows has no shell that could play all of the parts.
#include "system.hpp"
#include <warden/supervision/http_stop.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <io.h>
#include <windows.h>

namespace demo {
namespace {

using warden::CommandLine;
using namespace std::chrono_literals;

constexpr UINT killed_code = 9;
constexpr std::string_view part_flag = "--part";

std::wstring own_path() {
    std::wstring path(32'768, L'\0');
    path.resize(::GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())));
    return path;
}

std::string own_name() {
    const std::u8string path = std::filesystem::path(own_path()).u8string();
    return {path.begin(), path.end()};
}

CommandLine part(const std::string& name, const std::string& more = {}) {
    return {own_name(), std::string(part_flag), name, more};
}

int write_log_lines(std::uint64_t bytes) {
    std::string text;
    while (text.size() < 1 << 16) text += "2026-01-31 12:00:00 INFO worker-7 epoch 3 step 1200 loss 0.4731 lr 0.0003\n";
    while (bytes > 0) {
        const auto wanted = static_cast<DWORD>(std::min<std::uint64_t>(bytes, text.size()));
        DWORD written = 0;
        if (!::WriteFile(::GetStdHandle(STD_OUTPUT_HANDLE), text.data(), wanted, &written, nullptr)) return 1;
        bytes -= written;
    }
    return 0;
}

int train() {
    for (int step = 1; step <= 20; ++step) {
        std::cout << "step " << step << " of 20" << std::endl;
        std::this_thread::sleep_for(150ms);
    }
    return 0;
}

BOOL WINAPI ignore(DWORD) { return TRUE; }

/// Starts itself without console, handles and environment, in a group of its own.
int leave_a_grandchild() {
    std::wstring line = L"demo --part sleeper";
    STARTUPINFOW settings{};
    settings.cb = sizeof settings;
    PROCESS_INFORMATION made{};
    wchar_t nothing[] = L"\0";
    constexpr DWORD flags = DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP | CREATE_UNICODE_ENVIRONMENT;
    if (!::CreateProcessW(own_path().c_str(), line.data(), nullptr, nullptr, FALSE, flags, nothing, nullptr, &settings,
                          &made))
        return 1;
    ::CloseHandle(made.hThread);
    ::CloseHandle(made.hProcess);
    std::cout << "pid " << made.dwProcessId << std::endl;
    return 0;
}

}  // namespace

constexpr std::string_view request_name = "CTRL_BREAK", kill_name = "TerminateProcess";
constexpr std::uint64_t flood_bytes = 1u << 26, chatter_bytes = 1u << 24;

bool requests_arrive() {
    const bool is_wine = ::GetProcAddress(::GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != nullptr;
    return !is_wine || ::GetConsoleCP() != 0;
}

std::string content_of(const std::filesystem::path& path) {
    constexpr DWORD share_all = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    const HANDLE file = ::CreateFileW(path.c_str(), GENERIC_READ, share_all, nullptr, OPEN_EXISTING, 0, nullptr);
    if (file == INVALID_HANDLE_VALUE) return {};
    std::string text;
    std::string block(1 << 16, '\0');
    DWORD size = 0;
    while (::ReadFile(file, block.data(), static_cast<DWORD>(block.size()), &size, nullptr) && size > 0)
        text.append(block, 0, size);
    ::CloseHandle(file);
    return text;
}

CommandLine writer_of(std::uint64_t bytes) { return part("writer", std::to_string(bytes)); }
CommandLine trainer() { return part("trainer"); }
CommandLine stubborn() { return part("stubborn"); }
CommandLine escape(const std::string&) { return part("escape"); }
CommandLine sleeper() { return part("sleeper"); }
CommandLine second_host(const std::string& marker) { return {own_name(), second_host_flag, marker}; }

/// CTRL_BREAK would end it at once, and Wine without a terminal has none.
warden::StopPlan server_plan(std::uint16_t port) {
    return warden::StopPlan{}.call(warden::http_stop({.port = port}), 2s).terminate(500ms).kill(2s).last_resort(1s);
}

std::optional<int> play_a_part(int argc, char** argv) {
    if (argc < 3 || argv[1] != part_flag) return std::nullopt;
    const std::string_view name = argv[2];
    ::_setmode(1, _O_BINARY);
    if (name == "writer" && argc == 4) return write_log_lines(std::stoull(argv[3]));
    if (name == "trainer") return train();
    if (name == "escape") return leave_a_grandchild();
    if (name == "stubborn") {
        ::SetConsoleCtrlHandler(&ignore, TRUE);
        std::cout << "CTRL_BREAK? no." << std::endl;
        wait_for_ever();
    }
    if (name == "sleeper") {
        std::cout << "this will take a while" << std::endl;
        wait_for_ever();
    }
    return 64;
}

void wait_for_ever() {
    for (;;) ::Sleep(INFINITE);
}

void kill_host(warden::ManagedProcess& host) {
    const std::unique_ptr<void, decltype(&::CloseHandle)> process(
        ::OpenProcess(PROCESS_TERMINATE, FALSE, static_cast<DWORD>(host.pid())), &::CloseHandle);
    ::TerminateProcess(process.get(), killed_code);
}

bool was_killed(const warden::ExitStatus& status) { return status.code() == static_cast<int>(killed_code); }

std::optional<std::size_t> terminal_width() {
    const HANDLE output = ::GetStdHandle(STD_OUTPUT_HANDLE);
    DWORD mode = 0;
    constexpr DWORD escapes = 0x0004;  // ENABLE_VIRTUAL_TERMINAL_PROCESSING
    if (!::GetConsoleMode(output, &mode) || !::SetConsoleMode(output, mode | escapes)) return std::nullopt;
    CONSOLE_SCREEN_BUFFER_INFO buffer{};
    return ::GetConsoleScreenBufferInfo(output, &buffer) ? static_cast<std::size_t>(buffer.dwSize.X) : 0;
}

std::uint64_t own_pid() { return ::GetCurrentProcessId(); }

}  // namespace demo
