// SPDX-License-Identifier: MIT
#include "system.hpp"

#include <cwchar>

#include <windows.h>

namespace player {
namespace {

std::string in_utf8(std::wstring_view text) {
    std::string bytes(text.size() * 3, '\0');
    bytes.resize(static_cast<std::size_t>(
        text.empty() ? 0
                     : WideCharToMultiByte(CP_UTF8, 0, text.data(), static_cast<int>(text.size()), bytes.data(),
                                           static_cast<int>(bytes.size()), nullptr, nullptr)));
    return bytes;
}

std::wstring in_utf16(std::string_view bytes) {
    std::wstring text(bytes.size(), L'\0');
    text.resize(static_cast<std::size_t>(
        bytes.empty() ? 0
                      : MultiByteToWideChar(CP_UTF8, 0, bytes.data(), static_cast<int>(bytes.size()), text.data(),
                                            static_cast<int>(text.size()))));
    return text;
}

std::wstring own_path() {
    std::wstring path(32'768, L'\0');
    path.resize(GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())));
    return path;
}

void write_all(HANDLE to, std::string_view text) {
    while (!text.empty()) {
        DWORD written = 0;
        if (!WriteFile(to, text.data(), static_cast<DWORD>(text.size()), &written, nullptr)) ExitProcess(1);
        text.remove_prefix(written);
    }
}

}  // namespace

void put(Stream to, std::string_view text) {
    write_all(GetStdHandle(to == Stream::out ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE), text);
}

std::string read_input(std::size_t size) {
    std::string text(size, '\0');
    DWORD read = 0;
    if (!ReadFile(GetStdHandle(STD_INPUT_HANDLE), text.data(), static_cast<DWORD>(size), &read, nullptr)) read = 0;
    text.resize(read);
    return text;
}

void close_output() {
    CloseHandle(GetStdHandle(STD_OUTPUT_HANDLE));
    CloseHandle(GetStdHandle(STD_ERROR_HANDLE));
}

void close_input() { CloseHandle(GetStdHandle(STD_INPUT_HANDLE)); }

void append(const std::string& path, std::string_view text) {
    const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    const HANDLE file = CreateFileW(in_utf16(path).c_str(), FILE_APPEND_DATA, share, nullptr, OPEN_ALWAYS, 0, nullptr);
    write_all(file, text);
    CloseHandle(file);
}

long long own_pid() { return GetCurrentProcessId(); }

std::string environment() {
    std::string text;
    wchar_t* const variables = GetEnvironmentStringsW();
    for (const wchar_t* at = variables; *at; at += std::wcslen(at) + 1) (text += in_utf8(at)) += '\0';
    FreeEnvironmentStringsW(variables);
    return text;
}

int handle_count() {
    int count = 0;
    for (ULONG_PTR number = 4; number < 4096; number += 4) {
        DWORD flags = 0;
        if (GetHandleInformation(reinterpret_cast<HANDLE>(number), &flags) && (flags & HANDLE_FLAG_INHERIT) != 0)
            ++count;
    }
    return count;
}

void start(const Words& orders) {
    std::wstring line = L"player";
    for (const auto& word : orders) line += L" \"" + in_utf16(word) + L'"';
    STARTUPINFOW settings{};
    settings.cb = sizeof settings;
    settings.dwFlags = STARTF_USESTDHANDLES;
    settings.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    settings.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    settings.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    PROCESS_INFORMATION made{};
    if (!CreateProcessW(own_path().c_str(), line.data(), nullptr, nullptr, TRUE, CREATE_SUSPENDED, nullptr, nullptr,
                        &settings, &made))
        ExitProcess(1);
    put(Stream::out, std::to_string(made.dwProcessId) + '\n');
    ResumeThread(made.hThread);
    CloseHandle(made.hThread);
    CloseHandle(made.hProcess);
}

void await(const std::string& gate) {
    const HANDLE event = OpenEventW(SYNCHRONIZE, FALSE, in_utf16(gate).c_str());
    if (WaitForSingleObject(event, INFINITE) != WAIT_OBJECT_0) ExitProcess(1);
    CloseHandle(event);
}

void ignore_requests() {
    SetConsoleCtrlHandler([](DWORD) -> BOOL { return TRUE; }, TRUE);
}

void go_away() { FreeConsole(); }

void crash() {
    SetErrorMode(SEM_NOGPFAULTERRORBOX);  // nobody is there to look at a dialog
    volatile int* volatile nowhere = nullptr;
    *nowhere = 1;
    ExitProcess(1);
}

void stay() {
    for (;;) Sleep(INFINITE);
}

void end(unsigned long long code) { ExitProcess(static_cast<DWORD>(code)); }

}  // namespace player

int wmain(int argc, wchar_t** argv) {
    player::Words words;
    for (int i = 1; i < argc; ++i) words.push_back(player::in_utf8(argv[i]));
    return player::play(words);
}
