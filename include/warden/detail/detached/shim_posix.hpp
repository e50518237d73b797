// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The shim of one detached process: it starts the process by an engine of its own, keeps its record true, and serves
/// requests until the tree is empty and the record says how the process ended.
///
/// Knows:         the order in which a record, a process and an answer come to be, and go.
/// Does not know: how a record is stored, or a process held.
/// Thread-safety: one shim per process; everything happens on the thread that runs, but for what is posted to it.
/// Errors:        of the start: to the program that asked. Later ones are in the event log.

#include <warden/detached/record.hpp>
#include <warden/detail/detached/process_identity.hpp>
#include <warden/detail/detached/registry.hpp>
#include <warden/detail/detached/shim_answer.hpp>
#include <warden/detail/detached/shim_child_linux.hpp>
#include <warden/detail/detached/shim_child_portable.hpp>
#include <warden/detail/detached/shim_hook_posix.hpp>
#include <warden/detail/detached/shim_server_posix.hpp>
#include <warden/detail/engine/engine.hpp>

#if WARDEN_OS_POSIX
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

namespace warden::detail {

class Shim {
public:
    explicit Shim(ShimRequest request) : request_(std::move(request)) {}
    Shim(const Shim&) = delete;

    /// Makes the record and the process. @throws SpawnError: then neither is there.
    void start();
    [[nodiscard]] Pid pid() const { return process_->pid; }

    /// Nobody has learnt that the process was started: it is ended, and its record removed.
    void undo();
    /// Serves until it is over.
    void run();

    /// Ends the process by its plan: the system, or somebody, asks the shim to end. Async-signal-safe.
    static void on_signal(int) noexcept;

private:
    using Connection = ShimServer::Connection;

    void open_registry();
    void draft_record();
    void keep_request();
    void start_process();
    void write_first_record();
    void write_record();
    void remove_files() noexcept;
    void watch();
    void note_stopping();
    void note_end();
    void run_hook();
    void end_hook(std::string problem);
    [[nodiscard]] bool is_over();

    void take(Connection connection, std::string_view request);
    void obey(Connection connection, const json::value& request);
    void stop(Connection connection, const json::value& request);
    void write(Connection connection, std::string text);
    [[nodiscard]] std::string status();
    void answer(Connection connection, const error_code& ec, const char* operation);
    void answer_wait(Connection connection);

    static constexpr std::size_t max_unwritten = std::size_t{4} << 20;  // for standard input, together
    static constexpr auto retry_interval = std::chrono::seconds(1);
    static constexpr auto retry_patience = std::chrono::minutes(10);
    static constexpr auto last_answers = std::chrono::seconds(3);

    /// Set by a signal, and the server to wake for it.
    static inline std::atomic<bool> asked_to_end_{false};
    static inline std::atomic<const ShimServer*> running_{nullptr};

