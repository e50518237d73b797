// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The code of ManagedProcess: what it asks of its record and of the engine.
///
/// Knows:         the engine.
/// Thread-safety: see managed_process.hpp.

#include <warden/detail/engine/communication.hpp>
#include <warden/detail/engine/engine.hpp>
#include <warden/detail/system/signal_numbers.hpp>
#include <warden/managed_process.hpp>

#include <algorithm>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace warden {
namespace detail {

/// @throws system_error errc::invalid_options, naming every mistake.
WARDEN_INLINE void throw_if_mistaken(const StopPlan& plan) {
    const auto mistakes = plan.validate();
    if (!mistakes.empty()) throw system_error(errc::invalid_options, invalid("stop plan", mistakes));
}

WARDEN_INLINE CallbackExecutor callback_executor(Engine& engine) { return engine.services->dispatcher.executor(); }

WARDEN_INLINE void note_callback_threw(Engine& engine) noexcept { engine.services->metrics.callback_threw(); }

WARDEN_INLINE Cancel begin_wait(const Record& record, Done<ExitStatus> done) {
    const std::uint64_t id = record->state.when(has_ended, [done, weak = std::weak_ptr(record)] {
        if (const auto held = weak.lock()) done({}, held->state.facts().status.value_or(ExitStatus{}));
    });
    return [done = std::move(done), id, weak = std::weak_ptr(record)] {
        if (const auto held = weak.lock()) held->state.cancel(id);
        done(aborted(), {});
    };
}

/// Whether it is ready, or never will be.
[[nodiscard]] inline bool is_ready_or_over(const ProcessFacts& facts) {
    return facts.state == State::ready || facts.state == State::stopping || is_final(facts.state);
}
[[nodiscard]] inline error_code ready_code(const ProcessFacts& facts) {
    return facts.state == State::ready ? error_code() : error_code(errc::already_ended);
}

WARDEN_INLINE Cancel begin_wait_ready(const Record& record, Done<> done) {
    const std::uint64_t id = record->state.when(is_ready_or_over, [done, weak = std::weak_ptr(record)] {
        if (const auto held = weak.lock()) done(ready_code(held->state.facts()));
    });
    return [done = std::move(done), id, weak = std::weak_ptr(record)] {
        if (const auto held = weak.lock()) held->state.cancel(id);
        done(aborted());
    };
}

WARDEN_INLINE Cancel begin_stop(const Record& record, StopPlan plan, Done<StopReport> done) {
    record->stop(std::move(plan), StopReason::asked, [done](const StopReport& report) { done({}, report); });
    return [done = std::move(done)] { done(aborted(), {}); };
}

WARDEN_INLINE Cancel begin_write(const Record& record, std::string text, Done<> done) {
    record->write(std::move(text), done);
    return [done = std::move(done)] { done(aborted()); };
}

WARDEN_INLINE std::optional<LineCapture::Answer> read_now(const Record& record, Stream stream, CapturePart part) {
    LineCapture* const capture = record->capture_of(stream);
    return capture ? capture->read_now(part) : LineCapture::Answer{errc::invalid_options, {}};
}

WARDEN_INLINE Cancel begin_read(const Record& record, Stream stream, CapturePart part, Done<std::string> done) {
    const std::uint64_t id = record->capture_of(stream)->read(part, done);
    return [done = std::move(done), id, stream, weak = std::weak_ptr(record)] {
        const auto held = weak.lock();
        if (!held || held->capture_of(stream)->cancel(id)) done(aborted(), {});  // else the part is on its way
    };
}

WARDEN_INLINE Cancel begin_communicate(Engine& engine, const Record& record, std::string input, Timeout timeout,
                                       Done<CompletedProcess> done) {
    auto exchange = std::make_shared<Communication>(engine.services, record, std::move(done));
    exchange->start(std::move(input), timeout);
    return [weak = std::weak_ptr(exchange)] {
        if (const auto held = weak.lock()) held->cancel();
    };
}

}  // namespace detail

template <class F>
auto ManagedProcess::read(F f) const -> std::invoke_result_t<F, detail::ProcessRecord&> {
    return check_held() ? std::invoke_result_t<F, detail::ProcessRecord&>{} : f(*record_);
}

WARDEN_INLINE ManagedProcess& ManagedProcess::operator=(ManagedProcess&& other) noexcept {
    if (this == &other) return *this;
    end();
    engine_ = std::move(other.engine_);
    record_ = std::move(other.record_);
    return *this;
}

WARDEN_INLINE error_code ManagedProcess::check_held() const {
    if (!record_) return errc::no_process;
    if (!engine_->services->is_owner()) return errc::forked;
    return {};
}

WARDEN_INLINE error_code ManagedProcess::check() const {
    if (const error_code ec = check_held()) return ec;
    return record_->options.detached ? error_code(errc::detached) : error_code();
}

