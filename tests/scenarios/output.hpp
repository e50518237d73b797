// SPDX-License-Identifier: MIT
// What the scenarios about output have in common.
#pragma once

#include <support/scenario.hpp>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace support {

/// Then floods are smaller: the sanitizers are slow, and so is Wine.
inline constexpr bool is_slow = is_sanitized || WARDEN_OS_WINDOWS;

/// A bound on how long something takes, which on Windows only says that it ends: Wine takes its time.
[[nodiscard]] constexpr std::chrono::milliseconds soon(std::chrono::milliseconds elsewhere) {
    return WARDEN_OS_WINDOWS ? std::chrono::seconds(20) : elsewhere;
}

/// Talks by its standard streams; is killed when nobody wants it any more.
[[nodiscard]] inline warden::SpawnOptions talking() {
    warden::SpawnOptions options;
    options.stdin_ = warden::Input::pipe;
    options.stdout_ = warden::Output::capture;
    options.stop_plan = warden::StopPlan::now();
    return options;
}

/// Ended by force.
[[nodiscard]] inline bool is_killed(const warden::ExitStatus& status) {
    return WARDEN_OS_WINDOWS ? !status.success() : status.signal() == 9;
}

/// So many bytes, which are a multiple of a thousand or of 1024, and no newline.
[[nodiscard]] inline warden::CommandLine flood(std::size_t size) {
    const std::size_t block = size % 1024 == 0 ? 1024 : 1000;
    return play("again", std::to_string(size / block), std::string(block, 'x'));
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

[[nodiscard]] inline std::string all_byte_values() {
    std::string text;
    for (int c = 0; c < 256; ++c) text += static_cast<char>(c);
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

/// As a text; "none" if the event has no such attribute.
[[nodiscard]] inline std::string attribute(const warden::Event& event, std::string_view key) {
    for (const auto& [name, value] : event.attributes) {
        if (name != key) continue;
        if (const auto* text = std::get_if<std::string>(&value)) return *text;
        if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
    }
    return "none";
}

}  // namespace support
