// SPDX-License-Identifier: MIT
// wardenctl stop, force-stop: detached processes with all that they started, all at once.

#include "detached.hpp"
#include "verb.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <future>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace wardenctl {
namespace {

struct Request {
    std::optional<warden::StopPlan> plan;  ///< Not set: the plan of each process.
    bool json = false;
};

int stop(const Request& request, const Words& words) {
    if (words.empty()) throw CLI::RequiredError("names or uuids of detached processes");
    std::vector<warden::DetachedProcess> processes;  // all are found before the first is stopped
    for (const std::string& word : words) processes.push_back(find_detached(word));
    std::vector<std::future<warden::StopReport>> stops;
    for (const warden::DetachedProcess& process : processes) {
        const warden::DetachedInfo info = process.info();
        if (info.is_active()) show_progress("stopping " + describe(info));
        stops.push_back(std::async(std::launch::async, [process, &request] {
            return request.plan ? process.stop(*request.plan) : process.stop();
        }));
    }
    int code = 0;
    for (std::size_t i = 0; i < stops.size(); ++i) try {
            const warden::StopReport report = stops[i].get();
            const warden::DetachedInfo info = processes[i].info();
            const std::string found = report.steps.empty() ? " had ended: " : ": ";
            const std::string end = info.record.exit ? info.record.exit->status.to_string()
                                                     : std::string(to_string(info.state)) + ' ' + visible(info.problem);
            if (request.json) print(to_json(report, info) + '\n');
            else print(describe(info) + found + end + '\n' + to_text(report));
            if (!report.clean()) code = something_is_left;
        } catch (const warden::system_error& error) {
            std::cerr << "wardenctl: " << to_string(processes[i].uuid()) << ": " << error.what() << '\n';
            code = something_is_left;
        }
    return code;
}

}  // namespace

Verb add_stop(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    CLI::App* command = app.add_subcommand("stop", "Stops detached processes by their stop plans, whole trees");
    set_usage(*command, "stop [OPTIONS] NAME|UUID...");
    command->allow_extras();
    add_duration(*command, "--grace", "How long each may take to end when asked to, before it is killed",
                 [request](warden::Nanoseconds length) { request->plan = warden::StopPlan::within(length); });
    command->add_flag("--json", request->json, "One JSON object for each: the steps, and what is left");
    command->footer(
        "All are stopped at the same time. One that has ended is no error. What a process had started ends with it.\n"
        "Example: wardenctl stop --grace 10s generate\n"
        "Exit code: 0 nothing is left; 1 something is, and was said; 125 there is no such process: then none\n"
        "was stopped.");
    return {command, [request](const Words& words) { return stop(*request, words); }};
}

Verb add_force_stop(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    request->plan = warden::StopPlan::now();
    CLI::App* command = app.add_subcommand("force-stop", "Kills detached processes at once, whole trees");
    set_usage(*command, "force-stop [OPTIONS] NAME|UUID...");
    command->allow_extras();
    command->add_flag("--json", request->json, "One JSON object for each: the steps, and what is left");
    command->footer(
        "Example: wardenctl force-stop 0190f5f2\n"
        "Exit code: 0 nothing is left; 1 something is, and was said; 125 there is no such process: then none\n"
        "was stopped.");
    return {command, [request](const Words& words) { return stop(*request, words); }};
}

}  // namespace wardenctl
