// SPDX-License-Identifier: MIT
// wardenctl logs: the newest lines of a log, found by the name or uuid of its process, and what comes after them.

#include "verb.hpp"
#include <warden/output/line_format.hpp>
#include <warden/output/log_follower.hpp>
#include <warden/output/log_reader.hpp>
#include <warden/output/log_search.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <poll.h>
#include <unistd.h>

namespace wardenctl {
namespace {

struct Request {
    std::size_t lines = 10;
    bool follow = false;
    bool json = false;
};

/// What has a slash is a path; a file of the working directory is one too, unless a process is called so.
std::filesystem::path find(const std::string& word) try {
    return word.find('/') == word.npos ? warden::find_log(word) : std::filesystem::path(word);
} catch (const warden::system_error& error) {
    if (error.code() == warden::errc::invalid_configuration || error.code() == warden::errc::ambiguous) throw;
    if (std::filesystem::is_regular_file(word)) return word;
    throw std::runtime_error(std::string(error.what()) +
                             " (WARDEN_DATA_DIRECTORY says where the logs are; a path to any log has a slash in it)");
}

void print(const warden::FollowedLine& line, bool json) {
    if (line.gap) {
        std::cout << std::flush;
        std::cerr << "wardenctl: "
                  << (line.gap_bytes > 0 ? std::to_string(line.gap_bytes) + " bytes were"
                                         : std::string("some text was"))
                  << " gone before it could be read\n";
    }
    if (!json) {
        std::cout << line.text;
        if (!line.partial) std::cout << '\n';
        return;
    }
    std::string object = "{\"text\":";
    warden::detail::append_json_text(object, line.text);
    if (line.partial) object += ",\"partial\":true";
    if (line.gap) object += ",\"gap_bytes\":" + std::to_string(line.gap_bytes);
    std::cout << object << "}\n";
}

void flush() {
    if (!std::cout.flush()) throw std::runtime_error("the output cannot be written");
}

std::uintmax_t bytes_of(const std::filesystem::path& path) {
    std::error_code missing;
    std::uintmax_t sum = 0;
    std::uintmax_t size = std::filesystem::file_size(path, missing);
    for (int i = 1; !missing; ++i) {
        sum += size;
        size = std::filesystem::file_size(path.string() + '.' + std::to_string(i), missing);
    }
    return sum;
}

/// Until there may be more to read. Ends the program, as SIGPIPE does, when nobody reads what it writes.
void wait_for_more(const warden::LogFollower& follower) {
    std::vector<pollfd> events{{warden::detail::FollowerDoor::wait_handle(follower), POLLIN, 0}, {STDOUT_FILENO, 0, 0}};
    while (::poll(events.data(), events.size(), -1) < 0) {
        if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "poll");
    }
    if ((events[1].revents & POLLERR) != 0) ::raise(SIGPIPE);
}

[[noreturn]] void follow(const std::filesystem::path& path, const Request& request) {
    const std::uintmax_t there = bytes_of(path);
    auto follower = warden::LogFollower::open(path, warden::LogFollower::From::beginning);
    std::deque<warden::FollowedLine> last;
    for (std::uintmax_t read = 0; read < there;) {  // and no more: a writer that goes on would keep this going
        auto line = follower.try_next();
        if (!line) break;
        read += line->text.size() + 1;
        last.push_back(std::move(*line));
        if (last.size() > request.lines) last.pop_front();
    }
    if (!last.empty()) last.front().gap = false;  // what is before these lines was not asked for
    for (const auto& line : last) print(line, request.json);
    for (;;) {
        while (const auto line = follower.try_next()) print(*line, request.json);
        flush();
        wait_for_more(follower);
    }
}

int logs(const Request& request, const Words& words) {
    if (words.size() != 1) throw CLI::RequiredError("one name or uuid of a process, or path of a log");
    std::signal(SIGPIPE, SIG_DFL);  // a filter like others: it ends with its reader
    const std::filesystem::path path = find(words.front());
    if (request.follow) follow(path, request);
    for (std::string& line : warden::tail_file(path, request.lines)) print({std::move(line)}, request.json);
    flush();
    return 0;
}

class LogsHelp : public CLI::Formatter {
    std::string make_usage(const CLI::App*, std::string) const override {
        return "Usage: wardenctl logs [OPTIONS] NAME|UUID|PATH\n";
    }
};

}  // namespace

Verb add_logs(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    CLI::App* command = app.add_subcommand("logs", "Shows the newest lines of a log, and follows it");
    command->formatter(std::make_shared<LogsHelp>());
    command->allow_extras();
    command->add_flag("-f,--follow", request->follow, "Goes on with what comes, across rotations, until Ctrl-C");
    command->add_option("-n,--lines", request->lines, "How many of the newest lines")
        ->type_name("N")
        ->capture_default_str();
    command->add_flag("--json", request->json, "One JSON object a line: text, and if so, partial and gap_bytes");
    command->footer(
        "The log of the process that has this name, of several the newest; or this uuid, of which 8 digits do\n"
        "where they are enough. It may have ended, and another program may have started it. A path, of any\n"
        "log, has a slash in it. What was removed before it could be read is told on stderr. With -f, an\n"
        "unfinished last line comes when it is finished.\n"
        "Exit code: 0; 125 there is no such log, or it cannot be read; 130, as shells have it, after Ctrl-C.");
    return {command, [request](const Words& words) { return logs(*request, words); }};
}

}  // namespace wardenctl
