// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Connects the output of a process that starts to where its options send it: logs, captures, callbacks, alert rules.
///
/// Knows:         options of output, the logs that are open in the manager, the alert rules of the manager.
/// Does not know: how a process is launched.
/// Thread-safety: safe for different processes.
/// Errors:        SpawnError.

#include <warden/detail/engine/process_record.hpp>
#include <warden/detail/launch/prepared_launch.hpp>
#include <warden/detail/logs/default_directories.hpp>
#include <warden/detail/logs/trusted_directory.hpp>
#include <warden/detail/output/alert_watch.hpp>
#include <warden/detail/output/open_logs.hpp>
#include <warden/detail/runtime/services.hpp>
#include <warden/detail/system/output_file.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace warden::detail {

class OutputWiring {
public:
    explicit OutputWiring(std::shared_ptr<Services> services)
        : services_(std::move(services)), log_directory_(log_directory_of(services_->config)) {}

    /// Before the launch: opens the logs and makes ready who consumes the output.
    void connect(ProcessRecord& record, const Output& out, const Output& err);
    /// After the launch: takes over this program's ends of the pipes.
    void attach(ProcessRecord& record, PreparedLaunch& prepared) const;

    [[nodiscard]] const std::filesystem::path& log_directory() const noexcept { return log_directory_; }

private:
    using Consume = ConsumerQueue::Consume;

    void open_logs(ProcessRecord& record, const Output& out, const Output& err);
    [[nodiscard]] LogSink* open_log(ProcessRecord& record, std::filesystem::path& path, bool only_errors);
    void connect_stream(ProcessRecord& record, Stream stream, const Output& wanted, bool watches) const;
    void connect_callbacks(ProcessRecord& record, bool watches) const;
    void collect_log(ProcessRecord& record) const;
    [[nodiscard]] std::shared_ptr<ConsumerQueue> queue(const SpawnOptions& options, Executor executor, Consume consume,
                                                       ConsumerCode code = ConsumerCode::of_user) const;
    void connect_alerts(ProcessRecord& record) const;
    [[nodiscard]] std::shared_ptr<ConsumerQueue> file_queue(const CommandLine& command, const Output& wanted) const;

    const std::shared_ptr<Services> services_;
    const std::filesystem::path log_directory_;
    const std::shared_ptr<const AlertSet> alerts_ = std::make_shared<const AlertSet>(services_->config.alerts.rules);
    OpenLogs logs_;
};

// -- implementation ----------------------------------------------------------

inline void OutputWiring::connect(ProcessRecord& record, const Output& out, const Output& err) {
    const SpawnOptions& options = record.options;
    open_logs(record, out, err);
    const bool watches = !options.alerts.empty() || !services_->config.alerts.rules.empty();
    record.output.router->pause_for_slow = options.overflow_policy == OverflowPolicy::block;
    connect_stream(record, Stream::stdout_, out, watches);
    connect_stream(record, Stream::stderr_, err, watches);
    connect_callbacks(record, watches);
    collect_log(record);
}

inline void OutputWiring::open_logs(ProcessRecord& record, const Output& out, const Output& err) {
    auto& router = *record.output.router;
    const LogOptions& options = record.options.log;
    router.use_limits(options.limits);
    const bool separate_err = err.has(Output::log);
    if (!out.has(Output::log) && !separate_err) return;
    const std::string uuid = to_string(record.uuid);
    const LogPaths paths =
        log_paths(options.naming, {record.options.name, record.options.type, uuid, record.started_at});
    const std::filesystem::path directory = options.directory.value_or(log_directory_);
    router.owns_logs = options.naming.pattern().find("{uuid}") != std::string::npos;
    router.log_format = options.format;
    if (out.has(Output::log)) {
        record.log_path = directory / paths.stdout_;
        router.routes[0].log = open_log(record, record.log_path, false);
    }
    if (!separate_err) return;
    record.error_log_path = directory / paths.stderr_;
    LogSink* const common = paths.separate() ? nullptr : router.routes[0].log;
    if (common) record.error_log_path = record.log_path;
    router.routes[1].log = common ? common : open_log(record, record.error_log_path, router.routes[0].log != nullptr);
    if (record.log_path.empty()) record.log_path = record.error_log_path;
}

