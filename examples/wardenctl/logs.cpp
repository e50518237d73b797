// SPDX-License-Identifier: MIT
// wardenctl logs: the newest lines of a log, found by the name or uuid of its process, and what comes after them.

#include "detached.hpp"
#include "system.hpp"
#include "verb.hpp"
#include <warden/detail/output/line_format.hpp>
#include <warden/detail/text/visible_text.hpp>
#include <warden/logs/log_follower.hpp>
#include <warden/logs/log_reader.hpp>
#include <warden/logs/log_search.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <cstddef>
#include <filesystem>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace wardenctl {
namespace {

struct Request {
    std::size_t lines = 10;
    bool follow = false;
    bool json = false;
    bool raw = false;
};

/// The log that a detached process with that uuid or name keeps elsewhere; empty if there is none.
std::filesystem::path find_elsewhere(const std::string& word) try {
    return detached_processes().find(word).log_path();
} catch (const warden::system_error&) {
    return {};  // what was looked for first is said
}

/// What has a slash, or is of a drive, is a path; a file of the working directory is one too, unless a process is
/// called so.
std::filesystem::path find(const std::string& word) try {
    const std::filesystem::path path(word);
    return path.has_parent_path() ? path : warden::find_log(word);
} catch (const warden::system_error& error) {
    if (error.code() == warden::errc::invalid_configuration || error.code() == warden::errc::ambiguous) throw;
    if (std::filesystem::is_regular_file(word)) return word;
    if (std::filesystem::path log = find_elsewhere(word); !log.empty()) return log;
    throw std::runtime_error(std::string(error.what()) +
                             " (WARDEN_DATA_DIRECTORY says where the logs are; a path to any log has a slash in it)");
}

/// Our stdout, of which nothing is lost.
class Printer {
public:
    explicit Printer(const Request& request) : json_(request.json), visible_(!request.raw && is_terminal()) {}

    void print(const warden::FollowedLine& line);
    /// Ends the program when nobody reads it.
    void flush();

private:
    static constexpr std::size_t max_bytes = std::size_t{64} << 10;  // that wait to be written

    bool json_;
    bool visible_;  // others have chosen the text, and a terminal would obey it
    std::string text_;
};

void Printer::print(const warden::FollowedLine& line) {
    if (line.gap) {
        flush();
        std::cerr << "wardenctl: "
                  << (line.gap_bytes > 0 ? std::to_string(line.gap_bytes) + " bytes were"
                                         : std::string("some text was"))
                  << " gone before it could be read\n";
    }
    if (json_) {
        text_ += "{\"text\":";
        warden::detail::append_json_text(text_, line.text);
        if (line.partial) text_ += ",\"partial\":true";
        if (line.gap) text_ += ",\"gap_bytes\":" + std::to_string(line.gap_bytes);
        text_ += "}\n";
    } else {
        text_ += visible_ ? warden::detail::visible_text(line.text, "\t") : line.text;
        if (!line.partial) text_ += '\n';
    }
    if (text_.size() > max_bytes) flush();
}

void Printer::flush() {
    const std::error_code error = copy_to(warden::Stream::stdout_, text_);
    if (error == std::errc::broken_pipe) end_without_reader();
    if (error) throw std::system_error(error, "the output cannot be written");
    text_.clear();
}

[[noreturn]] void follow(const std::filesystem::path& path, const Request& request) {
    auto follower = warden::LogFollower::open_last(path, request.lines);
    Printer printer(request);
    for (;;) {
        while (const auto line = follower.try_next()) printer.print(*line);
        printer.flush();
        if (!wait_for_more(follower)) end_without_reader();  // a filter like others: it ends with its reader
    }
}

int logs(const Request& request, const Words& words) {
    if (words.size() != 1) throw CLI::RequiredError("one name or uuid of a process, or path of a log");
    const std::filesystem::path path = find(words.front());
    if (request.follow) follow(path, request);
    Printer printer(request);
    for (std::string& line : warden::tail_file(path, request.lines)) printer.print({std::move(line)});
    printer.flush();
    return 0;
}

}  // namespace

Verb add_logs(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    CLI::App* command = app.add_subcommand("logs", "Shows the newest lines of a log, and follows it");
    set_usage(*command, "logs [OPTIONS] NAME|UUID|PATH");
    command->allow_extras();
    command->add_flag("-f,--follow", request->follow, "Goes on with what comes, across rotations, until Ctrl-C");
    command->add_option("-n,--lines", request->lines, "How many of the newest lines")
        ->type_name("N")
        ->capture_default_str();
    command->add_flag("--json", request->json, "One JSON object a line: text, and if so, partial and gap_bytes");
    command->add_flag("--raw", request->raw, "Control characters as they are, on a terminal too");
    command->footer(
        "The log of the process that has this name, of several the newest; or this uuid, of which 8 digits do\n"
        "where they are enough. It may have ended, and another program may have started it. A path, of any\n"
        "log, has a slash in it. What was removed before it could be read is told on stderr. With -f, an\n"
        "unfinished last line comes when it is finished.\n"
        "Exit code: 0; 125 there is no such log, or it cannot be read; 130, as shells have it, after Ctrl-C.");
    return {command, [request](const Words& words) { return logs(*request, words); }};
}

}  // namespace wardenctl
