// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of a probe run that looks: attempts, lines, notices; see probe_run.hpp, which includes this.
///
/// Thread-safety: on the loop only.

#include <warden/detail/engine/async_initiate.hpp>
#include <warden/detail/supervision/connect_check.hpp>
#include <warden/detail/supervision/function_check.hpp>
#include <warden/detail/supervision/listener_proof.hpp>
#include <warden/detail/supervision/probe_run.hpp>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

// -- implementation ----------------------------------------------------------

[[nodiscard]] inline std::shared_ptr<const ProbeCheck> make_check(const Probe& probe) {
    const auto as_address = [](const std::filesystem::path& path) { return path.string(); };
    switch (probe.kind()) {
        case ProbeKind::tcp: return std::make_shared<ConnectCheck>(probe.port(), probe.text());
        case ProbeKind::unix_socket: return std::make_shared<ConnectCheck>(std::uint16_t{0}, as_address(probe.path()));
        case ProbeKind::file:
            return std::make_shared<FunctionCheck>([path = probe.path()] { return why_no_file(path); });
        case ProbeKind::command: return std::make_shared<CommandCheck>(probe.command_line());
        case ProbeKind::custom: return std::make_shared<FunctionCheck>(probe.function());
        case ProbeKind::check: return probe.other();
        case ProbeKind::delay:
        case ProbeKind::log_line:
        case ProbeKind::fails_on_line:
        case ProbeKind::notify:
        case ProbeKind::all_of:
        case ProbeKind::any_of: break;
    }
    return nullptr;
}

inline std::unique_ptr<ProbeRun::Node> ProbeRun::make_node(const Probe& probe, SteadyTime start, SteadyTime deadline) {
    auto node = std::make_unique<Node>(probe, use_, start, deadline, services_->scheduler);
    node->check = make_check(probe);
    if (!node->check) node->cadence.expect_facts();
    if (probe.kind() == ProbeKind::log_line || probe.kind() == ProbeKind::fails_on_line)
        node->lines.emplace(probe.text());
    const SteadyTime latest = node->cadence.deadline();
    for (const Probe& part : probe.parts()) node->parts.push_back(make_node(part, start, latest));
    return node;
}

inline void ProbeRun::begin() {
    if (settled_) return;
    began_ = services_->scheduler.now();
    root_ = make_node(probe_, began_, SteadyTime::max());
    watch_end();
    watch_lines();
    if (notify_)
        notify_->open(this, record_, [weak = weak_from_this()](const Notice& notice) {
            if (const auto self = weak.lock()) self->take_notice(notice);
        });
    arm_all(*root_);
    evaluate();
}

/// A process that has ended, or is to end, will not be ready.
inline void ProbeRun::watch_end() {
    const auto is_over = [](const ProcessFacts& facts) {
        return facts.state == State::stopping || has_ended(facts) || is_final(facts.state);
    };
    end_watch_ = record_->state.when(is_over, [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (self) self->services_->scheduler.post([self] { self->ended(); });
    });
}

inline void ProbeRun::watch_lines() {
    constexpr std::size_t all = std::numeric_limits<std::size_t>::max();
    const auto wants = [](const auto& recurse, const Node& node) -> bool {
        return node.lines || std::any_of(node.parts.begin(), node.parts.end(),
                                         [&](const auto& part) { return recurse(recurse, *part); });
    };
    if (!wants(wants, *root_)) return;
    OutputRouter& router = *record_->output.router;
    std::string written;  // before this began; no line of it is both in here and in what comes
    for (const std::string& line : router.tail(all)) written += line + '\n';
    look_at(0, written);
    observation_ = router.observe([weak = weak_from_this()](Stream stream, std::string_view text) {
        if (const auto self = weak.lock()) self->look_at(static_cast<std::size_t>(stream), text);
    });
}

inline void ProbeRun::look_at(std::size_t stream, std::string_view text) {
    if (!settled_ && look_at(*root_, stream, text)) evaluate();
}

/// Whether it found something.
inline bool ProbeRun::look_at(Node& node, std::size_t stream, std::string_view text) {
    bool found = false;
    for (const auto& part : node.parts) found = look_at(*part, stream, text) || found;
    const auto line = node.lines ? node.lines->feed(stream, text) : std::nullopt;
    if (!line) return found;
    const bool is_good = node.probe.kind() == ProbeKind::log_line;
    node.cadence.settle(is_good ? ProbeVerdict::good : ProbeVerdict::bad,
                        is_good ? std::string() : "it wrote '" + *line + '\'');
    node.timer.cancel();
    return true;
}

inline void ProbeRun::take_notice(const Notice& notice) {
    if (settled_) return;
    if (notice.status) {
        const std::lock_guard lock(mutex_);
        status_ = *notice.status;
    }
    if (notice.stopping && use_ == ProbeUse::start_up) return settle(errc::probe_failed, "it says that it is stopping");
    take_notice(*root_, notice);
    evaluate();
}

inline void ProbeRun::take_notice(Node& node, const Notice& notice) {
    for (const auto& part : node.parts) take_notice(*part, notice);
    if (node.probe.kind() != ProbeKind::notify) return;
    const bool is_live = use_ == ProbeUse::liveness;
    if (notice.trigger) return node.cadence.settle(ProbeVerdict::bad, "it says WATCHDOG=trigger");
    if (is_live ? notice.watchdog : notice.ready) node.cadence.settle(ProbeVerdict::good);
    else return;
    arm(node);
}

inline void ProbeRun::arm_all(Node& node) {
    arm(node);
    for (const auto& part : node.parts) arm_all(*part);
}

