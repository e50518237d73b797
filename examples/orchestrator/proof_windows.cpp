// SPDX-License-Identifier: MIT
#include "proof.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string_view>

// before windows.h
#include <tlhelp32.h>
#include <windows.h>
#include <winsock2.h>

namespace proof {
namespace {

using Handle = std::unique_ptr<void, decltype(&::CloseHandle)>;

Handle open(int pid) {
    return {::OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, static_cast<DWORD>(pid)),
            &::CloseHandle};
}

bool has_ended(HANDLE process) { return ::WaitForSingleObject(process, 0) == WAIT_OBJECT_0; }

std::uint64_t birth_of(HANDLE process) {
    FILETIME made{};
    FILETIME ignored{};
    if (!::GetProcessTimes(process, &made, &ignored, &ignored, &ignored)) return 0;
    return std::uint64_t{made.dwHighDateTime} << 32 | made.dwLowDateTime;
}

/// What runs now.
std::vector<Process> all() {
    std::vector<Process> found;
    const Handle snapshot(::CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0), &::CloseHandle);
    PROCESSENTRY32W entry{};
    entry.dwSize = sizeof entry;
    for (BOOL more = ::Process32FirstW(snapshot.get(), &entry); more; more = ::Process32NextW(snapshot.get(), &entry)) {
        const auto pid = static_cast<int>(entry.th32ProcessID);
        const Handle process = open(pid);
        if (!process || has_ended(process.get())) continue;
        std::wstring path(32'768, L'\0');
        auto size = static_cast<DWORD>(path.size());
        if (!::QueryFullProcessImageNameW(process.get(), 0, path.data(), &size)) size = 0;
        path.resize(size);
        found.push_back({pid, static_cast<int>(entry.th32ParentProcessID), 0, 'R', birth_of(process.get()),
                         std::filesystem::path(path).filename().string()});
    }
    return found;
}

Process self() { return look_at(static_cast<int>(::GetCurrentProcessId())); }

}  // namespace

constexpr std::string_view scan_name = "a scan of all processes", marked_name = "processes of our programs";

Process look_at(int pid) {
    const std::vector<Process> processes = all();
    const auto at = std::find_if(processes.begin(), processes.end(), [&](const Process& p) { return p.pid == pid; });
    return at == processes.end() ? Process() : *at;
}

/// Those that run the programs of the demo, and are not older than this process: nobody may read their environment.
std::vector<Process> marked(const std::string&) {
    const Process here = self();
    std::vector<Process> found = all();
    std::erase_if(found, [&](const Process& process) {
        const bool is_ours = process.command == here.command || process.command == "model_server.exe";
        return !is_ours || process.pid == here.pid || process.started < here.started;
    });
    return found;
}

std::vector<Process> descendants() {
    std::vector<Process> below{self()};
    std::vector<Process> processes = all();
    for (std::size_t i = 0; i < below.size(); ++i) {
        const Process parent = below[i];
        std::copy_if(processes.begin(), processes.end(), std::back_inserter(below), [&](const Process& process) {
            return process.parent == parent.pid && process.pid != parent.pid && process.started >= parent.started;
        });
    }
    below.erase(below.begin());
    return below;
}

std::vector<Process> left_of(const std::vector<Process>& processes) {
    std::vector<Process> left;
    std::copy_if(processes.begin(), processes.end(), std::back_inserter(left),
                 [](const Process& process) { return look_at(process.pid) == process; });
    return left;
}

bool has_left(const Process& grandchild, int) { return grandchild.pid != 0 && look_at(grandchild.parent).pid == 0; }

std::string place_of(const Process& grandchild) {
    return "no console, and its parent " + std::to_string(grandchild.parent) + " has ended";
}

Watch::Watch(const std::vector<Process>& processes) {
    for (const Process& process : processes)
        held_.push_back(reinterpret_cast<std::intptr_t>(open(process.pid).release()));
}

Watch::~Watch() {
    for (const std::intptr_t process : held_) {
        if (process != 0) ::CloseHandle(reinterpret_cast<HANDLE>(process));
    }
}

bool Watch::wait_for_end(std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (const std::intptr_t process : held_) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        const auto milliseconds = static_cast<DWORD>(std::max(std::chrono::milliseconds(0), left).count());
        if (process != 0 && ::WaitForSingleObject(reinterpret_cast<HANDLE>(process), milliseconds) != WAIT_OBJECT_0)
            return false;
    }
    return true;
}

std::optional<std::vector<std::string>> control_groups(const std::string&) { return std::nullopt; }

bool answers(std::uint16_t port) {
    WSADATA data{};
    if (::WSAStartup(MAKEWORD(2, 2), &data) != 0) return false;
    const SOCKET socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = ::htons(port);
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    const bool connected = ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::closesocket(socket);
    ::WSACleanup();
    return connected;
}

}  // namespace proof