/// `path` becomes that of the log, which may be another one.
inline LogSink* OutputWiring::open_log(ProcessRecord& record, std::filesystem::path& path, bool only_errors) {
    error_code ec;
    auto sink = logs_.open(path, record.options.log, record.log_owner(only_errors), ec);
    if (ec) {
        const std::string why = why_not_trusted(path.parent_path());
        fail_start(record.command, ec, SpawnStep::log_file, path,
                   why.empty() ? "a log needs a regular file in a directory of this user" : why);
    }
    path.replace_filename(sink->path().filename());
    return record.output.router->logs.emplace_back(std::move(sink)).get();
}

inline std::shared_ptr<ConsumerQueue> OutputWiring::queue(const SpawnOptions& options, Executor executor,
                                                          Consume consume, ConsumerCode code) const {
    return std::make_shared<ConsumerQueue>(std::shared_ptr<Dispatcher>(services_, &services_->dispatcher),
                                           std::move(executor), services_->config.consumer_queue_bytes,
                                           options.overflow_policy, std::move(consume), code);
}

/// Opens a file that output is copied to. Nothing is left out of it: the process waits for a slow disk.
inline std::shared_ptr<ConsumerQueue> OutputWiring::file_queue(const CommandLine& command, const Output& wanted) const {
    error_code ec;
    OutputFile file = open_output_file(wanted.path(), wanted.appends(), ec);
    if (ec) fail_start(command, ec, SpawnStep::output_file, wanted.path());
    return std::make_shared<ConsumerQueue>(
        std::shared_ptr<Dispatcher>(services_, &services_->dispatcher), Executor(),
        services_->config.consumer_queue_bytes, OverflowPolicy::block,
        [file = std::move(file)](Stream, std::string_view text) { return write_output(file, text); });
}

inline void OutputWiring::connect_stream(ProcessRecord& record, Stream stream, const Output& wanted,
                                         bool watches) const {
    if (!wanted.is_read()) return;
    const SpawnOptions& options = record.options;
    OutputRouter& router = *record.output.router;
    StreamRoute& route = router.routes[static_cast<std::size_t>(stream)];
    if (wanted.has(Output::capture)) {
        route.capture.emplace(stream == Stream::stderr_ ? options.stderr_capture_bytes.value_or(options.capture_bytes)
                                                        : options.capture_bytes);
    }
    if (options.on_line || watches || (route.log && router.log_format != LogFormat::raw))
        route.lines.emplace(services_->config.max_line_bytes);
    const bool has_own_bound = stream == Stream::stderr_ && options.max_stderr_bytes;
    route.bound = (has_own_bound ? options.max_stderr_bytes : options.max_output_bytes).value_or(route.bound);
    if (wanted.has_file()) route.file = file_queue(record.command, wanted);
    if (!wanted.has(Output::inherit)) return;
    const int to = static_cast<int>(stream) + 1;
    route.tee = queue(options, Executor(), [to](Stream, std::string_view text) { return copy_to(to, text); });
}

inline void OutputWiring::connect_callbacks(ProcessRecord& record, bool watches) const {
    const SpawnOptions& options = record.options;
    OutputRouter& router = *record.output.router;
    if (options.on_line) {
        router.line_queue = queue(
            options, options.executor,
            [call = options.on_line, &dispatcher = services_->dispatcher](Stream stream, std::string_view packed) {
                PackedLines::unpack(packed, [&](std::string_view text, bool partial) {
                    if (!dispatcher.is_closing()) dispatcher.run_guarded([&] { call({stream, text, partial}); });
                });
                return std::size_t{0};
            });
    }
    if (watches) connect_alerts(record);
    if (options.on_chunk) {
        router.chunk_queue =
            queue(options, options.executor, [call = options.on_chunk](Stream stream, std::string_view text) {
                call(stream, text);
                return std::size_t{0};
            });
    }
}

/// Begins to follow a log file that the process will write itself.
inline void OutputWiring::collect_log(ProcessRecord& record) const {
    const SpawnOptions& options = record.options;
    if (options.log.collect.empty()) return;
    error_code ec;
    const std::filesystem::path path = options.working_directory / options.log.collect;
    LogFollower follower = LogFollower::open(path, LogFollower::From::end, ec);
    if (ec)
        fail_start(record.command, ec, SpawnStep::log_file, path,
                   "a log to collect is a regular file in a directory that exists");
    record.output.collector =
        std::make_shared<LogCollector>(services_->loop, std::move(follower), record.output.router);
}

