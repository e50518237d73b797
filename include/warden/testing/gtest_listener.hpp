// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A listener for GoogleTest: fails each test that leaves something behind.
///
/// In `main`, after InitGoogleTest, call `add_leak_listener()`; or, with the `main` of GoogleTest, write in one source
/// file, outside of any namespace:
///
///     WARDEN_GTEST_LEAK_LISTENER
///
/// Knows:         what LeakGuard finds between the beginning and the end of a test, its fixture included.
/// Does not know: what SetUpTestSuite and Environments start: that is there before the test.
/// Thread-safety: as GoogleTest: one thread.

#include <warden/testing/leak_guard.hpp>

#if WARDEN_OS_LINUX
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

namespace warden::testing {

/// A failed test is failed in all reports, and names what it left. `on_leak` of the options is not used.
class GtestLeakListener final : public ::testing::EmptyTestEventListener {
public:
    explicit GtestLeakListener(LeakOptions options = {}) : options_(std::move(options)) {}

    void OnTestProgramStart(const ::testing::UnitTest&) override { watch_.emplace(); }
    void OnTestStart(const ::testing::TestInfo&) override { guard_.emplace(options_); }

    void OnTestEnd(const ::testing::TestInfo& test) override {
        if (!guard_) return;
        const auto leaks = guard_->conclude();
        guard_.reset();
        if (leaks.empty()) return;
        const std::string name = std::string(test.test_suite_name()) + '.' + test.name();
        ADD_FAILURE_AT(test.file(), test.line()) << leak_report("test '" + name + '\'', leaks);
    }

    void OnTestProgramEnd(const ::testing::UnitTest&) override { watch_.reset(); }

private:
    const LeakOptions options_;
    std::optional<ProgramWatch> watch_;
    std::optional<LeakGuard> guard_;
};

/// GoogleTest owns the listener. Call it once.
inline bool add_leak_listener(LeakOptions options = {}) {
    ::testing::UnitTest::GetInstance()->listeners().Append(new GtestLeakListener(std::move(options)));
    return true;
}

}  // namespace warden::testing

/// Adds the listener before `main`; once in a program, outside of any namespace.
#define WARDEN_GTEST_LEAK_LISTENER                                                                      \
    namespace {                                                                                         \
    [[maybe_unused]] const bool warden_leak_listener_is_added = ::warden::testing::add_leak_listener(); \
    }
#endif
