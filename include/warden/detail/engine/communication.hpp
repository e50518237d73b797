// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// One exchange with a process: its input is fed, its outputs are collected, its end is awaited.
///
/// Knows:         that the end of a process and the end of its output are two things.
/// Does not know: who asked; the process is not ended here.
/// Thread-safety: `start` and `cancel` from any thread; the rest happens on the loop.

#include <warden/detail/base/job.hpp>
#include <warden/detail/engine/process_record.hpp>
#include <warden/detail/runtime/services.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace warden::detail {

class Communication : public std::enable_shared_from_this<Communication> {
public:
    using Done = std::function<void(const error_code&, CompletedProcess)>;

    /// `done` is called once, on the loop: `errc::timed_out`, `errc::input_closed`, `operation_aborted`, the error of a
    /// write, or a result.
    Communication(std::shared_ptr<Services> services, std::shared_ptr<ProcessRecord> record, Done done)
        : services_(std::move(services)),
          record_(std::move(record)),
          done_(std::move(done)),
          deadline_timer_(services_->loop),
          drain_timer_(services_->loop) {}

    void start(std::string input, const Timeout& timeout);
    void cancel();

private:
    void on_exit();
    void written(const error_code& ec);
    void finish(const error_code& ec);
    /// On the loop, after what goes on there now.
    [[nodiscard]] Job later(void (Communication::*then)());
    void finish_well() { finish({}); }

    const std::shared_ptr<Services> services_;
    const std::shared_ptr<ProcessRecord> record_;
    Done done_;
    Timer deadline_timer_;
    Timer drain_timer_;
    SteadyTime deadline_ = SteadyTime::max();
    std::uint64_t waiting_for_ = 0;  // of the state
};

// -- implementation ----------------------------------------------------------

inline void Communication::start(std::string input, const Timeout& timeout) {
    deadline_ = deadline_after(SteadyTime::clock::now(), timeout.length());
    services_->loop.dispatch([self = shared_from_this(), text = std::move(input)]() mutable {
        ProcessRecord& record = *self->record_;
        const bool can_write = record.input && !record.input->is_closing();
        if (!text.empty() && !can_write) return self->finish(errc::input_closed);
        if (record.input) {
            if (!text.empty())
                record.input->write(std::move(text), [self](const error_code& ec) { self->written(ec); });
            record.input->close_when_written();
        }
        if (has_ended(record.state.facts())) return self->on_exit();
        self->waiting_for_ = record.state.when(has_ended, self->later(&Communication::on_exit));
        if (self->deadline_ == SteadyTime::max()) return;
        self->deadline_timer_.arm(self->deadline_, [self] {
            self->finish(has_ended(self->record_->state.facts()) ? error_code{} : errc::timed_out);
        });
    });
}

/// The process may close its input, or end, without having read all.
inline void Communication::written(const error_code& ec) {
    const bool is_unread = ec == errc::already_ended || ec == errc::input_closed ||
                           ec == boost::system::errc::broken_pipe || ec == boost::system::errc::operation_canceled;
    if (ec && !is_unread) finish(ec);
}

inline void Communication::cancel() {
    services_->loop.dispatch([self = shared_from_this()] { self->finish(boost::asio::error::operation_aborted); });
}

inline Job Communication::later(void (Communication::*then)()) {
    return [self = shared_from_this(), then] { self->services_->loop.post([self, then] { (*self.*then)(); }); };
}

inline void Communication::on_exit() {
    if (!done_) return;
    if (is_output_complete(record_->state.facts())) return finish({});
    waiting_for_ = record_->state.when(is_output_complete, later(&Communication::finish_well));
    drain_timer_.arm(std::min(deadline_, deadline_after(services_->loop.now(), record_->drain_timeout())),
                     [self = shared_from_this()] { self->finish({}); });
}

inline void Communication::finish(const error_code& ec) {
    const Done done = std::exchange(done_, nullptr);
    if (!done) return;
    deadline_timer_.cancel();
    drain_timer_.cancel();
    record_->state.cancel(waiting_for_);
    if (ec) return done(ec, {});
    CompletedProcess result;
    record_->finish_output(result);
    const ProcessFacts facts = record_->state.facts();
    result.status = *facts.status;
    result.cause = facts.cause;
    result.command = record_->command;
    result.duration = facts.ended - facts.started;
    done({}, std::move(result));
}

}  // namespace warden::detail
