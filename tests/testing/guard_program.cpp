// SPDX-License-Identifier: MIT
// A test program with a LeakGuard and no framework:  guard_program MODE LEAK
#include "leaks.hpp"
#include <warden/testing/leak_guard.hpp>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <stdexcept>

#include <sys/wait.h>

namespace {

using namespace std::chrono_literals;
using warden::testing::Leak;
using warden::testing::LeakGuard;
using warden::testing::LeakKind;
using warden::testing::LeakOptions;

int failures = 0;

void expect(bool holds, const char* what) {
    if (holds) return;
    ++failures;
    std::cerr << "not so: " << what << '\n';
}

bool is_subreaper() {
    int value = 0;
    ::prctl(PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0);
    return value != 0;
}

std::size_t descriptors() {
    std::size_t count = 0;
    warden::detail::procfs::for_each_entry("/proc/self/fd", [&](std::string_view) { ++count; });
    return count;
}

bool has_children() { return ::waitpid(-1, nullptr, WNOHANG | __WALL) >= 0; }

std::vector<warden::Pid> own_pids() {
    warden::error_code unlisted;
    auto children = warden::detail::procfs::children(::getpid(), unlisted);
    if (unlisted) throw warden::system_error(unlisted, "children");
    return children;
}

/// Some child of this program, the watcher if there is no other.
warden::Pid a_child() {
    const auto children = own_pids();
    return children.empty() ? 0 : children.front();
}

bool runs(warden::Pid pid) {
    const auto process = warden::detail::procfs::read_stat(pid);
    return process && process->state != 'Z';
}

/// The guard aborts, or not.
int by_default(const std::string& leak) {
    const LeakGuard guard;
    leaks::leave(leak);
    return 0;
}

int by_callback(const std::string& leak) {
    int code = 0;
    {
        LeakOptions options;
        options.on_leak = [&](const std::vector<Leak>& found) {
            std::cerr << "called back:\n" << to_string(found);
            code = 3;
        };
        const LeakGuard guard(options);
        leaks::leave(leak);
    }
    expect(!has_children(), "what was left has been ended, and the orphan reaped");
    return failures == 0 ? code : failures;
}

int with_exception(const std::string& leak) {
    try {
        const LeakGuard guard;
        leaks::leave(leak);
        throw std::runtime_error("the test has failed by itself");
    } catch (const std::runtime_error&) {
        return 4;
    }
}

int killed(const std::string& leak) {
    const LeakGuard guard;
    leaks::leave(leak);
    return std::raise(SIGKILL);
}

/// As a shell or a test runner does it: the whole process group.
int killed_with_group(const std::string& leak) {
    ::setpgid(0, 0);
    const LeakGuard guard;
    leaks::leave(leak);
    return ::kill(0, SIGKILL);
}

int exits(const std::string& leak) {
    const LeakGuard guard;
    leaks::leave(leak);
    ::_exit(5);
}

/// What the guard changes of the program is as before when it has ended, also when guards are nested.
int leaves_no_trace(const std::string&) {
    const std::size_t before = descriptors();
    ::setenv("WARDEN_LEAK_GUARD", "of the one above", 1);
    {
        LeakGuard outer;
        const std::string mark = std::getenv("WARDEN_LEAK_GUARD");
        expect(mark != "of the one above", "a guard has a mark of its own");
        expect(is_subreaper(), "with a guard the program is a subreaper");
        {
            const LeakGuard inner;
            expect(mark == std::getenv("WARDEN_LEAK_GUARD"), "guards of a program share a mark");
        }
        expect(is_subreaper(), "the program is a subreaper until the last guard ends");
        if (const pid_t copy = ::fork(); copy == 0) std::exit(failures);  // what it inherited does nothing
        else expect(::waitpid(copy, nullptr, 0) == copy, "a copy of the program ends");
        expect(outer.check(0s).empty(), "a guard does not count its watcher");
    }
    expect(!is_subreaper(), "afterwards it is none");
    expect(std::getenv("WARDEN_LEAK_GUARD") == std::string("of the one above"), "the former mark is back");
    expect(!has_children(), "the watcher has ended");
    expect(descriptors() == before, "no descriptor is left");
    return failures;
}

/// The destructor of a guard in a forked copy of the program neither looks nor ends.
int forked_copy(const std::string& leak) {
    int status = 0;
    {
        LeakOptions options;
        options.on_leak = [](const std::vector<Leak>&) { std::_Exit(9); };
        auto guard = std::make_unique<LeakGuard>(options);
        const warden::Pid watcher = a_child();
        if (const pid_t copy = ::fork(); copy == 0) {
            leaks::leave(leak);
            guard.reset();
            std::_Exit(0);
        } else {
            ::waitpid(copy, &status, 0);
        }
        expect(is_subreaper() && runs(watcher), "the copy took nothing away");
        expect(!guard->check(0s).empty(), "what the copy left has fallen to this program");
        guard->dismiss();
        expect(!is_subreaper(), "a dismissed guard lets go of everything");
        expect(guard->check().empty(), "a dismissed guard finds nothing");
        LeakGuard cleaner;
        for (const warden::Pid pid : own_pids()) ::kill(pid, SIGKILL);
        while (::waitpid(-1, nullptr, 0) > 0) {}
    }
    expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the guard of the copy did nothing");
    return failures;
}

/// An orphan that is ending is a leak without grace and none with it; then it is reaped.
int grace(const std::string&) {
    {
        LeakGuard guard({.grace = 30s});
        leaks::leave_ending();
        const auto now = guard.check(0s);
        expect(now.size() == 1 && now.front().kind == LeakKind::process, "without grace it is a leak");
        expect(guard.check().empty(), "with grace it is none");
        expect(guard.conclude().empty(), "nor at the end");
    }
    expect(!has_children(), "it has been reaped");
    return failures;
}

/// The test may still wait for its own child after the guard has looked, and has ended.
int own_children(const std::string&) {
    pid_t pid = 0;
    {
        LeakGuard guard;
        pid = leaks::leave_zombie();
        for (int i = 0; i < 2; ++i) {
            const auto found = guard.check();
            expect(found.size() == 1 && found.front().kind == LeakKind::zombie && found.front().pid == pid,
                   "it is named");
            expect(!found.empty() && found.front().parent == ::getpid(), "and its parent");
        }
        expect(guard.conclude().size() == 1, "and counts");
    }
    expect(::waitpid(pid, nullptr, 0) == pid, "it may be waited for");
    return failures;
}

/// What was there before the guard is none of its business.
int there_before(const std::string& leak) {
    const LeakGuard outer({.grace = 0s, .on_leak = [](const std::vector<Leak>&) {}});
    leaks::leave(leak);
    LeakGuard inner;
    expect(inner.conclude().empty(), "what was there before is no leak");
    expect(own_pids().size() == 2, "and is not ended: the process and the watcher");
    return failures;
}

int ignored(const std::string& leak) {
    LeakOptions options;
    options.ignore = [](const Leak& found) { return found.kind == LeakKind::process; };
    LeakGuard guard(options);
    leaks::leave(leak);
    expect(guard.check(0s).empty(), "what is ignored is no leak");
    static_cast<void>(guard.conclude());
    const LeakGuard next;
    for (const warden::Pid pid : own_pids()) {
        warden::error_code unread;
        if (warden::detail::procfs::member(pid, unread)->command == "sleep 60") {
            expect(::kill(pid, SIGKILL) == 0 && ::waitpid(pid, nullptr, 0) == pid, "it has not been ended");
            return failures;
        }
    }
    expect(false, "it still runs");
    return failures;
}

}  // namespace

int main(int argc, char* argv[]) {
    static const std::map<std::string, int (*)(const std::string&)> modes{
        {"default", by_default},
        {"callback", by_callback},
        {"exception", with_exception},
        {"killed", killed},
        {"killed-group", killed_with_group},
        {"exits", exits},
        {"no-trace", leaves_no_trace},
        {"forked-copy", forked_copy},
        {"grace", grace},
        {"own-children", own_children},
        {"there-before", there_before},
        {"ignored", ignored},
    };
    if (argc != 3) return 64;
    ::alarm(60);
    return modes.at(argv[1])(argv[2]);
}
