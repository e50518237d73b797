// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The one reader of compiler and system macros; everybody else asks the 0/1 macros defined here.
///
/// Knows:         which system this is, which sanitizer is on, how to reach the environment safely.
/// Thread-safety: `environment_variable` is as safe as `getenv(3)`: nobody may change the environment meanwhile.

#include <cstdlib>

/// A build may define WARDEN_PORTABLE_POSIX to do without what is Linux's own: for tests of what other systems get.
#if defined(__linux__) && !defined(WARDEN_PORTABLE_POSIX)
#define WARDEN_OS_LINUX 1
#else
#define WARDEN_OS_LINUX 0
#endif

#if defined(_WIN32)
#define WARDEN_OS_WINDOWS 1
#else
#define WARDEN_OS_WINDOWS 0
#endif

#if defined(__APPLE__)
#define WARDEN_OS_MACOS 1
#else
#define WARDEN_OS_MACOS 0
#endif

#if defined(__unix__) || defined(__APPLE__) || defined(__linux__)
#define WARDEN_OS_POSIX 1
#else
#define WARDEN_OS_POSIX 0
#endif

/// A portable build on Linux may define WARDEN_PORTABLE_KQUEUE, if it brings a <sys/event.h>.
#if WARDEN_OS_MACOS || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__) || defined(WARDEN_PORTABLE_KQUEUE)
#define WARDEN_HAS_KQUEUE 1
#else
#define WARDEN_HAS_KQUEUE 0
#endif

#if defined(__has_feature)
#define WARDEN_HAS_FEATURE(x) __has_feature(x)
#else
#define WARDEN_HAS_FEATURE(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || WARDEN_HAS_FEATURE(address_sanitizer)
#define WARDEN_HAS_ASAN 1
#else
#define WARDEN_HAS_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || WARDEN_HAS_FEATURE(thread_sanitizer)
#define WARDEN_HAS_TSAN 1
#else
#define WARDEN_HAS_TSAN 0
#endif

#if defined(__GLIBC__)
#define WARDEN_HAS_SECURE_GETENV 1
#else
#define WARDEN_HAS_SECURE_GETENV 0
#endif

#if defined(__x86_64__) && !defined(__ILP32__)
#define WARDEN_ARCH_X86_64 1
#else
#define WARDEN_ARCH_X86_64 0
#endif

#if defined(__aarch64__)
#define WARDEN_ARCH_AARCH64 1
#else
#define WARDEN_ARCH_AARCH64 0
#endif

/// For functions that run between clone and exec, or in the guardian and its keepers: no sanitizer bookkeeping there,
/// since its locks may be held by a thread that does not exist in this process.
#if defined(__clang__)
#define WARDEN_IN_CHILD \
    __attribute__((disable_sanitizer_instrumentation, no_sanitize("address", "thread", "undefined")))
#elif defined(__GNUC__)
#define WARDEN_IN_CHILD __attribute__((no_sanitize("address", "thread", "undefined"), no_stack_protector))
#else
#define WARDEN_IN_CHILD
#endif

/// For what must be one per program, also when shared libraries are built with hidden visibility.
#if defined(__GNUC__)
#define WARDEN_ONE_PER_PROGRAM __attribute__((visibility("default")))
#else
#define WARDEN_ONE_PER_PROGRAM
#endif

/// Header-only unless WARDEN_SEPARATE_COMPILATION is defined for the whole program: then the code is compiled in the
/// one unit that includes <warden/src.hpp>, before any other header of warden. WARDEN_HAS_BODIES: this unit has the
/// code.
#if defined(WARDEN_SEPARATE_COMPILATION)
#define WARDEN_SEPARATE 1
#define WARDEN_INLINE
#else
#define WARDEN_SEPARATE 0
#define WARDEN_INLINE inline
#endif
#if !WARDEN_SEPARATE || defined(WARDEN_SOURCE)
#define WARDEN_HAS_BODIES 1
#else
#define WARDEN_HAS_BODIES 0
#endif

#if !defined(__cpp_exceptions) && !defined(_CPPUNWIND)
#error "warden needs exceptions: compile without -fno-exceptions. Its functions report errors by `error_code& ec` too."
#include <warden-needs-exceptions>  // ends the compilation, so that the line above is the only error
#endif

namespace warden::detail {

/// The value of an environment variable, or null. Null for every name in a set-user-id program.
#if WARDEN_HAS_SECURE_GETENV
inline const char* environment_variable(const char* name) noexcept { return ::secure_getenv(name); }
#else
inline const char* environment_variable(const char* name) noexcept { return std::getenv(name); }
#endif

}  // namespace warden::detail
