// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the demo tells about containment, stops, logs and figures, and which of it must hold.

#include "fleet.hpp"
#include "screen.hpp"
#include <warden/process_manager.hpp>

#include <map>
#include <string>

namespace demo {

/// How a process was stopped, in words, by uuid: "terminate 502 ms, kill 3 ms".
using StopsInWords = std::map<warden::Uuid, std::string>;

/// One more step for `stops`, if `event` tells of one.
void note_step(StopsInWords& stops, const warden::Event& event);

/// The same from a report.
[[nodiscard]] std::string in_words(const warden::StopReport& report);

void show_containment(Screen& screen, const warden::ContainmentReport& report);
void show_stops(Screen& screen, const Fleet& fleet, const StopsInWords& stops);
void show_logs(Screen& screen, const Fleet& fleet);
void show_metrics(Screen& screen, const warden::MetricsSnapshot& metrics);

}  // namespace demo
