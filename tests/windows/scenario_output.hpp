// SPDX-License-Identifier: MIT
// What the scenarios about output have in common.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>

#include <windows/support.hpp>

namespace support {

/// Talks by its standard streams; is killed when nobody wants it any more.
[[nodiscard]] inline warden::SpawnOptions talking() {
    warden::SpawnOptions options;
    options.stdin_ = warden::Input::pipe;
    options.stdout_ = warden::Output::capture;
    options.stop_plan = warden::StopPlan::now();
    return options;
}

/// The same bytes every time, all 256 values, no period that divides a buffer.
[[nodiscard]] inline std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    std::uint32_t state = 1;
    for (char& c : text) {
        state = state * 1664525u + 1013904223u;
        c = static_cast<char>(state >> 24);
    }
    return text;
}

/// The events of one kind, as they come.
class Events {
public:
    Events(warden::ProcessManager& manager, warden::EventKind kind)
        : subscription_(manager.subscribe([this, kind](const warden::Event& event) {
              if (event.kind != kind) return;
              const std::lock_guard lock(mutex_);
              events_.push_back(event);
          })) {}

    [[nodiscard]] std::vector<warden::Event> all() const {
        const std::lock_guard lock(mutex_);
        return events_;
    }

private:
    mutable std::mutex mutex_;
    std::vector<warden::Event> events_;
    warden::Subscription subscription_;
};

}  // namespace support
