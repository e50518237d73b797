// SPDX-License-Identifier: MIT
// What a scenario with real processes needs on every system: a manager of its own on a given mechanism, the player,
// places, patience. What is of one system is in fixture.hpp and windows/support.hpp.
//
//     TEMPLATE_TEST_CASE("a child's code arrives", "[start]", EVERY_MECHANISM) {
//         SKIP_UNLESS_AVAILABLE(TestType);
//         TestManager manager{TestType::mechanism};
//         CHECK(manager->run(play("exit", "3")).status.code() == 3);
//     }
#pragma once

#include <support/basics.hpp>
#include <support/catch.hpp>
#include <support/skip.hpp>
#include <warden/managed_process.hpp>
#include <warden/process_manager.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace support {

/// Then the largest tests are smaller, for everything is slower.
inline constexpr bool is_sanitized = WARDEN_HAS_ASAN || WARDEN_HAS_TSAN;

/// Whether the system tells who is in a group, what it runs and which pipes it holds; POSIX alone does not, nor all of
/// it Windows.
inline constexpr bool lists_members = WARDEN_OS_LINUX;

/// The mechanisms, as types for TEMPLATE_TEST_CASE.
struct OnCgroup {
    static constexpr warden::Mechanism mechanism = warden::Mechanism::cgroup;
};
struct OnKeeper {
    static constexpr warden::Mechanism mechanism = warden::Mechanism::keeper;
};
struct OnProcessGroup {
    static constexpr warden::Mechanism mechanism = warden::Mechanism::process_group;
};
struct OnJobObject {
    static constexpr warden::Mechanism mechanism = warden::Mechanism::job_object;
};
#if WARDEN_OS_WINDOWS
#define EVERY_MECHANISM OnJobObject
#elif !WARDEN_OS_LINUX
#define EVERY_MECHANISM OnProcessGroup
#else
#define EVERY_MECHANISM OnCgroup, OnKeeper, OnProcessGroup
#endif

/// An empty directory of its own, gone with this object.
class TestDirectory {
public:
    TestDirectory();
    TestDirectory(const TestDirectory&) = delete;
    ~TestDirectory();

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

    /// A file there with this text and mode; its path.
    std::filesystem::path write(std::string_view name, std::string_view text, unsigned mode = 0644) const;

private:
    std::filesystem::path path_;
};

/// A manager of its own: no signal handlers, everything that it writes below `directory`.
class TestManager {
public:
    using Adjust = std::function<void(warden::ManagerConfig&)>;

    explicit TestManager(warden::Mechanism mechanism, const Adjust& adjust = {});
    explicit TestManager(const Adjust& adjust = {}) : TestManager(warden::Mechanism::automatic, adjust) {}

    [[nodiscard]] warden::ProcessManager& operator*() noexcept { return manager_; }
    [[nodiscard]] warden::ProcessManager* operator->() noexcept { return &manager_; }

    const TestDirectory directory;

private:
    [[nodiscard]] warden::ManagerConfig config(warden::Mechanism mechanism, const Adjust& adjust) const;

    warden::ProcessManager manager_;
};

/// Why the mechanism is unavailable here; empty if it is available.
[[nodiscard]] std::string why_not_available(warden::Mechanism mechanism);
[[nodiscard]] std::string reason_to_skip(warden::Mechanism mechanism);

/// A command for the player, which does one order after the other (player/main.cpp): `play("out", "x\n", "exit", "3")`.
[[nodiscard]] warden::CommandLine play(std::vector<std::string> orders);
template <std::convertible_to<std::string>... Words>
[[nodiscard]] warden::CommandLine play(Words&&... orders) {
    return play(std::vector<std::string>{std::string(std::forward<Words>(orders))...});
}

/// What a player waits for: `play("await", gate.name())`. Once opened it stays open.
class Gate {
public:
    Gate();
    Gate(const Gate&) = delete;
    ~Gate();

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    void open();

private:
    std::string name_;
    std::intptr_t hold_ = -1;  // a handle or a descriptor
};

/// A process that others started, by its number. Where the system allows it, the number stays its own meanwhile.
class HeldProcess {
public:
    explicit HeldProcess(warden::Pid pid);
    HeldProcess(const HeldProcess&) = delete;
    HeldProcess(HeldProcess&& other) noexcept : hold_(std::exchange(other.hold_, 0)) {}
    ~HeldProcess();

    /// Whether there was one.
    [[nodiscard]] bool is_held() const noexcept { return hold_ != 0; }
    [[nodiscard]] bool has_ended() const { return ends_within(std::chrono::milliseconds(0)); }
    [[nodiscard]] bool ends_within(std::chrono::milliseconds patience) const;

private:
    std::intptr_t hold_;  // a handle or a pid
};

/// Whether other processes have the standard streams of ours too, and let go of them a moment later: the conhost of
/// Wine 8.
[[nodiscard]] bool others_have_streams();

/// The most memory that this program has had so far.
[[nodiscard]] std::size_t peak_memory_mb();

/// The next line of its captured output; nothing at the end.
[[nodiscard]] std::optional<std::string> next_line(warden::ManagedProcess& process);

/// A file with this text; its path.
std::filesystem::path write_file(const std::filesystem::path& path, std::string_view text);

/// The strings of a text in which each ends with NUL, or with the given character.
[[nodiscard]] std::vector<std::string> split(std::string_view text, char end = '\0');

/// The SpawnError of a start that must fail; fails the test if it does not.
[[nodiscard]] warden::SpawnError failed_start(warden::ProcessManager& manager, const warden::CommandLine& command,
                                              const warden::SpawnOptions& options = {});

}  // namespace support

/// Skips the case, loudly, where the mechanism is not to be had.
#define SKIP_UNLESS_AVAILABLE(Type) \
    SKIP_UNLESS(::support::why_not_available(Type::mechanism).empty(), ::support::reason_to_skip(Type::mechanism))
