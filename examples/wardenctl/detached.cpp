// SPDX-License-Identifier: MIT
// wardenctl: what its verbs about detached processes share.

#include "detached.hpp"

#include "system.hpp"
#include "verb.hpp"
#include <warden/detail/logs/default_directories.hpp>
#include <warden/detail/text/json_writer.hpp>
#include <warden/detail/text/rfc3339.hpp>
#include <warden/detail/text/visible_text.hpp>
#include <warden/manager_config.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace wardenctl {
namespace {

using namespace std::chrono_literals;
using warden::detail::JsonWriter;

std::string directory() {
    return (warden::detail::data_directory_of(warden::ManagerConfig::from_environment()) / "detached").string();
}

void write_exit(JsonWriter& json, const warden::DetachedExit& exit) {
    json.name("exit_code").integer(exit_code_of(exit.status, exit.cause));
    if (exit.status.signaled()) json.name("signal").integer(exit.status.signal());
    json.name("cause").string(to_string(exit.cause));
    const auto at = warden::detail::rfc3339(exit.at);
    json.name("ended_at").string({at.data(), at.size()});
    json.name("user_seconds").real(std::chrono::duration<double>(exit.usage.user_time).count());
    json.name("system_seconds").real(std::chrono::duration<double>(exit.usage.system_time).count());
    json.name("max_resident_bytes").unsigned_integer(exit.usage.max_resident_bytes);
    if (!exit.reason.empty()) json.name("reason").string(exit.reason);
    if (!exit.hook_problem.empty()) json.name("hook_problem").string(exit.hook_problem);
}

}  // namespace

warden::DetachedProcesses detached_processes() { return warden::DetachedProcesses(); }

warden::DetachedProcess find_detached(const std::string& word) try {
    const warden::DetachedProcesses processes = detached_processes();
    return processes.find(word);
} catch (const warden::system_error& error) {
    if (error.code() == warden::errc::not_found) {
        throw std::runtime_error("no detached process has the name '" + visible(word) +
                                 "', or a uuid that begins so, in " + directory() +
                                 " (wardenctl list shows all; of a uuid 4 digits do where they are enough)");
    }
    if (error.code() != warden::errc::ambiguous) throw;
    std::string candidates;
    for (const warden::DetachedInfo& info : detached_processes().list()) {
        const std::string uuid = to_string(info.record.uuid);
        if (uuid.starts_with(word)) candidates += "\n  " + uuid + "  " + visible(info.record.name);
    }
    throw std::runtime_error("the uuids of several processes begin with '" + visible(word) +
                             "'; write more of it:" + candidates);
}

std::string describe(const warden::DetachedInfo& info) {
    const std::string name = info.record.name.empty() ? "a process" : visible(info.record.name);  // of a damaged record
    std::string text = name + " (uuid " + to_string(info.record.uuid).substr(0, 8);
    if (info.record.process.pid != 0) text += ", pid " + std::to_string(info.record.process.pid);
    return text + ')';
}

std::string to_json(const warden::DetachedInfo& info) {
    const warden::DetachedRecord& record = info.record;
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    json.name("uuid").string(to_string(record.uuid));
    json.name("type").string(record.type);
    json.name("name").string(record.name);
    json.name("pid").integer(record.process.pid);
    json.name("shim_pid").integer(record.shim.pid);
    json.name("state").string(to_string(info.state));
    if (!info.problem.empty()) json.name("problem").string(info.problem);
    json.name("process_alive").boolean(info.process_alive);
    json.name("program").string(record.command.program());
    json.name("arguments").begin_array();
    for (const std::string& argument : record.command.arguments()) json.string(argument);
    json.end_array();
    json.name("working_directory").string(record.working_directory.string());
    const auto started = warden::detail::rfc3339(record.started_at);
    json.name("started_at").string({started.data(), started.size()});
    json.name("seconds").real(std::chrono::duration<double>(info.runtime(std::chrono::system_clock::now())).count());
    json.name("log").string(record.log_path.string());
    json.name("containment").string(to_string(record.mechanism));
    if (record.restarted_from) json.name("restarted_from").string(to_string(*record.restarted_from));
    if (record.exit) write_exit(json, *record.exit);
    json.end_object();
    return text;
}

