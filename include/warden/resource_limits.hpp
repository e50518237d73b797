// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a child may use, and who it runs as.
///
/// Knows:         the ranges of its values.
/// Does not know: what the system in force can hold; the start says so.
/// Thread-safety: values.

#include <warden/error.hpp>
#include <warden/timeout.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace warden {

/// What a process may use. Nothing set: what the program itself may use. POSIX: `setrlimit(2)`; a child may lower them
/// further. Windows: its Job Object. A limit that the system in force cannot hold fails the start
/// (`errc::invalid_options`, step `resource_limits`).
struct ResourceLimits {
    std::optional<std::uint64_t> memory_bytes{};  ///< Windows. Committed by the tree together; 1 and more.
    std::optional<Nanoseconds> cpu_time{};  ///< Per process of the tree; POSIX: in whole seconds, rounded up. Positive.
    std::optional<double> cpu_share{};      ///< Windows. Of one processor; 1.5 is one and a half. A hard cap.
    std::optional<std::uint64_t> processes{};   ///< Windows. Of the tree at one time; 1 and more.
    std::optional<std::uint64_t> open_files{};  ///< POSIX. Highest descriptor number plus one; 3 and more.
    std::optional<std::uint64_t> file_bytes{};  ///< POSIX. Largest file that it may write; 0 for none.
    std::optional<std::uint64_t> core_bytes{};  ///< POSIX. Largest core file; 0 for none.

    /// Larger numbers are no bound at all: a negative number that became one.
    static constexpr std::uint64_t highest = std::uint64_t{1} << 62;
    static constexpr double highest_cpu_share = 65536;

    /// What is wrong, in words; empty if nothing is.
    [[nodiscard]] std::vector<std::string> validate() const;

    friend bool operator==(const ResourceLimits&, const ResourceLimits&) = default;
};

/// Who the child runs as. Changing user or groups needs the right to.
struct Identity {
    std::string user{};   ///< Name or number; empty: the program's own.
    std::string group{};  ///< Name or number; empty: the primary group of `user`, or the program's own.
    /// Supplementary groups, names or numbers; not set: those of `user`, or the program's own.
    std::optional<std::vector<std::string>> groups{};
    std::optional<std::uint32_t> umask{};  ///< 0 to 0777.
    std::optional<int> nice{};             ///< -20 to 19, the value itself, not an increment.

    /// What is wrong, in words; empty if nothing is.
    [[nodiscard]] std::vector<std::string> validate() const;

    friend bool operator==(const Identity&, const Identity&) = default;
};

// -- implementation ----------------------------------------------------------

inline std::vector<std::string> ResourceLimits::validate() const {
    std::vector<std::string> found;
    const auto check = [&](const char* name, const std::optional<std::uint64_t>& value, std::uint64_t lowest) {
        if (!value || (*value >= lowest && *value <= highest)) return;
        found.push_back("limits." + std::string(name) + " is " + std::to_string(*value) + "; it must be between " +
                        std::to_string(lowest) + " and " + std::to_string(highest));
    };
    check("memory_bytes", memory_bytes, 1);
    if (cpu_time && *cpu_time <= Nanoseconds::zero()) {
        found.emplace_back("limits.cpu_time is zero or negative; it must be positive, or left out for no limit");
    }
    if (cpu_share && !(*cpu_share > 0 && *cpu_share <= highest_cpu_share)) {  // also if it is no number
        found.push_back("limits.cpu_share is " + std::to_string(*cpu_share) +
                        "; it must be more than 0, and at most 65536 processors");
    }
    check("processes", processes, 1);
    check("open_files", open_files, 3);
    check("file_bytes", file_bytes, 0);
    check("core_bytes", core_bytes, 0);
    return found;
}

inline std::vector<std::string> Identity::validate() const {
    std::vector<std::string> found;
    const auto check = [&](const std::string& name, const std::string& value) {
        if (detail::has_nul(value)) found.push_back("a NUL byte is in identity." + name);
        if (value == "4294967295") found.push_back("identity." + name + " is 4294967295, which means nobody (-1)");
    };
    check("user", user);
    check("group", group);
    for (const std::string& name : groups.value_or(std::vector<std::string>())) check("groups", name);
    if (umask.value_or(0) > 0777) found.emplace_back("umask must be between 0 and 0777");
    if (nice && (*nice < -20 || *nice > 19)) found.emplace_back("nice must be between -20 and 19");
    return found;
}

}  // namespace warden
