// SPDX-License-Identifier: MIT
// wardenctl run: one command, contained, its output copied and logged; ends with its exit code.

#include "detached.hpp"
#include "system.hpp"
#include "verb.hpp"
#include <warden/process_manager.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace wardenctl {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

struct Request {
    warden::SpawnOptions options;
    std::optional<warden::Mechanism> mechanism;
    bool detach = false;
    bool quiet = false;
    bool json = false;
    bool verbose = false;
};

warden::ManagerConfig config_for(const Request& request) {
    warden::ManagerConfig config = warden::ManagerConfig::from_environment();
    config.mechanism = request.mechanism.value_or(config.mechanism);
    config.consumer_queue_bytes = 16 << 20;  // room for two full pipes behind a reader that is slow
    return config;
}

int exit_code_of_start(const warden::SpawnError& error) {
    if (error.step() != warden::SpawnStep::executable) return own_failure;
    const bool in_no_directory = !error.path().has_parent_path();  // searched for; some may have been closed to us
    const bool missing = error.code() == boost::system::errc::no_such_file_or_directory;
    return missing || in_no_directory ? not_found : not_executable;
}

void tell_start(const warden::ProcessInfo& info) {
    std::cerr << "wardenctl: uuid " << info.uuid << ", pid " << info.pid << ", "
              << to_string(info.containment.mechanism) << "\nwardenctl: log " << info.log_path.string() << '\n';
    if (!info.containment.why_not_stronger.empty()) {
        std::cerr << "wardenctl: no stronger containment: " << info.containment.why_not_stronger << '\n';
    }
}

void tell_end(const warden::ProcessInfo& info) {
    std::cerr << "wardenctl: " << info.exit_status->to_string() << ", " << to_string(info.cause) << ", after "
              << info.runtime / 1ms << " ms\n";
}

std::string end_in_json(const warden::ProcessInfo& info, int code) {
    boost::json::array arguments(info.command.arguments().begin(), info.command.arguments().end());
    boost::json::object json{
        {"uuid", to_string(info.uuid)},
        {"pid", info.pid},
        {"name", info.name},
        {"type", info.type},
        {"program", info.command.program()},
        {"arguments", std::move(arguments)},
        {"state", to_string(info.state)},
        {"cause", to_string(info.cause)},
        {"exit_code", code},
        {"seconds", std::chrono::duration<double>(info.runtime).count()},
        {"log", info.log_path.string()},
        {"output_bytes", info.output_bytes},
        {"dropped_bytes", info.dropped_bytes},
        {"containment", to_string(info.containment.mechanism)},
    };
    if (info.exit_status->signaled()) json["signal"] = info.exit_status->signal();
    return serialize(json) + '\n';
}

/// What the copying of output shares with the rest; it may go on for as long as a slow reader takes.
struct Copying {
    asio::io_context loop;
    std::atomic<bool> failed = false;  // output could not be copied; set after `error`
    std::error_code error;
};

/// Runs the command to its end.
warden::ProcessInfo supervise(warden::ProcessManager& manager, const Request& request, const Words& words,
                              const std::shared_ptr<Copying>& copying) {
    const auto work = asio::make_work_guard(copying->loop);
    warden::ManagedProcess process;
    const auto stop_for_lack_of_a_reader = [&process] { process.async_stop(plan_without_reader(), asio::detached); };
    warden::SpawnOptions options = request.options;
    if (!request.quiet) {
        options.on_chunk = [copying, stop_for_lack_of_a_reader](warden::Stream stream, std::string_view text) {
            if (copying->failed) return;
            copying->error = copy_to(stream, text);
            copying->failed = static_cast<bool>(copying->error);
            if (copying->error == std::errc::broken_pipe) asio::post(copying->loop, stop_for_lack_of_a_reader);
        };
    }
    process = manager.spawn(words, std::move(options));
    if (request.verbose) tell_start(process.info());
    process.async_wait(asio::bind_executor(
        copying->loop, [copying](const warden::error_code&, warden::ExitStatus) { copying->loop.stop(); }));
    copying->loop.run();

    if (process.cause() == warden::ExitCause::host_shutdown) wait_for_own_end();
    for (const warden::Survivor& survivor : process.stop().survivors) {  // of what it left running
        std::cerr << "wardenctl: pid " << survivor.pid << " is left: " << survivor.reason << '\n';
    }
    return process.info();
}

/// Starts the command as a process that outlives this program.
int detach(const Request& request, const Words& words) {
    warden::SpawnOptions options = request.options;
    options.stdin_ = warden::Input::null;
    options.overflow_policy = warden::OverflowPolicy::drop;  // nobody of this program reads
    const warden::DetachedProcesses processes(config_for(request));
    const warden::DetachedInfo info = processes.spawn(words, std::move(options)).info();
    if (request.verbose) {
        std::cerr << "wardenctl: pid " << info.record.process.pid << ", " << to_string(info.record.mechanism)
                  << "\nwardenctl: log " << info.record.log_path.string() << '\n';
    }
    print((request.json ? to_json(info) : to_string(info.record.uuid)) + '\n');
    return 0;
}

