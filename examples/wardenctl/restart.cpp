// SPDX-License-Identifier: MIT
// wardenctl restart: a detached process once more, when all of the old one is gone.

#include "detached.hpp"
#include "verb.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

namespace wardenctl {
namespace {

struct Request {
    std::optional<warden::StopPlan> plan;  ///< Not set: the plan of the process.
    warden::Nanoseconds pause = std::chrono::seconds(1);
    bool json = false;
};

int restart(const Request& request, const Words& words) {
    if (words.size() != 1) throw CLI::RequiredError("one name or uuid of a detached process");
    const warden::DetachedProcess old = find_detached(words.front());
    const warden::DetachedInfo before = old.info();
    if (before.is_active()) show_progress("stopping " + describe(before));
    try {
        const auto process = request.plan ? old.restart(*request.plan, request.pause) : old.restart(request.pause);
        print((request.json ? to_json(process.info()) : to_string(process.uuid())) + '\n');
        return 0;
    } catch (const warden::system_error& error) {
        if (error.code() != warden::errc::already_running) throw;
        std::cerr << "wardenctl: " << describe(before) << " was not started again: " << visible(error.what()) << '\n';
        return something_is_left;
    }
}

}  // namespace

Verb add_restart(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    CLI::App* command =
        app.add_subcommand("restart", "Stops a detached process, and starts it again as it was started");
    set_usage(*command, "restart [OPTIONS] NAME|UUID");
    command->allow_extras();
    add_duration(*command, "--grace", "How long it may take to end when asked to, before it is killed",
                 [request](warden::Nanoseconds length) { request->plan = warden::StopPlan::within(length); });
    add_duration(*command, "--pause", "Between its end and its start; default: 1s",
                 [request](warden::Nanoseconds length) { request->pause = length; });
    command->add_flag("--json", request->json, "One JSON object about the new one");
    command->footer(
        "Prints the uuid of the new one, which has the same command, name and options. One that has ended is\n"
        "started again too. Nothing is started before nothing is left of the old one.\n"
        "Example: wardenctl restart --grace 10s server\n"
        "Exit code: 0 it runs; 1 something of the old one is left, or it was restarted before, and was said;\n"
        "125 there is no such process, or it cannot be started again.");
    return {command, [request](const Words& words) { return restart(*request, words); }};
}

}  // namespace wardenctl
