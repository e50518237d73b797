// SPDX-License-Identifier: MIT
// The child of the tests on Windows: does as its first argument says, and answers on its standard output in UTF-8.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <io.h>
#include <windows.h>

namespace {

using Words = std::vector<std::wstring>;

char end_of_word = '\0';

void say(std::wstring_view text) {
    std::string bytes(text.size() * 3 + 1, '\0');
    const int size = WideCharToMultiByte(CP_UTF8, 0, text.data(), static_cast<int>(text.size()), bytes.data(),
                                         static_cast<int>(bytes.size()), nullptr, nullptr);
    bytes.resize(static_cast<std::size_t>(size));
    bytes += end_of_word;
    DWORD written = 0;
    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), bytes.data(), static_cast<DWORD>(bytes.size()), &written, nullptr);
}

std::wstring own_path() {
    std::wstring path(32'768, L'\0');
    path.resize(GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())));
    return path;
}

/// Starts this program again and says its pid; null if that was refused, which is said too.
HANDLE start(const std::wstring& arguments, DWORD flags) {
    std::wstring line = L"victim " + arguments;
    STARTUPINFOW settings{};
    settings.cb = sizeof settings;
    settings.dwFlags = STARTF_USESTDHANDLES;  // none: it must not hold our pipes open
    PROCESS_INFORMATION made{};
    if (!CreateProcessW(own_path().c_str(), line.data(), nullptr, nullptr, FALSE, flags, nullptr, nullptr, &settings,
                        &made)) {
        say(L"refused " + std::to_wstring(GetLastError()));
        return nullptr;
    }
    CloseHandle(made.hThread);
    say(std::to_wstring(made.dwProcessId));
    return made.hProcess;
}

[[noreturn]] void sleep_forever() {
    for (;;) Sleep(INFINITE);
}

BOOL WINAPI ignore(DWORD) { return TRUE; }

BOOL WINAPI end_at_break(DWORD event) {
    if (event == CTRL_BREAK_EVENT) ExitProcess(77);
    return FALSE;
}

int print_arguments(const Words& words) {
    for (const auto& word : words) say(word);
    return 0;
}

int print_environment(const Words&) {
    wchar_t* const strings = GetEnvironmentStringsW();
    for (const wchar_t* at = strings; *at; at += std::wcslen(at) + 1) say(at);
    FreeEnvironmentStringsW(strings);
    return 0;
}

int print_directory(const Words&) {
    std::wstring path(32'768, L'\0');
    path.resize(GetCurrentDirectoryW(static_cast<DWORD>(path.size()), path.data()));
    say(path);
    return 0;
}

/// What each standard stream is: none, disk, pipe, or char, which the null device is too. Said to the file that is
/// named, or to the standard output.
int print_streams(const Words& words) {
    std::string text;
    for (const DWORD which : {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE}) {
        const HANDLE handle = GetStdHandle(which);
        const DWORD type =
            handle == nullptr || handle == INVALID_HANDLE_VALUE ? FILE_TYPE_UNKNOWN : GetFileType(handle);
        text += type == FILE_TYPE_DISK   ? "disk"
                : type == FILE_TYPE_PIPE ? "pipe"
                : type == FILE_TYPE_CHAR ? "char"
                                         : "none";
        text += '\n';
    }
    const bool to_file = words.size() > 1;
    const HANDLE to = to_file ? CreateFileW(words[1].c_str(), GENERIC_WRITE, 0, nullptr, CREATE_ALWAYS, 0, nullptr)
                              : GetStdHandle(STD_OUTPUT_HANDLE);
    DWORD written = 0;
    const BOOL done = WriteFile(to, text.data(), static_cast<DWORD>(text.size()), &written, nullptr);
    if (to_file) CloseHandle(to);
    return done ? 0 : 1;
}

/// Copies as many lines as is said, and reads no more.
int copy_first_lines(const Words& words) {
    int left = std::stoi(words[1]);
    DWORD size = 0;
    for (char c = 0; left > 0 && ReadFile(GetStdHandle(STD_INPUT_HANDLE), &c, 1, &size, nullptr) && size > 0;) {
        if (!WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), &c, 1, &size, nullptr)) return 1;
        left -= c == '\n' ? 1 : 0;
    }
    return left == 0 ? 0 : 1;
}

int print_priority(const Words&) {
    say(std::to_wstring(GetPriorityClass(GetCurrentProcess())));
    return 0;
}

/// The limits of the innermost job that this process is in: memory, processes, CPU time in units of 100 ns.
int print_job_limits(const Words&) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits{};
    if (!QueryInformationJobObject(nullptr, JobObjectExtendedLimitInformation, &limits, sizeof limits, nullptr))
        return 1;
    say(std::to_wstring(limits.JobMemoryLimit));
    say(std::to_wstring(limits.BasicLimitInformation.ActiveProcessLimit));
    say(std::to_wstring(limits.BasicLimitInformation.PerProcessUserTimeLimit.QuadPart));
    return 0;
}

