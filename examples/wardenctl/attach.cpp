// SPDX-License-Identifier: MIT
// wardenctl attach: the output of a detached process so far, and as it comes; Ctrl-C stops the process.

#include "detached.hpp"
#include "system.hpp"
#include "verb.hpp"
#include <warden/logs/log_follower.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <cstddef>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace wardenctl {
namespace {

struct Request {
    std::optional<std::size_t> lines;
    bool no_stop = false;
    bool raw = false;
};

/// One process that is watched, and what is done to it meanwhile on other threads.
class Attendance {
public:
    Attendance(const warden::DetachedProcess& process, const Request& request)
        : process_(process), visible_(!request.raw && is_terminal()), may_stop_(!request.no_stop) {
        const std::filesystem::path log = process.log_path();
        if (log.empty()) throw warden::system_error(warden::errc::not_found, "the process has no log");
        follower_ = request.lines ? warden::LogFollower::open_last(log, *request.lines)
                                  : warden::LogFollower::open(log, warden::LogFollower::From::beginning);
    }

    int run();

private:
    /// Runs `action` on a thread; what it throws is said.
    template <class Action>
    void begin(Action action) {
        threads_.emplace_back([action = std::move(action)] {
            try {
                action();
            } catch (const std::exception& error) {
                std::cerr << "wardenctl: " << error.what() << '\n';
            }
        });
    }
    void stop();
    void copy_output();
    [[noreturn]] void leave();
    [[nodiscard]] int end();
    void put(const warden::FollowedLine& line);

    const warden::DetachedProcess process_;
    const bool visible_;
    const bool may_stop_;
    warden::LogFollower follower_;
    Bell bell_;
    int stops_ = 0;
    std::string text_;
    std::list<std::thread> threads_;
};

void Attendance::put(const warden::FollowedLine& line) {
    constexpr std::size_t max_bytes = std::size_t{64} << 10;
    if (line.gap) std::cerr << "wardenctl: some output was gone before it could be read\n";
    text_ += visible_ ? visible(line.text, "\t") : line.text;
    if (!line.partial) text_ += '\n';
    if (text_.size() < max_bytes) return;
    print(text_);
    text_.clear();
}

void Attendance::copy_output() {
    while (const auto line = follower_.try_next()) put(*line);
    print(text_);
    text_.clear();
}

/// The first time by the plan of the process, then by force.
void Attendance::stop() {
    const warden::DetachedProcess process = process_;
    if (++stops_ > 2) return;
    const bool by_force = stops_ == 2;
    std::cerr << "wardenctl: " << (by_force ? "killing " : "stopping ") << describe(process.info())
              << (by_force ? "\n" : "; Ctrl-C again kills it\n");
    begin([process, by_force] {
        const warden::StopReport report = by_force ? process.force_stop() : process.stop();
        std::cerr << to_text(report);
    });
}

/// The threads wait for a process that goes on, so this program ends without them.
void Attendance::leave() {
    std::cerr << "wardenctl: " << describe(process_.info()) << " goes on\n";
    std::_Exit(0);
}

int Attendance::end() {
    for (std::thread& thread : threads_) thread.join();
    copy_output();
    while (const auto line = follower_.finish()) put(*line);
    print(text_);
    const warden::DetachedInfo info = process_.info();
    if (!info.record.exit) {
        std::cerr << "wardenctl: nobody knows how " << describe(info) << " ended: " << visible(info.problem) << '\n';
        return own_failure;
    }
    show_progress(describe(info) + ' ' + info.record.exit->status.to_string());
    return exit_code_of(info.record.exit->status, info.record.exit->cause);
}

int Attendance::run() {
    begin([process = process_, this] {
        try {
            process.wait();
        } catch (const std::exception& error) {
            std::cerr << "wardenctl: " << error.what() << '\n';
        }
        bell_.ring();
    });
    for (;;) {
        copy_output();
        switch (bell_.wait(follower_)) {
            case Attention::output: break;
            case Attention::ended: return end();
            case Attention::quit: leave();
            case Attention::interrupt:
                if (!may_stop_) leave();
                stop();
                break;
            case Attention::no_reader: end_without_reader();  // the process goes on
        }
    }
}

int attach(const Request& request, const Words& words) {
    if (words.size() != 1) throw CLI::RequiredError("one name or uuid of a detached process");
    return Attendance(find_detached(words.front()), request).run();
}

}  // namespace

Verb add_attach(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    CLI::App* command = app.add_subcommand("attach", "Shows the output of a detached process, so far and as it comes");
    set_usage(*command, "attach [OPTIONS] NAME|UUID");
    command->allow_extras();
    command->add_option("-n,--lines", request->lines, "Begin with so many of the newest lines; default: all of the log")
        ->type_name("N");
    command->add_flag("--no-stop", request->no_stop, "Ctrl-C leaves the process running");
    command->add_flag("--raw", request->raw, "Control characters as they are, on a terminal too");
    command->footer(
        "Ctrl-C stops the process by its stop plan and shows the steps; a second one kills it. Ctrl-\\ leaves it\n"
        "running. When the reader of the output goes away, the process goes on.\n"
        "Example: wardenctl attach generate\n"
        "Exit code: that of the process, as in wardenctl wait; 0 it was left running; 125 there is no such\n"
        "process, its log cannot be read, or nobody knows how it ended.");
    return {command, [request](const Words& words) { return attach(*request, words); }};
}

}  // namespace wardenctl
