// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Forbids starting processes past the manager: after this header, naming one of these functions is a compile error.
///
/// Include it last, after all headers of the system and of libraries, for these may name them.
/// `exec*`, `fork`, `vfork`, `posix_spawn*`, `system`, `popen`, `CreateProcess*`, `ShellExecute*`, `WinExec`.

#include <cstdlib>

#if defined(__GNUC__)
#pragma GCC poison system popen _popen _wpopen _wsystem fork vfork
#pragma GCC poison execl execle execlp execv execve execvp execvpe fexecve
#pragma GCC poison posix_spawn posix_spawnp
#pragma GCC poison CreateProcess CreateProcessA CreateProcessW ShellExecute ShellExecuteA ShellExecuteW WinExec
#endif
