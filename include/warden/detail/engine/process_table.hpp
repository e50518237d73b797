// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The processes of one manager: how many may be active, who they are, who is looked for.
///
/// Knows:         records by uuid; those whose tree is gone only for as long as somebody holds their handle.
/// Does not know: how processes are started or stopped.
/// Thread-safety: safe.

#include <warden/detail/engine/process_record.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace warden::detail {

class ProcessTable {
public:
    /// Takes one of `most` places; `errc::too_many_processes` or `errc::shut_down` if there is none.
    [[nodiscard]] error_code reserve(std::size_t most) {
        const std::lock_guard lock(mutex_);
        if (closed_) return errc::shut_down;
        if (active_ >= most) return errc::too_many_processes;
        ++active_;
        starting_.push_back(std::this_thread::get_id());
        return {};
    }

    /// The start failed: the place is free again.
    void release() {
        {
            const std::lock_guard lock(mutex_);
            --active_;
            start_is_over();
        }
        landed_.notify_all();
    }

    /// The start succeeded; it may have come to its end already.
    void add(const std::shared_ptr<ProcessRecord>& record) {
        {
            const std::lock_guard lock(mutex_);
            if (!gone_.contains(record->uuid)) alive_.emplace(record->uuid, record);
            start_is_over();
        }
        landed_.notify_all();
    }

    /// The leader has ended: its place is free.
    void leader_ended() {
        const std::lock_guard lock(mutex_);
        --active_;
    }

    /// Nothing of it is left: it is remembered while somebody holds it.
    void tree_empty(const std::shared_ptr<ProcessRecord>& record) {
        const std::lock_guard lock(mutex_);
        alive_.erase(record->uuid);
        std::erase_if(gone_, [](const auto& entry) { return entry.second.expired(); });
        gone_.insert_or_assign(record->uuid, record);
    }

    /// Its handle is gone: if it is over, nobody finds it any more.
    void remove(const Uuid& uuid) {
        const std::lock_guard lock(mutex_);
        gone_.erase(uuid);
    }

    [[nodiscard]] bool is_closed() const {
        const std::lock_guard lock(mutex_);
        return closed_;
    }

    [[nodiscard]] std::size_t active() const {
        const std::lock_guard lock(mutex_);
        return active_;
    }

    /// All whose tree lives, and those that somebody still holds.
    [[nodiscard]] std::vector<std::shared_ptr<ProcessRecord>> all() const {
        std::vector<std::shared_ptr<ProcessRecord>> found;
        const std::lock_guard lock(mutex_);
        for (const auto& [uuid, record] : alive_) found.push_back(record);
        for (const auto& [uuid, record] : gone_) {
            if (auto held = record.lock()) found.push_back(std::move(held));
        }
        return found;
    }

    [[nodiscard]] std::vector<std::shared_ptr<ProcessRecord>> alive() const {
        std::vector<std::shared_ptr<ProcessRecord>> found;
        const std::lock_guard lock(mutex_);
        for (const auto& [uuid, record] : alive_) found.push_back(record);
        return found;
    }

    /// Whether a tree that lives was launched with that process as its leader.
    [[nodiscard]] bool has_leader(Pid pid) const {
        const std::lock_guard lock(mutex_);
        return std::any_of(alive_.begin(), alive_.end(), [&](const auto& entry) { return entry.second->pid == pid; });
    }

    /// The processes of that name or uuid (in full, as text); living ones first.
    [[nodiscard]] std::vector<std::shared_ptr<ProcessRecord>> named(std::string_view key) const {
        std::vector<std::shared_ptr<ProcessRecord>> found;
        for (auto& record : all()) {
            if (record->options.name == key || to_string(record->uuid) == key) found.push_back(std::move(record));
        }
        return found;
    }

    /// From now on nobody gets a place; returns when no start is under way any more, but those that this thread is in:
    /// code of the user that a start calls may end the program.
    void close() {
        std::unique_lock lock(mutex_);
        closed_ = true;
        landed_.wait(lock, [&, here = std::this_thread::get_id()] {
            return std::all_of(starting_.begin(), starting_.end(), [&](std::thread::id each) { return each == here; });
        });
    }

private:
    void start_is_over() {
        const auto at = std::find(starting_.begin(), starting_.end(), std::this_thread::get_id());
        if (at != starting_.end()) starting_.erase(at);
    }

    mutable std::mutex mutex_;
    std::condition_variable landed_;
    std::map<Uuid, std::shared_ptr<ProcessRecord>> alive_;
    std::map<Uuid, std::weak_ptr<ProcessRecord>> gone_;
    std::size_t active_ = 0;
    std::vector<std::thread::id> starting_;  // one for each start that is under way
    bool closed_ = false;
};

}  // namespace warden::detail