WARDEN_INLINE void ManagedProcess::end() noexcept {
    if (!record_) return;
    if (!engine_->services->is_owner()) {
        detail::leave_to_owner(std::move(record_));
        detail::leave_to_owner(std::move(engine_));
        return;
    }
    if (!record_->options.detached && !detail::is_tree_empty(record_->state.facts())) {
        try {
            static_cast<void>(engine_->stop(
                {record_}, [](const auto& record) { return record.stop_plan; }, detail::StopReason::asked));
        } catch (...) {  // no memory for it; the table keeps the record, and cleanup ends the tree
        }
    }
    engine_->table.remove(record_->uuid);
    record_.reset();
    engine_.reset();
}

WARDEN_INLINE Uuid ManagedProcess::uuid() const {
    return read([](auto& r) { return r.uuid; });
}
WARDEN_INLINE Pid ManagedProcess::pid() const {
    return read([](auto& r) { return r.pid; });
}
WARDEN_INLINE std::string ManagedProcess::name() const {
    return read([](auto& r) { return r.options.name; });
}
WARDEN_INLINE std::string ManagedProcess::type() const {
    return read([](auto& r) { return r.options.type; });
}
WARDEN_INLINE CommandLine ManagedProcess::command() const {
    return read([](auto& r) { return r.command; });
}
WARDEN_INLINE State ManagedProcess::state() const {
    return read([](auto& r) { return r.state.facts().state; });
}
WARDEN_INLINE ProcessInfo ManagedProcess::info() const {
    return read([](auto& r) { return r.info(); });
}
WARDEN_INLINE Nanoseconds ManagedProcess::runtime() const { return info().runtime; }
WARDEN_INLINE std::optional<ExitStatus> ManagedProcess::exit_status() const {
    return read([](auto& r) { return r.state.facts().status; });
}
WARDEN_INLINE ExitCause ManagedProcess::cause() const {
    return read([](auto& r) { return r.state.facts().cause; });
}
WARDEN_INLINE bool ManagedProcess::tree_alive() const {
    return read([](auto& r) { return r.state.facts().tree_alive; });
}
WARDEN_INLINE std::filesystem::path ManagedProcess::log_path() const {
    return read([](auto& r) { return r.log_path; });
}
WARDEN_INLINE std::filesystem::path ManagedProcess::error_log_path() const {
    return read([](auto& r) { return r.error_log_path; });
}
WARDEN_INLINE ContainmentReport ManagedProcess::containment() const {
    return read([](auto& r) { return r.containment; });
}
WARDEN_INLINE std::vector<std::string> ManagedProcess::tail(std::size_t lines) const {
    return read([&](auto& r) { return r.output.router->tail(lines); });
}
WARDEN_INLINE std::chrono::system_clock::time_point ManagedProcess::started_at() const {
    return read([](auto& r) { return r.started_at; });
}
WARDEN_INLINE std::vector<TreeMember> ManagedProcess::tree(error_code& ec) const {
    ec = check();
    return ec ? std::vector<TreeMember>{} : record_->tree_members(ec);
}
WARDEN_INLINE std::vector<TreeMember> ManagedProcess::tree() const {
    return detail::or_throw("tree", [&](error_code& ec) { return tree(ec); });
}
WARDEN_INLINE MemberDetails ManagedProcess::inspect(Pid member) const {
    MemberDetails details;
    details.error = check();
    return details.error ? details : record_->inspect(member);
}
WARDEN_INLINE ResourceUsage ManagedProcess::usage(error_code& ec) const {
    ec = check();
    return ec ? ResourceUsage{} : record_->usage(ec);
}
WARDEN_INLINE ResourceUsage ManagedProcess::usage() const {
    return detail::or_throw("usage", [&](error_code& ec) { return usage(ec); });
}

WARDEN_INLINE std::optional<ExitStatus> ManagedProcess::wait_until_steady(SteadyTime deadline) {
    if (const error_code ec = check()) throw system_error(ec, "wait");
    if (const auto status = record_->state.facts().status; status || deadline <= SteadyTime::clock::now())
        return status;
    const detail::ReentrantWaitGuard waiting(record_->output.router->queues());
    if (!record_->state.wait_until(deadline, detail::has_ended)) return std::nullopt;
    return record_->state.facts().status;
}

WARDEN_INLINE ExitStatus ManagedProcess::wait(error_code& ec) {
    ec = check();
    return ec ? ExitStatus{} : wait_until_steady(SteadyTime::max()).value();
}

WARDEN_INLINE ExitStatus ManagedProcess::wait() {
    return detail::or_throw("wait", [&](error_code& ec) { return wait(ec); });
}

WARDEN_INLINE StopPlan ManagedProcess::own_plan() const { return check() ? StopPlan::standard() : record_->stop_plan; }

WARDEN_INLINE error_code ManagedProcess::check_ready() const {
    if (const error_code ec = check()) return ec;
    const auto says_ready = [](const AlertRule& rule) { return rule.action == AlertAction::ready; };
    const auto& own = record_->options.alerts;
    const auto& all = engine_->services->config.alerts.rules;
    const bool can_be =
        std::any_of(own.begin(), own.end(), says_ready) || std::any_of(all.begin(), all.end(), says_ready);
    return can_be ? error_code() : error_code(errc::invalid_options);
}

