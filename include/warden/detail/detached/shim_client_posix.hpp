// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Asks the shim of a detached process, and does without it where that has ended.
///
/// Knows:         the socket, the pidfds of what a record names, and what may be signalled: what they prove to be ours.
/// Does not know: how a shim obeys.
/// Thread-safety: safe.
/// Errors:        by code: that of the connection, or what the shim answers.
/// Waits:         until the deadline that it is given.

#include <warden/detached/detached_process.hpp>
#include <warden/detail/detached/line_channel_posix.hpp>
#include <warden/detail/detached/registry.hpp>
#include <warden/detail/detached/shim_answer.hpp>
#include <warden/detail/detached/shim_child_linux.hpp>
#include <warden/detail/detached/shim_child_portable.hpp>
#include <warden/detail/detached/shim_socket_posix.hpp>

#if WARDEN_OS_POSIX
#include <chrono>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace warden::detail {

/// For an answer that the shim gives at once, and for what comes after the end of a plan.
inline constexpr auto answer_patience = std::chrono::seconds(10);

[[nodiscard]] inline SteadyTime patience_after(Nanoseconds length) noexcept {
    return deadline_after(deadline_after(SteadyTime::clock::now(), answer_patience), length);
}

/// Sends the request and waits for the answer; null on error.
[[nodiscard]] inline json::value ask_shim(const std::filesystem::path& data_directory, const Uuid& uuid,
                                          const json::object& request, SteadyTime deadline, error_code& ec);

/// The same for one that runs: `errc::already_ended` if it does not, or its shim does not.
inline void ask_running(const DetachedProcess& process, const std::filesystem::path& data_directory,
                        const json::object& request, error_code& ec);

/// Whether the code of a connection says that there is no shim.
[[nodiscard]] inline bool is_no_shim(const error_code& ec) noexcept {
    using namespace boost::system::errc;
    return ec == no_such_file_or_directory || ec == connection_refused || ec == connection_reset;
}

/// Ends what is left of a process whose shim has ended, as far as it is proven to be that process.
[[nodiscard]] inline StopReport stop_without_shim(const DetachedInfo& info);

// -- implementation ----------------------------------------------------------

inline json::value ask_shim(const std::filesystem::path& data_directory, const Uuid& uuid, const json::object& request,
                            SteadyTime deadline, error_code& ec) {
    std::string why;
    const RecordFiles files = RecordFiles::open(data_directory, false, ec, why);
    if (ec) return nullptr;
    LineChannel channel(connect_at({files.descriptor(), files.path()}, RecordFiles::socket_name_of(uuid), ec));
    if (ec) return nullptr;
    if ((ec = channel.send(json::serialize(request), deadline))) return nullptr;
    const std::string line = channel.receive(deadline, ec);
    if (ec) return nullptr;
    try {
        json::value answer = parse_bytes(line);
        if (const json::value* error = answer.as_object().if_contains("error")) ec = code_of(*error);
        return answer;
    } catch (const std::exception&) {
        ec = make_error_code(boost::system::errc::bad_message);
        return nullptr;
    }
}

inline void ask_running(const DetachedProcess& process, const std::filesystem::path& data_directory,
                        const json::object& request, error_code& ec) {
    const DetachedInfo info = process.info(ec);
    if (!ec && !info.is_active()) ec = errc::already_ended;
    if (ec) return;
    static_cast<void>(ask_shim(data_directory, process.uuid(), request, patience_after({}), ec));
    if (is_no_shim(ec)) ec = errc::already_ended;
}

inline StopReport stop_without_shim(const DetachedInfo& info) {
    StopReport report;
    if (!info.process_alive) return report;
    constexpr auto patience = std::chrono::seconds(3);
    const Sighting seen = look_for(own_pid_space(), info.record.process);
    if (seen.presence == Presence::ended) return report;
    const SteadyTime began = SteadyTime::clock::now();
    StopStepResult step;
    step.action = StopAction::kill;
    const error_code refused = signal_seen(seen, SIGKILL);
    error_code left = refused;
    if (!refused) left = await_ready(seen.pidfd.get(), POLLIN, deadline_after(began, patience));
    step.duration = report.duration = SteadyTime::clock::now() - began;
    step.tree_exited = !left;
    if (left) {
        step.error = left.message();
        report.survivors.push_back({info.record.process.pid, info.record.command.to_string(),
                                    "its shim has ended, and it could not be ended without: " + left.message()});
    }
    report.steps.push_back(std::move(step));
    return report;
}

}  // namespace warden::detail
#endif