std::string to_json(const warden::StopReport& report, const warden::DetachedInfo& stopped) {
    std::string text;
    JsonWriter json(text);
    const auto seconds = [&json](const char* name, warden::Nanoseconds length) {
        json.name(name).real(std::chrono::duration<double>(length).count());
    };
    json.begin_object();
    json.name("uuid").string(to_string(stopped.record.uuid));
    json.name("name").string(stopped.record.name);
    json.name("state").string(to_string(stopped.state));
    json.name("clean").boolean(report.clean());
    seconds("seconds", report.duration);
    json.name("steps").begin_array();
    for (const warden::StopStepResult& step : report.steps) {
        json.begin_object();
        json.name("action").string(to_string(step.action));
        seconds("seconds", step.duration);
        json.name("tree_exited").boolean(step.tree_exited);
        if (!step.error.empty()) json.name("error").string(step.error);
        json.end_object();
    }
    json.end_array();
    json.name("survivors").begin_array();
    for (const warden::Survivor& survivor : report.survivors) {
        json.begin_object();
        json.name("pid").integer(survivor.pid);
        json.name("command").string(survivor.command);
        json.name("reason").string(survivor.reason);
        json.end_object();
    }
    json.end_array();
    if (stopped.record.exit) write_exit(json, *stopped.record.exit);
    json.end_object();
    return text;
}

std::string to_text(const warden::StopReport& report) {
    std::string text;
    for (const warden::StopStepResult& step : report.steps) {
        text += "  " + std::string(to_string(step.action)) + ": " + std::to_string(step.duration / 1ms) + " ms";
        if (step.tree_exited) text += ", that ended it";
        if (!step.error.empty()) text += ", " + visible(step.error);
        text += '\n';
    }
    for (const warden::Survivor& survivor : report.survivors)
        text += "  pid " + std::to_string(survivor.pid) + " is left: " + visible(survivor.reason) + '\n';
    return text;
}

std::string to_text(warden::Nanoseconds length) {
    char text[48];
    const auto seconds = length / 1s;
    const auto put = [&text](const char* format, auto... numbers) {
        (void)std::snprintf(text, sizeof text, format, static_cast<long long>(numbers)...);
        return std::string(text);
    };
    if (seconds < 60) return put("%lld.%llds", seconds, length / 100ms % 10);
    if (seconds < 3600) return put("%lldm %02llds", seconds / 60, seconds % 60);
    if (seconds < 86400) return put("%lldh %02lldm", seconds / 3600, seconds / 60 % 60);
    return put("%lldd %02lldh", seconds / 86400, seconds / 3600 % 24);
}

std::string to_text(std::chrono::system_clock::time_point time) {
    const auto stamp = warden::detail::rfc3339(time);
    return std::string(stamp.data(), 19) + 'Z';
}

std::string visible(std::string_view text, std::string_view kept) { return warden::detail::visible_text(text, kept); }

void print(std::string_view text) {
    const std::error_code error = copy_to(warden::Stream::stdout_, text);
    if (error == std::errc::broken_pipe) end_without_reader();
    if (error) throw std::system_error(error, "the output cannot be written");
}

void show_progress(const std::string& line) {
    if (is_terminal(warden::Stream::stderr_)) std::cerr << "wardenctl: " << line << '\n';
}

void add_duration(CLI::App& command, const std::string& name, const std::string& help,
                  std::function<void(warden::Nanoseconds)> set) {
    const auto parse = [name, set = std::move(set)](const std::string& text) {
        const auto length = warden::parse_duration(text);
        if (!length || *length <= 0ns)
            throw CLI::ValidationError(name, "'" + text + "' is no duration; write 90s or 5m");
        set(*length);
    };
    command.add_option_function<std::string>(name, parse, help)->type_name("DURATION");
}

void set_usage(CLI::App& command, const std::string& usage) {
    class Help : public CLI::Formatter {
    public:
        explicit Help(std::string usage) : usage_(std::move(usage)) {}
        std::string make_usage(const CLI::App*, std::string) const override {
            return "Usage: wardenctl " + usage_ + '\n';
        }

    private:
        std::string usage_;
    };
    command.formatter(std::make_shared<Help>(usage));
}

}  // namespace wardenctl
