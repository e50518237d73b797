// SPDX-License-Identifier: MIT
// wardenctl on Windows: handles and console events.

#include "system.hpp"
#include <warden/logs/log_follower.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>

#include <windows.h>
// after windows.h
#include <shellapi.h>
#include <winternl.h>

namespace wardenctl {
namespace {

/// As shells on other systems tell of a filter that nobody reads.
constexpr UINT no_reader = 141;

std::error_code code_of(DWORD error) {
    const bool nobody_reads = error == ERROR_BROKEN_PIPE || error == ERROR_NO_DATA || error == ERROR_PIPE_NOT_CONNECTED;
    if (nobody_reads) return std::make_error_code(std::errc::broken_pipe);
    return {static_cast<int>(error), std::system_category()};
}

/// Whether our stdout is a pipe whose reader has closed it. Nothing can be waited for that would say so.
bool reader_is_gone() {
    constexpr ULONG closing = 4;  // FILE_PIPE_CLOSING_STATE
    ::IO_STATUS_BLOCK done{};
    ::FILE_PIPE_LOCAL_INFORMATION pipe{};
    return ::NtQueryInformationFile(::GetStdHandle(STD_OUTPUT_HANDLE), &done, &pipe, sizeof(pipe),
                                    FilePipeLocalInformation) >= 0 &&
           pipe.NamedPipeState == closing;
}

}  // namespace

std::vector<std::string> begin(int, char**) {
    int count = 0;
    const std::unique_ptr<wchar_t*, decltype(&::LocalFree)> words(::CommandLineToArgvW(::GetCommandLineW(), &count),
                                                                  &::LocalFree);
    if (!words) throw std::system_error(code_of(::GetLastError()), "the command line cannot be read");
    std::vector<std::string> result;
    for (int i = 1; i < count; ++i) {
        const std::u8string word = std::filesystem::path(words.get()[i]).u8string();
        result.emplace_back(word.begin(), word.end());
    }
    return result;
}

std::error_code copy_to(warden::Stream stream, std::string_view text) {
    constexpr std::size_t max_bytes = 1 << 20;
    const HANDLE handle = ::GetStdHandle(stream == warden::Stream::stdout_ ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE);
    while (!text.empty()) {
        DWORD size = 0;
        const auto wanted = static_cast<DWORD>(std::min(text.size(), max_bytes));
        if (::WriteFile(handle, text.data(), wanted, &size, nullptr) == 0) return code_of(::GetLastError());
        if (size == 0) return code_of(ERROR_WRITE_FAULT);  // a pipe that does not wait for its reader
        text.remove_prefix(size);
    }
    return {};
}

bool is_terminal(warden::Stream stream) {
    DWORD mode = 0;
    const DWORD which = stream == warden::Stream::stdout_ ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE;
    return ::GetConsoleMode(::GetStdHandle(which), &mode) != 0;
}

std::size_t terminal_columns() {
    CONSOLE_SCREEN_BUFFER_INFO screen{};
    if (!is_terminal()) return 0;
    if (::GetConsoleScreenBufferInfo(::GetStdHandle(STD_OUTPUT_HANDLE), &screen) == 0) return 80;
    return static_cast<std::size_t>(screen.srWindow.Right - screen.srWindow.Left + 1);
}

bool may_use_colours() { return false; }  // a console obeys no escape sequences unless it is told to

warden::StopPlan plan_without_reader() { return warden::StopPlan::standard(); }

void end_without_reader() { ::ExitProcess(no_reader); }

bool wait_for_more(const warden::LogFollower& follower) {
    constexpr auto longest = warden::detail::PathWatch::look_interval;
    const HANDLE event = warden::detail::LogFollowerAccess::wait_handle(follower);
    if (::WaitForSingleObject(event, static_cast<DWORD>(longest.count())) == WAIT_FAILED)
        throw std::system_error(code_of(::GetLastError()), "WaitForSingleObject");
    return !reader_is_gone();
}

namespace {

HANDLE bell_ended = nullptr;
HANDLE bell_interrupt = nullptr;
HANDLE bell_quit = nullptr;

BOOL WINAPI on_request(DWORD event) {
    ::SetEvent(event == CTRL_BREAK_EVENT ? bell_quit : bell_interrupt);
    return TRUE;
}

}  // namespace

Bell::Bell() {
    for (HANDLE* const event : {&bell_ended, &bell_interrupt, &bell_quit}) {
        *event = ::CreateEventW(nullptr, FALSE, FALSE, nullptr);
        if (*event == nullptr) throw std::system_error(code_of(::GetLastError()), "CreateEvent");
    }
    ::SetConsoleCtrlHandler(on_request, TRUE);
}

Bell::~Bell() {
    ::SetConsoleCtrlHandler(on_request, FALSE);
    for (const HANDLE event : {bell_ended, bell_interrupt, bell_quit}) ::CloseHandle(event);
}

void Bell::ring() noexcept { ::SetEvent(bell_ended); }

Attention Bell::wait(const warden::LogFollower& follower) {
    constexpr auto longest = warden::detail::PathWatch::look_interval;
    const HANDLE events[] = {bell_interrupt, bell_quit, bell_ended,
                             warden::detail::LogFollowerAccess::wait_handle(follower)};
    switch (::WaitForMultipleObjects(4, events, FALSE, static_cast<DWORD>(longest.count()))) {
        case WAIT_OBJECT_0: return Attention::interrupt;
        case WAIT_OBJECT_0 + 1: return Attention::quit;
        case WAIT_OBJECT_0 + 2: return Attention::ended;
        case WAIT_FAILED: throw std::system_error(code_of(::GetLastError()), "WaitForMultipleObjects");
        default: return reader_is_gone() ? Attention::no_reader : Attention::output;
    }
}

void wait_for_own_end() {
    for (;;) ::Sleep(INFINITE);
}

}  // namespace wardenctl