int raise_exception(const Words& words) {
    SetErrorMode(SEM_NOGPFAULTERRORBOX);  // nobody is there to look at a dialog
    RaiseException(static_cast<DWORD>(std::stoull(words[1], nullptr, 0)), EXCEPTION_NONCONTINUABLE, 0, nullptr);
    return 0;
}

int exit_with(const Words& words) { ExitProcess(static_cast<DWORD>(std::stoull(words[1], nullptr, 0))); }

int crash(const Words&) {
    SetErrorMode(SEM_NOGPFAULTERRORBOX);  // nobody is there to look at a dialog
    volatile int* volatile nowhere = nullptr;
    *nowhere = 1;
    return 0;
}

int sleep(const Words&) {
    say(L"ready");
    sleep_forever();
}

/// One child that stays, then the end of this one.
int leave_child(const Words&) { return start(L"sleep-forever", 0) ? 0 : 1; }

/// As many children as is said, each of which starts one more that stays; says how many of those there are; stays
/// itself.
int start_many(const Words& words) {
    std::vector<HANDLE> children;
    for (int i = 0; i < std::stoi(words[1]); ++i) {
        if (const HANDLE child = start(L"spawn-child-and-exit", 0)) children.push_back(child);
    }
    int staying = 0;
    for (const HANDLE child : children) {
        DWORD code = 1;
        WaitForSingleObject(child, INFINITE);
        if (GetExitCodeProcess(child, &code) && code == 0) ++staying;
        CloseHandle(child);
    }
    say(std::to_wstring(staying));
    sleep_forever();
}

int break_away(const Words&) { return start(L"sleep-forever", CREATE_BREAKAWAY_FROM_JOB) ? 0 : 1; }

/// Starts this program again to do something else, with our output; no handle if that was refused.
HANDLE start_with_output(const std::wstring& what, DWORD flags, wchar_t* environment = nullptr) {
    std::wstring line = L"victim --lines " + what;
    STARTUPINFOW settings{};
    settings.cb = sizeof settings;
    settings.dwFlags = STARTF_USESTDHANDLES;
    settings.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    PROCESS_INFORMATION made{};
    if (!CreateProcessW(own_path().c_str(), line.data(), nullptr, nullptr, TRUE, flags, environment, nullptr, &settings,
                        &made)) {
        say(L"refused " + std::to_wstring(GetLastError()));
        return nullptr;
    }
    CloseHandle(made.hThread);
    const bool is_mute = (flags & (CREATE_SUSPENDED | CREATE_BREAKAWAY_FROM_JOB)) != 0;  // or speaks too late
    if (is_mute) say(std::to_wstring(made.dwProcessId));
    return made.hProcess;
}

/// Says its pid, lets go of the output and stays.
int announce(const Words&) {
    say(std::to_wstring(GetCurrentProcessId()));
    CloseHandle(GetStdHandle(STD_OUTPUT_HANDLE));
    sleep_forever();
}

/// Starts one that announces itself, apart from this program in the way that is named first; then stays, if that is
/// said, or ends.
int escape(const Words& words) {
    static const std::map<std::wstring_view, DWORD> ways{
        {L"plain", 0},
        {L"twice", 0},
        {L"cleared", 0},
        {L"job", 0},
        {L"group", CREATE_NEW_PROCESS_GROUP},
        {L"console", CREATE_NEW_CONSOLE},
        {L"no-window", CREATE_NO_WINDOW},
        {L"detached", DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP},
        {L"suspended", CREATE_SUSPENDED},
        {L"breakaway", CREATE_BREAKAWAY_FROM_JOB | DETACHED_PROCESS},
    };
    const std::wstring& way = words[1];
    wchar_t nothing[2] = {};
    const HANDLE child = start_with_output(way == L"twice" ? L"escape plain leave" : L"announce", ways.at(way),
                                           way == L"cleared" ? nothing : nullptr);
    if (child == nullptr) return 1;
    if (way == L"job" && !AssignProcessToJobObject(CreateJobObjectW(nullptr, nullptr), child)) return 2;
    if (words[2] == L"stay") sleep_forever();
    return 0;
}

/// Starts one that does what is said, with our output, and stays, heeding no requests to end, or ends if that is said.
int beside(const Words& words) {
    SetConsoleCtrlHandler(&ignore, TRUE);
    if (start_with_output(words[1], 0) == nullptr) return 1;
    if (words[2] == L"stay") sleep_forever();
    return 0;
}

BOOL WINAPI obey(DWORD) {
    say(L"obeyed");
    ExitProcess(77);
}

/// Says so when it is asked to end, and ends.
int answer_break(const Words&) {
    SetConsoleCtrlHandler(&obey, TRUE);
    say(L"ready");
    sleep_forever();
}

/// So many processes one after another, of which each starts the next and ends; a mutex of that name lives while any
/// of them does.
int chain(const Words& words) {
    CreateMutexW(nullptr, FALSE, words[1].c_str());
    const int left = std::stoi(words[2]);
    return left == 0 || start(L"chain " + words[1] + L' ' + std::to_wstring(left - 1), 0) ? 0 : 1;
}

