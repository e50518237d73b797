// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The code of detached processes on POSIX systems: what it asks of the registry and of shims.
///
/// Thread-safety: see detached/detached.hpp.

#include <warden/detached/adopted_process.hpp>
#include <warden/detached/detached_process.hpp>
#include <warden/detached/detached_processes.hpp>
#include <warden/detached/shim.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/detached/leftovers_posix.hpp>
#include <warden/detail/detached/one_of_name_posix.hpp>
#include <warden/detail/detached/restart_posix.hpp>
#include <warden/detail/detached/shim_client_posix.hpp>
#include <warden/detail/detached/shim_launch_posix.hpp>
#include <warden/detail/detached/shim_main_posix.hpp>
#include <warden/detail/detached/shim_wait_async_posix.hpp>
#include <warden/detail/detached/shim_wait_posix.hpp>
#include <warden/detail/engine/engine.hpp>
#include <warden/logs/log_reader.hpp>
#include <warden/process_manager.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <poll.h>
#include <unistd.h>

namespace warden {
namespace detail {

/// @throws SpawnError that names the options which no other program can follow.
WARDEN_INLINE void refuse_options_that_stay(const CommandLine& command, const SpawnOptions& options) {
    const auto mistakes = options_that_stay(options);
    if (mistakes.empty()) return;
    fail_start(command, errc::invalid_options, SpawnStep::validation, {},
               invalid("options for a detached process", mistakes));
}

/// The request as the shim needs it: what the settings of this manager add, and no path that depends on where a program
/// is.
WARDEN_INLINE ShimRequest make_request(const Uuid& uuid, const CommandLine& command, SpawnOptions options,
                                       const ManagerConfig& config) {
    const auto absolute = [](const std::filesystem::path& path) {
        return path.empty() ? path : std::filesystem::absolute(path);
    };
    ShimRequest request;
    request.uuid = uuid;
    request.command = command;
    options.detached = false;
    options.if_running = IfRunning::start_another;
    if (options.name.empty()) options.name = std::filesystem::path(command.program()).filename().string();
    options.preflight.clear();  // were made here
    options.timeout = options.timeout.value_or(config.default_timeout);
    options.stop_plan = options.stop_plan.value_or(config.stop_plan);
    refuse_options_that_stay(command, options);
    for (AlertRule rule : config.alerts.rules) {
        rule.callback = {};  // a function of this program; the events are the shim's
        options.alerts.push_back(std::move(rule));
    }
    if (!options.working_directory.empty()) options.working_directory = absolute(options.working_directory);
    if (options.log.directory) options.log.directory = absolute(*options.log.directory);
    request.options = std::move(options);
    request.config = config;
    request.config.data_directory = absolute(data_directory_of(config));
    request.config.log_directory = absolute(log_directory_of(config));
    if (config.shim_program.has_parent_path()) request.config.shim_program = absolute(config.shim_program);
    return request;
}

/// Takes the lock of the name, unless the start does not depend on who runs. The one that is to be reused instead of a
/// start, or nothing. The lock uses `registry`. @throws SpawnError
WARDEN_INLINE std::optional<Uuid> admit_by_name(const ShimRequest& request, IfRunning wish, Registry& registry,
                                                NameLock& lock) {
    if (wish == IfRunning::start_another) return std::nullopt;
    error_code ec;
    std::string why;
    const auto fail = [&] { fail_start(request.command, ec, SpawnStep::setup, registry.files().path(), why); };
    registry = Registry::open(request.config.data_directory, true, ec, why);
    if (ec) fail();
    const SteadyTime deadline = deadline_after(SteadyTime::clock::now(), name_lock_patience);
    lock = NameLock::acquire(registry.files(), request.options.name, deadline, ec);
    why = "another program is starting one of the name '" + request.options.name + "'";
    if (ec) fail();
    const auto running = find_running(registry, request.options.name, ec, why);
    if (ec) fail();
    if (!running) return std::nullopt;
    if (wish == IfRunning::reuse) return running->record.uuid;
    ec = errc::already_running;
    why = uuid_text(running->record.uuid) + ", pid " + std::to_string(running->record.process.pid);
    fail();
    return std::nullopt;
}

WARDEN_INLINE void start_detached(ProcessRecord& record, const ManagerConfig& config) {
    const ShimRequest request = make_request(record.uuid, record.command, record.options, config);
    NameLock lock;
    if (record.options.if_running == IfRunning::reuse) {
        fail_start(record.command, errc::invalid_options, SpawnStep::validation, {},
                   "if_running = reuse is for manager.detached().spawn, whose handle can be that of the one that runs");
    }
    Registry registry;
    static_cast<void>(admit_by_name(request, record.options.if_running, registry, lock));
    record.started_at = std::chrono::system_clock::now();
    record.pid = start_by_shim(request);
}

/// Opens the door for `SpawnOptions::detached`.
inline const bool detached_door_is_open = [] {
    detached_door() = start_detached;
    return true;
}();

/// @throws system_error
WARDEN_INLINE Registry open_registry(const std::filesystem::path& data_directory, bool create, error_code& ec) {
    std::string why;
    Registry registry = Registry::open(data_directory, create, ec, why);
    if (ec && ec != boost::system::errc::no_such_file_or_directory && !why.empty()) throw system_error(ec, why);
    return registry;
}

}  // namespace detail

WARDEN_INLINE std::optional<int> run_shim_if_asked(int argc, const char* const* argv) {
    if (argc >= 2 && std::strcmp(argv[1], detail::shim_argument) == 0) return detail::run_shim();
    detail::can_be_shim() = true;
    detail::note_own_program(argc > 0 ? argv[0] : nullptr);
    return std::nullopt;
}

// -- one process ------------------------------------------------------------------------------------------------------

WARDEN_INLINE DetachedInfo DetachedProcess::info(error_code& ec) const {
    ec = *this ? error_code() : error_code(errc::no_process);
    if (ec) return {};
    const detail::Registry registry = detail::open_registry(data_directory_, false, ec);
    if (ec == boost::system::errc::no_such_file_or_directory) ec = errc::not_found;
    return ec ? DetachedInfo{} : registry.read(uuid_, ec);
}
WARDEN_INLINE DetachedInfo DetachedProcess::info() const {
    return detail::or_throw("info", [&](error_code& ec) { return info(ec); });
}

WARDEN_INLINE std::optional<ExitStatus> DetachedProcess::wait_until_steady(SteadyTime deadline) const {
    detail::ShimWait wait(data_directory_, uuid_);
    for (;;) {
        const DetachedInfo now = info();
        if (now.record.exit) return now.record.exit->status;
        if (!now.is_active()) return ExitStatus();
        const int fd = wait.begin(now);
        for (bool again = fd >= 0; again;) {
            const error_code ec = detail::await_ready(fd, POLLIN, deadline);
            if (ec == errc::timed_out) return std::nullopt;
            detail::throw_if(ec, "wait");
            const detail::ShimWait::Step step = wait.take();
            if (step.status) return step.status;
            again = step.is_incomplete;
        }
        if (SteadyTime::clock::now() >= deadline) return std::nullopt;
    }
}

WARDEN_INLINE DetachedProcess::Wait DetachedProcess::prepare_wait(
    const boost::asio::any_io_executor& executor,
    std::function<void(const error_code&, const ExitStatus&)> done) const {
    const auto wait = std::make_shared<detail::AsyncShimWait>(executor, *this, data_directory_, std::move(done));
    return {[wait] { wait->start(); },
            [weak = std::weak_ptr(wait)] {
                if (const auto held = weak.lock()) held->cancel();
            }};
}

WARDEN_INLINE AdoptedProcess::AdoptedProcess(DetachedProcess process)
    : process_(std::move(process)), owner_(::getpid()) {
    static_cast<void>(process_.info());
}

WARDEN_INLINE void AdoptedProcess::end() noexcept try {
    if (!process_ || owner_ != ::getpid()) return;
    static_cast<void>(process_.stop());
} catch (const std::exception&) {
    // Its record is gone or unreadable, or its shim does not answer: nobody could end it now.
}

WARDEN_INLINE ExitStatus DetachedProcess::wait() const { return wait_until_steady(SteadyTime::max()).value(); }

WARDEN_INLINE StopReport DetachedProcess::stop_by(const StopPlan* plan) const {
    const DetachedInfo now = info();
    if (plan) {
        auto mistakes = plan->validate();
        for (const StopStep& step : plan->steps()) {
            if (step.action == StopAction::call) mistakes.emplace_back("'call' is a function of this program");
        }
        if (!mistakes.empty()) throw system_error(errc::invalid_options, detail::invalid("stop plan", mistakes));
    }
    detail::json::object request{{"op", "stop"}};
    if (plan) request["plan"] = detail::json_of(*plan);
    const Nanoseconds longest = (plan ? *plan : now.record.stop_plan).deadline();
    error_code ec;
    const auto answer = detail::ask_shim(data_directory_, uuid_, request, detail::patience_after(longest), ec);
    if (!ec) return detail::report_of(answer.at("report"));
    const DetachedInfo then = info();
    if (then.is_active() && !detail::is_no_shim(ec)) throw system_error(ec, "stop");
    return detail::stop_without_shim(then);
}

WARDEN_INLINE StopReport DetachedProcess::stop() const { return stop_by(nullptr); }
WARDEN_INLINE StopReport DetachedProcess::stop(const StopPlan& plan) const { return stop_by(&plan); }

WARDEN_INLINE DetachedProcess DetachedProcess::restart_by(const StopPlan* plan, Nanoseconds pause) const {
    const DetachedInfo now = info();
    if (now.state == DetachedState::corrupt || now.state == DetachedState::foreign)
        throw system_error(errc::not_found, "its record is " + std::string(to_string(now.state)) + ": " + now.problem);
    error_code ec;
    const detail::Registry registry = detail::open_registry(data_directory_, false, ec);
    if (ec) throw system_error(ec, "restart");
    detail::ShimRequest request = detail::kept_request(registry, uuid_);
    const detail::NameLock lock = detail::lock_name(registry, now.record.name);
    detail::refuse_second_restart(registry, uuid_);
    const StopReport report = stop_by(plan);
    if (!report.clean()) throw system_error(errc::already_running, report.survivors.front().reason);
    const Nanoseconds hook = request.options.end_hook ? request.options.end_hook->timeout : Nanoseconds::zero();
    std::string why;
    ec = detail::await_tree_end(registry.files(), info(), detail::patience_after(hook), why);
    if (ec) throw system_error(ec, why);
    std::this_thread::sleep_for(pause);
    request.uuid = detail::new_uuid();
    request.restarted_from = uuid_;
    request.config.data_directory = data_directory_;
    static_cast<void>(detail::start_by_shim(request));
    return {data_directory_, request.uuid};
}

WARDEN_INLINE void DetachedProcess::signal(int number, error_code& ec) const {
    detail::ask_running(*this, data_directory_, {{"op", "signal"}, {"signal", number}}, ec);
}
WARDEN_INLINE void DetachedProcess::write(std::string_view text, error_code& ec) const {
    detail::ask_running(*this, data_directory_, {{"op", "write"}, {"text", text}}, ec);
}
WARDEN_INLINE void DetachedProcess::close_stdin(error_code& ec) const {
    detail::ask_running(*this, data_directory_, {{"op", "close_stdin"}}, ec);
}

WARDEN_INLINE void DetachedProcess::signal(int number) const {
    detail::or_throw("signal", [&](error_code& ec) { signal(number, ec); });
}
WARDEN_INLINE void DetachedProcess::write(std::string_view text) const {
    detail::or_throw("write", [&](error_code& ec) { write(text, ec); });
}
WARDEN_INLINE void DetachedProcess::close_stdin() const {
    detail::or_throw("close_stdin", [&](error_code& ec) { close_stdin(ec); });
}

WARDEN_INLINE std::vector<std::string> DetachedProcess::tail(std::size_t lines) const {
    const std::filesystem::path path = log_path();
    error_code ec;
    auto found = path.empty() ? std::vector<std::string>() : tail_file(path, lines, ec);
    if (ec && ec != boost::system::errc::no_such_file_or_directory) throw system_error(ec, "tail");
    return found;
}

WARDEN_INLINE LogFollower DetachedProcess::follow(LogFollower::From from) const {
    const std::filesystem::path path = log_path();
    if (path.empty()) throw system_error(errc::not_found, "the process has no log");
    return LogFollower::open(path, from);
}

WARDEN_INLINE void DetachedProcess::remove(error_code& ec) const {
    const DetachedInfo now = info(ec);
    if (ec) return;
    if (now.is_active() || now.process_alive) {
        ec = make_error_code(boost::system::errc::operation_in_progress);
        return;
    }
    const detail::Registry registry = detail::open_registry(data_directory_, false, ec);
    if (!ec) static_cast<void>(registry.remove(uuid_, ec));
}
WARDEN_INLINE void DetachedProcess::remove() const {
    detail::or_throw("remove", [&](error_code& ec) { remove(ec); });
}

// -- all of them ------------------------------------------------------------------------------------------------------

WARDEN_INLINE DetachedProcess DetachedProcesses::spawn(CommandLine command, SpawnOptions options) const {
    options.detached = true;
    detail::refuse_mistakes(command, options, Output::log, nullptr);
    const IfRunning wish = options.if_running;
    detail::check_preflight(command, options);
    const auto request = detail::make_request(detail::new_uuid(), command, std::move(options), config_);
    detail::Registry registry;
    detail::NameLock lock;
    if (const auto running = detail::admit_by_name(request, wish, registry, lock)) return find(*running);
    static_cast<void>(detail::start_by_shim(request));
    return find(request.uuid);
}

WARDEN_INLINE DetachedProcess DetachedProcesses::spawn(CommandLine command, SpawnOptions options,
                                                       error_code& ec) const {
    ec.clear();
    try {
        return spawn(std::move(command), std::move(options));
    } catch (const SpawnError& error) {
        ec = error.code();
        return {};
    }
}

WARDEN_INLINE std::vector<DetachedInfo> DetachedProcesses::list() const {
    error_code ec;
    const detail::Registry registry = detail::open_registry(detail::data_directory_of(config_), false, ec);
    if (ec == boost::system::errc::no_such_file_or_directory) return {};
    detail::throw_if(ec, "list");
    auto listing = registry.scan(ec);
    detail::throw_if(ec, "list");
    return std::move(listing.entries);
}

WARDEN_INLINE DetachedProcess DetachedProcesses::find(const Uuid& uuid) const {
    return {std::filesystem::absolute(detail::data_directory_of(config_)), uuid};
}

WARDEN_INLINE DetachedProcess DetachedProcesses::find(std::string_view word) const {
    error_code ec;
    const detail::Registry registry = detail::open_registry(detail::data_directory_of(config_), false, ec);
    if (ec == boost::system::errc::no_such_file_or_directory) ec = errc::not_found;
    const auto found = ec ? detail::DetachedMatches{} : registry.find(word, ec);
    const std::string quoted = "'" + std::string(word) + "'";
    if (ec) throw system_error(ec, quoted);
    if (found.entries.empty()) throw system_error(errc::not_found, quoted);
    if (!found.is_ambiguous) return find(found.entries.front().record.uuid);
    std::string candidates;
    for (const DetachedInfo& one : found.entries) candidates += "\n  " + detail::uuid_text(one.record.uuid);
    throw system_error(errc::ambiguous, quoted + " may be" + candidates);
}

WARDEN_INLINE std::size_t DetachedProcesses::prune(std::size_t keep, Nanoseconds max_age) const {
    const auto now = std::chrono::system_clock::now();
    std::size_t kept = 0;
    std::size_t removed = 0;
    for (const DetachedInfo& one : list()) {  // the newest first
        const bool is_over =
            one.state == DetachedState::exited || one.state == DetachedState::lost || one.state == DetachedState::gone;
        if (!is_over || one.process_alive) continue;
        const auto ended = one.record.exit ? one.record.exit->at : one.record.started_at;
        if (++kept <= keep && now - ended <= max_age) continue;
        error_code ec;
        find(one.record.uuid).remove(ec);
        if (!ec) ++removed;
    }
    return removed;
}

WARDEN_INLINE std::size_t DetachedProcesses::remove_leftovers() const {
    error_code ec;
    const detail::Registry registry = detail::open_registry(detail::data_directory_of(config_), false, ec);
    if (ec == boost::system::errc::no_such_file_or_directory) return 0;
    detail::throw_if(ec, "remove_leftovers");
    const std::size_t removed = detail::remove_leftovers(registry.files(), ec);
    detail::throw_if(ec, "remove_leftovers");
    return removed;
}

WARDEN_INLINE DetachedProcesses ProcessManager::detached() const { return DetachedProcesses(config()); }

}  // namespace warden
#endif
