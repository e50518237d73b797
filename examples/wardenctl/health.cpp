// SPDX-License-Identifier: MIT
// wardenctl health: whether processes can be started and held here, and whether all records are in order.

#include "detached.hpp"
#include "verb.hpp"
#include <warden/detail/text/json_writer.hpp>
#include <warden/process_manager.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <algorithm>
#include <memory>
#include <string>

namespace wardenctl {
namespace {

struct Request {
    bool json = false;
};

/// Whether the records can be read, and which are of processes that nobody holds any more.
warden::HealthFinding look_at_records() try {
    std::size_t lost = 0;
    std::size_t damaged = 0;
    const auto records = detached_processes().list();
    for (const warden::DetachedInfo& info : records) {
        lost += info.state == warden::DetachedState::lost ? 1 : 0;
        damaged += info.state == warden::DetachedState::corrupt || info.state == warden::DetachedState::foreign ? 1 : 0;
    }
    const auto status = lost + damaged == 0 ? warden::HealthStatus::ok : warden::HealthStatus::degraded;
    return {"detached", status,
            std::to_string(records.size()) + " records, " + std::to_string(lost) + " lost, " + std::to_string(damaged) +
                " damaged or foreign" +
                (status == warden::HealthStatus::ok ? "" : " (wardenctl list; wardenctl cleanup)")};
} catch (const warden::system_error& error) {
    return {"detached", warden::HealthStatus::failing, error.what()};
}

std::string to_json(const warden::HealthReport& report) {
    std::string text;
    warden::detail::JsonWriter json(text);
    json.begin_object();
    json.name("status").string(to_string(report.status()));
    json.name("findings").begin_array();
    for (const warden::HealthFinding& finding : report.findings) {
        json.begin_object();
        json.name("check").string(finding.check);
        json.name("status").string(to_string(finding.status));
        json.name("detail").string(finding.detail);
        json.end_object();
    }
    json.end_array();
    json.end_object();
    return text + '\n';
}

int health(const Request& request, const Words& words) {
    if (!words.empty()) throw CLI::ExtrasError("health", {words.front()});
    const warden::ProcessManager manager;
    warden::HealthReport report = manager.health();
    report.findings.push_back(look_at_records());
    if (request.json) {
        print(to_json(report));
    } else {
        std::size_t widest = 0;
        for (const warden::HealthFinding& finding : report.findings) widest = std::max(widest, finding.check.size());
        std::string text(to_string(report.status()));
        text += '\n';
        for (const warden::HealthFinding& finding : report.findings) {
            std::string name = finding.check;
            name.resize(widest, ' ');
            std::string status(to_string(finding.status));
            status.resize(8, ' ');
            text += "  " + name + "  " + status + "  " + visible(finding.detail) + '\n';
        }
        print(text);
    }
    return static_cast<int>(report.status());
}

}  // namespace

Verb add_health(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    CLI::App* command = app.add_subcommand("health", "Says whether processes can be started and held here");
    set_usage(*command, "health [OPTIONS]");
    command->allow_extras();
    command->add_flag("--json", request->json, "One JSON object: the status, and each finding");
    command->footer(
        "Makes a manager as a program would, with the settings of the environment, and looks at the records of\n"
        "detached processes.\n"
        "Example: wardenctl health --json\n"
        "Exit code: 0 ok; 1 degraded; 2 failing; 125 the configuration is not valid.");
    return {command, [request](const Words& words) { return health(*request, words); }};
}

}  // namespace wardenctl
