// SPDX-License-Identifier: MIT
// What the scenarios of handles, events, health and stops share.
#pragma once

#include <support/scenario.hpp>
#include <warden/telemetry/event.hpp>

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace support {

/// How often, or how many: `few` on Windows, for Wine takes ten times as long for a start.
constexpr int so_many(int most, int few) { return WARDEN_OS_WINDOWS ? few : most; }

/// The end by force, on every system.
inline constexpr int kill_number = 9;
inline const auto killed = warden::ExitStatus::from_signal(kill_number, false);

/// A directory that does not exist.
inline const std::string nowhere = WARDEN_OS_WINDOWS ? "C:\\no\\such\\" : "/no/such/";

/// Keeps every event of a manager from its making on.
class Listener {
public:
    explicit Listener(warden::ProcessManager& manager)
        : subscription_(manager.subscribe([this](const warden::Event& event) {
              const std::lock_guard lock(mutex_);
              events_.push_back(event);
          })) {}
    [[nodiscard]] std::vector<warden::Event> events() const {
        const std::lock_guard lock(mutex_);
        return events_;
    }
    [[nodiscard]] std::size_t count(warden::EventKind kind) const {
        const std::lock_guard lock(mutex_);
        return static_cast<std::size_t>(
            std::count_if(events_.begin(), events_.end(), [&](const warden::Event& e) { return e.kind == kind; }));
    }

private:
    mutable std::mutex mutex_;
    std::vector<warden::Event> events_;
    warden::Subscription subscription_;
};

/// A player that has said that it is ready: `orders` begin with what says so.
[[nodiscard]] inline warden::ManagedProcess ready(TestManager& manager, std::vector<std::string> orders,
                                                  warden::SpawnOptions options = {}) {
    options.stdout_ = warden::Output::capture | warden::Output::log;
    auto process = manager->spawn(play(std::move(orders)), std::move(options));
    REQUIRE(next_line(process));
    return process;
}

}  // namespace support

/// Those that hold what leaves its group.
#if WARDEN_OS_WINDOWS
#define EVERY_TIGHT_MECHANISM OnJobObject
#else
#define EVERY_TIGHT_MECHANISM OnCgroup, OnKeeper
#endif
