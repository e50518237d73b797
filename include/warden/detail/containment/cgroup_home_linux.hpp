// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The control group of a manager, and the groups beneath it that trees are put into.
///
/// Knows:         how they are made, proven, kept for later and removed; that who is in one may own it.
/// Does not know: processes.
/// Thread-safety: safe.
/// Errors:        the system's codes.

#include <warden/detail/containment/cgroup_changes_linux.hpp>
#include <warden/detail/containment/cgroup_hierarchy_linux.hpp>
#include <warden/detail/containment/leader_table_linux.hpp>
#include <warden/detail/launch/clone_launcher_linux.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <sys/file.h>

namespace warden::detail {

/// A group for one tree.
struct ControlGroup {
    std::string name;
    UniqueFd directory;
    UniqueFd events;  ///< Its cgroup.events.
    int watch = -1;   ///< See `GroupChanges`.
};

/// The manager's own group.
class CgroupHome {
public:
    /// Sweeps what crashed managers left, makes the group `name` beneath the one that this process is in, and proves
    /// that a child can be started in a group beneath it, be killed there by `cgroup.kill`, and that the groups can be
    /// removed. `why` says what was missing.
    [[nodiscard]] static std::shared_ptr<CgroupHome> make(const std::string& name, std::string& why);

    ~CgroupHome();
    CgroupHome(const CgroupHome&) = delete;
    CgroupHome& operator=(const CgroupHome&) = delete;

    [[nodiscard]] int directory() const noexcept { return directory_.get(); }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] LeaderTable& leaders() noexcept { return leaders_; }

    /// An empty group beneath it. One that has been used before, and that nobody has changed, costs the kernel a
    /// fraction of a new one.
    [[nodiscard]] ControlGroup take_group(error_code& ec);
    /// The same; always a new one.
    [[nodiscard]] ControlGroup make_group(error_code& ec);
    /// Takes an empty group back in which nothing was ever killed.
    void give_group(ControlGroup group) noexcept;
    void remove_group(ControlGroup group) noexcept;

    /// Launches into the group. How depends on what was proven.
    [[nodiscard]] Cloned launch(const ChildPlan& plan, const ControlGroup& group, ChildAnswer& answer) const noexcept {
        return launch_child(plan, group.directory.get(), answer, enters_by_itself_);
    }

    /// Whether `pid` is, or was when it ended, in this group beneath it, or in any if none is named.
    [[nodiscard]] bool holds(Pid pid, const std::string& group = {}) const;

private:
    CgroupHome(UniqueFd parent, UniqueFd directory, std::string name, std::string path)
        : parent_(std::move(parent)), directory_(std::move(directory)), name_(std::move(name)), path_(std::move(path)) {
        spare_.reserve(max_spare);
        watch_ = changes_.watch(directory_.get(), true);
    }
    [[nodiscard]] bool prove(std::string& why);
    [[nodiscard]] bool is_unchanged(const ControlGroup& group) {
        return !changes_.has(watch_) && !changes_.has(group.watch);
    }
    [[nodiscard]] int make_group_here(ControlGroup& group) noexcept;  // these two with the lock held
    void remove_group_here(ControlGroup group) noexcept;

    UniqueFd parent_;
    UniqueFd directory_;
    std::string name_;
    std::string path_;
    /// A child is started outside and enters the group before it executes. Once `cgroup.kill` was written to the group
    /// that this process is in, Linux 6.14 and later kill each child that is born from there into a group with another
    /// history.
    bool enters_by_itself_ = false;
    LeaderTable leaders_;
    static constexpr std::size_t max_spare = 16;
    std::mutex mutex_;
    GroupChanges changes_;
    int watch_ = -1;
    std::vector<ControlGroup> spare_;
    std::uint64_t count_ = 0;
};

// -- implementation ----------------------------------------------------------

