// SPDX-License-Identifier: MIT
#include "report.hpp"

#include "system.hpp"

#include <algorithm>
#include <variant>

namespace demo {
namespace {

using warden::ExitCause;
using warden::State;

std::string count_of(std::uint64_t number) {
    std::string digits = std::to_string(number);
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
        digits.insert(static_cast<std::size_t>(at), 1, ',');
    return digits;
}

void show_log(Screen& screen, const char* name, const LogWatch& log, std::uint64_t written) {
    screen.cells({name, in_bytes(written), std::to_string(log.files()), in_bytes(log.bytes_now()),
                  count_of(log.max_lines()) + " of " + count_of(log.limits().max_lines),
                  count_of(log.max_chars()) + " of " + count_of(log.limits().max_chars), std::to_string(log.looks())},
                 {9, -9, -6, -10, -18, -23, -7});
}

void add_step(std::string& text, std::string_view action, warden::Nanoseconds time) {
    text += (text.empty() ? "" : ", ") + std::string(action) + ' ' + in_time(time);
}

}  // namespace

void note_step(StopsInWords& stops, const warden::Event& event) {
    if (event.kind != warden::EventKind::stop_step) return;
    const auto action = std::find_if(event.attributes.begin(), event.attributes.end(),
                                     [](const auto& attribute) { return attribute.first == "warden.stop.action"; });
    add_step(stops[event.uuid], std::get<std::string>(action->second), event.duration.value_or(warden::Nanoseconds(0)));
}

std::string in_words(const warden::StopReport& report) {
    std::string text;
    for (const warden::StopStepResult& step : report.steps) add_step(text, to_string(step.action), step.duration);
    return text;
}

void show_containment(Screen& screen, const warden::ContainmentReport& report) {
    const auto covered = [](bool yes) { return yes ? "covered" : "NOT covered"; };
    screen.heading("What holds the processes here");
    screen.fact("mechanism", to_string(report.mechanism));
    screen.fact("sessions of their own", covered(report.covers_setsid));
    screen.fact("a crash of this program", covered(report.covers_host_crash));
    screen.fact("processes of other users", covered(report.covers_other_users));
    if (!report.why_not_stronger.empty()) screen.fact("why not stronger", report.why_not_stronger);
}

void show_stops(Screen& screen, const Fleet& fleet, const StopsInWords& stops) {
    screen.heading("How each of them ended");
    const std::vector widths{13, 13, 10, 23};
    screen.cells({"process", "state", "cause", "status", "steps of its stop"}, widths, true);
    for (const Row& row : fleet.rows()) {
        const auto steps = stops.find(row.info.uuid);
        screen.cells({row.info.name, std::string(to_string(row.info.state)), std::string(to_string(row.info.cause)),
                      row.info.exit_status ? row.info.exit_status->to_string() : "runs",
                      steps == stops.end() ? "" : steps->second},
                     widths);
    }
    const auto ended = [](const warden::ManagedProcess& process, State state, ExitCause cause) {
        return process.state() == state && process.cause() == cause && !process.tree_alive();
    };
    screen.check(
        ended(fleet.model_server, State::stopped, ExitCause::stopped) && fleet.model_server.exit_status()->success(),
        "the model server was asked, and closed by itself");
    screen.check(ended(fleet.stubborn, State::force_killed, ExitCause::forced),
                 "the one that ignores " + std::string(request_name) + " was killed, after it had been asked");
    screen.check(ended(fleet.overrun, requests_arrive() ? State::stopped : State::force_killed, ExitCause::timed_out),
                 "the one that overran its timeout was stopped");
    screen.check(ended(fleet.escape, State::completed, ExitCause::exited),
                 "the grandchild that had left its session is gone, though its parent ended long before");
    screen.check(fleet.trainer.state() == State::completed && fleet.heard->steps_done == Heard::steps,
                 "every line of the trainer was heard");
}

void show_logs(Screen& screen, const Fleet& fleet) {
    screen.heading("Log files and their bounds");
    screen.cells({"process", "written", "files", "size now", "most lines seen", "most characters seen", "looks"},
                 {9, -9, -6, -10, -18, -23, -7}, true);
    show_log(screen, "flood", fleet.flood_log, fleet.flood.info().output_bytes);
    show_log(screen, "chatter", fleet.chatter_log, fleet.chatter.info().output_bytes);
    screen.check(fleet.flood.info().output_bytes == flood_bytes && fleet.chatter.info().output_bytes == chatter_bytes,
                 "every byte of both was read, in " + in_time(fleet.flood.runtime()));
    screen.check(fleet.flood_log.always_within() && fleet.chatter_log.always_within(),
                 "no file was over its bound whenever it was looked at");
    screen.check(fleet.flood.info().dropped_bytes == 0 && fleet.chatter.info().dropped_bytes == 0,
                 "nothing was dropped");
}

void show_metrics(Screen& screen, const warden::MetricsSnapshot& metrics) {
    screen.heading("Figures");
    const auto mean = [](const warden::LatencySnapshot& latency) {
        return latency.count() == 0 ? "-" : in_time(latency.sum / static_cast<std::int64_t>(latency.count()));
    };
    screen.fact("started, failed to start",
                count_of(metrics.spawned_total) + ", " + count_of(metrics.spawn_failures_total));
    screen.fact("ended by themselves", count_of(metrics.exits_by(ExitCause::exited)));
    screen.fact("stopped, forced, timed out", count_of(metrics.exits_by(ExitCause::stopped)) + ", " +
                                                  count_of(metrics.exits_by(ExitCause::forced)) + ", " +
                                                  count_of(metrics.exits_by(ExitCause::timed_out)));
    screen.fact("mean spawn, mean stop", mean(metrics.spawn_latency) + ", " + mean(metrics.stop_latency));
    screen.fact("output read, dropped",
                in_bytes(metrics.output_bytes_total) + ", " + in_bytes(metrics.dropped_bytes_total));
    screen.fact("events", count_of(metrics.events_total));
}

}  // namespace demo
