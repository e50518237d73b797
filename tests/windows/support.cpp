// SPDX-License-Identifier: MIT
#include <fstream>
#include <iterator>
#include <system_error>

#include <windows/support.hpp>

// after windows.h
#include <psapi.h>

namespace support {

TestDirectory::TestDirectory() {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() / ("d" + std::to_string(++count));
    std::filesystem::create_directories(path_);
}

TestManager::TestManager(warden::Mechanism mechanism, const Adjust& adjust) : manager_(config(mechanism, adjust)) {}

std::string why_not_available(warden::Mechanism mechanism) {
    return mechanism == warden::Mechanism::job_object ? "" : "this is Windows";
}

warden::CommandLine play(std::vector<std::string> orders) { return {beside("player.exe"), std::move(orders)}; }

Gate::Gate() {
    static int count = 0;
    name_ = "warden-gate-" + std::to_string(::GetCurrentProcessId()) + '-' + std::to_string(++count);
    hold_ = reinterpret_cast<std::intptr_t>(::CreateEventA(nullptr, TRUE, FALSE, name_.c_str()));
    REQUIRE(hold_ != 0);
}

Gate::~Gate() { ::CloseHandle(reinterpret_cast<HANDLE>(hold_)); }

void Gate::open() { REQUIRE(::SetEvent(reinterpret_cast<HANDLE>(hold_))); }

HeldProcess::HeldProcess(warden::Pid pid)
    : hold_(reinterpret_cast<std::intptr_t>(::OpenProcess(SYNCHRONIZE, FALSE, static_cast<DWORD>(pid)))) {
    if (hold_ == 0 && ::GetLastError() != ERROR_INVALID_PARAMETER) FAIL("process " << pid << " cannot be held");
}

HeldProcess::~HeldProcess() {
    if (hold_ != 0) ::CloseHandle(reinterpret_cast<HANDLE>(hold_));
}

bool HeldProcess::ends_within(std::chrono::milliseconds patience) const {
    const auto handle = reinterpret_cast<HANDLE>(hold_);
    return !is_held() || ::WaitForSingleObject(handle, static_cast<DWORD>(patience.count())) == WAIT_OBJECT_0;
}

bool others_have_streams() { return is_wine(); }

std::size_t peak_memory_mb() {
    PROCESS_MEMORY_COUNTERS counters{};
    counters.cb = sizeof counters;
    ::GetProcessMemoryInfo(::GetCurrentProcess(), &counters, sizeof counters);
    return counters.PeakWorkingSetSize >> 20;
}

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace support
