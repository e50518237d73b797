// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A scope in a test that must leave nothing behind: no process, zombie, listening socket or pipe.
///
/// Knows:         what was there when the scope began, and what of the rest is there at its end.
/// Does not know: test frameworks: see catch2_listener.hpp and gtest_listener.hpp.
/// Thread-safety: one guard is for one thread. It looks at the whole program: let no other thread start processes or
///                open sockets across its beginning and its end.
/// Errors:        system_error from the constructor, where there is no /proc or no pidfd. What cannot be read, because
///                it runs as another user, is not seen: its descriptors, though not the process itself.
///
/// While a guard lives the program is a child subreaper: what a descendant orphans, by a double fork or by leaving its
/// session, becomes a child of this program, and is found. `waitpid(-1)` of a test may meet such orphans.
/// A helper process watches the program: should it be killed, the helper names on the standard error what runs on and
/// ends it. It knows the descendants by the variable WARDEN_LEAK_GUARD, and those that were only forked by a mapping.
/// So a program escapes it that was executed with a cleared environment; `wardenctl run -- ctest` holds that too.
/// Helpers and descriptors of a ProcessManager do not count, also if the test is the first to use it; its processes do.
/// A manager is not needed. What a library opens once and
/// keeps counts for the test that uses it first: use it before, or name it in `LeakOptions::ignore`.
/// An orphan that ended before anybody looked counts as a zombie, since it cannot be told from a child of this program;
/// unless its session tells: one that another descendant began.

#include <warden/testing/leak.hpp>
#include <warden/testing/leak_census_linux.hpp>
#include <warden/testing/program_watch_linux.hpp>
#include <warden/timeout.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace warden::testing {

struct LeakOptions {
    /// How long a process that still runs at the end may take to end by itself before it is a leak.
    Nanoseconds grace = std::chrono::seconds(1);
    /// End the processes that were left, by SIGKILL through pidfds, so that the next test begins clean. Sockets and
    /// descriptors of this program, and zombies that it may still wait for, stay; the next guard finds them there
    /// before.
    bool end_leaks = true;
    /// What it returns true for is no leak and is not ended. It may not throw.
    std::function<bool(const Leak&)> ignore = {};
    /// Called by the destructor with what was left, if anything was; after it has been ended. What it throws ends the
    /// program: CHECK and ADD_FAILURE are right, REQUIRE and FAIL are not. Without one the guard prints the leaks and
    /// calls std::abort, which is red under every test framework; when an exception is on its way, it only prints.
    std::function<void(const std::vector<Leak>&)> on_leak = {};
};

class LeakGuard {
public:
    /// Looks at what is there. @throws system_error
    explicit LeakGuard(LeakOptions options = {});
    LeakGuard(const LeakGuard&) = delete;
    LeakGuard& operator=(const LeakGuard&) = delete;
    /// `conclude`, and `on_leak` if that found something. Does nothing in a forked copy of the program.
    ~LeakGuard();

    /// What is there now and was not at the beginning. Waits until nothing of it runs, at most for `grace`; ends
    /// nothing and reaps nothing. A process that was there at the beginning is no leak when it has become a zombie.
    [[nodiscard]] std::vector<Leak> check(Nanoseconds grace);
    [[nodiscard]] std::vector<Leak> check() { return check(options_.grace); }

    /// The end of the scope, now: what `check` finds, ended if the options say so. `on_leak` is not called. Reaps
    /// orphans that have fallen to this program, never a child of its own. Afterwards the guard does nothing more.
    [[nodiscard]] std::vector<Leak> conclude();

    /// The guard does nothing more.
    void dismiss() noexcept { watch_.reset(); }

private:
    [[nodiscard]] bool is_on_guard() const noexcept { return watch_ && owner_ == ::getpid(); }
    [[nodiscard]] detail::LeakCensus look();
    [[nodiscard]] std::vector<Leak> leaks_of(const detail::LeakCensus& census) const;
    [[nodiscard]] bool is_orphan(const detail::procfs::Stat& process) const;
    void end_leaks();
    void reap_orphans();

    LeakOptions options_;
    const int exceptions_ = std::uncaught_exceptions();
    const Pid owner_ = ::getpid();
    const Pid session_ = ::getsid(0);
    std::optional<ProgramWatch> watch_{std::in_place};
    std::set<detail::LeakKey> before_;
    std::set<detail::LeakKey> had_other_parents_;
};

/// What the default of `on_leak` prints.
[[nodiscard]] inline std::string leak_report(const std::string& who, const std::vector<Leak>& leaks) {
    return "\nwarden: " + who + " left something behind:\n" + to_string(leaks);
}

