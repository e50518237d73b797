// SPDX-License-Identifier: MIT
// wardenctl wait: until a detached process has ended; ends with its exit code.

#include "detached.hpp"
#include "verb.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <iostream>
#include <memory>
#include <optional>
#include <string>

namespace wardenctl {
namespace {

struct Request {
    std::optional<warden::Nanoseconds> timeout;
    bool json = false;
};

int wait(const Request& request, const Words& words) {
    if (words.size() != 1) throw CLI::RequiredError("one name or uuid of a detached process");
    const warden::DetachedProcess process = find_detached(words.front());
    const warden::DetachedInfo before = process.info();
    if (before.is_active()) show_progress("waiting for " + describe(before));
    if (!request.timeout) {
        process.wait();
    } else if (!process.wait_for(*request.timeout)) {
        std::cerr << "wardenctl: " << describe(before) << " has not ended within " << to_text(*request.timeout) << '\n';
        return timed_out;
    }
    const warden::DetachedInfo info = process.info();
    if (request.json) print(to_json(info) + '\n');
    if (info.record.exit) return exit_code_of(info.record.exit->status, info.record.exit->cause);
    std::cerr << "wardenctl: nobody knows how " << describe(info) << " ended: " << visible(info.problem) << '\n';
    return own_failure;
}

}  // namespace

Verb add_wait(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    CLI::App* command = app.add_subcommand("wait", "Waits for a detached process, and ends with its exit code");
    set_usage(*command, "wait [OPTIONS] NAME|UUID");
    command->allow_extras();
    add_duration(*command, "--timeout", "How long to wait; default: as long as it takes",
                 [request](warden::Nanoseconds length) { request->timeout = length; });
    command->add_flag("--json", request->json, "At the end one JSON object about it");
    command->footer(
        "It may have ended long ago. Ctrl-C ends the waiting, not the process.\n"
        "Example: wardenctl wait --timeout 10m generate && echo done\n"
        "Exit code: that of the process; 128+N when signal N ended it; 124 its timeout, or that of the waiting,\n"
        "is over; 125 there is no such process, or nobody knows how it ended.");
    return {command, [request](const Words& words) { return wait(*request, words); }};
}

}  // namespace wardenctl
