// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The names of the library, for headers that only mention them, and the type of a process id.

#include <warden/platform.hpp>

#include <cstdint>

namespace warden {

/// A process id as the system counts them. Identifies a process only while a handle to it is held.
using Pid = std::int32_t;

/// A descriptor, or on Windows a handle.
#if WARDEN_OS_WINDOWS
using NativeHandle = void*;
#else
using NativeHandle = int;
#endif

class CommandLine;
class DetachedProcesses;
class ProcessPipe;
class Environment;
class ExitStatus;
class Input;
class ManagedProcess;
class Output;
class ProcessManager;
class ServiceGroup;
class StopPlan;
class Timeout;
struct CompletedPipeline;
struct CompletedProcess;
struct ContainmentReport;
struct ManagerConfig;
struct ProcessInfo;
struct SpawnOptions;
struct Terminal;
struct StopReport;

namespace detail {
class PreparedLaunch;
struct HandleAccess;
}  // namespace detail

}  // namespace warden
