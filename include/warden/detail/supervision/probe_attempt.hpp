// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// One attempt of a probe: what it may use, and what it answers.
///
/// Knows:         that a listener must be of the tree that is probed.
/// Does not know: when attempts are made, and what follows from them.
/// Thread-safety: on the loop only, unless it says otherwise.

#include <warden/command_line.hpp>
#include <warden/detail/base/job.hpp>
#include <warden/detail/base/unique_function.hpp>
#include <warden/detail/system/event_loop.hpp>
#include <warden/fwd.hpp>
#include <warden/timeout.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace warden::detail {

struct AttemptResult {
    bool is_good = false;
    std::string reason;    ///< Why not.
    std::string unproven;  ///< What is believed, not known.
};
/// Called on the loop, once; also before the attempt has begun.
using AttemptDone = UniqueFunction<void(AttemptResult)>;

/// An attempt that is under way. Destroying it gives it up.
class ProbeAttempt {
public:
    ProbeAttempt() = default;
    ProbeAttempt(const ProbeAttempt&) = delete;
    ProbeAttempt& operator=(const ProbeAttempt&) = delete;
    virtual ~ProbeAttempt() = default;
};

/// Where somebody answered.
struct ListenerQuery {
    std::uint16_t port = 0;  ///< 0: a Unix socket.
    std::string address;     ///< A numeric address; the path of a Unix socket.
    Pid peer = 0;            ///< Who said listen(2) to a Unix socket, if the system says; else 0.
};

/// What an attempt may use of the manager and of the process that is probed.
class ProbeTarget {
public:
    [[nodiscard]] virtual EventLoop& loop() noexcept = 0;
    [[nodiscard]] virtual std::shared_ptr<ProbeTarget> hold() = 0;
    /// Whether who listens there is of the tree. `done` is called on the loop, later.
    virtual void prove(ListenerQuery query, AttemptDone done) = 0;
    /// Runs `function` on a callback thread, and `done` on the loop after it.
    virtual void call(std::function<AttemptResult()> function, AttemptDone done) = 0;
    /// Runs a command; `done` is called on the loop when nothing of it is left. What is returned stops it, from any
    /// thread.
    [[nodiscard]] virtual std::function<void()> run(const CommandLine& command, Nanoseconds timeout,
                                                    AttemptDone done) = 0;

protected:
    ProbeTarget() = default;
    ProbeTarget(const ProbeTarget&) = delete;
    ProbeTarget& operator=(const ProbeTarget&) = delete;
    ~ProbeTarget() = default;
};

/// A kind of probe.
class ProbeCheck {
public:
    ProbeCheck() = default;
    ProbeCheck(const ProbeCheck&) = delete;
    ProbeCheck& operator=(const ProbeCheck&) = delete;
    virtual ~ProbeCheck() = default;

    /// `timeout`: after that the attempt is given up by its caller.
    [[nodiscard]] virtual std::unique_ptr<ProbeAttempt> begin(ProbeTarget& target, Nanoseconds timeout,
                                                              AttemptDone done) const = 0;
};

}  // namespace warden::detail
