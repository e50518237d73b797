// SPDX-License-Identifier: MIT
// wardenctl status: one detached process in full, with the newest lines of its log; or how many there are.

#include "detached.hpp"
#include "verb.hpp"
#include <warden/logs/log_reader.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <string>

namespace wardenctl {
namespace {

struct Request {
    std::size_t lines = 5;
    bool json = false;
};

std::string field(std::string name, const std::string& value) {
    name.resize(11, ' ');
    return name + value + '\n';
}

std::string in_full(const warden::DetachedInfo& info) {
    const warden::DetachedRecord& record = info.record;
    std::string text = field("uuid", to_string(record.uuid));
    text += field("name", visible(record.name)) + field("type", visible(record.type));
    text += field("state", std::string(to_string(info.state)));
    if (!info.problem.empty()) text += field("problem", visible(info.problem));
    if (record.process.pid != 0) text += field("pid", std::to_string(record.process.pid));
    if (record.shim.pid != 0) text += field("shim", "pid " + std::to_string(record.shim.pid));
    text += field("command", visible(record.command.to_string()));
    if (!record.working_directory.empty()) text += field("directory", visible(record.working_directory.string()));
    text += field("started", to_text(record.started_at));
    const auto length = info.runtime(std::chrono::system_clock::now());
    if (length > warden::Nanoseconds::zero()) text += field("runtime", to_text(length));
    text += field("timeout", record.timeout.is_never() ? "none" : to_text(record.timeout.length()));
    text += field("held by", std::string(to_string(record.mechanism)));
    if (record.restarted_from) text += field("restart of", to_string(*record.restarted_from));
    if (record.exit) {
        text += field("exit", record.exit->status.to_string() + ", " + std::string(to_string(record.exit->cause)));
        text += field("ended", to_text(record.exit->at));
        if (!record.exit->reason.empty()) text += field("reason", visible(record.exit->reason));
        if (!record.exit->hook_problem.empty())
            text += field("end hook", "failed: " + visible(record.exit->hook_problem));
    }
    text += field("log", record.log_path.empty() ? "none" : visible(record.log_path.string()));
    return text;
}

std::string newest_lines(const warden::DetachedInfo& info, std::size_t count) {
    std::string text;
    warden::error_code ec;
    if (info.record.log_path.empty() || count == 0) return text;
    for (const std::string& line : warden::tail_file(info.record.log_path, count, ec))
        text += "  " + visible(line) + '\n';
    if (ec) text += "  the log cannot be read: " + ec.message() + '\n';
    return text;
}

int status_of_all(const Request& request) {
    std::array<std::size_t, warden::detail::detached_state_names.size()> counts{};
    for (const warden::DetachedInfo& info : detached_processes().list()) ++counts[static_cast<std::size_t>(info.state)];
    std::string text = request.json ? "{" : "";
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const std::string name(warden::detail::detached_state_names[i]);
        if (request.json) text += (i == 0 ? "\"" : ",\"") + name + "\":" + std::to_string(counts[i]);
        else if (counts[i] > 0 || name == "running") text += field(name, std::to_string(counts[i]));
    }
    print(text + (request.json ? "}\n" : ""));
    return 0;
}

int status(const Request& request, const Words& words) {
    if (words.empty()) return status_of_all(request);
    if (words.size() > 1) throw CLI::ExtrasError("status", {words.back()});
    const warden::DetachedInfo info = find_detached(words.front()).info();
    if (request.json) print(to_json(info) + '\n');
    else print(in_full(info) + newest_lines(info, request.lines));
    return info.is_active() ? 0 : is_not_running;
}

}  // namespace

Verb add_status(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    CLI::App* command = app.add_subcommand("status", "Shows one detached process in full, or counts them all");
    set_usage(*command, "status [OPTIONS] [NAME|UUID]");
    command->allow_extras();
    command->add_option("-n,--lines", request->lines, "How many of the newest lines of its log")
        ->type_name("N")
        ->capture_default_str();
    command->add_flag("--json", request->json, "One JSON object");
    command->footer(
        "The process of that uuid; of that name the newest that runs, or else the newest; or the one whose\n"
        "uuid begins so, of which 4 digits do where they are enough.\n"
        "Example: wardenctl status generate\n"
        "Exit code: 0 it runs, or everything was counted; 3 it does not run; 125 there is no such process, or\n"
        "its record cannot be read.");
    return {command, [request](const Words& words) { return status(*request, words); }};
}

}  // namespace wardenctl