inline void OutputWiring::attach(ProcessRecord& record, PreparedLaunch& prepared) const try {
    for (std::size_t i = 0; i < 2; ++i) {
        if (!prepared.outputs[i]) continue;
        record.output.pumps[i] = std::make_shared<OutputPump>(
            services_->loop, std::move(prepared.outputs[i]), static_cast<Stream>(i), record.output.router,
            record.options.pipe_bytes.value_or(services_->config.pipe_bytes));
    }
    record.terminal = std::move(prepared.terminal);
    if (prepared.input)
        record.input = std::make_shared<InputPump>(services_->loop, std::move(prepared.input),
                                                   record.options.terminal.has_value());
} catch (const system_error& error) {
    fail_start(record.command, error.code(), SpawnStep::descriptors, {}, "the system refuses to watch another pipe");
}

/// What the alert rules of one process lead to.
class ProcessAlerts final : public AlertReactions {
public:
    ProcessAlerts(ManagerContext& context, std::weak_ptr<ProcessRecord> record, const AlertRule* first)
        : context_(context), record_(std::move(record)), first_(first) {}

    void report(const AlertRule& rule, const Alert& alert) override;
    void act(const AlertRule& rule) override;
    void report_trouble(const AlertRule& rule, const std::string& words) override;

private:
    [[nodiscard]] static Event event(const ProcessRecord& record, const AlertRule& rule, std::string message);

    ManagerContext& context_;
    const std::weak_ptr<ProcessRecord> record_;
    const AlertRule* const first_;  // of the set
};

inline Event ProcessAlerts::event(const ProcessRecord& record, const AlertRule& rule, std::string message) {
    Event event = record.event(EventKind::alert);
    event.message = std::move(message);
    event.attributes = {{"warden.alert.rule", rule.title()}};
    return event;
}

inline void ProcessAlerts::report(const AlertRule& rule, const Alert& alert) {
    const auto record = record_.lock();
    if (!record) return;
    context_.metrics.alerted();
    Event raised = event(*record, rule, "a line of " + alert.stream + " matches the rule '" + rule.title() + "'");
    raised.attributes.insert(raised.attributes.end(),
                             {{"warden.alert.line", alert.line},
                              {"warden.alert.suppressed", static_cast<std::int64_t>(alert.suppressed)},
                              {"log.iostream", alert.stream}});
    context_.emit(std::move(raised));
    if (!rule.callback) return;
    std::string packed = pack_alert(static_cast<std::size_t>(&rule - first_), alert);
    const std::size_t payload = alert.line.size();
    const Stream stream = alert.stream == to_string(Stream::stdout_) ? Stream::stdout_ : Stream::stderr_;
    record->output.router->alert_calls->offer(stream, std::move(packed), payload);
}

inline void ProcessAlerts::act(const AlertRule& rule) {
    const auto record = record_.lock();
    if (!record) return;
    if (rule.action == AlertAction::stop) return record->stop(record->stop_plan, StopReason::asked, {});
    context_.scheduler.dispatch([record] { record->became_ready({}); });
}

inline void ProcessAlerts::report_trouble(const AlertRule& rule, const std::string& words) {
    if (const auto record = record_.lock()) context_.emit(event(*record, rule, words));
}

/// The rules look and act on threads of the library, so that no callback holds them up; their own callbacks run beside.
inline void OutputWiring::connect_alerts(ProcessRecord& record) const {
    const SpawnOptions& options = record.options;
    OutputRouter& router = *record.output.router;
    const auto set = options.alerts.empty() ? alerts_ : std::make_shared<const AlertSet>(*alerts_, options.alerts);
    const auto& rules = set->rules();
    const bool calls = std::any_of(rules.begin(), rules.end(), [](const auto& rule) { return bool(rule.callback); });
    if (calls) {
        router.alert_calls = queue(options, options.executor, [set](Stream stream, std::string_view packed) {
            const auto [rule, alert] = unpack_alert(set->rules(), stream, packed);
            rule.callback(alert);
            return std::size_t{0};
        });
    }
    auto watch = std::make_shared<AlertWatch>(
        set, std::make_unique<ProcessAlerts>(*services_, record.weak_from_this(), rules.data()));
    router.alert_queue = queue(
        options, Executor(),
        [watch = std::move(watch), &scheduler = services_->scheduler](Stream stream, std::string_view lines) {
            watch->look(stream, lines, scheduler.now());
            return std::size_t{0};
        },
        ConsumerCode::of_library);
}

}  // namespace warden::detail
