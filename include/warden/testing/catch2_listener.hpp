// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A listener for Catch2, 2.13 and 3: names each test case that leaves something behind, and makes the run red.
///
/// Include it in one source file of the tests and write, outside of any namespace:
///
///     WARDEN_CATCH2_LEAK_LISTENER
///
/// With Catch2 2, include it there before <catch2/catch.hpp>, or in the file that defines CATCH_CONFIG_MAIN or _RUNNER.
/// A listener may not assert. So a leaking case is printed on the standard error and counted; and a run in which Catch2
/// itself found no fault ends with exit code 1 all the same: by way of atexit(3), whoever wrote `main`. A program that
/// leaves by _exit(2) or std::quick_exit asks `leaking_test_cases()` before.
///
/// Knows:         what LeakGuard finds between the beginning and the end of a test case, all its sections included.
/// Does not know: static objects; what runs before the first case or after the last.
/// Thread-safety: as Catch2: one thread.

#include <warden/testing/leak_guard.hpp>

#if WARDEN_OS_LINUX
#if defined(CATCH_AMALGAMATED_HPP_INCLUDED) || defined(TWOBLUECUBES_SINGLE_INCLUDE_CATCH_HPP_INCLUDED)
// It is here already, whole.
#elif __has_include(<catch2/reporters/catch_reporter_event_listener.hpp>)
#include <catch2/catch_test_case_info.hpp>
#include <catch2/catch_totals.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>
#else
#if !defined(CATCH_CONFIG_EXTERNAL_INTERFACES)
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#endif
#include <catch2/catch.hpp>
#endif

#if defined(TWOBLUECUBES_SINGLE_INCLUDE_CATCH_HPP_INCLUDED) && !defined(CATCH_CONFIG_EXTERNAL_INTERFACES)
#error \
    "include <warden/testing/catch2_listener.hpp> before <catch2/catch.hpp>, or define CATCH_CONFIG_EXTERNAL_INTERFACES"
#endif

#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

namespace warden::testing {

/// How the listener looks; change it before the run begins. `on_leak` is not used.
[[nodiscard]] inline LeakOptions& catch2_leak_options() {
    static LeakOptions options;
    return options;
}

/// How many test cases have left something behind so far.
[[nodiscard]] inline std::size_t leaking_test_cases() noexcept;

// -- implementation ----------------------------------------------------------
namespace detail {

#if defined(TWOBLUECUBES_SINGLE_INCLUDE_CATCH_HPP_INCLUDED)
using Catch2ListenerBase = Catch::TestEventListenerBase;
#else
using Catch2ListenerBase = Catch::EventListenerBase;
#endif

[[nodiscard]] inline const std::string& name_of(const Catch::TestCaseInfo& info) { return info.name; }   // Catch2 2
[[nodiscard]] inline const std::string& name_of(const Catch::TestCaseInfo* info) { return info->name; }  // Catch2 3

struct Catch2Leaks {
    std::size_t cases = 0;
    pid_t owner = 0;  // a forked copy of the program may exit as it likes
};
[[nodiscard]] inline Catch2Leaks& catch2_leaks() noexcept {
    static Catch2Leaks leaks;
    return leaks;
}

/// The handlers that were registered before this one still run after it: exit(3) goes on with them, see its manual.
inline void exit_red_at_exit() {
    catch2_leaks().owner = ::getpid();
    std::atexit([] {
        if (catch2_leaks().owner == ::getpid()) std::exit(EXIT_FAILURE);  // NOLINT
    });
}

}  // namespace detail

inline std::size_t leaking_test_cases() noexcept { return detail::catch2_leaks().cases; }

class Catch2LeakListener final : public detail::Catch2ListenerBase {
public:
    using Base = detail::Catch2ListenerBase;
    using Base::Base;

    void testRunStarting(const Catch::TestRunInfo& info) override {
        Base::testRunStarting(info);
        watch_.emplace();
    }

    void testCaseStarting(const Catch::TestCaseInfo& info) override {
        Base::testCaseStarting(info);
        guard_.emplace(catch2_leak_options());
    }

    /// When the program is about to die of a signal, nothing more is done here: the watcher ends what is left.
    auto assertionEnded(const Catch::AssertionStats& stats)
        -> decltype(std::declval<Base&>().assertionEnded(stats)) override {
        is_dying_ = is_dying_ || stats.assertionResult.getResultType() == Catch::ResultWas::FatalErrorCondition;
        return Base::assertionEnded(stats);
    }

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        if (guard_ && !is_dying_) {
            const auto leaks = guard_->conclude();
            guard_.reset();
            if (!leaks.empty()) {
                ++detail::catch2_leaks().cases;
                std::cerr << leak_report("test case '" + detail::name_of(stats.testInfo) + '\'', leaks) << std::flush;
            }
        }
        Base::testCaseEnded(stats);
    }

    void testRunEnded(const Catch::TestRunStats& stats) override {
        Base::testRunEnded(stats);
        if (is_dying_) return;
        watch_.reset();
        if (leaking_test_cases() == 0) return;
        std::cerr << "warden: " << leaking_test_cases() << " test cases left something behind; the run is red\n";
        if (stats.totals.assertions.failed == 0) detail::exit_red_at_exit();
    }

private:
    std::optional<ProgramWatch> watch_;
    std::optional<LeakGuard> guard_;
    bool is_dying_ = false;
};

}  // namespace warden::testing

/// Registers the listener; once in a program, outside of any namespace.
#define WARDEN_CATCH2_LEAK_LISTENER                                   \
    namespace {                                                       \
    using WardenLeakListener = ::warden::testing::Catch2LeakListener; \
    }                                                                 \
    CATCH_REGISTER_LISTENER(WardenLeakListener)
#endif