    ShimRequest request_;
    Registry registry_;
    DetachedRecord record_;
    error_code record_error_;  // of the last attempt to write it
    const std::shared_ptr<ShimServer> server_ = std::make_shared<ShimServer>();
    std::shared_ptr<Engine> engine_;
    std::shared_ptr<ProcessRecord> process_;
    ShimHook hook_;
    std::vector<Connection> waiting_;
    std::size_t stops_ = 0;      // that are under way
    std::size_t unwritten_ = 0;  // bytes for standard input
    bool is_tree_empty_ = false;
    SteadyTime empty_since_{};
};

// -- implementation ----------------------------------------------------------

inline void Shim::on_signal(int) noexcept {
    asked_to_end_ = true;
    if (const ShimServer* server = running_) server->wake();
}

inline void Shim::start() {
    open_registry();
    draft_record();
    try {
        keep_request();
        write_first_record();
        start_process();
    } catch (...) {
        if (engine_) engine_->shut_down();
        remove_files();
        throw;
    }
    watch();
}

inline void Shim::open_registry() {
    error_code ec;
    std::string why;
    registry_ = Registry::open(data_directory_of(request_.config), true, ec, why);
    if (ec) fail_start(request_.command, ec, SpawnStep::setup, data_directory_of(request_.config), why);
    const SocketDirectory directory{registry_.files().descriptor(), registry_.files().path()};
    const std::string name = RecordFiles::socket_name_of(request_.uuid);
    UniqueFd listener = listen_at(directory, name, ec);
    if (!ec) {
        ec = server_->open(std::move(listener),
                           [this](Connection connection, std::string_view request) { take(connection, request); });
    }
    if (!ec) return;
    remove_files();
    fail_start(request_.command, ec, SpawnStep::setup, registry_.files().path() / name, "the shim cannot listen there");
}

inline void Shim::draft_record() {
    SpawnOptions& options = request_.options;
    if (options.name.empty() && !request_.command.validate())
        options.name = std::filesystem::path(request_.command.program()).filename().string();
    record_.uuid = request_.uuid;
    record_.type = options.type;
    record_.name = options.name;
    record_.command = request_.command;
    record_.metadata = options.metadata;
    std::error_code unknown;
    record_.working_directory =
        options.working_directory.empty() ? std::filesystem::current_path(unknown) : options.working_directory;
    record_.shim = own_identity();
    record_.started_at = std::chrono::system_clock::now();
    record_.timeout = options.timeout.value_or(request_.config.default_timeout);
    record_.stop_plan = options.stop_plan.value_or(request_.config.stop_plan);
    record_.limits = options.limits;
    record_.log_limits = options.log.limits;
    record_.on_limit = options.log.on_limit;
    record_.log_format = options.log.format;
    record_.restarted_from = request_.restarted_from;
}

inline void Shim::start_process() {
    engine_ = std::make_shared<Engine>(request_.config);
    engine_->set_up();
    SpawnOptions options = request_.options;
    options.end_hook.reset();  // is run here
    process_ = engine_->spawn(request_.command, std::move(options), Output::log, nullptr, request_.uuid);
    record_.state = DetachedState::running;
    record_.process = identity_of_child(process_->pid);
    record_.started_at = process_->started_at;
    record_.log_path = process_->log_path;
    record_.error_log_path = process_->error_log_path;
    record_.mechanism = process_->containment.mechanism;
    if (const Pid guardian = engine_->guardian_pid(); guardian > 0) record_.guardian = identity_of_child(guardian);
    write_first_record();
}

/// What `restart` needs, beside the record: only this holds values of the environment that were set.
inline void Shim::keep_request() {
    ShimRequest kept = request_;
    kept.options.working_directory = record_.working_directory;
    error_code ec;
    const std::string name = RecordFiles::request_name_of(request_.uuid);
    registry_.files().write(name, write_request(kept), ec);
    if (!ec) return;
    fail_start(request_.command, ec, SpawnStep::setup, registry_.files().path() / name,
               "what a restart needs cannot be written");
}

/// Of a start, which fails if the record cannot be written.
inline void Shim::write_first_record() {
    write_record();
    if (!record_error_) return;
    fail_start(request_.command, record_error_, SpawnStep::setup, registry_.files().path_of(request_.uuid),
               "the record of the process cannot be written");
}

inline void Shim::write_record() { registry_.write(record_, record_error_); }

inline void Shim::remove_files() noexcept {
    error_code ignored;
    registry_.remove(request_.uuid, ignored);
}

inline void Shim::undo() {
    static_cast<void>(engine_->stop(
        {process_}, [](const ProcessRecord&) { return StopPlan::now(); }, StopReason::asked));
    engine_->shut_down();
    remove_files();
}

/// What the loop of the engine learns is posted to the thread of the shim.
inline void Shim::watch() {
    const auto post = [this](void (Shim::*member)()) {
        return [server = server_, this, member] { server->post([this, member] { (this->*member)(); }); };
    };
    const auto stops = [](const ProcessFacts& facts) { return facts.state == State::stopping || has_ended(facts); };
    static_cast<void>(process_->state.when(stops, post(&Shim::note_stopping)));
    static_cast<void>(process_->state.when(has_ended, post(&Shim::note_end)));
    static_cast<void>(process_->state.when(is_tree_empty, post(&Shim::note_end)));
}

inline void Shim::note_stopping() {
    if (record_.state != DetachedState::running || has_ended(process_->state.facts())) return;
    record_.state = DetachedState::stopping;
    write_record();
}

/// Its leader has ended, or its tree is empty; the latter may say more of why.
inline void Shim::note_end() {
    const ProcessFacts facts = process_->state.facts();
    if (is_tree_empty(facts) && !is_tree_empty_) {
        is_tree_empty_ = true;
        empty_since_ = SteadyTime::clock::now();
    }
    if (!has_ended(facts)) return;
    const bool is_first = !record_.exit;
    DetachedExit exit = record_.exit.value_or(DetachedExit{});
    if (is_first) exit.at = std::chrono::system_clock::now();
    exit.status = *facts.status;
    exit.cause = facts.cause;
    exit.usage = facts.usage;
    if (facts.last_stop) exit.reason = facts.last_stop->reason;
    if (record_.exit == exit) return;
    record_.state = DetachedState::exited;
    record_.exit = std::move(exit);
    write_record();
    for (const Connection connection : std::exchange(waiting_, {})) answer_wait(connection);
    if (is_first && request_.options.end_hook) run_hook();
}

inline void Shim::run_hook() {
    hook_.start(*engine_, *request_.options.end_hook, request_.options, record_, registry_.files(),
                [this] { server_->post([this] { end_hook(hook_.finish()); }); });
    if (!hook_.is_running()) end_hook(hook_.finish());
}

/// That the hook failed is in the record, and an event.
inline void Shim::end_hook(std::string problem) {
    if (problem.empty()) return;
    Event event = process_->event(EventKind::alert);
    event.severity = Severity::error;
    event.message = "the end hook failed: " + problem;
    engine_->services->emit(std::move(event));
    record_.exit->hook_problem = std::move(problem);
    write_record();
}

/// With the status: the record may be on a disk that is full.
inline void Shim::answer_wait(Connection connection) {
    server_->answer(connection, json::serialize(json::object{{"ok", true}, {"status", json_of(record_.exit->status)}}));
}

inline void Shim::run() {
    running_ = server_.get();
    bool is_ending = false;
    server_->run([&] {
        if (asked_to_end_ && !is_ending) {
            is_ending = true;
            process_->stop(record_.stop_plan, StopReason::host_shutdown, {});
            hook_.stop();
        }
        return is_over();
    });
    running_ = nullptr;
    engine_->shut_down();
    ::unlinkat(registry_.files().descriptor(), RecordFiles::socket_name_of(request_.uuid).c_str(), 0);
}

/// A record that could not be written, as on a full disk, is tried again. Who waits for an answer gets it.
inline bool Shim::is_over() {
    if (!is_tree_empty_ || hook_.is_running()) return false;
    const SteadyTime now = SteadyTime::clock::now();
    if (record_error_ && now < deadline_after(empty_since_, retry_patience)) {
        write_record();
        if (record_error_) {
            server_->look_again_at(deadline_after(now, retry_interval));
            return false;
        }
    }
    if (stops_ == 0 && !server_->has_answers()) return true;
    const SteadyTime end = deadline_after(empty_since_, last_answers);
    server_->look_again_at(end);
    return now >= end;
}

inline void Shim::answer(Connection connection, const error_code& ec, const char* operation) {
    server_->answer(connection, ec ? refusal(ec, operation) : "{\"ok\":true}");
}

inline void Shim::take(Connection connection, std::string_view request) {
    try {
        obey(connection, parse_bytes(request));
    } catch (const std::exception& error) {
        server_->answer(connection, refusal(errc::invalid_options, error.what()));
    }
}

inline void Shim::obey(Connection connection, const json::value& request) {
    const std::string operation = text_of(request.at("op"));
    if (operation == "status") return server_->answer(connection, status());
    if (operation == "stop") return stop(connection, request);
    if (operation == "write") return write(connection, text_of(request.at("text")));
    if (operation == "wait") {
        if (record_.exit) answer_wait(connection);
        else waiting_.push_back(connection);
    } else if (operation == "signal") {
        const int number = request.at("signal").to_number<int>();
        const bool is_one = number >= 1 && number <= 64;
        answer(connection, is_one ? process_->signal_leader(number) : errc::invalid_signal, "signal");
    } else if (operation == "close_stdin") {
        answer(connection, process_->close_input(), "close_stdin");
    } else {
        server_->answer(connection, refusal(make_error_code(boost::system::errc::operation_not_supported),
                                            "the shim does not know '" + operation + "'"));
    }
}

inline void Shim::stop(Connection connection, const json::value& request) {
    const json::value* wanted = request.as_object().if_contains("plan");
    StopPlan plan = wanted ? plan_of(*wanted) : process_->stop_plan;
    const auto mistakes = plan.validate();
    if (!mistakes.empty()) {
        return server_->answer(connection, refusal(errc::invalid_options, invalid("stop plan", mistakes)));
    }
    ++stops_;
    process_->stop(std::move(plan), StopReason::asked, [this, server = server_, connection](const StopReport& report) {
        server->post([this, connection, report] {
            --stops_;
            note_end();  // who asked finds the end in the record
            server_->answer(connection, json::serialize(json::object{{"ok", true}, {"report", json_of(report)}}));
        });
    });
}

inline void Shim::write(Connection connection, std::string text) {
    const std::size_t size = text.size();
    if (unwritten_ + size > max_unwritten)
        return answer(connection, make_error_code(boost::system::errc::no_buffer_space), "write");
    unwritten_ += size;
    process_->write(std::move(text), [this, server = server_, connection, size](const error_code& ec) {
        server->post([this, connection, size, ec] {
            unwritten_ -= size;
            answer(connection, ec, "write");
        });
    });
}

inline std::string Shim::status() {
    const ProcessInfo info = process_->info();
    error_code unlisted;
    const ResourceUsage usage = process_->usage(unlisted);
    json::object status{{"ok", true},
                        {"state", to_string(record_.state)},
                        {"pid", info.pid},
                        {"tree_alive", info.tree_alive},
                        {"output_bytes", info.output_bytes},
                        {"dropped_bytes", info.dropped_bytes},
                        {"user_time", json_of(usage.user_time)},
                        {"system_time", json_of(usage.system_time)},
                        {"resident_bytes", usage.max_resident_bytes}};
    if (unlisted) status["usage_problem"] = unlisted.message();  // of members that could not be listed
    return json::serialize(status);
}

}  // namespace warden::detail
#endif
