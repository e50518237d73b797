// SPDX-License-Identifier: MIT
// wardenctl cleanup: ends what lost shims have left, and removes the records that serve nobody any more.

#include "detached.hpp"
#include "verb.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace wardenctl {
namespace {

struct Request {
    std::optional<warden::Nanoseconds> older_than;
    bool dry_run = false;
    bool json = false;
};

enum class Fate { stays, removed, ended_and_removed, failed };

constexpr const char* words_of(Fate fate) {
    switch (fate) {
        case Fate::stays: return "stays";
        case Fate::removed: return "removed";
        case Fate::ended_and_removed: return "ended, and removed";
        case Fate::failed: break;
    }
    return "failed";
}

/// What is to become of a record: of one that ended as it should nothing, unless it is old.
Fate fate_of(const warden::DetachedInfo& info, const Request& request, std::chrono::system_clock::time_point now) {
    using warden::DetachedState;
    switch (info.state) {
        case DetachedState::lost: return info.process_alive ? Fate::ended_and_removed : Fate::removed;
        case DetachedState::gone: return Fate::removed;
        case DetachedState::exited:
            return request.older_than && now - info.record.exit->at > *request.older_than ? Fate::removed : Fate::stays;
        default: return Fate::stays;
    }
}

/// Does it; why not, if that failed.
std::string carry_out(const warden::DetachedInfo& info, Fate fate) try {
    const warden::DetachedProcess process = detached_processes().find(info.record.uuid);
    if (fate == Fate::ended_and_removed) {
        const warden::StopReport report = process.stop();
        if (!report.clean()) return "something of it is left: " + report.survivors.front().reason;
    }
    process.remove();
    return {};
} catch (const warden::system_error& error) {
    return error.what();
}

std::string line_of(const warden::DetachedInfo& info, Fate fate, const std::string& mistake) {
    std::string text = info.record.uuid.is_nil() ? visible(info.file.string()) : describe(info);
    text += ": " + std::string(to_string(info.state)) + ", " + words_of(fate);
    if (!mistake.empty()) text += ": " + visible(mistake);
    else if (!info.problem.empty()) text += " (" + visible(info.problem) + ')';
    return text + '\n';
}

int cleanup(const Request& request, const Words& words) {
    if (!words.empty()) throw CLI::ExtrasError("cleanup", {words.front()});
    const auto now = std::chrono::system_clock::now();
    std::size_t removed = 0;
    std::size_t ended = 0;
    std::size_t failed = 0;
    std::size_t damaged = 0;
    for (const warden::DetachedInfo& info : detached_processes().list()) {
        Fate fate = fate_of(info, request, now);
        const bool is_damaged =
            info.state == warden::DetachedState::corrupt || info.state == warden::DetachedState::foreign;
        damaged += is_damaged ? 1 : 0;
        if (fate == Fate::stays && !is_damaged) continue;
        const std::string mistake = request.dry_run || fate == Fate::stays ? std::string() : carry_out(info, fate);
        if (!mistake.empty()) fate = Fate::failed;
        removed += fate == Fate::removed || fate == Fate::ended_and_removed ? 1 : 0;
        ended += fate == Fate::ended_and_removed ? 1 : 0;
        failed += fate == Fate::failed ? 1 : 0;
        if (!request.json) print(line_of(info, fate, mistake));
    }
    const std::size_t leftovers = request.dry_run ? 0 : detached_processes().remove_leftovers();
    const auto number = [](std::size_t count) { return std::to_string(count); };
    if (request.json) {
        print("{\"removed\":" + number(removed) + ",\"ended\":" + number(ended) + ",\"failed\":" + number(failed) +
              ",\"damaged\":" + number(damaged) + ",\"leftovers\":" + number(leftovers) +
              ",\"dry_run\":" + (request.dry_run ? "true" : "false") + "}\n");
    } else {
        print((request.dry_run ? "would remove " : "removed ") + number(removed) + ", of which " + number(ended) +
              " still ran; " + number(failed) + " failed; " + number(damaged) + " are damaged or foreign" +
              (leftovers == 0 ? "" : "; " + number(leftovers) + " files without a record were removed") + '\n');
    }
    return failed == 0 ? 0 : something_is_left;
}

}  // namespace

Verb add_cleanup(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    CLI::App* command = app.add_subcommand("cleanup", "Ends orphans of detached processes, and removes stale records");
    set_usage(*command, "cleanup [OPTIONS]");
    command->allow_extras();
    add_duration(*command, "--older-than", "Records too of processes that ended so long ago; default: those stay",
                 [request](warden::Nanoseconds length) { request->older_than = length; });
    command->add_flag("-n,--dry-run", request->dry_run, "Only says what it would do");
    command->add_flag("--json", request->json, "One JSON object: how many");
    command->footer(
        "A process that is lost and still runs is stopped by its plan. The records of those that are lost or\n"
        "gone are removed; logs stay. What is damaged or foreign is said, and left alone. Files beside the records "
        "that\n"
        "killed programs left an hour ago are removed.\n"
        "Example: wardenctl cleanup --older-than 7d\n"
        "Exit code: 0; 1 something could not be ended or removed; 125 the records cannot be read.");
    return {command, [request](const Words& words) { return cleanup(*request, words); }};
}

}  // namespace wardenctl
