// SPDX-License-Identifier: MIT
// What a scenario with real processes needs: a manager of its own on a given mechanism, the victim, places, patience.
//
//     TEMPLATE_TEST_CASE("a child's code arrives", "[start]", OnCgroup, OnKeeper) {
//         SKIP_UNLESS_AVAILABLE(TestType);
//         TestManager manager{TestType::mechanism};
//         CHECK(manager->run(victim("exit", "3")).status.code() == 3);
//     }
#pragma once

#include <support/catch.hpp>
#include <support/census.hpp>
#include <support/handshake.hpp>
#include <support/process.hpp>
#include <support/skip.hpp>
#include <support/subprocess.hpp>
#include <warden/managed_process.hpp>
#include <warden/process_manager.hpp>

#include <concepts>
#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace support {

/// Then the largest tests are smaller, for everything is slower.
inline constexpr bool is_sanitized = WARDEN_HAS_ASAN || WARDEN_HAS_TSAN;

/// Whether the system tells who is in a group, what it runs and which pipes it holds; POSIX alone does not.
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
    explicit TestManager(warden::Mechanism mechanism, const std::function<void(warden::ManagerConfig&)>& adjust = {});

    [[nodiscard]] warden::ProcessManager& operator*() noexcept { return manager_; }
    [[nodiscard]] warden::ProcessManager* operator->() noexcept { return &manager_; }

    const TestDirectory directory;

private:
    warden::ProcessManager manager_;
};

/// Why the mechanism cannot be had here; empty if it can.
[[nodiscard]] std::string why_not_available(warden::Mechanism mechanism);

/// A command for the victim: `victim("exit", "3")`.
template <std::convertible_to<std::string>... Words>
[[nodiscard]] warden::CommandLine victim(Words&&... words) {
    return warden::CommandLine(WARDEN_TEST_VICTIM,
                               std::vector<std::string>{std::string(std::forward<Words>(words))...});
}

/// The same, announcing itself on `handshake`.
template <class... Words>
[[nodiscard]] warden::CommandLine victim(const Handshake& handshake, Words&&... words) {
    return victim("--ready", handshake.path(), std::forward<Words>(words)...);
}

/// The strings of a text in which each ends with NUL, or with the given character.
[[nodiscard]] std::vector<std::string> split(std::string_view text, char end = '\0');

/// The SpawnError of a start that must fail; fails the test if it does not.
[[nodiscard]] warden::SpawnError failed_start(warden::ProcessManager& manager, const warden::CommandLine& command,
                                              const warden::SpawnOptions& options = {});

}  // namespace support

/// Skips the case, loudly, where the mechanism is not to be had.
#define SKIP_UNLESS_AVAILABLE(Type)                                    \
    SKIP_UNLESS(::support::why_not_available(Type::mechanism).empty(), \
                std::string(::warden::to_string(Type::mechanism)) +    \
                    " is not available here: " + ::support::why_not_available(Type::mechanism))

namespace warden {

// What Catch2 prints when a comparison fails.
inline std::ostream& operator<<(std::ostream& to, const ExitStatus& status) { return to << status.to_string(); }
inline std::ostream& operator<<(std::ostream& to, ExitCause cause) { return to << to_string(cause); }
inline std::ostream& operator<<(std::ostream& to, State state) { return to << to_string(state); }
inline std::ostream& operator<<(std::ostream& to, SpawnStep step) { return to << to_string(step); }
inline std::ostream& operator<<(std::ostream& to, Mechanism mechanism) { return to << to_string(mechanism); }

}  // namespace warden
