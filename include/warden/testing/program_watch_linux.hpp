// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a test program is while a leak guard lives in it: a child subreaper, with a mark for all that it starts and a
/// watcher beside it.
///
/// Knows:         PR_SET_CHILD_SUBREAPER of prctl(2); the variable WARDEN_LEAK_GUARD; the pidfd of the watcher.
/// Does not know: what a leak is.
/// Thread-safety: safe, but it changes the environment: nobody may read that at the same moment (getenv(3)).
/// Errors:        system_error; then nothing has changed.

#include <warden/detail/containment/pidfd_linux.hpp>
#include <warden/detail/launch/fork_helper_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>
#include <warden/testing/leak_watcher_linux.hpp>

#if WARDEN_OS_LINUX
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

namespace warden::testing {

/// Counted: the first of the program begins all of this, the last ends it and restores what was before. In a forked
/// copy of the program the inherited ones do nothing. Hold one to spare the guards within it a watcher each.
class ProgramWatch {
public:
    ProgramWatch();
    ProgramWatch(const ProgramWatch&) = delete;
    ProgramWatch& operator=(const ProgramWatch&) = delete;
    ~ProgramWatch();

private:
    const pid_t owner_ = ::getpid();
};

// -- implementation ----------------------------------------------------------
namespace detail {

inline constexpr const char* mark_variable = "WARDEN_LEAK_GUARD";

/// A page that bears the mark as its name; a fork inherits it, an execution does not.
class NamedPage {
public:
    explicit NamedPage(const std::string& name) noexcept {
        const warden::detail::UniqueFd file(::memfd_create(name.c_str(), MFD_CLOEXEC));
        if (file) page_ = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE, file.get(), 0);
    }
    NamedPage(const NamedPage&) = delete;
    NamedPage& operator=(const NamedPage&) = delete;
    ~NamedPage() {
        if (page_ != MAP_FAILED) ::munmap(page_, bytes);
    }

private:
    static constexpr std::size_t bytes = 4096;
    void* page_ = MAP_FAILED;
};

struct ProgramWatchState {
    std::mutex mutex;
    int holders = 0;
    pid_t owner = 0;
    int former_subreaper = 0;
    std::optional<std::string> former_variable;
    std::optional<NamedPage> page;
    warden::detail::UniqueFd watcher;
};

WARDEN_ONE_PER_PROGRAM inline ProgramWatchState& program_watch_state() {
    static auto* const state = new ProgramWatchState;  // never destroyed: guards in static objects may outlive it
    return *state;
}

/// "4711-0123456789abcdef": of this program, at this time, and of no other.
[[nodiscard]] inline std::string make_mark() {
    std::uint64_t random = 0;
    if (::getrandom(&random, sizeof random, GRND_NONBLOCK) < 0) random = static_cast<std::uint64_t>(::time(nullptr));
    char text[40];
    std::snprintf(text, sizeof text, "%d-%016llx", ::getpid(), static_cast<unsigned long long>(random));
    return text;
}

[[nodiscard]] inline warden::detail::UniqueFd fork_watcher(const std::string& variable, const std::string& mapping) {
    const warden::detail::UniqueFd program(static_cast<int>(warden::detail::raw(SYS_pidfd_open, ::getpid(), 0)));
    if (!program) throw system_error(warden::detail::system_code(errno), "leak guard: pidfd_open");
    warden::detail::LeakWatch watch{program.get(), ::getpid(), {}, {}};
    variable.copy(watch.variable, sizeof watch.variable - 1);
    mapping.copy(watch.mapping, sizeof watch.mapping - 1);
    const warden::detail::Cloned watcher =
        warden::detail::fork_apart([&watch]() WARDEN_IN_CHILD { warden::detail::run_leak_watcher(watch); });
    if (watcher.error != 0) throw system_error(warden::detail::system_code(watcher.error), "leak guard: clone");
    return warden::detail::UniqueFd(watcher.pidfd);
}

inline void begin_watch(ProgramWatchState& state) {
    if (::access(("/proc/self/task/" + std::to_string(::getpid()) + "/children").c_str(), R_OK) != 0) {
        throw system_error(warden::detail::system_code(errno), "leak guard: /proc does not list children here");
    }
    const std::string mark = make_mark();
    const std::string name = "warden-leak-guard-" + mark;
    state.page.emplace(name);
    state.watcher = fork_watcher(std::string(mark_variable) + '=' + mark, "/memfd:" + name);
    const char* const former = std::getenv(mark_variable);
    state.former_variable = former ? std::optional<std::string>(former) : std::nullopt;
    ::setenv(mark_variable, mark.c_str(), 1);
    ::prctl(PR_GET_CHILD_SUBREAPER, &state.former_subreaper, 0, 0, 0);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    state.owner = ::getpid();
}

inline void end_watch(ProgramWatchState& state) noexcept {
    if (warden::detail::signal_pidfd(state.watcher.get(), SIGKILL) == error_code{}) {
        siginfo_t ended{};
        while (warden::detail::raw(SYS_waitid, warden::detail::pidfd_id_type, state.watcher.get(), &ended,
                                   WEXITED | __WALL, nullptr) == -EINTR) {}
    }
    state.watcher.reset();
    state.page.reset();
    if (state.former_variable) ::setenv(mark_variable, state.former_variable->c_str(), 1);
    else ::unsetenv(mark_variable);
    ::prctl(PR_SET_CHILD_SUBREAPER, state.former_subreaper, 0, 0, 0);
}

}  // namespace detail

inline ProgramWatch::ProgramWatch() {
    auto& state = detail::program_watch_state();
    const std::lock_guard lock(state.mutex);
    if (state.owner != owner_) state.holders = 0;  // a forked copy: those that it inherited are its parent's
    if (state.holders == 0) detail::begin_watch(state);
    ++state.holders;
}

inline ProgramWatch::~ProgramWatch() {
    if (owner_ != ::getpid()) return;
    auto& state = detail::program_watch_state();
    const std::lock_guard lock(state.mutex);
    if (state.owner == owner_ && --state.holders == 0) detail::end_watch(state);
}

}  // namespace warden::testing
#endif