int run(const Request& request, const Words& words) try {
    if (words.empty()) throw CLI::RequiredError("a command after the options");
    if (!request.detach && (request.options.end_hook || request.options.if_running != warden::IfRunning::start_another))
        throw CLI::RequiresError("--on-end, --if-running", "--detach");
    if (request.detach) return detach(request, words);
    const auto copying = std::make_shared<Copying>();
    warden::ProcessInfo info;
    {
        warden::ProcessManager manager(config_for(request));
        info = supervise(manager, request, words, copying);
    }  // all output is copied
    const int code = exit_code_of(*info.exit_status, info.cause);
    if (request.verbose) tell_end(info);
    if (request.json) (request.quiet ? std::cout : std::cerr) << end_in_json(info, code) << std::flush;
    if (!copying->failed || copying->error == std::errc::broken_pipe) return code;
    std::cerr << "wardenctl: the output could not be copied: " << copying->error.message() << '\n';
    return code == 0 ? own_failure : code;
} catch (const warden::SpawnError& error) {
    std::cerr << "wardenctl: " << error.what() << '\n';
    return exit_code_of_start(error);
}

}  // namespace

Verb add_run(CLI::App& app) {
    const auto request = std::make_shared<Request>();
    warden::SpawnOptions& options = request->options;
    options.type = "command";
    options.stdin_ = warden::Input::inherit;
    options.stdout_ = options.stderr_ = warden::Output::log;
    options.overflow_policy = warden::OverflowPolicy::block;  // nothing is lost
    options.timeout = warden::no_timeout;

    CLI::App* command = app.add_subcommand("run", "Runs one command, contained, and ends with its exit code");
    set_usage(*command, "run [OPTIONS] [--] COMMAND [ARGUMENTS...]");
    command->prefix_command();
    command->add_flag("-d,--detach", request->detach,
                      "The command goes on when wardenctl has ended; prints its uuid and ends");
    command->add_option("--name", options.name, "For people and logs; default: the file name of the program");
    command->add_option("--type", options.type, "A free word; the logs of one type share a folder")
        ->capture_default_str();
    add_duration(*command, "--timeout", "How long it may run; default: as long as it likes",
                 [request](warden::Nanoseconds length) { request->options.timeout = warden::Timeout(length); });
    add_duration(
        *command, "--grace", "How long it may take to end when asked to, before it is killed",
        [request](warden::Nanoseconds length) { request->options.stop_plan = warden::StopPlan::within(length); });
    const std::string mechanism_words = "auto, cgroup, keeper, process_group or job_object";
    const auto set_mechanism = [request, mechanism_words](const std::string& name) {
        for (int i = 0; i <= static_cast<int>(warden::Mechanism::job_object); ++i) {
            if (name == to_string(static_cast<warden::Mechanism>(i)))
                request->mechanism = static_cast<warden::Mechanism>(i);
        }
        if (!request->mechanism)
            throw CLI::ValidationError("--mechanism", "'" + name + "' is none; write " + mechanism_words);
    };
    command->add_option_function<std::string>("--mechanism", set_mechanism, "What holds its tree: " + mechanism_words)
        ->type_name("NAME");
    const auto set_directory = [request](const std::string& path) { request->options.working_directory = path; };
    command->add_option_function<std::string>("--cwd", set_directory, "Its working directory")->type_name("DIRECTORY");
    const auto set_variable = [request](const std::vector<std::string>& settings) {
        for (const std::string& setting : settings) {
            const auto equals = setting.find('=');
            if (equals == setting.npos) throw CLI::ValidationError("--env", "'" + setting + "' has no '='");
            request->options.environment.set(setting.substr(0, equals), setting.substr(equals + 1));
        }
    };
    command->add_option_function<std::vector<std::string>>("--env", set_variable, "A variable of its environment")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    const auto set_naming = [request](const std::string& pattern) {
        request->options.log.naming = warden::LogNaming::pattern(pattern);
    };
    command
        ->add_option_function<std::string>("--log-name", set_naming,
                                           "The name of its log, with {name}, {type}, {uuid}, {date} or {stream}")
        ->type_name("PATTERN");
    const auto set_wish = [request](const std::string& wish) {
        if (wish == "refuse") request->options.if_running = warden::IfRunning::refuse;
        else if (wish == "reuse") request->options.if_running = warden::IfRunning::reuse;
        else throw CLI::ValidationError("--if-running", "'" + wish + "' is none; write refuse or reuse");
    };
    command
        ->add_option_function<std::string>("--if-running", set_wish,
                                           "With -d, if one of its name runs: refuse, or reuse that one")
        ->type_name("WISH");
    const auto set_hook = [request](const std::string& text) {
        request->options.end_hook = warden::EndHook{warden::CommandLine::shell(text)};
    };
    command
        ->add_option_function<std::string>("--on-end", set_hook,
                                           "With -d, a shell command for when it has ended; it has a minute")
        ->type_name("COMMAND");
    command->add_flag("-q,--quiet", request->quiet, "No copy of its output: only the log");
    command->add_flag("--json", request->json,
                      "At the end one JSON object about it on stderr (with --quiet or --detach on stdout)");
    command->add_flag("-v,--verbose", request->verbose, "Says uuid, pid, log and containment on stderr");
    command->footer(
        "Its output goes to a bounded log, and to stdout and stderr; it reads the stdin of wardenctl.\n"
        "Ctrl-C ends it and all that it started; a second one at once.\n"
        "With -d its stdin is empty, and it ends by itself, by its timeout, or by wardenctl stop.\n"
        "The command of --on-end finds WARDEN_RECORD, WARDEN_UUID, WARDEN_NAME, WARDEN_LOG and WARDEN_EXIT.\n"
        "Example: wardenctl run -d --type generation --timeout 2h -- python3 -u generate.py\n"
        "Exit code: that of the command (with -d: 0, it runs); 128+N when signal N ended it; 124 timed out; 125 "
        "wardenctl itself\n"
        "failed; 126 the command cannot be executed; 127 it was not found.");
    return {command, [request](const Words& words) { return run(*request, words); }};
}

}  // namespace wardenctl
