// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Attempts that are one call: of a function on a callback thread, or of a command.
///
/// Knows:         that one that was given up may still run: then no other begins.
/// Does not know: threads, processes; its target has them.
/// Thread-safety: on the loop only.

#include <warden/detail/supervision/probe_attempt.hpp>
#include <warden/supervision/probe.hpp>

#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace warden::detail {

/// A function of the user, or the look at a file, which may block too.
class FunctionCheck final : public ProbeCheck {
public:
    explicit FunctionCheck(Probe::Function function) : function_(std::move(function)) {}

    [[nodiscard]] std::unique_ptr<ProbeAttempt> begin(ProbeTarget& target, Nanoseconds timeout,
                                                      AttemptDone done) const override;

private:
    Probe::Function function_;
    std::shared_ptr<bool> busy_ = std::make_shared<bool>(false);
};

class CommandCheck final : public ProbeCheck {
public:
    explicit CommandCheck(CommandLine command) : command_(std::move(command)) {}

    [[nodiscard]] std::unique_ptr<ProbeAttempt> begin(ProbeTarget& target, Nanoseconds timeout,
                                                      AttemptDone done) const override;

private:
    CommandLine command_;
    std::shared_ptr<bool> busy_ = std::make_shared<bool>(false);
};

/// Why nothing is at `path`; nothing if something is.
[[nodiscard]] inline std::optional<std::string> why_no_file(const std::filesystem::path& path);

// -- implementation ----------------------------------------------------------

/// The answer goes to who asked, if that still waits.
struct PendingCall {
    AttemptDone done;
    std::function<void()> cancel;

    void finish(AttemptResult result) {
        if (done) std::exchange(done, nullptr)(std::move(result));
    }
};

class CallAttempt final : public ProbeAttempt {
public:
    explicit CallAttempt(std::shared_ptr<PendingCall> call) noexcept : call_(std::move(call)) {}
    ~CallAttempt() override {
        call_->done = nullptr;
        if (call_->cancel) call_->cancel();
    }

private:
    const std::shared_ptr<PendingCall> call_;
};

/// `done` of the call: it is not busy any more.
[[nodiscard]] inline AttemptDone ending(std::shared_ptr<bool> busy, std::shared_ptr<PendingCall> call) {
    return [busy = std::move(busy), call = std::move(call)](AttemptResult result) {
        *busy = false;
        call->cancel = nullptr;
        call->finish(std::move(result));
    };
}

inline std::unique_ptr<ProbeAttempt> FunctionCheck::begin(ProbeTarget& target, Nanoseconds, AttemptDone done) const {
    auto call = std::make_shared<PendingCall>(PendingCall{std::move(done), {}});
    if (std::exchange(*busy_, true)) {
        call->finish({false, "its former call has not returned yet", {}});
        return nullptr;
    }
    auto run = [function = function_]() -> AttemptResult {
        try {
            auto why = function();
            return why ? AttemptResult{false, std::move(*why), {}} : AttemptResult{true, {}, {}};
        } catch (const std::exception& error) {
            return {false, error.what(), {}};
        } catch (...) {
            return {false, "it threw what is no exception", {}};
        }
    };
    target.call(std::move(run), ending(busy_, call));
    return std::make_unique<CallAttempt>(std::move(call));
}

inline std::unique_ptr<ProbeAttempt> CommandCheck::begin(ProbeTarget& target, Nanoseconds timeout,
                                                         AttemptDone done) const {
    auto call = std::make_shared<PendingCall>(PendingCall{std::move(done), {}});
    if (std::exchange(*busy_, true)) {
        call->finish({false, "its former run has not ended yet", {}});
        return nullptr;
    }
    call->cancel = target.run(command_, timeout, ending(busy_, call));
    return std::make_unique<CallAttempt>(std::move(call));
}

inline std::optional<std::string> why_no_file(const std::filesystem::path& path) {
    std::error_code ec;
    if (std::filesystem::exists(path, ec)) return std::nullopt;
    return ec ? ec.message() : "nothing is there";
}

}  // namespace warden::detail
