// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Detached processes on Windows: there are none yet, and every call says so.
///
/// Errors:        `operation_not_supported`, always.
/// Thread-safety: see detached/detached.hpp.

#include <warden/detached/detached_process.hpp>
#include <warden/detached/detached_processes.hpp>
#include <warden/detached/shim.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <warden/detached/adopted_process.hpp>
#include <warden/detail/launch/spawn_failure.hpp>
#include <warden/process_manager.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace warden {
namespace detail {

[[nodiscard]] inline error_code no_detached() noexcept {
    return make_error_code(boost::system::errc::operation_not_supported);
}
[[noreturn]] inline void throw_no_detached() {
    throw system_error(no_detached(), "detached processes are not there for Windows yet");
}

}  // namespace detail

WARDEN_INLINE std::optional<int> run_shim_if_asked(int, const char* const*) { return std::nullopt; }

WARDEN_INLINE DetachedInfo DetachedProcess::info(error_code& ec) const {
    ec = detail::no_detached();
    return {};
}
WARDEN_INLINE DetachedInfo DetachedProcess::info() const { detail::throw_no_detached(); }
WARDEN_INLINE std::optional<ExitStatus> DetachedProcess::wait_until_steady(SteadyTime) const {
    detail::throw_no_detached();
}
WARDEN_INLINE DetachedProcess::Wait DetachedProcess::prepare_wait(
    const boost::asio::any_io_executor&, std::function<void(const error_code&, const ExitStatus&)> done) const {
    return {[done = std::move(done)] { done(detail::no_detached(), {}); }, [] {}};
}
WARDEN_INLINE AdoptedProcess::AdoptedProcess(DetachedProcess) { detail::throw_no_detached(); }
WARDEN_INLINE void AdoptedProcess::end() noexcept {}
WARDEN_INLINE ExitStatus DetachedProcess::wait() const { detail::throw_no_detached(); }
WARDEN_INLINE StopReport DetachedProcess::stop_by(const StopPlan*) const { detail::throw_no_detached(); }
WARDEN_INLINE DetachedProcess DetachedProcess::restart_by(const StopPlan*, Nanoseconds) const {
    detail::throw_no_detached();
}
WARDEN_INLINE StopReport DetachedProcess::stop() const { return stop_by(nullptr); }
WARDEN_INLINE StopReport DetachedProcess::stop(const StopPlan& plan) const { return stop_by(&plan); }
WARDEN_INLINE void DetachedProcess::signal(int, error_code& ec) const { ec = detail::no_detached(); }
WARDEN_INLINE void DetachedProcess::write(std::string_view, error_code& ec) const { ec = detail::no_detached(); }
WARDEN_INLINE void DetachedProcess::close_stdin(error_code& ec) const { ec = detail::no_detached(); }
WARDEN_INLINE void DetachedProcess::remove(error_code& ec) const { ec = detail::no_detached(); }
WARDEN_INLINE void DetachedProcess::signal(int) const { detail::throw_no_detached(); }
WARDEN_INLINE void DetachedProcess::write(std::string_view) const { detail::throw_no_detached(); }
WARDEN_INLINE void DetachedProcess::close_stdin() const { detail::throw_no_detached(); }
WARDEN_INLINE void DetachedProcess::remove() const { detail::throw_no_detached(); }
WARDEN_INLINE std::vector<std::string> DetachedProcess::tail(std::size_t) const { detail::throw_no_detached(); }
WARDEN_INLINE LogFollower DetachedProcess::follow(LogFollower::From) const { detail::throw_no_detached(); }

WARDEN_INLINE DetachedProcess DetachedProcesses::spawn(CommandLine command, SpawnOptions) const {
    detail::fail_start(command, detail::no_detached(), SpawnStep::setup, {},
                       "detached processes are not there for Windows yet");
}
WARDEN_INLINE DetachedProcess DetachedProcesses::spawn(CommandLine, SpawnOptions, error_code& ec) const {
    ec = detail::no_detached();
    return {};
}
WARDEN_INLINE std::vector<DetachedInfo> DetachedProcesses::list() const { detail::throw_no_detached(); }
WARDEN_INLINE DetachedProcess DetachedProcesses::find(const Uuid& uuid) const {
    return {std::filesystem::path(), uuid};
}
WARDEN_INLINE DetachedProcess DetachedProcesses::find(std::string_view) const { detail::throw_no_detached(); }
WARDEN_INLINE std::size_t DetachedProcesses::prune(std::size_t, Nanoseconds) const { detail::throw_no_detached(); }
WARDEN_INLINE std::size_t DetachedProcesses::remove_leftovers() const { detail::throw_no_detached(); }

WARDEN_INLINE DetachedProcesses ProcessManager::detached() const { return DetachedProcesses(config()); }

}  // namespace warden
#endif
