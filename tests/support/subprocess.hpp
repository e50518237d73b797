// SPDX-License-Identifier: MIT
// For tests that need a process in a special state: closed descriptors, low limits, ignored signals, filtered calls.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace support {

/// What a forked part of a test says to the test. No assertions of Catch2 there: only this.
class Checks {
public:
    explicit Checks(int to) : to_(to) {}

    /// Notes `what` as a failure unless it holds.
    bool that(bool holds, std::string_view what);
    void failure(std::string_view what);

private:
    int to_;
};

/// Runs `part` in a fork of this process, which has a minute and ends by `_exit`, and waits for it and for all that it
/// leaves. The failures, one a line, also if it throws, dies or leaves processes that do not end; empty if all is well.
[[nodiscard]] std::string in_subprocess(const std::function<void(Checks&)>& part);

/// From now on the named system calls fail with `error` in all threads of this process and in all that they start; with
/// `kill_instead` a process that makes one of them dies at once. False if that cannot be done here.
[[nodiscard]] bool deny_system_calls(const std::vector<long>& numbers, int error);
inline constexpr int kill_instead = -1;

}  // namespace support
