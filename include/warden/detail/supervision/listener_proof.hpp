// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Whether who listens at an address is of a tree; if not, who it is.
///
/// Knows:         listeners and their holders, as the system says them.
/// Does not know: how the tree was listed.
/// Thread-safety: safe. Not for a loop: reads what every process has open, if the tree does not have it.

#include <warden/detail/supervision/probe_attempt.hpp>
#include <warden/detail/system/host_system.hpp>
#include <warden/detail/system/listeners.hpp>
#include <warden/detail/system/process_listing.hpp>
#include <warden/error.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace warden::detail {

/// Good: it is of the tree, or `unproven` says why that is not known. Else the reason names who listens there.
/// `members`: the tree; `unlisted` says why there may be more.
[[nodiscard]] inline AttemptResult prove_listener(const ListenerQuery& query, Pid leader,
                                                  const std::vector<Pid>& members, const error_code& unlisted);

// -- implementation ----------------------------------------------------------

[[nodiscard]] inline bool is_among(const std::vector<Pid>& pids, Pid pid) noexcept {
    return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

/// Whether one of `members` is an ancestor of `pid`: a mechanism may not hold all that is of a tree.
[[nodiscard]] inline bool descends_from(const std::vector<Pid>& members, Pid pid) {
    constexpr int max_depth = 1000;
    for (int depth = 0; depth < max_depth && pid > 1; ++depth) {
        if (is_among(members, pid)) return true;
        error_code ignored;
        const auto process = member(pid, ignored);
        pid = process ? process->parent : 0;
    }
    return false;
}

[[nodiscard]] inline AttemptResult not_proven(const std::string& place, const std::string& why) {
    return {true, {}, "that " + place + " is held by this process is not known: " + why};
}

/// The first listener that nobody of the tree holds; null if there is none.
[[nodiscard]] inline const Listener* foreign_listener(const std::vector<Listener>& listeners,
                                                      const std::vector<ListenerHolder>& held) noexcept {
    for (const Listener& listener : listeners) {
        const auto holds = [&](const ListenerHolder& holder) { return holder.id == listener.id; };
        if (std::none_of(held.begin(), held.end(), holds)) return &listener;
    }
    return nullptr;
}

inline AttemptResult prove_listener(const ListenerQuery& query, Pid leader, const std::vector<Pid>& members,
                                    const error_code& unlisted) {
    const bool is_tcp = query.port != 0;
    const std::string place = is_tcp ? "port " + std::to_string(query.port) : "socket '" + query.address + '\'';
    if (!is_tcp && query.peer != 0 && descends_from(members, query.peer)) return {true, {}, {}};
    error_code ec;
    if (!shares_network(leader, ec) && !ec) return not_proven(place, "the process has a network of its own");
    const auto listeners = is_tcp ? tcp_listeners(query.port, query.address, ec) : unix_listeners(query.address, ec);
    if (listeners.empty()) return not_proven(place, ec ? ec.message() : "the system lists no listener");
    error_code unread;
    const auto held = holders_among(members, listeners, unread);
    const Listener* const foreign = foreign_listener(listeners, held);
    if (!foreign) return {true, {}, {}};
    error_code hidden;
    for (const ListenerHolder& holder : holders_of({*foreign}, hidden)) {
        if (descends_from(members, holder.pid)) return {true, {}, {}};
        return {false, place + " is held by " + process_in_words(holder.pid) + ", which is not of this process", {}};
    }
    for (const error_code& unseen : {unread, unlisted, ec})
        if (unseen) return not_proven(place, unseen.message());
    if (query.peer != 0 && query.peer != current_pid())
        return {false, place + " is held by " + process_in_words(query.peer) + ", which is not of this process", {}};
    return {false, place + " is held by a process that is not of this process and cannot be looked at", {}};
}

}  // namespace warden::detail
