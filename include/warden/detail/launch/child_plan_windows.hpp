// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a launch needs to know of a child, as plain data.
///
/// Does not know: who made the plan, which jobs the child goes into.
/// Thread-safety: a plan belongs to one launch.

#include <warden/detail/launch/launch_extension_windows.hpp>
#include <warden/detail/system/api_windows.hpp>
#include <warden/error.hpp>
#include <warden/platform.hpp>
#include <warden/timeout.hpp>

#if WARDEN_OS_WINDOWS
#include <array>
#include <cstdint>
#include <optional>

namespace warden::detail {

/// What the job of a process allows, by `SetInformationJobObject`.
struct JobLimits {
    /// User mode time of each process of the tree. One that goes over it is ended with ERROR_NOT_ENOUGH_QUOTA.
    std::optional<Nanoseconds> cpu_time;
    std::optional<std::uint64_t> memory_bytes;  ///< Committed by the tree together; more is not to be had.
    std::optional<std::uint64_t> processes;     ///< At one time; more cannot be started.
    std::optional<double> cpu_share;            ///< Of one processor, 1.5 is one and a half; a hard cap.
};

/// Everything that the launch needs. The pointers are borrowed until it is over.
struct ChildPlan {
    const wchar_t* program = nullptr;       ///< The full path of the file to execute.
    const wchar_t* command_line = nullptr;  ///< With the name of the program in front.
    const wchar_t* environment = nullptr;   ///< A block as environment_block.hpp makes it.
    const wchar_t* directory = nullptr;     ///< Null: that of the program that starts it.
    std::array<HANDLE, 3> stdio{};          ///< Not inheritable: they are made so for the moment of the launch.
    DWORD creation_flags = 0;               ///< Its priority class.
    JobLimits limits;
    LaunchExtension* extension = nullptr;
};

/// What became of a plan.
struct ChildAnswer {
    std::int32_t error = 0;  ///< What `GetLastError` said; 0 once the program runs.
    std::int32_t step = 0;   ///< The `SpawnStep` in which it stopped.
    error_code refusal{};    ///< Set besides `error` if an initializer reported an error.
};

}  // namespace warden::detail
#endif