/// Sets the timer for what comes next.
inline void ProbeRun::arm(Node& node) {
    if (node.probe.kind() == ProbeKind::fails_on_line) return;  // what must not come has no deadline
    SteadyTime at = node.cadence.next().at;
    const SteadyTime now = services_->scheduler.now();
    if (node.probe.kind() == ProbeKind::delay && node.cadence.verdict() == ProbeVerdict::pending)
        at = deadline_after(deadline_after(began_, node.probe.timing().initial_delay), node.probe.length());
    if (node.probe.kind() == ProbeKind::notify && use_ == ProbeUse::liveness)
        at = deadline_after(now, node.probe.timing().interval);
    if (at == SteadyTime::max()) return node.timer.cancel();
    node.timer.arm(at, [weak = weak_from_this(), &node] {
        if (const auto self = weak.lock()) self->due(node);
    });
}

inline void ProbeRun::due(Node& node) {
    if (settled_) return;
    const SteadyTime now = services_->scheduler.now();
    if (node.probe.kind() == ProbeKind::delay) {
        node.cadence.settle(ProbeVerdict::good);
    } else if (node.probe.kind() == ProbeKind::notify && use_ == ProbeUse::liveness) {
        node.cadence.settle(ProbeVerdict::bad, "no WATCHDOG=1 within " + length_in_words(node.probe.timing().interval));
    } else if (node.cadence.next().action == ProbeNext::attempt) {
        return begin_attempt(node);
    } else {
        ++node.serial;
        node.attempt.reset();
        if (!node.parts.empty()) node.cadence.note(words_for(node, false));
        node.cadence.expired(now);
        arm(node);
    }
    evaluate();
}

inline void ProbeRun::begin_attempt(Node& node) {
    node.cadence.began(services_->scheduler.now());
    const std::uint64_t serial = ++node.serial;
    arm(node);
    auto attempt = node.check->begin(*this, node.probe.timing().timeout,
                                     [weak = weak_from_this(), &node, serial](AttemptResult result) {
                                         const auto self = weak.lock();
                                         if (self) self->attempt_ended(node, serial, std::move(result));
                                     });
    if (node.serial == serial) node.attempt = std::move(attempt);
}

inline void ProbeRun::attempt_ended(Node& node, std::uint64_t serial, AttemptResult result) {
    if (settled_ || node.serial != serial) return;
    ++node.serial;
    // What called this may be in the attempt.
    services_->scheduler.post([attempt = std::shared_ptr<ProbeAttempt>(std::move(node.attempt))] {});
    const SteadyTime now = services_->scheduler.now();
    node.unproven = std::move(result.unproven);
    if (result.is_good) node.cadence.succeeded(now);
    else node.cadence.failed(now, std::move(result.reason));
    arm(node);
    evaluate();
}

inline void ProbeRun::prove(ListenerQuery query, AttemptDone done) {
    error_code unlisted;
    auto members = record_->control.members(unlisted);
    services_->dispatcher.post_internal([self = shared_from_this(), query = std::move(query), done = std::move(done),
                                         members = std::move(members), unlisted]() mutable {
        AttemptResult result = prove_listener(query, self->record_->pid, members, unlisted);
        Scheduler& scheduler = self->services_->scheduler;
        scheduler.post([self = std::move(self), done = std::move(done), result = std::move(result)]() mutable {
            done(std::move(result));
        });
    });
}

inline void ProbeRun::call(std::function<AttemptResult()> function, AttemptDone done) {
    services_->dispatcher.post(
        [self = shared_from_this(), function = std::move(function), done = std::move(done)]() mutable {
            AttemptResult result = function();
            Scheduler& scheduler = self->services_->scheduler;
            scheduler.post([self = std::move(self), done = std::move(done), result = std::move(result)]() mutable {
                done(std::move(result));
            });
        });
}

/// How a command of a probe ended.
[[nodiscard]] inline AttemptResult result_of(const error_code& ec, const CompletedProcess& done, Nanoseconds timeout) {
    if (ec) return {false, ec.message(), {}};
    if (done.success()) return {true, {}, {}};
    if (done.cause == ExitCause::timed_out) return {false, "no end within " + length_in_words(timeout), {}};
    const std::string said = done.err.substr(0, std::min<std::size_t>(done.err.find_first_of("\r\n"), 200));
    return {false, done.status.to_string() + (said.empty() ? "" : ": ") + said, {}};
}

inline std::function<void()> ProbeRun::run(const CommandLine& command, Nanoseconds timeout, AttemptDone done) {
    SpawnOptions options;
    options.type = "probe";
    options.environment = record_->options.environment;
    options.working_directory = record_->options.working_directory;
    options.capture_bytes = 4096;
    options.timeout = timeout;
    options.stop_plan = StopPlan::now();
    auto canceller = std::make_shared<Canceller>();
    auto shared_done = std::make_shared<AttemptDone>(std::move(done));
    services_->dispatcher.post_internal([self = shared_from_this(), command, options = std::move(options), timeout,
                                         canceller, shared_done]() mutable {
        const auto finish = [self, timeout, shared_done](const error_code& ec, const CompletedProcess& completed) {
            self->services_->scheduler.post([self, shared_done, result = result_of(ec, completed, timeout)]() mutable {
                (*shared_done)(std::move(result));
            });
        };
        const auto engine = self->engine_.lock();
        if (!engine || canceller->is_asked()) return finish(engine ? aborted() : error_code(errc::shut_down), {});
        canceller->set(begin_run(engine, std::move(command), std::move(options), {}, finish));
    });
    return [canceller] { canceller->ask(); };
}

}  // namespace warden::detail
