// SPDX-License-Identifier: MIT
// A program that embeds warden, starts a tree and comes to an end of every kind.
//
//     windows_host ENDING DIRECTORY [KIND]
//
// Prints the numbers of a grandchild whose parent has ended and of another process, one a line, then waits for a line
// on its standard input, and ends: see `end`; `stay` waits to be ended. The other process ignores requests, and is, by
// KIND, suspended, or the work of a thread that has ended, or apart from its parent as the victim's `escape` has it.
#include <warden/warden.hpp>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <process.h>
#include <windows.h>

namespace {

std::string victim() {
    std::wstring path(32'768, L'\0');
    path.resize(::GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())));
    return (std::filesystem::path(path).parent_path() / "windows_victim.exe").string();
}

int overflow(int depth) {
    volatile char space[4096];
    space[0] = static_cast<char>(depth);
    return depth < 0 ? 0 : overflow(depth + 1) + space[0];
}

const HANDLE handled = ::CreateEventW(nullptr, TRUE, FALSE, nullptr);

BOOL WINAPI go_on_after_event(DWORD) {
    std::cout << "own handler" << std::endl;
    ::SetEvent(handled);
    return TRUE;
}

BOOL WINAPI exit_at_event(DWORD) { ::ExitProcess(42); }

/// What the program has of its own for console events, before warden has.
void prepare(const std::string& ending) {
    if (ending == "own-handler") ::SetConsoleCtrlHandler(&go_on_after_event, TRUE);
    if (ending == "own-exit") ::SetConsoleCtrlHandler(&exit_at_event, TRUE);
}

int end(const std::string& ending, warden::ManagedProcess& process) {
    if (ending == "exit") std::exit(3);
    if (ending == "_exit") std::_Exit(5);
    if (ending == "exception") throw std::runtime_error("nobody catches it");
    if (ending == "thread-exception") std::thread([] { throw std::runtime_error("nobody catches it"); }).join();
    if (ending == "abort") std::abort();
    if (ending == "crash") ::RaiseException(EXCEPTION_ACCESS_VIOLATION, EXCEPTION_NONCONTINUABLE, 0, nullptr);
    if (ending == "overflow") return overflow(0);
    if (ending == "terminate") ::TerminateProcess(::GetCurrentProcess(), 6);
    if (ending == "exec") ::_execl(victim().c_str(), "victim", "exit", "0", nullptr);
    if (ending == "leak") return static_cast<void>(new warden::ManagedProcess(std::move(process))), 7;
    if (ending == "own-handler") return ::WaitForSingleObject(handled, 60'000) == WAIT_OBJECT_0 ? 9 : 1;
    if (ending == "stay" || ending == "own-exit") ::Sleep(60'000);
    return 0;
}

std::string next_line(warden::ManagedProcess& process) {
    std::promise<std::string> line;
    process.async_read_line([&](const warden::error_code&, std::string text) { line.set_value(std::move(text)); });
    return line.get_future().get();
}

warden::ManagedProcess start(warden::CommandLine command) {
    return warden::ProcessManager::instance().spawn(
        std::move(command), {.stdout_ = warden::Output::capture, .stop_plan = warden::StopPlan::now()});
}

int live(const std::string& ending, const std::string& kind) {
    auto leader = start({victim(), "--lines", "spawn-child-and-exit"});
    std::cout << next_line(leader) << '\n';
    warden::ManagedProcess other;
    if (kind == "stubborn" || kind == "suspended" || kind == "thread") {
        const auto start_it = [&] { other = start({victim(), "--lines", "ignore-break"}); };
        if (kind == "thread") std::thread(start_it).join();
        else start_it();
        static_cast<void>(next_line(other));
        if (kind == "suspended") other.suspend();
        std::cout << other.pid() << std::endl;
    } else {
        other = start({victim(), "--lines", "escape", kind, "stay"});
        std::cout << next_line(other) << std::endl;
    }
    std::string go;
    std::getline(std::cin, go);
    if (ending == "caught") throw std::invalid_argument("somebody catches it");
    return end(ending, other);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 64;
    ::SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
    prepare(argv[1]);
    warden::ManagerConfig config;
    config.data_directory = argv[2];
    warden::ProcessManager::configure(config);
    try {
        return live(argv[1], argc > 3 ? argv[3] : "stubborn");
    } catch (const std::invalid_argument&) {
        return 4;
    }
}