WARDEN_INLINE void ManagedProcess::wait_ready(Timeout timeout, error_code& ec) {
    ec = check_ready();
    if (!ec && !timeout.is_valid()) ec = errc::invalid_timeout;
    if (ec) return;
    const SteadyTime deadline = detail::deadline_after(SteadyTime::clock::now(), timeout.length());
    if (record_->state.wait_until(deadline, detail::is_ready_or_over)) ec = detail::ready_code(record_->state.facts());
    else ec = errc::timed_out;
}

WARDEN_INLINE void ManagedProcess::write(std::string_view text, error_code& ec) {
    ec = check();
    if (ec) return;
    std::promise<error_code> written;
    record_->write(std::string(text), [&](const error_code& result) { written.set_value(result); });
    ec = written.get_future().get();
}

WARDEN_INLINE void ManagedProcess::close_stdin(error_code& ec) {
    ec = check();
    if (!ec) ec = record_->close_input();
}

WARDEN_INLINE CompletedProcess ManagedProcess::communicate(std::string_view input, Timeout timeout, error_code& ec) {
    ec = check();
    if (!ec && !timeout.is_valid()) ec = errc::invalid_timeout;
    if (ec) return {};
    const detail::ReentrantWaitGuard waiting(record_->output.router->queues());
    std::promise<CompletedProcess> collected;
    const auto cancel = detail::begin_communicate(*engine_, record_, std::string(input), timeout,
                                                  [&](const error_code& failed, CompletedProcess result) {
                                                      ec = failed;
                                                      collected.set_value(std::move(result));
                                                  });
    return collected.get_future().get();
}

WARDEN_INLINE void ManagedProcess::signal_tree(int number, error_code& ec) {
    ec = check();
    if (!ec) ec = record_->signal_tree(number);
    if (ec == errc::already_ended || ec == boost::system::errc::no_such_process) ec.clear();
}

WARDEN_INLINE void ManagedProcess::terminate(error_code& ec) { signal_tree(detail::signals::terminate, ec); }
WARDEN_INLINE void ManagedProcess::kill(error_code& ec) { signal_tree(detail::signals::kill, ec); }
WARDEN_INLINE void ManagedProcess::suspend(error_code& ec) { signal_tree(detail::signals::stop, ec); }
WARDEN_INLINE void ManagedProcess::resume(error_code& ec) { signal_tree(detail::signals::resume, ec); }
WARDEN_INLINE void ManagedProcess::signal(int number, error_code& ec) {
    ec = check();
    if (!ec) ec = record_->signal_leader(number);
}

WARDEN_INLINE void ManagedProcess::resize_terminal(const Terminal& size, error_code& ec) {
    ec = check();
    if (!ec) ec = record_->resize_terminal(size);
}

WARDEN_INLINE StopReport ManagedProcess::stop(StopPlan plan) {
    detail::throw_if(check(), "stop");
    detail::throw_if_mistaken(plan);
    return engine_
        ->stop(
            {record_}, [&](const auto&) { return plan; }, detail::StopReason::asked)
        .front();
}

WARDEN_INLINE StopReport ManagedProcess::stop() {
    detail::throw_if(check(), "stop");
    return stop(record_->stop_plan);
}

// The forms that throw.

WARDEN_INLINE void ManagedProcess::wait_ready(Timeout timeout) {
    detail::or_throw("wait_ready", [&](error_code& ec) { wait_ready(timeout, ec); });
}

WARDEN_INLINE void ManagedProcess::write(std::string_view text) {
    detail::or_throw("write", [&](error_code& ec) { write(text, ec); });
}
WARDEN_INLINE void ManagedProcess::close_output(Stream stream, error_code& ec) {
    ec = check();
    if (!ec) ec = record_->close_output(stream);
}

WARDEN_INLINE void ManagedProcess::close_output(Stream stream) {
    detail::or_throw("close_output", [&](error_code& ec) { close_output(stream, ec); });
}

WARDEN_INLINE void ManagedProcess::close_stdin() {
    detail::or_throw("close_stdin", [&](error_code& ec) { close_stdin(ec); });
}
WARDEN_INLINE void ManagedProcess::resize_terminal(const Terminal& size) {
    detail::or_throw("resize_terminal", [&](error_code& ec) { resize_terminal(size, ec); });
}
WARDEN_INLINE CompletedProcess ManagedProcess::communicate(std::string_view input, Timeout timeout) {
    return detail::or_throw("communicate", [&](error_code& ec) { return communicate(input, timeout, ec); });
}
WARDEN_INLINE void ManagedProcess::terminate() {
    detail::or_throw("terminate", [&](error_code& ec) { terminate(ec); });
}
WARDEN_INLINE void ManagedProcess::kill() {
    detail::or_throw("kill", [&](error_code& ec) { kill(ec); });
}
WARDEN_INLINE void ManagedProcess::signal(int number) {
    detail::or_throw("signal", [&](error_code& ec) { signal(number, ec); });
}
WARDEN_INLINE void ManagedProcess::suspend() {
    detail::or_throw("suspend", [&](error_code& ec) { suspend(ec); });
}
WARDEN_INLINE void ManagedProcess::resume() {
    detail::or_throw("resume", [&](error_code& ec) { resume(ec); });
}

}  // namespace warden
