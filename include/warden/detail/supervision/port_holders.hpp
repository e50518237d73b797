// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Who holds listeners, and in whose tree of a manager that is.
///
/// Knows:         the trees of the manager; the parents of a process.
/// Thread-safety: safe. Not on the loop: reads what every process has open.
/// Errors:        an `error_code`.

#include <warden/detail/engine/engine.hpp>
#include <warden/detail/supervision/handle_access.hpp>
#include <warden/detail/supervision/listener_proof.hpp>
#include <warden/detail/system/listeners.hpp>
#include <warden/detail/system/process_listing.hpp>
#include <warden/error.hpp>
#include <warden/process_manager.hpp>
#include <warden/supervision/port_holder.hpp>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace warden::detail {

/// A listener whose holder cannot be seen has one with pid 0, and `ec` says why.
[[nodiscard]] inline std::vector<PortHolder> holders_in(const ProcessManager& manager,
                                                        const std::vector<Listener>& listeners, error_code& ec);

// -- implementation ----------------------------------------------------------

/// A process of a manager, and who is in its tree.
struct OwnedTree {
    Uuid process;
    std::vector<Pid> members;
};

[[nodiscard]] inline std::vector<OwnedTree> owned_trees(const ProcessManager& manager) {
    const auto engine = HandleAccess::engine(manager);
    std::vector<OwnedTree> trees;
    for (const auto& record : engine->table.alive()) {
        error_code unlisted;
        trees.push_back(
            {record->uuid, engine->services->scheduler.call([&] { return record->control.members(unlisted); })});
    }
    return trees;
}

inline std::vector<PortHolder> holders_in(const ProcessManager& manager, const std::vector<Listener>& listeners,
                                          error_code& ec) {
    ec.clear();
    if (listeners.empty()) return {};
    const auto trees = owned_trees(manager);
    error_code unread;
    const auto holders = holders_of(listeners, unread);
    std::vector<PortHolder> found;
    for (const Listener& listener : listeners) {
        const std::size_t before = found.size();
        for (const ListenerHolder& holder : holders) {
            const auto same = [&](const PortHolder& other) {
                return other.pid == holder.pid && other.address == listener.address;
            };
            if (holder.id != listener.id || std::any_of(found.begin(), found.end(), same)) continue;
            error_code ignored;
            const auto process = member(holder.pid, ignored);
            const auto tree = std::find_if(trees.begin(), trees.end(), [&](const OwnedTree& each) {
                return descends_from(each.members, holder.pid);
            });
            found.push_back({holder.pid, process ? process->command : std::string(), listener.address,
                             tree == trees.end() ? std::nullopt : std::optional<Uuid>(tree->process)});
        }
        if (found.size() > before) continue;
        found.push_back({0, {}, listener.address, {}});
        ec = unread ? unread : boost::system::errc::make_error_code(boost::system::errc::permission_denied);
    }
    return found;
}

}  // namespace warden::detail