// -- implementation ----------------------------------------------------------
namespace detail {

/// Pidfds of those among `leaks` that still run.
[[nodiscard]] inline std::vector<warden::detail::UniqueFd> open_running(const std::vector<Leak>& leaks,
                                                                        const LeakCensus& census) {
    constexpr std::size_t most = 512;  // descriptors are limited; the rest has its turn when these have ended
    std::vector<warden::detail::UniqueFd> found;
    for (const procfs::Stat& process : census.descendants) {
        const bool is_meant = std::any_of(leaks.begin(), leaks.end(), [&](const Leak& leak) {
            return leak.kind == LeakKind::process && leak.pid == process.pid;
        });
        if (!is_meant || found.size() == most) continue;
        warden::detail::UniqueFd pidfd(static_cast<int>(warden::detail::raw(SYS_pidfd_open, process.pid, 0)));
        const auto now = procfs::read_stat(process.pid);  // looked at again: the pidfd might be of somebody else
        if (pidfd && now && now->start_ticks == process.start_ticks) found.push_back(std::move(pidfd));
    }
    return found;
}

/// Waits until one of them has ended, or `deadline` is over.
inline void wait_for_end(const std::vector<warden::detail::UniqueFd>& pidfds, SteadyTime deadline) {
    std::vector<struct pollfd> ends;
    ends.reserve(pidfds.size());
    for (const auto& pidfd : pidfds) ends.push_back({pidfd.get(), POLLIN, 0});
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyTime::clock::now()).count();
        constexpr long long longest = 3'600'000;
        const auto wait = static_cast<int>(std::clamp<long long>(left, 0, longest));
        if (::poll(ends.data(), ends.size(), wait) >= 0 || errno != EINTR) return;
    }
}

}  // namespace detail

inline LeakGuard::LeakGuard(LeakOptions options) : options_(std::move(options)) {
    for (const auto& [key, leak] : look().found) before_.insert(key);
}

inline LeakGuard::~LeakGuard() {
    const std::vector<Leak> leaks = conclude();
    if (leaks.empty()) return;
    if (options_.on_leak) {
        options_.on_leak(leaks);
        return;
    }
    std::fputs(leak_report("a test", leaks).c_str(), stderr);
    if (std::uncaught_exceptions() == exceptions_) std::abort();
}

inline detail::LeakCensus LeakGuard::look() {
    detail::LeakCensus census = detail::take_leak_census();
    for (const auto& process : census.descendants) {
        if (process.parent != owner_) had_other_parents_.insert(detail::key_of(process));
    }
    return census;
}

/// Whether `process` is a child of this program that another one started, and left. A child of its own is in its
/// session or has begun one; whoever is in neither, or was seen below somebody else, came later.
inline bool LeakGuard::is_orphan(const detail::procfs::Stat& process) const {
    if (process.parent != owner_) return false;
    if (had_other_parents_.contains(detail::key_of(process))) return true;
    const Pid session = process.session;
    return session > 0 && session != process.pid && session != session_ && session != ::getsid(0);
}

inline std::vector<Leak> LeakGuard::leaks_of(const detail::LeakCensus& census) const {
    std::set<Pid> orphaned_zombies;
    for (const auto& process : census.descendants) {
        if (detail::is_zombie(process) && is_orphan(process)) orphaned_zombies.insert(process.pid);
    }
    std::vector<Leak> leaks;
    for (const auto& [key, leak] : census.found) {
        if (before_.contains(key) || (options_.ignore && options_.ignore(leak))) continue;
        if (leak.kind == LeakKind::zombie && orphaned_zombies.contains(leak.pid)) continue;
        leaks.push_back(leak);
    }
    return leaks;
}

inline std::vector<Leak> LeakGuard::check(Nanoseconds grace) {
    if (!is_on_guard()) return {};
    const SteadyTime deadline = warden::detail::deadline_after(SteadyTime::clock::now(), grace);
    for (;;) {
        const detail::LeakCensus census = look();
        std::vector<Leak> leaks = leaks_of(census);
        if (SteadyTime::clock::now() >= deadline) return leaks;
        const auto running = detail::open_running(leaks, census);
        if (running.empty()) return leaks;
        detail::wait_for_end(running, deadline);
    }
}

inline std::vector<Leak> LeakGuard::conclude() {
    std::vector<Leak> leaks = check();
    if (!is_on_guard()) return leaks;
    if (options_.end_leaks) end_leaks();
    reap_orphans();
    dismiss();
    return leaks;
}

/// Kills what leaked, and what is found beside it: a parent that is ended cannot start another child, but it may have
/// done so since the last look.
inline void LeakGuard::end_leaks() {
    constexpr auto patience = std::chrono::seconds(2);  // for processes that the kernel does not let go
    const SteadyTime deadline = SteadyTime::clock::now() + patience;
    while (SteadyTime::clock::now() < deadline) {
        const detail::LeakCensus census = look();
        const auto running = detail::open_running(leaks_of(census), census);
        if (running.empty()) return;
        for (const auto& pidfd : running) static_cast<void>(warden::detail::signal_pidfd(pidfd.get(), SIGKILL));
        detail::wait_for_end(running, deadline);
    }
}

inline void LeakGuard::reap_orphans() {
    for (const auto& process : look().descendants) {
        if (detail::is_zombie(process) && is_orphan(process)) ::waitpid(process.pid, nullptr, WNOHANG | __WALL);
    }
}

}  // namespace warden::testing
#endif