/// Starts two of its own kind, which do the same so many times over, and stays; the mutex as above.
int bomb(const Words& words) {
    CreateMutexW(nullptr, FALSE, words[1].c_str());
    const int left = std::stoi(words[2]);
    for (int i = 0; left > 0 && i < 2; ++i) start(L"bomb " + words[1] + L' ' + std::to_wstring(left - 1), 0);
    sleep_forever();
}

/// Ends another process with that code.
int end_process(const Words& words) {
    const HANDLE other = OpenProcess(PROCESS_TERMINATE, FALSE, static_cast<DWORD>(std::stoul(words[1])));
    return TerminateProcess(other, static_cast<DWORD>(std::stoul(words[2]))) ? 0 : 1;
}

/// Ends when its input does, but needs so many milliseconds for that; heeds nothing else.
int end_with_input(const Words& words) {
    SetConsoleCtrlHandler(&ignore, TRUE);
    say(L"ready");
    char buffer[256];
    DWORD size = 0;
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), buffer, sizeof buffer, &size, nullptr) && size > 0) {}
    Sleep(static_cast<DWORD>(std::stoul(words[1])));
    say(L"last words");
    return 0;
}

int ignore_break(const Words&) {
    SetConsoleCtrlHandler(&ignore, TRUE);
    say(L"ready");
    sleep_forever();
}

int end_on_break(const Words&) {
    SetConsoleCtrlHandler(&end_at_break, TRUE);
    say(L"ready");
    sleep_forever();
}

/// Says which of the numbers given are open here.
int look_at_handles(const Words& words) {
    for (std::size_t i = 1; i < words.size(); ++i) {
        const HANDLE handle = reinterpret_cast<HANDLE>(std::stoull(words[i]));
        DWORD flags = 0;
        say(GetHandleInformation(handle, &flags) ? L"open" : L"closed");
    }
    return 0;
}

/// Ends as soon as there is some input, or none.
int read_once(const Words&) {
    char buffer[64];
    DWORD size = 0;
    return ReadFile(GetStdHandle(STD_INPUT_HANDLE), buffer, sizeof buffer, &size, nullptr) ? 0 : 1;
}

int copy_input(const Words&) {
    char buffer[4096];
    DWORD size = 0;
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), buffer, sizeof buffer, &size, nullptr) && size > 0) {
        DWORD written = 0;
        if (!WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), buffer, size, &written, nullptr)) return 1;
    }
    return 0;
}

int flood(const Words& words) {
    const std::string text(1 << 16, 'x');
    for (auto left = std::stoull(words[1]); left > 0;) {
        const auto size = static_cast<DWORD>(left < text.size() ? left : text.size());
        DWORD written = 0;
        if (!WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), text.data(), size, &written, nullptr)) return 1;
        left -= written;
    }
    return 0;
}

int count_lines(const Words& words) {
    std::string text;
    for (int i = 1; i <= std::stoi(words[1]); ++i) text += "line " + std::to_string(i) + '\n';
    DWORD written = 0;
    return WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), text.data(), static_cast<DWORD>(text.size()), &written, nullptr)
               ? 0
               : 1;
}

int write_both(const Words&) {
    DWORD written = 0;
    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), "out", 3, &written, nullptr);
    WriteFile(GetStdHandle(STD_ERROR_HANDLE), "err", 3, &written, nullptr);
    return 0;
}

int burn(const Words&) {
    volatile int busy = 1;
    while (busy == 1) {}
    return 0;
}

const std::map<std::wstring_view, int (*)(const Words&)> verbs{
    {L"argv", &print_arguments},
    {L"env", &print_environment},
    {L"cwd", &print_directory},
    {L"streams", &print_streams},
    {L"head", &copy_first_lines},
    {L"priority", &print_priority},
    {L"job-limits", &print_job_limits},
    {L"raise", &raise_exception},
    {L"exit", &exit_with},
    {L"crash", &crash},
    {L"sleep-forever", &sleep},
    {L"spawn-child-and-exit", &leave_child},
    {L"spawn-many", &start_many},
    {L"look-at", &look_at_handles},
    {L"breakaway", &break_away},
    {L"announce", &announce},
    {L"escape", &escape},
    {L"beside", &beside},
    {L"answer-break", &answer_break},
    {L"chain", &chain},
    {L"bomb", &bomb},
    {L"end-process", &end_process},
    {L"end-with-input", &end_with_input},
    {L"ignore-break", &ignore_break},
    {L"end-on-break", &end_on_break},
    {L"read-once", &read_once},
    {L"stdin-to-stdout", &copy_input},
    {L"flood", &flood},
    {L"count-lines", &count_lines},
    {L"both", &write_both},
    {L"burn", &burn},
};

}  // namespace

int wmain(int argc, wchar_t** argv) {
    Words words(argv + 1, argv + argc);
    if (!words.empty() && words[0] == L"--lines") {  // instead of NUL after each word
        end_of_word = '\n';
        words.erase(words.begin());
    }
    if (words.empty() || verbs.count(words[0]) == 0) return 64;
    return verbs.at(words[0])(words);
}
