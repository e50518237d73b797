// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a manager gives its parts, on a virtual clock: events are kept, with the time at which they came.
///
/// Thread-safety: none.

#include <support/fake_scheduler.hpp>
#include <warden/detail/runtime/manager_context.hpp>

#include <string>
#include <utility>
#include <vector>

namespace test {

/// Made before the context that has a reference to it.
struct FakeClock {
    FakeScheduler clock;
};

class FakeContext final : public FakeClock, public warden::detail::ManagerContext {
public:
    explicit FakeContext(warden::ManagerConfig settings = {}) : ManagerContext(std::move(settings), clock) {}

    void emit(warden::Event event) override {
        log.push_back(at() + std::string(to_string(event.kind)));
        events.push_back(std::move(event));
    }
    void emit(warden::Event first, warden::Event second) override {
        emit(std::move(first));
        emit(std::move(second));
    }
    /// Anything else, in the order of the events.
    void note(const std::string& text) { log.push_back(at() + text); }

    std::vector<warden::Event> events;
    std::vector<std::string> log;  ///< "1500 exit": milliseconds since the beginning, and the kind.

private:
    [[nodiscard]] std::string at() const {
        const auto since = clock.now() - begin_;
        return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(since).count()) + ' ';
    }
    const warden::SteadyTime begin_ = clock.now();
};

}  // namespace test