inline std::shared_ptr<CgroupHome> CgroupHome::make(const std::string& name, std::string& why) {
    const std::string mount = cgroup_mount();
    const std::string own = procfs::control_group(::getpid());
    if (mount.empty() || own.empty()) {
        why = "no cgroup v2 hierarchy is mounted here";
        return nullptr;
    }
    const std::string above = own == "/" ? mount : mount + own;
    const std::string owned = owned_group_name(name);
    UniqueFd parent(::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    UniqueFd directory;
    if (parent) {
        sweep_stale_groups(parent.get(), above);
        if (::mkdirat(parent.get(), owned.c_str(), 0700) == 0)
            directory.reset(::openat(parent.get(), owned.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        // A former version of this library takes a group that nobody has locked for one of a crashed program.
        if (directory) static_cast<void>(::flock(directory.get(), LOCK_SH | LOCK_NB));
    }
    if (!directory) {
        why = "a control group cannot be made in " + above + ": " + system_code(errno).message() +
              " (delegate the subtree to this user, for example systemd's Delegate=yes)";
        if (parent) ::unlinkat(parent.get(), owned.c_str(), AT_REMOVEDIR);
        return nullptr;
    }
    std::shared_ptr<CgroupHome> home(
        new CgroupHome(std::move(parent), std::move(directory), owned, own == "/" ? '/' + owned : own + '/' + owned));
    return home->prove(why) ? home : nullptr;
}

inline CgroupHome::~CgroupHome() {
    for (ControlGroup& group : spare_) remove_group_here(std::move(group));
    if (::unlinkat(parent_.get(), name_.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return;
    restore_mode(parent_.get());
    restore_mode(directory_.get());
    remove_groups_below(directory_.get());
    ::unlinkat(parent_.get(), name_.c_str(), AT_REMOVEDIR);
}

inline bool CgroupHome::prove(std::string& why) {
    const char* const nothing[] = {nullptr};
    ChildPlan plan;  // executes nothing: a child that starts in the group and fails at its descriptors proves enough
    plan.candidates = plan.argv = plan.environment = nothing;
    for (;;) {
        error_code ec;
        ControlGroup group = make_group(ec);
        if (ec) {
            why = "a control group cannot be made in our own: " + ec.message();
            return false;
        }
        ChildAnswer answer;
        const Cloned child = launch(plan, group, answer);
        const bool born = child.error == EBADF && answer.step == static_cast<std::int32_t>(SpawnStep::descriptors);
        const int killed = kill_group(group.directory.get());
        remove_group(std::move(group));
        if (!born && child.error == ECANCELED && !enters_by_itself_) {
            enters_by_itself_ = true;
            continue;
        }
        if (!born) why = "a child cannot be started in a control group: " + system_code(child.error).message();
        else if (killed != 0) why = "cgroup.kill (Linux 5.14) cannot be written: " + system_code(killed).message();
        return born && killed == 0;
    }
}

inline ControlGroup CgroupHome::take_group(error_code& ec) {
    {
        const std::lock_guard lock(mutex_);
        while (!spare_.empty()) {
            ControlGroup group = std::move(spare_.back());
            spare_.pop_back();
            if (is_unchanged(group)) {
                ec.clear();
                return group;
            }
            remove_group_here(std::move(group));
        }
    }
    return make_group(ec);
}

inline ControlGroup CgroupHome::make_group(error_code& ec) {
    ec.clear();
    ControlGroup group;
    const std::lock_guard lock(mutex_);
    constexpr int most = 100'000;  // a member may have taken the next names, and may remove what is new
    int failed = EEXIST;
    for (int tries = 0; tries < most && (failed == EEXIST || failed == ENOENT); ++tries) {
        group.name = std::to_string(count_++);
        failed = make_group_here(group);
    }
    if (failed != 0) ec = system_code(failed);
    return group;
}

/// An errno, or 0.
inline int CgroupHome::make_group_here(ControlGroup& group) noexcept {
    bool made = ::mkdirat(directory_.get(), group.name.c_str(), 0700) == 0;
    if (!made && errno == EACCES && restore_mode(directory_.get()) == 0)
        made = ::mkdirat(directory_.get(), group.name.c_str(), 0700) == 0;
    if (!made) return errno;
    const long directory = open_in_group(directory_.get(), group.name.c_str(), O_RDONLY | O_DIRECTORY);
    const long events =
        directory < 0 ? directory : open_in_group(static_cast<int>(directory), "cgroup.events", O_RDONLY);
    group.directory.reset(static_cast<int>(std::max(directory, -1L)));
    group.events.reset(static_cast<int>(std::max(events, -1L)));
    if (events < 0) {
        ::unlinkat(directory_.get(), group.name.c_str(), AT_REMOVEDIR);
        return static_cast<int>(-events);
    }
    group.watch = changes_.watch(group.directory.get());
    return 0;
}

inline void CgroupHome::give_group(ControlGroup group) noexcept {
    const std::lock_guard lock(mutex_);
    if (spare_.size() < spare_.capacity() && is_unchanged(group)) return spare_.push_back(std::move(group));
    remove_group_here(std::move(group));
}

inline void CgroupHome::remove_group(ControlGroup group) noexcept {
    const std::lock_guard lock(mutex_);
    remove_group_here(std::move(group));
}

inline void CgroupHome::remove_group_here(ControlGroup group) noexcept {
    changes_.forget(group.watch);
    if (::unlinkat(directory_.get(), group.name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT || !group.directory)
        return;
    kill_group(group.directory.get());
    restore_mode(directory_.get());
    remove_groups_below(group.directory.get());
    ::unlinkat(directory_.get(), group.name.c_str(), AT_REMOVEDIR);
}

inline bool CgroupHome::holds(Pid pid, const std::string& group) const {
    const std::string above = path_ + '/' + group;
    const std::string actual = procfs::control_group(pid);
    return actual.starts_with(above) && (group.empty() || actual.size() == above.size() || actual[above.size()] == '/');
}

}  // namespace warden::detail
#endif
