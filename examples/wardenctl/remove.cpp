// SPDX-License-Identifier: MIT
// wardenctl remove: the records of detached processes that have ended.

#include "detached.hpp"
#include "verb.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <iostream>
#include <string>
#include <vector>

namespace wardenctl {
namespace {

int remove(const Words& words) {
    if (words.empty()) throw CLI::RequiredError("names or uuids of detached processes");
    std::vector<warden::DetachedProcess> processes;
    for (const std::string& word : words) processes.push_back(find_detached(word));
    int code = 0;
    for (const warden::DetachedProcess& process : processes) {
        warden::error_code ec;
        const warden::DetachedInfo info = process.info(ec);
        if (!ec) process.remove(ec);
        if (!ec) continue;
        const bool runs = ec == boost::system::errc::operation_in_progress;
        std::cerr << "wardenctl: " << describe(info)
                  << (runs ? " has not ended; wardenctl stop ends it" : " stays: " + ec.message()) << '\n';
        code = something_is_left;
    }
    return code;
}

}  // namespace

Verb add_remove(CLI::App& app) {
    CLI::App* command = app.add_subcommand("remove", "Removes the records of detached processes that have ended");
    set_usage(*command, "remove NAME|UUID...");
    command->allow_extras();
    command->footer(
        "Their logs stay, until there are too many or they are too old.\n"
        "Example: wardenctl remove 0190f5f2\n"
        "Exit code: 0; 1 one has not ended, or its record cannot be removed; 125 there is no such process: then\n"
        "no record was removed.");
    return {command, remove};
}

}  // namespace wardenctl
