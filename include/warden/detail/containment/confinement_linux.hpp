// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a fork of the calling thread would inherit that nobody can give to a process of another origin: namespaces,
/// root directory, capabilities, system call filters, security labels, keyrings, processors, scheduling.
///
/// Knows:         that all of it belongs to a thread, not to the program: /proc/thread-self, never /proc/self.
/// Does not know: what goes with a launch request instead: see inherited_linux.hpp.
/// Thread-safety: safe.
/// Errors:        none. What cannot be read is noted as such, and equals only the same.
/// Allocates:     strings. About thirty system calls.

#include <warden/detail/launch/child_linux.hpp>
#include <warden/detail/system/procfs_linux.hpp>

#if WARDEN_OS_LINUX
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <linux/keyctl.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>

namespace warden::detail {

/// Two threads with the same text confine what they fork in the same way.
using Confinement = std::string;

/// That of the calling thread. `proc` is a descriptor of /proc, opened before the program could change its root;
/// `status` is the text of thread-self/status. `common_filters` is the number of system call filters that all threads
/// have: filters cannot be compared, so a thread with others is like no other thread.
[[nodiscard]] inline Confinement read_confinement(int proc, std::string_view status, std::string_view common_filters);

/// The line of `status` that begins with `name`; empty if there is none.
[[nodiscard]] inline std::string_view status_line(std::string_view status, std::string_view name) noexcept;

// -- implementation ----------------------------------------------------------

/// The policy, priority and flags of sched_getattr(2), which has no wrapper everywhere; nice values go elsewhere.
struct SchedulingAttributes {
    std::uint32_t size;
    std::uint32_t policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime;
    std::uint64_t deadline;
    std::uint64_t period;
};

inline std::string_view status_line(std::string_view status, std::string_view name) noexcept {
    for (auto at = status.find(name); at != std::string_view::npos; at = status.find(name, at + 1)) {
        if (at == 0 || status[at - 1] == '\n') return status.substr(at, status.find('\n', at) - at);
    }
    return {};
}

inline Confinement read_confinement(int proc, std::string_view status, std::string_view common_filters) {
    Confinement text;
    text.reserve(2048);
    const auto add = [&text](std::uint64_t value) { text.append(std::to_string(value)).push_back(' '); };
    const auto add_file = [&](const char* path, int directory) {
        struct stat file {};
        const bool is_there = ::fstatat(directory, path, &file, 0) == 0;
        add(is_there ? file.st_dev : 0);
        add(is_there ? file.st_ino : 0);
    };
    for (const char* name : {"mnt", "net", "user", "pid_for_children", "ipc", "uts", "cgroup", "time_for_children"})
        add_file((std::string("thread-self/ns/") + name).c_str(), proc);
    add_file("/", AT_FDCWD);
    // From the capabilities to the processors: also no_new_privs, seccomp and its filters, mitigations.
    const auto begin = status.find("\nCapInh:");
    const auto end = status.find("\nCpus_allowed:");
    if (begin != std::string_view::npos) text.append(status.substr(begin, end - begin));
    text.append(status_line(status, "Mems_allowed:"));
    if (status_line(status, "Seccomp_filters:") != common_filters) add(static_cast<std::uint64_t>(raw(SYS_gettid)));
    for (const char* name : {"thread-self/attr/current", "thread-self/cgroup"})
        text.append(procfs::read_file_at(proc, name)).push_back('\n');
    SchedulingAttributes scheduling{};
    raw(SYS_sched_getattr, 0, &scheduling, sizeof scheduling, 0u);
    for (const std::uint64_t value :
         {std::uint64_t{scheduling.policy}, scheduling.flags, std::uint64_t{scheduling.priority}, scheduling.runtime,
          scheduling.deadline, scheduling.period})
        add(value);
    add(static_cast<std::uint64_t>(raw(SYS_ioprio_get, 1, 0)));
    add(static_cast<std::uint64_t>(raw(SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0)));
    add(static_cast<std::uint64_t>(raw(SYS_personality, 0xffffffffUL)));
    add(static_cast<std::uint64_t>(raw(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0)));
    return text;
}

}  // namespace warden::detail
#endif
