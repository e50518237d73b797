// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A probe that is being made of one process, until there is an outcome.
///
/// Knows:         the parts of the probe, their cadences, the attempts that are under way; the end of the process.
/// Does not know: handles; what an attempt does.
/// Thread-safety: what waits, from any thread; all else on the loop.
/// Errors:        a ProbeOutcome.

#include <warden/detail/engine/engine.hpp>
#include <warden/detail/supervision/line_watch.hpp>
#include <warden/detail/supervision/notify_source.hpp>
#include <warden/detail/supervision/probe_attempt.hpp>
#include <warden/detail/supervision/probe_cadence.hpp>
#include <warden/supervision/probe.hpp>
#include <warden/supervision/probe_outcome.hpp>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

class ProbeRun final : public std::enable_shared_from_this<ProbeRun>, private ProbeTarget {
public:
    using Done = std::function<void(const ProbeOutcome&)>;

    /// `notify`: null if the probe does not need it.
    ProbeRun(const std::shared_ptr<Engine>& engine, std::shared_ptr<ProcessRecord> record, Probe probe, ProbeUse use,
             std::shared_ptr<NotifySource> notify)
        : engine_(engine),
          services_(engine->services),
          record_(std::move(record)),
          probe_(std::move(probe)),
          use_(use),
          notify_(std::move(notify)) {}

    // -- from any thread
    void start();
    void cancel();
    [[nodiscard]] std::optional<ProbeOutcome> outcome() const;
    /// False if `deadline` came first.
    [[nodiscard]] bool wait_until(SteadyTime deadline) const;
    /// Calls `done` once there is an outcome: at once, or later on the loop. A number to take that back with; 0 if at
    /// once.
    [[nodiscard]] std::uint64_t when_done(Done done);
    /// Whether it was still waiting.
    bool forget(std::uint64_t id);
    /// What is waited for, and what the last attempts said; the STATUS= of the process, if it says one.
    [[nodiscard]] std::string progress() const;

    [[nodiscard]] ProcessRecord& record() const noexcept { return *record_; }
    [[nodiscard]] const std::shared_ptr<Services>& services() const noexcept { return services_; }

private:
    struct Node {
        Node(const Probe& of, ProbeUse use, SteadyTime start, SteadyTime deadline, Scheduler& scheduler)
            : probe(of), cadence(of.timing(), use, start, deadline), timer(scheduler) {}

        const Probe& probe;
        ProbeCadence cadence;
        Timer timer;
        std::shared_ptr<const ProbeCheck> check;  // null for what is told
        std::unique_ptr<ProbeAttempt> attempt;
        std::uint64_t serial = 0;  // of the attempt
        std::optional<LineWatch> lines;
        std::string unproven;
        std::vector<std::unique_ptr<Node>> parts;
    };

    // ProbeTarget
    [[nodiscard]] EventLoop& loop() noexcept override { return services_->loop.context(); }
    [[nodiscard]] std::shared_ptr<ProbeTarget> hold() override { return {shared_from_this(), this}; }
    void prove(ListenerQuery query, AttemptDone done) override;
    void call(std::function<AttemptResult()> function, AttemptDone done) override;
    [[nodiscard]] std::function<void()> run(const CommandLine& command, Nanoseconds timeout, AttemptDone done) override;

    void begin();
    [[nodiscard]] std::unique_ptr<Node> make_node(const Probe& probe, SteadyTime start, SteadyTime deadline);
    void watch_end();
    void watch_lines();
    void look_at(std::size_t stream, std::string_view text);
    [[nodiscard]] bool look_at(Node& node, std::size_t stream, std::string_view text);
    void take_notice(const Notice& notice);
    void take_notice(Node& node, const Notice& notice);
    void arm_all(Node& node);
    void arm(Node& node);
    void due(Node& node);
    void begin_attempt(Node& node);
    void attempt_ended(Node& node, std::uint64_t serial, AttemptResult result);
    void evaluate();
    void ended();
    void settle(error_code code, std::string reason);
    void report(const ProbeOutcome& outcome);
    void release();

    [[nodiscard]] static ProbeVerdict verdict_of(const Node& node);
    [[nodiscard]] static const Node* failed_line(const Node& node);
    [[nodiscard]] static bool has_expired(const Node& node);
    /// Of what is not good, or only of what is bad.
    [[nodiscard]] static std::string words_for(const Node& node, bool only_bad);
    static void add_up(const Node& node, ProbeOutcome& outcome);

    const std::weak_ptr<Engine> engine_;
    const std::shared_ptr<Services> services_;
    const std::shared_ptr<ProcessRecord> record_;
    const Probe probe_;
    const ProbeUse use_;
    const std::shared_ptr<NotifySource> notify_;

    // on the loop
    SteadyTime began_{};
    std::unique_ptr<Node> root_;
    std::uint64_t end_watch_ = 0;
    std::uint64_t observation_ = 0;
    bool settled_ = false;
    bool is_reporting_ = false;

    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::optional<ProbeOutcome> outcome_;
    std::string progress_;
    std::string status_;
    std::map<std::uint64_t, Done> waiting_;
    std::uint64_t next_id_ = 1;
};

}  // namespace warden::detail

#include <warden/detail/supervision/probe_run_attempts.hpp>
#include <warden/detail/supervision/probe_run_outcome.hpp>
