// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Whether a detached process of a name runs, for those who would start another one.
///
/// Knows:         that doubt is an error: a record that cannot be read may be of that name, and what a process of the
///                name left may still do its work.
/// Does not know: who starts one meanwhile; its callers hold the lock of the name.
/// Thread-safety: safe.
/// Errors:        `errc::already_running` for doubt, in words; the registry's codes.
/// Waits:         some seconds for what is ending.

#include <warden/detail/detached/name_lock_posix.hpp>
#include <warden/detail/detached/registry.hpp>
#include <warden/detail/detached/tree_end_posix.hpp>

#if WARDEN_OS_POSIX
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace warden::detail {

/// How long one waits for another program that starts or restarts one of the same name.
inline constexpr auto name_lock_patience = std::chrono::minutes(1);

/// The one of that name that runs, or nothing if surely none does and nothing of one is left.
[[nodiscard]] inline std::optional<DetachedInfo> find_running(const Registry& registry, std::string_view name,
                                                              error_code& ec, std::string& why);

/// The one that runs and is `uuid` started again, by one restart or more; nothing if there is none.
[[nodiscard]] inline std::optional<DetachedInfo> find_successor(const Registry& registry, const Uuid& uuid,
                                                                error_code& ec);

// -- implementation ----------------------------------------------------------

/// Why it cannot be told whether the process of the record runs; empty if it can: it does, or nothing of it is left.
[[nodiscard]] inline std::string doubt_about(const RecordFiles& files, const DetachedInfo& info, SteadyTime deadline) {
    std::string why;
    switch (info.state) {
        case DetachedState::starting: return "it is being started";
        case DetachedState::running: return info.problem;
        case DetachedState::stopping: return "it is being stopped";
        case DetachedState::exited:
        case DetachedState::lost: {
            return await_tree_end(files, info, deadline, why) ? why : std::string();
        }
        case DetachedState::gone: return {};
        case DetachedState::corrupt:
        case DetachedState::foreign: break;
    }
    return info.problem;
}

inline std::optional<DetachedInfo> find_running(const Registry& registry, std::string_view name, error_code& ec,
                                                std::string& why) {
    constexpr auto patience = std::chrono::seconds(3);
    const SteadyTime deadline = deadline_after(SteadyTime::clock::now(), patience);
    DetachedListing listing = registry.scan(ec);
    if (!ec && listing.truncated) ec = errc::already_running, why = "there are more records than are read";
    std::optional<DetachedInfo> found;
    for (DetachedInfo& info : listing.entries) {
        if (ec) return std::nullopt;
        const bool is_unreadable = info.state >= DetachedState::corrupt && info.record.name.empty();
        if (info.record.name != name && !is_unreadable) continue;
        why = doubt_about(registry.files(), info, deadline);
        if (!why.empty()) {
            ec = errc::already_running;
            why = info.file.string() + ": " + std::string(to_string(info.state)) + "; " + why;
        } else if (info.is_active() && !found) {
            found = std::move(info);
        }
    }
    return ec ? std::nullopt : found;
}

inline std::optional<DetachedInfo> find_successor(const Registry& registry, const Uuid& uuid, error_code& ec) {
    DetachedListing listing = registry.scan(ec);
    std::map<Uuid, Uuid> former;
    for (const DetachedInfo& info : listing.entries) {
        if (info.record.restarted_from) former[info.record.uuid] = *info.record.restarted_from;
    }
    for (DetachedInfo& info : listing.entries) {
        if (!info.is_active() && !info.process_alive) continue;
        std::size_t steps = former.size();  // a record may say anything
        for (auto at = former.find(info.record.uuid); at != former.end() && steps-- > 0; at = former.find(at->second)) {
            if (at->second == uuid) return std::move(info);
        }
    }
    return std::nullopt;
}

}  // namespace warden::detail
#endif
