// SPDX-License-Identifier: MIT
// wardenctl list: the detached processes, as a table that fits the terminal, or in full for programs.

#include "detached.hpp"
#include "system.hpp"
#include "verb.hpp"
#include <warden/detail/text/utf8.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace wardenctl {
namespace {

struct Request {
    std::string type;
    bool active = false;
    bool json = false;
};

enum Column : std::size_t { type, pid, uuid, log_file, runtime, state, columns };
using Row = std::array<std::string, columns>;

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0u) != 0x80u; }

std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

/// The last `most` characters; of a longer text, "..." and its end, or its beginning where that says more.
std::string shorten(const std::string& text, std::size_t most, bool keep_end) {
    if (width(text) <= most) return text;
    const std::size_t dots = std::min<std::size_t>(most, 3);
    std::size_t begin = 0;
    const std::size_t skipped = keep_end ? width(text) - (most - dots) : most - dots;
    for (std::size_t seen = 0; begin < text.size(); ++begin) {
        if (begins_character(text[begin]) && seen++ == skipped) break;
    }
    const std::string mark(dots, '.');
    return keep_end ? mark + text.substr(begin) : text.substr(0, begin) + mark;
}

Row row_of(const warden::DetachedInfo& info, std::chrono::system_clock::time_point now) {
    const warden::DetachedRecord& record = info.record;
    Row row;
    const bool is_named = !record.uuid.is_nil();
    row[type] = record.type.empty() ? "-" : visible(record.type);
    row[pid] = record.process.pid == 0 ? "-" : std::to_string(record.process.pid);
    row[uuid] = is_named ? to_string(record.uuid) : visible(info.file.filename().string());
    row[log_file] = record.log_path.empty() ? "-" : visible(record.log_path.string());
    const warden::Nanoseconds length = info.runtime(now);
    row[runtime] = length == warden::Nanoseconds::zero() ? "-" : to_text(length);
    row[state] = to_string(info.state);
    return row;
}

/// Makes the rows fit: first the uuids are shortened to what `wardenctl` understands, then the paths, then the types.
void fit(std::vector<Row>& rows, std::size_t terminal) {
    const auto widest = [&rows](std::size_t column) {
        std::size_t most = 0;
        for (const Row& row : rows) most = std::max(most, width(row[column]));
        return most;
    };
    const auto total = [&] {
        std::size_t sum = 2 * (columns - 1);
        for (std::size_t column = 0; column < columns; ++column) sum += widest(column);
        return sum;
    };
    constexpr std::array<std::pair<Column, std::size_t>, 3> shorter{{{uuid, 8}, {log_file, 8}, {type, 4}}};
    for (const auto& [column, least] : shorter) {
        const std::size_t all = total();
        if (all <= terminal) return;
        const std::size_t over = all - terminal;
        const std::size_t now = widest(column);
        const std::size_t most = column == uuid ? least : std::max(least, now - std::min(over, now));
        for (Row& row : rows) {
            if (column == uuid) row[uuid] = row[uuid].substr(0, most);
            else row[column] = shorten(row[column], most, column == log_file);
        }
    }
}

std::string colour_of(std::string_view state_name) {
    if (state_name == "running") return "\x1b[32m";
    if (state_name == "starting" || state_name == "stopping") return "\x1b[33m";
    if (state_name == "exited" || state_name == "State") return {};
    return "\x1b[31m";
}

std::string table(const std::vector<Row>& rows, bool coloured) {
    std::array<std::size_t, columns> widths{};
    for (const Row& row : rows) {
        for (std::size_t column = 0; column < columns; ++column)
            widths[column] = std::max(widths[column], width(row[column]));
    }
    std::string text;
    for (const Row& row : rows) {
        for (std::size_t column = 0; column + 1 < columns; ++column) {
            text += row[column];
            text.append(widths[column] - width(row[column]) + 2, ' ');
        }
        const std::string colour = coloured ? colour_of(row[state]) : std::string();
        text += colour + row[state] + (colour.empty() ? "" : "\x1b[0m") + '\n';
    }
    return text;
}

int list(const Request& request, const Words& words) {
    if (!words.empty()) throw CLI::ExtrasError("list", {words.front()});
    std::vector<warden::DetachedInfo> found = detached_processes().list();
    const auto is_unwanted = [&request](const warden::DetachedInfo& info) {
        return (request.active && !info.is_active()) || (!request.type.empty() && info.record.type != request.type);
    };
    found.erase(std::remove_if(found.begin(), found.end(), is_unwanted), found.end());
    if (request.json) {
        std::string text;
        for (const warden::DetachedInfo& info : found) text += to_json(info) + '\n';
        print(text);
        return 0;
    }
    std::vector<Row> rows{{"Type", "PID", "UUID", "Log File", "Runtime", "State"}};
    const auto now = std::chrono::system_clock::now();
    for (const warden::DetachedInfo& info : found) rows.push_back(row_of(info, now));
    const std::size_t terminal = terminal_columns();
    if (terminal != 0) fit(rows, terminal);
    print(table(rows, may_use_colours()));
    return 0;
}

}  // namespace

Verb add_list(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    CLI::App* command = app.add_subcommand("list", "Lists the detached processes, running and ended, the newest first");
    set_usage(*command, "list [OPTIONS]");
    command->allow_extras();
    command->add_option("--type", request->type, "Only those of this type")->type_name("TYPE");
    command->add_flag("-a,--active", request->active, "Only those that are starting, running or stopping");
    command->add_flag("--json", request->json, "One JSON object a line, with all that is known");
    command->footer(
        "States: starting, running, stopping, exited; lost: its shim was killed, so nobody knows how it ended;\n"
        "gone: the system was started again while it ran; corrupt: the record is damaged; foreign: the record\n"
        "belongs to another user, container or newer version. wardenctl status UUID says more.\n"
        "On a terminal the table is made to fit it; in a pipe everything is written in full.\n"
        "Example: wardenctl list --active --type generation\n"
        "Exit code: 0; 125 the records cannot be read.");
    return {command, [request](const Words& words) { return list(*request, words); }};
}

}  // namespace wardenctl
