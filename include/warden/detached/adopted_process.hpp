// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A detached process that a scope owns again: the end of the scope ends the process, by its stop plan.
///
/// Knows:         that a forked copy of this program owns nothing.
/// Does not know: how it is stopped; its shim does that, and writes the events. If this program is killed, the process
///                goes on as a detached one.
/// Thread-safety: distinct objects: safe.

#include <warden/detached/detached_process.hpp>

#include <utility>

namespace warden {

class AdoptedProcess {
public:
    /// Holds nothing.
    AdoptedProcess() noexcept = default;
    /// @throws system_error errc::not_found if there is no such record.
    explicit AdoptedProcess(DetachedProcess process);
    AdoptedProcess(AdoptedProcess&& other) noexcept
        : process_(std::exchange(other.process_, {})), owner_(other.owner_) {}
    /// What this held before is ended.
    AdoptedProcess& operator=(AdoptedProcess&& other) noexcept {
        AdoptedProcess former(std::move(*this));
        process_ = std::exchange(other.process_, {});
        owner_ = other.owner_;
        return *this;
    }
    /// Stops the process, if it runs; waits until it is gone, or its plan is over. Never throws.
    ~AdoptedProcess() { end(); }

    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(process_); }
    [[nodiscard]] const DetachedProcess& operator*() const noexcept { return process_; }
    [[nodiscard]] const DetachedProcess* operator->() const noexcept { return &process_; }

    /// Nobody owns it any more: it goes on.
    DetachedProcess release() noexcept { return std::exchange(process_, {}); }

private:
    void end() noexcept;

    DetachedProcess process_;
    Pid owner_ = 0;  // the program that adopted it
};

}  // namespace warden
