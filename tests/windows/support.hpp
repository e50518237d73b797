// SPDX-License-Identifier: MIT
// What the scenarios on Windows need: a manager of its own, the victim, handles to processes that others started.
#pragma once

#include <support/catch.hpp>
#include <support/skip.hpp>
#include <warden/managed_process.hpp>
#include <warden/process_manager.hpp>

#include <chrono>
#include <concepts>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <windows.h>

namespace support {

/// Waits until `holds()`, by the clock only if it never does: its patience bounds a failure.
template <class Predicate>
[[nodiscard]] bool eventually(Predicate holds, std::chrono::milliseconds patience = std::chrono::seconds(30)) {
    for (const auto end = std::chrono::steady_clock::now() + patience; std::chrono::steady_clock::now() < end;) {
        if (holds()) return true;
        std::this_thread::yield();
    }
    return holds();
}

/// An empty directory, gone with this object.
class TestDirectory {
public:
    TestDirectory() {
        static int count = 0;
        path_ = std::filesystem::temp_directory_path() / ("d" + std::to_string(++count));
        std::filesystem::create_directories(path_);
    }
    TestDirectory(const TestDirectory&) = delete;
    ~TestDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

/// A manager of its own: no console handlers, everything that it writes below `directory`.
class TestManager {
public:
    explicit TestManager(const std::function<void(warden::ManagerConfig&)>& adjust = {})
        : manager_(config(directory.path(), adjust)) {}

    [[nodiscard]] warden::ProcessManager& operator*() noexcept { return manager_; }
    [[nodiscard]] warden::ProcessManager* operator->() noexcept { return &manager_; }

    const TestDirectory directory;

private:
    static warden::ManagerConfig config(const std::filesystem::path& data,
                                        const std::function<void(warden::ManagerConfig&)>& adjust) {
        warden::ManagerConfig config;
        config.data_directory = data / "data";
        config.handle_signals = false;
        if (adjust) adjust(config);
        return config;
    }
    warden::ProcessManager manager_;
};

/// The full path of a program that lies beside this one.
[[nodiscard]] inline std::string beside(const char* name) {
    std::wstring path(32'768, L'\0');
    path.resize(::GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())));
    return (std::filesystem::path(path).parent_path() / name).string();
}

/// A command for the victim: `victim("exit", "3")`.
template <std::convertible_to<std::string>... Words>
[[nodiscard]] warden::CommandLine victim(Words&&... words) {
    return warden::CommandLine(beside("windows_victim.exe"),
                               std::vector<std::string>{"--lines", std::string(std::forward<Words>(words))...});
}

/// The error of a start that must fail.
[[nodiscard]] inline warden::SpawnError failed_start(warden::ProcessManager& manager,
                                                     const warden::CommandLine& command,
                                                     const warden::SpawnOptions& options = {}) {
    INFO(command.to_string());
    std::optional<warden::SpawnError> failed;
    try {
        static_cast<void>(manager.spawn(command, options));
    } catch (const warden::SpawnError& error) {
        failed = error;
    }
    REQUIRE(failed);
    return *failed;
}

/// The bytes of a file; opened as streams do.
[[nodiscard]] inline std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline std::filesystem::path write_file(const std::filesystem::path& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
    return path;
}

/// Whether this is Wine rather than Windows.
[[nodiscard]] inline bool is_wine() {
    return ::GetProcAddress(::GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != nullptr;
}

#define SKIP_WITHOUT_CONSOLE_EVENTS() \
    SKIP_UNLESS(!::support::is_wine(), "Wine 8 delivers no console events to a group of processes")

/// The next line of its captured output; nothing at the end.
[[nodiscard]] inline std::optional<std::string> next_line(warden::ManagedProcess& process) {
    std::promise<std::optional<std::string>> promise;
    process.async_read_line([&](const warden::error_code& ec, std::string line) {
        promise.set_value(ec ? std::nullopt : std::optional(std::move(line)));
    });
    return promise.get_future().get();
}

/// A hold on a process by its number, so that the number stays its own; whether it has ended.
class HeldProcess {
public:
    explicit HeldProcess(warden::Pid pid) : handle_(::OpenProcess(SYNCHRONIZE, FALSE, static_cast<DWORD>(pid))) {}
    HeldProcess(const HeldProcess&) = delete;
    HeldProcess(HeldProcess&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~HeldProcess() {
        if (handle_) ::CloseHandle(handle_);
    }
    [[nodiscard]] bool is_held() const noexcept { return handle_ != nullptr; }
    [[nodiscard]] bool ends_within(std::chrono::milliseconds patience) const noexcept {
        return ::WaitForSingleObject(handle_, static_cast<DWORD>(patience.count())) == WAIT_OBJECT_0;
    }
    [[nodiscard]] bool has_ended() const noexcept { return ends_within(std::chrono::milliseconds(0)); }

private:
    HANDLE handle_;
};

}  // namespace support

namespace warden {

// What Catch2 prints when a comparison fails.
inline std::ostream& operator<<(std::ostream& to, const ExitStatus& status) { return to << status.to_string(); }
inline std::ostream& operator<<(std::ostream& to, ExitCause cause) { return to << to_string(cause); }
inline std::ostream& operator<<(std::ostream& to, State state) { return to << to_string(state); }
inline std::ostream& operator<<(std::ostream& to, SpawnStep step) { return to << to_string(step); }
inline std::ostream& operator<<(std::ostream& to, Mechanism mechanism) { return to << to_string(mechanism); }

}  // namespace warden
