// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of the engine that inspects whether everything is as it should be, when asked and after every interval.
///
/// Knows:         what a manager needs, and which members of a tree are zombies or orphans.
/// Does not know: processes outside the trees of this manager; a foreign child of the program is not looked at.
/// Thread-safety: see engine.hpp, which includes this.

#include <warden/detail/engine/engine.hpp>
#include <warden/detail/system/process_listing.hpp>
#include <warden/detail/text/visible_text.hpp>
#include <warden/telemetry/health.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

/// Sorts out the members of one tree. The leader is nobody's orphan.
inline void find_suspects(const ProcessRecord& record, const std::vector<TreeMember>& members, HealthReport& report) {
    for (const TreeMember& member : members) {
        if (member.escaped) report.escaped.push_back({record.uuid, member});
        if (member.pid == record.pid) continue;
        const bool has_parent =
            std::any_of(members.begin(), members.end(), [&](const TreeMember& m) { return m.pid == member.parent; });
        if (member.state == 'Z' || member.state == 'X') report.zombies.push_back({record.uuid, member});
        else if (!has_parent) report.orphans.push_back({record.uuid, member});
    }
}

/// Adds the zombies of members: a control group does not list who has ended.
[[nodiscard]] inline std::vector<TreeMember> with_zombies(std::vector<TreeMember> members, error_code& ec) {
    for (std::size_t i = 0, living = members.size(); i < living; ++i) {
        error_code unlisted;
        const auto below = children(members[i].pid, unlisted);
        if (unlisted) ec = unlisted;
        for (const Pid child : below) {
            const auto is_child = [&](const TreeMember& m) { return m.pid == child; };
            if (std::any_of(members.begin(), members.end(), is_child)) continue;
            auto found = member(child, unlisted);
            if (unlisted) ec = unlisted;
            if (found && found->state == 'Z') members.push_back(std::move(*found));
        }
    }
    return members;
}

/// "3 (pid 17 [sleep], ...)", at most a few by name.
[[nodiscard]] inline std::string in_words(const std::vector<HealthSuspect>& suspects) {
    constexpr std::size_t max_named = 5;
    std::string text = std::to_string(suspects.size());
    for (std::size_t i = 0; i < std::min(suspects.size(), max_named); ++i) {
        const TreeMember& process = suspects[i].process;
        text += (i == 0 ? " (pid " : ", pid ") + std::to_string(process.pid) + ' ' + visible_text(process.command);
    }
    if (suspects.size() > max_named) text += ", ...";
    return suspects.empty() ? text : text + ')';
}

inline HealthReport Engine::health() {
    HealthReport report;
    const auto find = [&](std::string check, HealthStatus status, std::string detail) {
        report.findings.push_back({std::move(check), status, std::move(detail)});
    };
    const auto found_if = [](bool bad, HealthStatus how) { return bad ? how : HealthStatus::ok; };
    const ManagerConfig& config = services->config;
    const bool is_set_up = !set_up_error_;
    find("set-up", found_if(!is_set_up, HealthStatus::failing), is_set_up ? "done" : set_up_error_->message);
    report.findings.push_back(mechanisms_.guardian_health());
    const bool handled = signals_handled();
    find("signal handlers", found_if(!handled, HealthStatus::degraded),
         !config.handle_signals ? "left to the program, whose duty cleanup_all() is"
         : handled              ? "installed"
                                : "replaced by others: a signal may end the program without its cleanup");
    const std::size_t active = table.active();
    const bool full = active >= config.max_processes;
    find("limits", found_if(full || active > config.alerts.active_processes, HealthStatus::degraded),
         std::to_string(active) + " of " + std::to_string(config.max_processes) + " processes are active");
    const bool writable = is_writable(output_.log_directory());
    find("log directory", found_if(!writable, HealthStatus::degraded),
         output_.log_directory().string() + (writable ? " is writable" : " cannot be written"));
    std::size_t unlisted = 0;
    error_code why;
    for (const auto& record : table.alive()) {
        error_code ec;
        auto members = record->tree_members(ec);
        find_suspects(*record, with_zombies(std::move(members), ec), report);
        if (!ec) continue;
        ++unlisted;
        why = ec;
    }
    find("trees", found_if(unlisted > 0, HealthStatus::degraded),
         unlisted == 0 ? "all can be listed" : std::to_string(unlisted) + " cannot be listed: " + why.message());
    find("zombies", found_if(report.zombies.size() > config.alerts.zombies, HealthStatus::degraded),
         in_words(report.zombies));
    find("orphans", found_if(report.orphans.size() > config.alerts.orphans, HealthStatus::degraded),
         in_words(report.orphans));
    find("escaped", found_if(!report.escaped.empty(), HealthStatus::degraded), in_words(report.escaped));
    return report;
}

inline void Engine::begin_inspection() {
    services->dispatcher.post_internal([weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self || self->table.is_closed()) return;
        self->services->dispatcher.run_guarded([&] {
            self->prune_logs();
            self->health_monitor_.report(self->health(), self->table.active());
        });
        self->services->loop.post([weak] {
            const auto engine = weak.lock();
            if (engine && !engine->table.is_closed()) engine->health_monitor_.inspected();
        });
    });
}

inline void Engine::prune_logs() {
    for (const auto& directory : {output_.log_directory(), data_directory_ / "events"}) {
        std::error_code missing;
        if (!std::filesystem::exists(directory, missing)) continue;
        const PruneReport report = warden::prune_logs(directory, services->config.log_retention);
        if (report.removed == 0 && report.failures == 0) continue;
        Event pruned;
        pruned.kind = report.failures == 0 ? EventKind::cleanup : EventKind::cleanup_failed;
        if (report.failures > 0) pruned.severity = Severity::warning;
        pruned.message =
            std::to_string(report.removed) + " old log files were removed below '" + directory.string() + '\'';
        if (report.failures > 0)
            pruned.message += "; '" + report.first_failed.string() + "' could not be: " + report.first_error.message();
        pruned.attributes = {{"warden.logs.removed", static_cast<std::int64_t>(report.removed)},
                             {"warden.logs.removed_bytes", static_cast<std::int64_t>(report.removed_bytes)}};
        services->emit(std::move(pruned));
    }
}

}  // namespace warden::detail
