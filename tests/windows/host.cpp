// SPDX-License-Identifier: MIT
// A program that embeds warden, starts a tree and comes to an end of every kind.
//
//     windows_host ENDING DIRECTORY
//
// Prints the numbers of its leader and of a grandchild, one a line, then waits for a line on its standard input, and
// ends: return, exit, _exit, exception, abort, crash, terminate; `stay` waits to be ended.
#include <warden/warden.hpp>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <iostream>
#include <stdexcept>
#include <string>

#include <windows.h>

namespace {

void end(const std::string& ending) {
    if (ending == "exit") std::exit(3);
    if (ending == "_exit") std::_Exit(5);
    if (ending == "exception") throw std::runtime_error("nobody catches it");
    if (ending == "abort") std::abort();
    if (ending == "crash") ::RaiseException(EXCEPTION_ACCESS_VIOLATION, EXCEPTION_NONCONTINUABLE, 0, nullptr);
    if (ending == "terminate") ::TerminateProcess(::GetCurrentProcess(), 6);
    if (ending == "stay") ::Sleep(60'000);
}

std::string victim() {
    std::wstring path(32'768, L'\0');
    path.resize(::GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())));
    return (std::filesystem::path(path).parent_path() / "windows_victim.exe").string();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 64;
    ::SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
    warden::ManagerConfig config;
    config.data_directory = argv[2];
    warden::ProcessManager::configure(config);
    auto leader = warden::ProcessManager::instance().spawn(
        {victim(), "--lines", "spawn-child-and-exit"},
        {.stdout_ = warden::Output::capture, .stop_plan = warden::StopPlan::now()});
    auto other = warden::ProcessManager::instance().spawn(
        {victim(), "--lines", "ignore-break"},
        {.stdout_ = warden::Output::capture, .stop_plan = warden::StopPlan::now()});
    std::promise<std::string> line;
    leader.async_read_line([&](const warden::error_code&, std::string text) { line.set_value(std::move(text)); });
    const std::string text = line.get_future().get();
    std::cout << text.substr(text.find_first_of("0123456789")) << '\n' << other.pid() << std::endl;
    std::string go;
    std::getline(std::cin, go);
    end(argv[1]);
    return 0;
}
