// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Starts a shim, gives it its request, and returns what became of that.
///
/// Knows:         the greeting, the request, the answer, and the acknowledgement without which the shim undoes the
///                start: a process runs on if, and only if, this function says so, or its program was killed here.
/// Does not know: what the shim does.
/// Thread-safety: safe.
/// Errors:        SpawnError; then nothing of the attempt is left, or the shim undoes it.
/// Waits:         at most `shim_patience` for each line.

#include <warden/detail/detached/line_channel_posix.hpp>
#include <warden/detail/detached/shim_answer.hpp>
#include <warden/detail/detached/shim_program_posix.hpp>
#include <warden/detail/launch/prepared_launch.hpp>
#include <warden/detail/launch/spawn_failure.hpp>

#include <boost/uuid/uuid_io.hpp>

#if WARDEN_OS_POSIX
#include <chrono>
#include <exception>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>

namespace warden::detail {

/// A start has bounds of its own that are shorter.
inline constexpr auto shim_patience = std::chrono::seconds(30);

/// The pid of the process.
[[nodiscard]] inline Pid start_by_shim(const ShimRequest& request);

// -- implementation ----------------------------------------------------------

/// The two ends of a connection that no child inherits.
[[nodiscard]] inline std::pair<UniqueFd, UniqueFd> make_socket_pair() noexcept {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return {};
    for (const int end : ends) ::fcntl(end, F_SETFD, FD_CLOEXEC);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// Executes the program of the shim, with the other end of the returned channel as its standard input.
[[nodiscard]] inline LineChannel launch_shim(const ShimRequest& request, const std::string& program, ShimChild& child) {
    auto [ours, theirs] = make_socket_pair();
    if (!ours)
        fail_start(request.command, system_code(errno), SpawnStep::setup, {}, "no channel to a shim can be made");
    const CommandLine command(program, {shim_argument, to_string(request.uuid)});
    SpawnOptions options;
    options.argument_zero = "warden-shim";
    options.stdin_ = Input::from_native(theirs.get());
    const PreparedLaunch prepared(command, options, Output::null, Output::null);
    ChildAnswer answer;
    child.launch(prepared.plan, answer);
    if (answer.error != 0) {
        fail_start(request.command, system_code(answer.error), SpawnStep::setup, program,
                   "the program that was to be the shim cannot be executed");
    }
    return LineChannel(std::move(ours));
}

inline void check_greeting(const CommandLine& command, const std::string& program, const json::value& greeting) {
    const std::string theirs = text_of(greeting.at("version"));
    if (theirs == version_text()) return;
    fail_start(command, errc::invalid_options, SpawnStep::setup, program,
               "it has warden " + theirs + ", and this program " + version_text() + ": install the same version");
}

inline Pid start_by_shim(const ShimRequest& request) {
    const std::string program = find_shim_program(request.config);
    const auto deadline = [] { return deadline_after(SteadyTime::clock::now(), shim_patience); };
    const auto fail = [&](const error_code& ec, const char* advice) {
        fail_start(request.command, ec, SpawnStep::setup, program, advice);
    };
    if (program.empty()) fail(errc::not_found, how_to_have_a_shim().c_str());
    ShimChild child;
    LineChannel channel = launch_shim(request, program, child);
    error_code ec;
    const std::string greeting = channel.receive(deadline(), ec);
    child.end();
    if (ec) fail(ec, "it did not greet as a shim does; does its main begin with run_shim_if_asked?");
    try {
        check_greeting(request.command, program, parse_bytes(greeting));
        if ((ec = channel.send(write_request(request), deadline()))) fail(ec, "the request could not be sent to it");
        const std::string answer = channel.receive(deadline(), ec);
        if (ec) fail(ec, "it ended before the process was started, or took too long");
        const json::value said = parse_bytes(answer);
        throw_if_refused(said);
        const Pid pid = said.at("pid").to_number<Pid>();
        if ((ec = channel.send("{\"ok\":true}", deadline()))) fail(ec, "it ended when the process had been started");
        return pid;
    } catch (const SpawnError&) {
        throw;
    } catch (const std::exception&) {
        fail(make_error_code(boost::system::errc::bad_message), "its answer makes no sense");
    }
    return 0;
}

}  // namespace warden::detail
#endif
