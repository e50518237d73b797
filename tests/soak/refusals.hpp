// SPDX-License-Identifier: MIT
// Runs a function in a process of its own whose system calls, and those of all that it starts, can be refused one by
// one, by a seccomp filter that asks this program.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace soak {

/// Who makes a call: the host, its guardian, a keeper or what that is about to execute, or a copy of the host that is
/// about to execute something or to become a helper. Programs that were executed are left alone.
enum class Role { host, guardian, keeper, copy, program };
inline constexpr std::array<std::string_view, 5> role_names{"host", "guardian", "keeper", "copy", "program"};

struct SystemCall {
    std::string_view name;
    long number;
    std::vector<int> errors;  // that a system gives for it
    long operation = -1;      // the only value of its second argument that is meant; -1: any
};

/// All that may be refused.
const std::vector<SystemCall>& system_calls();

/// The `nth` call of that kind by that role gets `error`; with `nth` 0 none does.
struct Refusal {
    const SystemCall* call = nullptr;
    Role role = Role::host;
    std::size_t nth = 0;
    int error = 0;
};

/// What the host says on its way; shared with it. No call of the system is needed for that.
struct Report {
    std::atomic<int> listener{-1};
    std::atomic<const char*> step{"set-up"};  // a literal
    std::array<char, 4096> text{};            // what went wrong by its own account; empty if nothing did

    void add(std::string_view words) noexcept;
};

/// How a run went.
struct Outcome {
    std::map<std::pair<const SystemCall*, Role>, std::size_t> calls;
    bool was_refused = false;
    std::vector<std::string> faults;  // of ours: hangs, crashes, leaks, wrong results
    std::string errors;               // that the host was given, which is right if something was refused
    std::chrono::milliseconds duration{0};
};

/// In the host: it is about to begin; it is about to end, and has released everything; a stop was clean: everything
/// that it had started must be gone.
enum class Mark : unsigned { begin, end, stopped_clean };
void mark(Mark what) noexcept;

/// Forks a host that runs `scenario`, and serves its calls until it and all below it have ended.
Outcome run_refusing(const Refusal& refusal, void (*scenario)(Report&, const void*), const void* argument);

}  // namespace soak
