// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Notices what anybody did to control groups that are kept for later: writes to their files, modes, groups beneath.
///
/// Knows:         inotify(7) on the directories; that cgroup.events changes by itself.
/// Does not know: what was changed, and by whom.
/// Thread-safety: one thread at a time.
/// Errors:        where nothing can be noticed, everything counts as changed.

#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include <sys/inotify.h>
#include <unistd.h>

namespace warden::detail {

class GroupChanges {
public:
    GroupChanges() : notifications_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

    /// Watches a group from now on: its files and modes, and what is made and removed beneath it unless that is
    /// `ours`. What stands for it, or -1.
    [[nodiscard]] int watch(int directory, bool ours = false) noexcept;
    void forget(int watch);
    /// Whether anything was done to it since it was watched.
    [[nodiscard]] bool has(int watch);

private:
    void read_notifications();

    UniqueFd notifications_;
    std::vector<int> changed_;
    bool lost_ = false;  // notifications did: from then on everything counts as changed
};

// -- implementation ----------------------------------------------------------

inline int GroupChanges::watch(int directory, bool ours) noexcept {
    if (!notifications_) return -1;
    char path[48];
    std::snprintf(path, sizeof path, "/proc/thread-self/fd/%d", directory);
    const std::uint32_t beneath = ours ? 0 : IN_CREATE | IN_DELETE;
    return ::inotify_add_watch(notifications_.get(), path,
                               IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_ONLYDIR | beneath);
}

inline void GroupChanges::forget(int watch) {
    if (watch < 0) return;
    ::inotify_rm_watch(notifications_.get(), watch);
    read_notifications();  // those of it that are still to come
    std::erase(changed_, watch);
}

inline bool GroupChanges::has(int watch) {
    if (watch < 0) return true;
    read_notifications();
    return lost_ || std::find(changed_.begin(), changed_.end(), watch) != changed_.end();
}

inline void GroupChanges::read_notifications() {
    alignas(inotify_event) char buffer[4096];
    for (ssize_t size = 0; (size = ::read(notifications_.get(), buffer, sizeof buffer)) > 0;) {
        for (ssize_t at = 0; at < size;) {
            inotify_event event{};
            std::memcpy(&event, buffer + at, sizeof event);
            const char* const name = buffer + at + sizeof event;
            at += static_cast<ssize_t>(sizeof event + event.len);
            if ((event.mask & IN_Q_OVERFLOW) != 0) lost_ = true;
            const bool by_itself = event.len > 0 && std::string_view(name) == "cgroup.events";
            const bool is_over = (event.mask & IN_IGNORED) != 0;
            if (by_itself || is_over || std::find(changed_.begin(), changed_.end(), event.wd) != changed_.end())
                continue;
            changed_.push_back(event.wd);
        }
    }
}

}  // namespace warden::detail
#endif
